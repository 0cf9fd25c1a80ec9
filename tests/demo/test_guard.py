"""What stands before Gradio lets through what the page needs, and no more."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from rrgcore.demo.guard import ASKED, BUSY, READING, ROOM, Guard

JSON = {"content-type": "application/json", "content-length": "2"}


class Inner:
    """An application that answers "well", when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await self.may.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})


async def ask(
    guard: Guard,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    whole: bool = True,
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []
    body = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.request"}]

    async def receive() -> Any:
        if len(body) == 1 and not whole:
            await asyncio.Event().wait()
        return body.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "localhost:7860", **(headers or {})}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await guard({"type": "http", "method": method, "path": path, "headers": encoded}, receive, send)
    start, *rest = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(each["body"] for each in rest)


def guarded() -> tuple[Guard, Inner]:
    inner = Inner()
    return Guard(inner, largest_body=100, most_waiting=2, local=True, slowest=0.05), inner


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/vibe-edit/"),
        ("POST", "/"),
        ("PUT", ASKED),
        ("GET", ASKED),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/proxy=https://example.org"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/monitoring"),
        ("GET", "/openapi.json"),
    ],
)
def test_what_the_page_does_not_use_is_not_there(method: str, path: str):
    guard, inner = guarded()
    status, _, _ = asyncio.run(ask(guard, method, path, JSON))
    assert (status, inner.asked) == (404, [])


@pytest.mark.parametrize("path", ["/", "/theme.css", "/assets/index.js", "/static/img/logo.svg"])
def test_the_page_itself_is_there_and_may_fetch_nothing_from_elsewhere(path: str):
    guard, inner = guarded()
    status, headers, body = asyncio.run(ask(guard, "GET", path))
    assert (status, body, inner.asked) == (200, b"well", [path])
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"content-length": "100"}, 200),
        ({"content-length": "101"}, 413),
        ({"content-length": "-1"}, 411),
        ({"content-length": ""}, 411),
        ({"transfer-encoding": "chunked"}, 411),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "text/plain"}, 415),
    ],
)
def test_a_body_is_bounded_before_it_is_read(changes: Mapping[str, str], status: int):
    guard, inner = guarded()
    found, headers, _ = asyncio.run(ask(guard, "POST", ASKED, {**JSON, **changes}))
    assert found == status
    assert inner.asked == ([ASKED] if status == 200 else [])
    assert headers["cache-control"] == "no-store"


def test_who_comes_when_enough_wait_is_told_so_and_comes_in_later():
    async def crowd() -> None:
        guard, inner = guarded()
        inner.may.clear()
        waiting = [asyncio.create_task(ask(guard, "POST", ASKED, JSON)) for _ in range(2)]
        while len(inner.asked) < 2:
            await asyncio.sleep(0)
        _, _, body = await ask(guard, "POST", ASKED, JSON)
        assert json.loads(body) == {"error": BUSY}
        assert (await ask_page(guard, inner)) == 200
        inner.may.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200, 200]
        assert (await ask(guard, "POST", ASKED, JSON))[2] == b"well"

    async def ask_page(guard: Guard, inner: Inner) -> int:
        asking = asyncio.create_task(ask(guard, "GET", "/"))
        await asyncio.sleep(0)
        assert inner.asked[-1] == "/"
        inner.may.set()
        status, _, _ = await asking
        return status

    asyncio.run(crowd())


def test_bodies_that_do_not_come_keep_nobody_from_the_page():
    async def stalled() -> None:
        guard, inner = guarded()
        slow = [
            asyncio.create_task(ask(guard, "POST", ASKED, JSON, whole=False))
            for _ in range(READING)
        ]
        await asyncio.sleep(0.01)
        assert json.loads((await ask(guard, "POST", ASKED, JSON))[2]) == {"error": BUSY}
        assert [status for status, _, _ in await asyncio.gather(*slow)] == [408] * READING
        assert (await ask(guard, "POST", ASKED, JSON))[2] == b"well"
        assert inner.asked == [ASKED]

    asyncio.run(stalled())


def test_bodies_have_so_much_room_together():
    async def heavy() -> None:
        inner = Inner()
        guard = Guard(inner, largest_body=ROOM, most_waiting=2, local=True, slowest=0.05)
        large = {**JSON, "content-length": str(ROOM)}
        slow = [asyncio.create_task(ask(guard, "POST", ASKED, large, whole=False)) for _ in "abc"]
        await asyncio.sleep(0.01)
        assert json.loads((await ask(guard, "POST", ASKED, JSON))[2]) == {"error": BUSY}
        assert [status for status, _, _ in await asyncio.gather(*slow)] == [408] * 3
        assert (await ask(guard, "POST", ASKED, large))[2] == b"well"

    asyncio.run(heavy())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": "evil.example:7860"}, 403),
        ({"host": "evil.example:7860", "origin": "http://evil.example:7860"}, 403),
        ({"host": "localhost:7860", "origin": "http://evil.example"}, 403),
        ({"host": "localhost:7860", "origin": "null"}, 403),
        ({"host": ""}, 403),
    ],
)
def test_a_page_of_another_site_is_refused(headers: Mapping[str, str], status: int):
    """A name of somebody's own may be made to lead to this machine, and a browser believes it."""
    guard, inner = guarded()
    found, _, _ = asyncio.run(ask(guard, "POST", ASKED, {**JSON, **headers}))
    assert found == status
    assert inner.asked == ([ASKED] if status == 200 else [])


def test_other_machines_have_other_names_for_this_one():
    guard = Guard(Inner(), largest_body=100, most_waiting=1, local=False)
    for origin, status in (("http://ward7:7860", 200), ("http://evil.example", 403)):
        headers = {**JSON, "host": "ward7:7860", "origin": origin}
        assert asyncio.run(ask(guard, "POST", ASKED, headers))[0] == status


def test_one_whose_answer_fails_gives_its_place_back():
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("gone")

    guard = Guard(broken, largest_body=100, most_waiting=1, local=True)
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            asyncio.run(ask(guard, "POST", ASKED, JSON))
