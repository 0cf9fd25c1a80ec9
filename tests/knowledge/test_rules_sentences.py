"""`rules` against sentences of odd uids that a reader labelled before the rules saw them.

negation_sentences.json keeps where each sentence stands and its labels, not its text.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rrg_knowledge.aggregate import aggregate
from rrg_knowledge.rules import read_sentence

from .mesh import class_by_three_words

LABELLED = Path(__file__).parent / "negation_sentences.json"

Labelled = list[tuple[str, dict[str, int]]]


@pytest.fixture(scope="module")
def labelled(shared: Path) -> Labelled:
    archive = shared / "data" / "iu_xray" / "NLMCXR_reports_trainval.tgz"
    if not archive.is_file():
        pytest.skip(f"no reports: {archive} is absent")
    rows = json.loads(LABELLED.read_text(encoding="utf-8"))["sentences"]
    return list(_sentences(archive, rows))


def _sentences(archive: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, int]]]:
    wanted = {row["uid"] for row in rows}
    sections = {}
    with tarfile.open(archive) as files:
        for member in files:
            uid = re.search(r"(\d+)\.xml$", member.name)
            if uid and int(uid[1]) in wanted:
                stream = files.extractfile(member)
                assert stream is not None, "a file of an archive can be read"
                for part in ElementTree.fromstring(stream.read()).iter("AbstractText"):
                    sections[int(uid[1]), part.get("Label")] = part.text or ""
    for row in rows:
        text = " ".join(sections[row["uid"], row["section"]].split())
        sentence = re.split(r"(?<=[.?!])\s+", text)[row["index"]]
        digest = hashlib.sha256(sentence.lower().encode()).hexdigest()
        assert digest.startswith(row["sha256"]), "a sentence is not the one that was labelled"
        yield sentence, row["labels"]


def _accuracy(labelled: Labelled, classify: Callable[[str, str], int | None]) -> float:
    right = [
        classify(sentence, name) == value
        for sentence, labels in labelled
        for name, value in labels.items()
    ]
    return sum(right) / len(right)


def test_the_class_is_right_for_93_of_100(labelled: Labelled) -> None:
    def ours(sentence: str, name: str) -> int | None:
        return aggregate(read_sentence(sentence)).get(name)

    accuracy = _accuracy(labelled, ours)
    crude = _accuracy(labelled, lambda sentence, _: class_by_three_words(sentence))

    assert accuracy >= 0.93
    assert accuracy > crude


def test_enough_sentences_are_labelled_and_none_of_even_uid(labelled: Labelled) -> None:
    rows = json.loads(LABELLED.read_text(encoding="utf-8"))["sentences"]

    assert len(labelled) >= 200
    assert all(row["uid"] % 2 for row in rows)
    assert {value for _, labels in labelled for value in labels.values()} == {1, 0, -1}
