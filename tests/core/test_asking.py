"""`rrg ask`: what a general model at a URL is shown and asked, and what is written down."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrgcore.asking import PROMPT, Asking
from rrgcore.endpoint import Answers, Endpoint
from rrgcore.errors import DataError
from rrgcore.testing import FakeDataset, make_studies

from ..knowledge.chat_server import Reply, Server, serve

DATA = FakeDataset(studies=make_studies())
TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def asking(server: Server, path: Path, **options: Any) -> Asking:
    endpoint = Endpoint(
        url=server.url,
        model="a-model",
        key_variable=None,
        request=None,
        timeout=5.0,
        retries=0,
        wait=0.001,
    )
    return Asking(dataset=DATA, endpoint=endpoint, answers=Answers(path), **options)


@contextmanager
def numbered() -> Iterator[Server]:
    """A server whose answers say how many requests came before."""
    with serve(lambda number, _: Reply(f" report {number} ")) as server:
        yield server


def pictures(request: dict[str, Any]) -> list[Image.Image]:
    content = request["body"]["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def test_every_image_of_a_study_is_shown_with_the_prompt(tmp_path: Path) -> None:
    studies = make_studies()
    with numbered() as server:
        ours = asking(server, tmp_path / "answers.jsonl", concurrency=1)
        answered = list(ours.ask(studies))

    assert [each.id for each in answered] == [study.id for study in studies]
    assert [each.reference for each in answered] == [study.report for study in studies]
    assert [each.prediction for each in answered] == [f"report {i}" for i in range(len(studies))]
    for study, request in zip(studies, server.requests, strict=True):
        assert request["body"]["messages"][0]["content"][0] == {"type": "text", "text": PROMPT}
        shown = [np.asarray(picture) for picture in pictures(request)]
        there = [DATA.open(image) for image in study.images]
        assert len(shown) == len(there)
        assert all(np.array_equal(a, b) for a, b in zip(shown, there, strict=True))
        assert study.id not in json.dumps(request["body"])


def test_a_large_image_is_made_smaller(tmp_path: Path) -> None:
    studies = make_studies()[:1]
    with numbered() as server:
        list(asking(server, tmp_path / "answers.jsonl", largest=8).ask(studies))
    assert all(max(picture.size) == 8 for picture in pictures(server.requests[0]))


def test_nobody_is_asked_twice(tmp_path: Path) -> None:
    studies = make_studies()
    with numbered() as server:
        first = list(asking(server, tmp_path / "answers.jsonl").ask(studies))
        count = len(server.requests)
        assert list(asking(server, tmp_path / "answers.jsonl").ask(studies)) == first
        assert len(server.requests) == count


def test_who_is_refused_is_told_which_study_and_how_to_go_on(tmp_path: Path) -> None:
    studies = make_studies()
    with (
        serve(lambda *_: Reply(status=401, raw=b"wrong key")) as server,
        pytest.raises(DataError, match=r"study .* refuses: HTTP 401[^$]*again to go on"),
    ):
        list(asking(server, tmp_path / "answers.jsonl").ask(studies))


def test_the_command_writes_predictions_that_can_be_scored(rrg: Any, tmp_path: Path) -> None:
    out, cache = tmp_path / "theirs.jsonl", tmp_path / "answers.jsonl"
    with numbered() as server:
        done = rrg("ask", TINY, "--url", server.url, "--model", "a-model", "--out", out,
                   "--cache", cache, "--limit", 2)  # fmt: skip
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [sorted(row) for row in rows] == [["id", "prediction", "reference"]] * 2
    assert json.loads(out.with_suffix(".meta.json").read_text())["model"] == "a-model"


def test_images_go_to_another_machine_only_where_that_is_said(rrg: Any, tmp_path: Path) -> None:
    done = rrg("ask", TINY, "--url", "https://models.example/v1", "--model", "a-model",
               "--out", tmp_path / "theirs.jsonl")  # fmt: skip
    assert done.code == 2
    assert "would be sent to models.example" in done.err
    assert "--images-may-leave" in done.err


def test_a_study_that_is_refused_for_good_has_no_report_and_the_others_have(
    rrg: Any, tmp_path: Path
) -> None:
    def reply(number: int, _: str) -> Reply:
        return Reply(status=400, raw=b"content filter") if number == 1 else Reply("clear .")

    out = tmp_path / "asked.jsonl"
    with serve(reply) as server:
        told = (TINY, "--url", server.url, "--model", "m", "--out", out, "--concurrency", 1)
        answer = rrg("ask", *told, "--cache", tmp_path / "answers.jsonl")

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert answer.code == 1
    assert "HTTP 400 (content filter)" in answer.err
    assert "1 have none, and are scored as empty reports" in answer.err
    assert [row["prediction"] for row in rows].count("") == 1
    assert "refuses" in next(row["error"] for row in rows if "error" in row)
    about = json.loads((tmp_path / "asked.meta.json").read_text())
    assert about["request"] == {"model": "m", "temperature": 0}
    assert about["studies"] == len(rows)


def test_an_answer_that_could_not_be_written_is_not_paid_for(rrg: Any, tmp_path: Path) -> None:
    with numbered() as server:
        out = tmp_path / "no" / "asked.jsonl"
        answer = rrg("ask", TINY, "--url", server.url, "--model", "m", "--out", out)
    assert answer.code == 2
    assert "is in a folder that does not exist" in answer.err
    assert server.requests == []
