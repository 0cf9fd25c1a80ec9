"""A language model at a URL: what it is sent, when it is asked again, and what is kept."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_knowledge.observe import ObserveByRule
from rrg_knowledge.observe_endpoint import ObserveByEndpoint
from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS
from rrgcore.endpoint import Answers
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench
from rrgcore.testing import check_component

from .chat_server import Reply, Server, serve
from .test_observe_prompt import asked

GOOD = json.dumps({**dict.fromkeys(OBSERVATIONS, "Absent"), "Edema": "Present"})
KEY = "not-a-real-key"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def endpoint(tmp_path: Path) -> Callable[..., ObserveByEndpoint]:
    def make(server: Server, **options: Any) -> ObserveByEndpoint:
        given = {"model": "a-model", "cache": str(tmp_path / "deep" / "answers.jsonl")}
        return ObserveByEndpoint(url=server.url, **{**given, "wait": 0.001, **options})

    return make


Make = Callable[..., ObserveByEndpoint]


def studies(count: int) -> list[Study]:
    return [asked(f"report number {i} .", Edema=i / 100) for i in range(count)]


def label(annotator: ObserveByEndpoint, some: Sequence[Study]) -> list[Labels]:
    return list(annotator.annotate(some))


# ---- what is sent ---------------------------------------------------------------------------


def test_nothing_is_added_to_a_file_of_somebody_elses(tmp_path: Path) -> None:
    mine = tmp_path / ".profile"
    mine.write_text("export PATH\n")
    with pytest.raises(DataError, match="holds lines that are no answers"):
        Answers(mine).keep("a", "$(touch pwned)")
    assert mine.read_text() == "export PATH\n"
    torn = tmp_path / "answers.jsonl"
    torn.write_text('{"asked": "b", "answer": "x"}\n{"ask')
    Answers(torn).keep("a", "y")
    assert {"a", "b"} == {key for key in ("a", "b", "c") if key in Answers(torn)}


def test_a_chat_completion_is_asked_for_at_temperature_zero(
    endpoint: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("THE_KEY", KEY)
    with serve(lambda *_: Reply(GOOD)) as server:
        (labels,) = label(endpoint(server, key_variable="THE_KEY"), studies(1))
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["body"].keys() == {"model", "messages", "temperature"}
    assert (request["body"]["model"], request["body"]["temperature"]) == ("a-model", 0)
    assert "report number 0 ." in server.prompts[0]
    assert labels.values["Edema"] == 1
    assert labels.sources is not None
    assert labels.sources["Edema"].startswith("a-model (present), report")


def test_a_request_can_be_added_to_and_taken_from(endpoint: Make):
    with serve(lambda *_: Reply(GOOD)) as server:
        label(endpoint(server, request={"max_tokens": 300, "temperature": None}), studies(1))
    assert server.requests[0]["body"].keys() == {"model", "messages", "max_tokens"}


def test_a_url_may_name_the_path_itself(endpoint: Make, tmp_path: Path):
    with serve(lambda *_: Reply(GOOD)) as server:
        server.url += "/chat/completions?version=1"
        label(endpoint(server), studies(1))
    assert server.requests[0]["path"] == "/v1/chat/completions?version=1"


def test_without_a_key_none_is_sent_and_one_that_is_not_set_is_missed(
    endpoint: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("THE_KEY", raising=False)
    with serve(lambda *_: Reply(GOOD)) as server:
        with pytest.raises(DataError, match="variable 'THE_KEY', which is to hold the key"):
            label(endpoint(server, key_variable="THE_KEY"), studies(1))
        label(endpoint(server), studies(1))
    assert "Authorization" not in server.requests[0]["headers"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"key_variable": "sk-123"}, "never the key"),
        ({"url": "http://me:secret@host/v1"}, "holds a password"),
        ({"url": "localhost:8000"}, "expected one such as http://localhost:8000/v1"),
        ({"request": {"messages": []}}, "sets messages"),
        ({"concurrency": 0}, "`concurrency` is 0"),
    ],
)
def test_what_would_be_stored_or_lost_is_refused(options: dict[str, Any], sentence: str):
    with pytest.raises(ValueError) as error:
        ObserveByEndpoint(**{"url": "http://localhost/v1", "model": "m", **options})
    assert sentence in str(error.value)
    assert "secret" not in str(error.value)
    assert "sk-123" not in str(error.value)


def test_a_redirect_is_not_followed(endpoint: Make):
    elsewhere = Reply(status=307, headers={"Location": "http://127.0.0.1:9/"})
    refused = pytest.raises(DataError, match="refuses: HTTP 307")
    with serve(lambda *_: elsewhere) as server, refused:
        label(endpoint(server), studies(1))
    assert len(server.requests) == 1


def test_what_stays_here_goes_by_no_proxy(endpoint: Make, monkeypatch: pytest.MonkeyPatch):
    with serve(lambda *_: Reply(GOOD)) as proxy, serve(lambda *_: Reply(GOOD)) as server:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        label(endpoint(server), studies(1))
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_who_is_between_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = ObserveByEndpoint(url="https://far.example/v1", model="m").endpoint
    assert found.where == "far.example, by way of the proxy proxy.example"


def test_a_server_that_repeats_a_report_is_not_quoted(endpoint: Make):
    def echo(number: int, prompt: str) -> Reply:
        return Reply(status=422, raw=f"bad input: {prompt[-80:]}".encode())

    with serve(echo) as server, pytest.raises(DataError) as error:
        label(endpoint(server), studies(1))
    assert "HTTP 422 (what it says repeats what it was asked, and is not shown)" in str(error.value)
    assert "report number" not in str(error.value)


# ---- when it is asked again -----------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=500, raw=b"oops"),
        Reply(status=503),
        Reply(raw=b"<html>garbage"),
        Reply(raw=b'{"choices": []}'),
        Reply(raw=b'{"choices": [{"message": {"content": null}}]}'),
        Reply(hangs_up=True),
        Reply(after=0.4),
    ],
    ids=["429", "500", "503", "html", "no choice", "no text", "hangs up", "slow"],
)
def test_a_server_that_stumbles_is_asked_again(reply: Reply, endpoint: Make):
    with serve(lambda number, _: Reply(GOOD) if number == 2 else reply) as server:
        annotator = endpoint(server, timeout=0.2 if reply.after else 20.0)
        (labels,) = label(annotator, studies(1))
    assert len(server.requests) == 3
    assert labels.values["Edema"] == 1


def test_who_never_answers_is_given_up_with_what_is_kept(endpoint: Make, tmp_path: Path):
    def reply(number: int, prompt: str) -> Reply:
        return Reply(status=503, raw=b"try later") if "number 2 " in prompt else Reply(GOOD)

    with serve(reply) as server, pytest.raises(DataError) as error:
        label(endpoint(server, retries=1, concurrency=1), studies(4))
    assert "was asked 2 times and did not answer: HTTP 503 (try later)" in str(error.value)
    assert "do the same again to go on" in str(error.value)
    kept = (tmp_path / "deep" / "answers.jsonl").read_text().splitlines()
    assert len(kept) >= 2


def test_a_refusal_is_final(endpoint: Make):
    refusal, refused = Reply(status=401, raw=b"wrong key"), pytest.raises(DataError)
    with serve(lambda *_: refusal) as server, refused as error:
        label(endpoint(server), studies(1))
    assert "refuses: HTTP 401 (wrong key)" in str(error.value)
    assert len(server.requests) == 1


def test_the_server_says_how_long_to_wait(endpoint: Make, monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr("rrgcore.endpoint.time.sleep", waited.append)
    busy = [Reply(status=429, headers={"Retry-After": after}) for after in ("7", "9999", "Friday")]
    # the server waits by the same clock, for no time at all
    with serve(lambda number, _: busy[number] if number < 3 else Reply(GOOD)) as server:
        label(endpoint(server, wait=0.5), studies(1))
    assert [pause for pause in waited if pause] == [7, 60, 2]


# ---- what is kept ---------------------------------------------------------------------------


def test_nobody_is_asked_twice_even_another_time(endpoint: Make):
    with serve(lambda *_: Reply(GOOD)) as server:
        same = [*studies(3), *studies(3)]
        first = label(endpoint(server), same)
        assert len(server.requests) == 3
        assert label(endpoint(server), list(reversed(same))) == first
        assert len(server.requests) == 3
        label(endpoint(server, model="b-model"), same)
        assert len(server.requests) == 6


def test_who_was_stopped_goes_on(endpoint: Make, tmp_path: Path):
    stopped = pytest.raises(DataError)
    with serve(lambda n, _: Reply(GOOD) if n < 2 else Reply(status=400)) as server, stopped:
        label(endpoint(server, concurrency=1), studies(5))
    cache = tmp_path / "deep" / "answers.jsonl"
    cache.write_bytes(cache.read_bytes()[:-9])  # the power failed within the second line
    with serve(lambda *_: Reply(GOOD)) as again:
        again.url, real = server.url, again.url
        annotator = endpoint(again)
        annotator.endpoint._opener.open = _to(real, annotator.endpoint._opener.open)
        assert len(label(annotator, studies(5))) == 5
    assert len(again.requests) == 4
    assert all("report number 0 " not in prompt for prompt in again.prompts)
    whole = [line for line in cache.read_text().splitlines() if line.endswith("}")]
    assert len(whole) == 5


def _to(url: str, open: Callable[..., Any]) -> Callable[..., Any]:
    """The same server, at another port: it was started anew."""

    def opened(request: Any, **options: Any) -> Any:
        request.full_url = f"{url}/chat/completions"
        return open(request, **options)

    return opened


def test_what_is_kept_holds_neither_report_nor_key(
    endpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("THE_KEY", KEY)
    with serve(lambda *_: Reply(GOOD)) as server:
        annotator = endpoint(server, key_variable="THE_KEY")
        label(annotator, studies(1))
    kept = (tmp_path / "deep" / "answers.jsonl").read_text()
    assert "report number" not in kept
    assert KEY not in kept
    assert KEY not in repr(vars(annotator)) + repr(vars(annotator.endpoint))


def test_an_unreadable_answer_is_not_kept(endpoint: Make):
    with serve(lambda number, _: Reply("Sorry." if number == 0 else GOOD)) as server:
        with pytest.raises(DataError, match="study 'this': the answer of a-model cannot be read"):
            label(endpoint(server), studies(1))
        assert len(label(endpoint(server), studies(1))) == 1
    assert len(server.requests) == 2


def test_an_unreadable_answer_that_the_rule_stands_in_for_is(endpoint: Make):
    with serve(lambda *_: Reply("Sorry.")) as server:
        annotator = endpoint(server, on_bad=ObserveByRule())
        first = label(annotator, [asked("mild edema .")])
        assert label(annotator, [asked("mild edema .")]) == first
    assert first[0].values == {"Edema": 1}
    assert len(server.requests) == 1
    assert annotator.summary() == {"answers that could not be read": {"studies": 1}}


# ---- beside others --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "told"), [(None, ""), ("far.example", " (reports go to far.example)")]
)
def test_it_says_where_reports_go(host: str | None, told: str, endpoint: Make):
    titles: list[str] = []

    def track(items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        titles.append(f"{title}, {total}")
        yield from items

    def open(image: ImageRef) -> np.ndarray:
        raise AssertionError("no image is looked at")

    with serve(lambda *_: Reply(GOOD)) as server:
        annotator = endpoint(server)
        if host is not None:
            annotator.endpoint.host = host
        annotator.equip(Workbench(open, track=track))
        label(annotator, studies(3))
    assert titles == [f"asking a-model{told}, 3"]


def test_several_are_asked_at_once(endpoint: Make):
    from threading import Barrier

    together = Barrier(3, timeout=20)

    def reply(number: int, prompt: str) -> Reply:
        together.wait()  # who is alone waits in vain
        return Reply(GOOD)

    with serve(reply) as server:
        assert len(label(endpoint(server, concurrency=3), studies(3))) == 3


def test_it_keeps_the_contract_of_annotators(tmp_path: Path):
    with serve(lambda *_: Reply(GOOD)) as server:
        options = {"url": server.url, "model": "m", "cache": str(tmp_path / "answers.jsonl")}
        check_component("annotator", "observe_endpoint", **options, on_bad="observe")


def test_a_server_that_never_was_there_is_not_waited_for(endpoint: Make):
    with serve(lambda *_: Reply(GOOD)) as server:
        gone = server
    with pytest.raises(DataError, match=r"nobody listens at .*: start the server, or mend `url`"):
        label(endpoint(gone, wait=60.0), studies(1))


def test_a_server_that_restarts_is_waited_for(endpoint: Make):
    with serve(lambda *_: Reply(GOOD)) as server:
        annotator = endpoint(server, retries=1)
        label(annotator, studies(1))
    with pytest.raises(DataError, match=r"was asked 2 times and did not answer: ConnectionRefused"):
        label(annotator, studies(2))
