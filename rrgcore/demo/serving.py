"""Where the page is served: an address that is bound before anything slow is done."""

import errno
import os
import socket
from ipaddress import ip_address
from typing import Final, final

from rrgcore.demo.guard import App
from rrgcore.errors import RunError, UserError

SECONDS: Final = 1
"""How long an open connection may keep the server from ending."""
PORTS: Final = 65535


@final
class Address:
    """A host and port of this machine, taken until it is closed; port 0 is one that is free.

    Raises UserError where it cannot be had.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (socket.gaierror, UnicodeError) as error:
            raise UserError(f"--host {host}: is no address ({error})") from error
        self.socket = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # else the port of a demo that just ended is taken
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(where)
            self.socket.listen()
        except OSError as error:
            self.socket.close()
            raise UserError(_refused(error, host, port)) from error
        self.host = str(where[0])
        self.port: int = self.socket.getsockname()[1]

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can reach it."""
        return ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """What a browser opens; of all addresses of the machine, its name."""
        found = ip_address(self.host)
        host = socket.gethostname() if found.is_unspecified else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def close(self) -> None:
        """Give it back."""
        self.socket.close()


def serve(app: App, address: Address, *, debug: bool = False) -> None:
    """Serve until a signal ends it, which is then heard by whoever listened for it before.

    Nothing of a request is logged.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error" if debug else "critical",
        access_log=False,
        lifespan="on",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=SECONDS,
    )
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[address.socket])
    except SystemExit as error:
        raise RunError("the page could not be started; --debug shows why") from error


def _refused(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken, by another demo perhaps. Name another one: "
            f"--port {port % PORTS + 1}, or --port 0 for any that is free"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} of {host} may not be taken by you; name one above 1023: --port 7860"
    return f"--host {host}: is no address of this machine ({error.strerror})"
