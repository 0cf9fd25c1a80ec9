"""METEOR's program is driven without hanging, mixing up lines or hiding what it said."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrg_metrics.caption import CaptionMetric
from rrg_metrics.meteor import Meteor, MeteorError, meteor_corpus
from rrgcore.api import Pair

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no `java` on the PATH to run METEOR with"
)
SEGMENT = ("the lungs are clear", ["the lungs are clear"])


@needs_java
def test_golden_systems_score_as_recorded_in_one_process(golden: Callable[[str], Any]) -> None:
    cases = golden("caption_metrics")
    systems, expected = [], []
    for key in ("ptb", "r2gen_clean_iu_no_ptb"):
        texts = cases[key]["tokenized"].values()
        systems.append([(text["hyp"], [text["ref"]]) for text in texts])
        expected.append(cases[key]["scores"])
    for key in ("multi_ref_closest", "single_image_corpus", "empty_hypothesis"):
        case = cases[key]
        systems.append([(case["res"][id][0], case["gts"][id]) for id in case["gts"]])
        expected.append(case["scores"])
    # as a text may come: a bar, a line break and a double space must not break the protocol
    systems.append([("the lungs ||| are\n  clear", ["the lungs are ||| clear"])])
    expected.append({"METEOR": 1.0, "METEOR_per_image": [1.0]})
    for found, scores in zip(meteor_corpus(systems), expected, strict=True):
        assert found.corpus == pytest.approx(scores["METEOR"], abs=1e-12)
        assert found.segments == pytest.approx(scores["METEOR_per_image"], abs=1e-12)


# ---- a program in Java's place ------------------------------------------------------------------


@pytest.fixture
def play_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a Python program on the PATH as `java`; it leaves its process id in the returned file."""

    def play(program: str) -> Path:
        java, pid = tmp_path / "java", tmp_path / "pid"
        java.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n{program}\n"
        )
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return pid

    return play


ANSWERS = """
for line in sys.stdin:
    fields = line.strip().split(" ||| ")
    for answer in ["1.0"] if fields[0] == "SCORE" else ["0.25"] * len(fields):
        print(answer, flush=True)
"""


def assert_ended(pid: Path) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_all_systems_share_one_process_which_is_closed(play_java: Callable[[str], Path]) -> None:
    pid = play_java(ANSWERS)
    assert meteor_corpus([[SEGMENT, SEGMENT], [SEGMENT]]) == [
        Meteor(0.25, (0.25, 0.25)),
        Meteor(0.25, (0.25,)),
    ]
    assert_ended(pid)


def test_a_talkative_program_does_not_block(play_java: Callable[[str], Path]) -> None:
    play_java("sys.stderr.write('warning\\n' * 100_000)\n" + ANSWERS)
    assert meteor_corpus([[SEGMENT]])[0].corpus == 0.25


def test_a_number_is_written_with_a_point_whatever_the_locale(
    play_java: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    play_java(ANSWERS.replace('"0.25"', '"0.5" if os.environ["LC_ALL"] == "C" else "0,5"'))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert meteor_corpus([[SEGMENT]])[0].corpus == 0.5


@pytest.mark.parametrize("reads", ["", "sys.stdin.readline();"])
def test_a_program_that_dies_is_quoted(play_java: Callable[[str], Path], reads: str) -> None:
    pid = play_java(f"{reads}sys.exit('Could not reserve enough space for object heap')")
    with pytest.raises(MeteorError, match=r"stopped answering \(status 1\)") as caught:
        meteor_corpus([[SEGMENT]])
    assert "  Could not reserve enough space for object heap" in str(caught.value)
    assert_ended(pid)


def test_an_answer_that_is_no_number_is_quoted(play_java: Callable[[str], Path]) -> None:
    play_java(ANSWERS.replace('"0.25"', '"Error: bad line"'))
    with pytest.raises(MeteorError, match="Error: bad line"):
        meteor_corpus([[SEGMENT]])


def test_no_java_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MeteorError, match="apt-get install default-jre"):
        meteor_corpus([[SEGMENT]])


def test_the_metric_has_meteor_where_there_is_java(play_java: Callable[[str], Path]) -> None:
    play_java(ANSWERS)
    found = CaptionMetric().score([Pair("a", "Clear.", "The lungs are clear.")])
    assert found.values["METEOR"] == 0.25
    assert not found.missing


def test_a_java_that_fails_costs_no_other_score(play_java: Callable[[str], Path]) -> None:
    play_java("sys.exit('out of memory')")
    found = CaptionMetric().score([Pair("a", "Clear.", "The lungs are clear.")])
    assert "BLEU-4" in found.values
    assert "out of memory" in found.missing["METEOR"]
