"""What stands before Gradio: of all that it offers, the page needs little, and gets no more."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, final
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

READ: Final = frozenset(
    ("/", "/config", "/favicon.ico", "/manifest.json", "/theme.css",
     "/gradio_api/theme.css", "/gradio_api/info", "/gradio_api/app_id")
)  # fmt: skip
READ_BELOW: Final = ("/assets/", "/static/", "/gradio_api/heartbeat/")
ASKED: Final = "/gradio_api/component_server/"
"""Where Gradio calls the functions of a component; all that the page sends goes there."""

POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    # Gradio's frontend compiles templates and scripts, and styles its components inline
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'self'"
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SLOWEST: Final = 20.0
"""Seconds between two pieces of a body."""
LONGEST: Final = 300.0
"""Seconds that a body may take."""
READING: Final = 16
"""Bodies that may be on their way at a time."""
ROOM: Final = 1 << 28
"""Bytes that bodies may take at a time, beside two of the largest."""
LOCAL: Final = frozenset(("localhost", "127.0.0.1", "::1"))
BUSY: Final = "the demo is busy with other images; try again in a moment"


@final
class Guard:
    """An ASGI application before another one: refuses paths that the page does not use (uploads to
    the disk, links into a session, files, proxies), bodies that are too large, before they are
    read, bodies that do not come, more of them than memory has room for, and more requests at a
    time than are to wait. A page of another
    site, which a browser would let ask under a name that leads here, is refused: `local` is whether
    only this machine is served, under its own names. The browser is told to fetch nothing from
    elsewhere, and to keep no answer.
    """

    def __init__(
        self,
        app: App,
        *,
        largest_body: int,
        most_waiting: int,
        local: bool,
        slowest: float = SLOWEST,
    ) -> None:
        self._app = app
        self._largest_body = largest_body
        self._most_waiting = most_waiting
        self._local = local
        self._slowest = slowest
        self._waiting = self._reading = self._held = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        status = self._refusal(scope)
        if status:
            await _answer(send, status, {"error": f"refused ({status})"})
        elif scope["path"] != ASKED:
            await self._app(scope, receive, _with_headers(send, {}))
        elif self._reading >= READING or self._held + _length(scope) > self._room:
            # 200, since Gradio's client shows the page no other answer
            await _answer(send, 200, {"error": BUSY})
        else:
            self._held += _length(scope)
            try:
                await self._ask(scope, receive, send)
            finally:
                self._held -= _length(scope)

    @property
    def _room(self) -> int:
        return 2 * self._largest_body + ROOM

    async def _ask(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a question on when it is there whole: one that is on its way takes no place."""
        self._reading += 1
        try:
            async with asyncio.timeout(LONGEST):
                body = await self._body(receive)
        except TimeoutError:
            await _answer(send, 408, {"error": "the images did not come"})
            return
        finally:
            self._reading -= 1
        if body is None:  # whoever asked has gone
            return
        if self._waiting >= self._most_waiting:
            await _answer(send, 200, {"error": BUSY})
            return
        self._waiting += 1
        try:
            again = _again(body, receive)
            await self._app(scope, again, _with_headers(send, {"cache-control": "no-store"}))
        finally:
            self._waiting -= 1

    async def _body(self, receive: Receive) -> bytes | None:
        pieces: list[bytes] = []
        while True:
            message = await asyncio.wait_for(receive(), self._slowest)
            if message["type"] != "http.request":
                return None
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(pieces)

    def _is_foreign(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a browser asks for a page of another site."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = urlsplit(f"//{host}").hostname if host else None
        if self._local and name not in LOCAL:
            return True
        origin = headers.get(b"origin")
        return origin is not None and urlsplit(origin.decode("latin-1").lower()).netloc != host

    def _refusal(self, scope: Mapping[str, Any]) -> int | None:
        """Return the status with which a request is refused, if it is."""
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        if self._is_foreign(headers):
            return 403
        if method in ("GET", "HEAD"):
            return None if path in READ or path.startswith(READ_BELOW) else 404
        if method != "POST" or path != ASKED:
            return 404
        # a form would be parsed into files
        if not headers.get(b"content-type", b"").startswith(b"application/json"):
            return 415
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or b"transfer-encoding" in headers:  # which would end anywhere
            return 411
        return 413 if _length(scope) > self._largest_body else None


def _length(scope: Mapping[str, Any]) -> int:
    """Return the bytes that a body has, which a server lets nobody exceed."""
    return int(dict(scope["headers"])[b"content-length"])


def _with_headers(send: Send, more: Mapping[str, str]) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = _encoded({**HEADERS, **more})
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sent


async def _answer(send: Send, status: int, value: Mapping[str, Any]) -> None:
    body = json.dumps(value).encode()
    headers = {
        **HEADERS,
        "cache-control": "no-store",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more, and then what comes after it."""
    given = False

    async def received() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
