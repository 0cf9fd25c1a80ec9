"""What stands before Gradio: of all that it offers, the page needs little, and gets no more."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, final

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
BUSY: Final = "the demo is busy with other images; try again in a moment"


@final
class Guard:
    """An ASGI application before another one: refuses paths that the page does not use (uploads to
    the disk, links into a session, files, proxies), bodies that are too large, before they are
    read, and more requests at a time than are to wait. The browser is told to fetch nothing from
    elsewhere, and to keep no answer.
    """

    def __init__(self, app: App, *, largest_body: int, most_waiting: int) -> None:
        self._app = app
        self._largest_body = largest_body
        self._most_waiting = most_waiting
        self._waiting = 0

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
        elif self._waiting >= self._most_waiting:
            await _drain(receive)
            # 200, since Gradio's client shows the page no other answer
            await _answer(send, 200, {"error": BUSY})
        else:
            self._waiting += 1
            try:
                await self._app(scope, receive, _with_headers(send, {"cache-control": "no-store"}))
            finally:
                self._waiting -= 1

    def _refusal(self, scope: Mapping[str, Any]) -> int | None:
        """Return the status with which a request is refused, if it is."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            return None if path in READ or path.startswith(READ_BELOW) else 404
        if method != "POST" or path != ASKED:
            return 404
        headers = dict(scope["headers"])
        # a form would be parsed into files
        if not headers.get(b"content-type", b"").startswith(b"application/json"):
            return 415
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or b"transfer-encoding" in headers:  # which would end anywhere
            return 411
        return 413 if int(length) > self._largest_body else None


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


async def _drain(receive: Receive) -> None:
    """Let the rest of a body pass: a browser that is still sending hears no answer."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
