"""METEOR's program is driven without hanging, mixing up lines or hiding what it said."""

import gzip
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocoevalcap.meteor.meteor import Meteor as ToolMeteor

from rrg_metrics.coco import Coco
from rrg_metrics.meteor import Meteor, MeteorError, meteor_statistics
from rrg_metrics.ngrams import Segment
from rrg_metrics.paraphrases import select_paraphrases
from rrgcore.scoring import Pair

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no `java` on the PATH to run METEOR with"
)
SEGMENT = ("the lungs are clear", ["the lungs are clear"])


def scores(segments: list[Segment]) -> tuple[float, list[float]]:
    """METEOR of the corpus and of each segment."""
    rows, meteor = meteor_statistics(segments), Meteor()
    return float(meteor(rows.sum(0))), meteor(rows).tolist()


@needs_java
def test_golden_systems_score_as_recorded(golden: Callable[[str], Any]) -> None:
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
    rows = meteor_statistics([segment for system in systems for segment in system])
    parts = np.split(rows, np.cumsum([len(system) for system in systems[:-1]]))
    for found, wanted in zip(parts, expected, strict=True):
        assert Meteor()(found.sum(0)) == pytest.approx(wanted["METEOR"], abs=1e-12)
        assert Meteor()(found) == pytest.approx(wanted["METEOR_per_image"], abs=1e-12)


WORDS = """
The the lungs lung are is Clear. clear clearly no No effusion, effusions. heart heart's normal
abnormal of in a an enlarged large right left-sided 2.5 3/4 x-ray can't don't "quoted" naïve µm ½
– “the” K & &amp; <unk> . .. ... ; can not cannot demonstrated shown seen can be increase rise
in order to for compared to relative to approximately about a lot of many because of due to
"""


@needs_java
@pytest.mark.slow  # the other tests hold the same tool to the digit with fewer words
def test_varied_texts_score_as_by_the_tool_which_reads_all_paraphrases() -> None:
    rng = np.random.default_rng(0)

    words = WORDS.split()
    # texts of these alone go to another process
    settled = [word for word in words if re.fullmatch(r"[a-z0-9]+|\.", word)]

    def text(words: list[str]) -> str:
        return " ".join(rng.choice(words, rng.integers(0, 30)))

    segments: list[Segment] = [
        (text(some), [text(some) for _ in range(rng.integers(1, 3))])
        for some in (words, settled)
        for _ in range(100)
    ]
    segments += [("", [""]), ("", ["lungs"]), ("lungs", [""]), (".", ["."]), SEGMENT]
    tool = ToolMeteor()
    try:
        corpus, of_each = tool.compute_score(
            {i: references for i, (_, references) in enumerate(segments)},
            {i: [hypothesis] for i, (hypothesis, _) in enumerate(segments)},
        )
    finally:
        process = tool.meteor_p
        process.kill()
        process.communicate()
    found, found_of_each = scores(segments)
    assert found == pytest.approx(corpus, abs=1e-12)
    assert found_of_each == pytest.approx(of_each, abs=1e-12)
    assert len(set(of_each)) > 150


def test_sums_of_statistics_score_draws_of_any_shape() -> None:
    rows = np.zeros((2, 23))
    rows[:, 0:2] = 4  # words
    rows[0, 4:6] = 3  # content words matched as they are
    rows[0, 20:23] = 1, 3, 3
    one, none, both = Meteor()(rows[0]), Meteor()(rows[1]), Meteor()(rows.sum(0))
    assert one == pytest.approx(0.75 * (1 - 0.6 * (1 / 3) ** 0.2))
    assert none == 0
    assert 0 < both < one
    draws = Meteor()(np.stack([[rows[0], rows[1]], [rows.sum(0), rows[0]]]))
    assert draws == pytest.approx(np.array([[one, none], [both, one]]))


# ---- the paraphrases that matter ----------------------------------------------------------------


def paraphrases(folder: Path, *entries: tuple[str, str]) -> Path:
    path = folder / "table.gz"
    lines = "".join(f"0.5\n{one}\n{other}\n" for one, other in entries)
    path.write_bytes(gzip.compress(lines.encode()))
    return path


def kept(table: Path, *texts: str) -> list[tuple[str, str]]:
    lines = gzip.decompress(select_paraphrases(table, texts)).decode().splitlines()
    return list(zip(lines[1::3], lines[2::3], strict=True))


def test_paraphrases_are_kept_where_the_texts_have_both_phrases(tmp_path: Path) -> None:
    used = ("is shown", "can be seen")
    table = paraphrases(tmp_path, ("is", "was"), used, ("seen is", "shown"), ("shown", "so"))
    assert kept(table, "an effusion is shown", "an effusion can be seen") == [used]


def test_what_stands_between_words_keeps_no_paraphrase_away(tmp_path: Path) -> None:
    used = [("do n't", "cannot"), ("x @-@ ray", "film"), (".", ",")]
    table = paraphrases(tmp_path, *used, ("a lot", "much"))
    assert kept(table, "Don't x-ray.", "a (lot): CANNOT, film") == used


def test_a_table_of_any_length_is_read_to_its_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, letters)) for letters in rng.integers(97, 123, (60_000, 12))]
    table = paraphrases(tmp_path, *((word, "seen") for word in words))
    assert table.stat().st_size > 400_000
    assert kept(table, f"seen {words[0]} {words[30_000]} {words[-1]}") == [
        (words[i], "seen") for i in (0, 30_000, -1)
    ]


# ---- a program in Java's place ------------------------------------------------------------------


@pytest.fixture
def play_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a Python program on the PATH as `java`; METEOR's own table is not read for it."""

    def play(program: str) -> None:
        java = tmp_path / "java"
        java.write_text(f"#!{sys.executable}\nimport os, signal, sys\n{program}\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("rrg_metrics.meteor.select_paraphrases", lambda table, texts: b"")

    return play


PERFECT = " ".join(["4", "4", "0", "0", "4", "4", *14 * ["0"], "1", "4", "4"])
ANSWERS = f"""
for line in sys.stdin:
    print({PERFECT!r} if line.startswith("SCORE") else "?", flush=True)
"""


def test_equal_segments_are_scored_once(play_java: Callable[[str], None], tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    play_java(f"lines = sys.stdin.readlines()\nopen({str(asked)!r}, 'w').writelines(lines)")
    other = ("clear", ["clear"])
    with pytest.raises(MeteorError):
        meteor_statistics([SEGMENT, other, SEGMENT])
    assert asked.read_text().splitlines() == [
        "SCORE ||| the lungs are clear ||| the lungs are clear",
        "SCORE ||| clear ||| clear",
    ]


def test_every_segment_has_its_statistics(play_java: Callable[[str], None]) -> None:
    play_java(ANSWERS)
    rows = meteor_statistics([SEGMENT, ("clear", ["clear"]), SEGMENT])
    assert rows.shape == (3, 23)
    assert Meteor()(rows).tolist() == [1, 1, 1]


def test_a_talkative_program_does_not_block(play_java: Callable[[str], None]) -> None:
    play_java("sys.stderr.write('warning\\n' * 100_000)\n" + ANSWERS)
    assert scores([SEGMENT])[0] == 1


def test_a_program_that_answers_before_it_is_asked_does_not_block(
    play_java: Callable[[str], None],
) -> None:
    play_java(f"for _ in range(5000): print({PERFECT!r}, flush=True)\nsys.stdin.read()")
    assert scores([(f"word {i}" * 30, ["word"]) for i in range(5000)])[0] == 1


def test_a_number_is_written_with_a_point_whatever_the_locale(
    play_java: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    play_java("assert os.environ['LC_ALL'] == 'C'" + ANSWERS)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert scores([SEGMENT])[0] == 1


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("sys.exit('Could not reserve enough space')", "after 0 of 2 segments (status 1)"),
        (
            f"sys.stdin.readline(); print({PERFECT!r}, flush=True)\n"
            "sys.stderr.write('Could not reserve enough space'); sys.stderr.flush()\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
            "after 1 of 2 segments (killed by SIGKILL)",
        ),
        (
            ANSWERS + "sys.exit('Could not reserve enough space')",
            "after 2 of 2 segments (status 1)",
        ),
    ],
)
def test_a_program_that_dies_is_quoted(
    program: str, status: str, play_java: Callable[[str], None]
) -> None:
    play_java(program)
    with pytest.raises(MeteorError) as caught:
        meteor_statistics([SEGMENT, ("clear", ["clear"])])
    assert status in str(caught.value)
    assert "It said:\n  Could not reserve enough space" in str(caught.value)


def test_a_jar_that_is_none_is_quoted_in_javas_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("java") is None:
        pytest.skip("no `java` on the PATH to run METEOR with")
    broken = tmp_path / "meteor-1.5.jar"
    broken.write_bytes(b"no archive")
    monkeypatch.setattr("rrg_metrics.meteor._jar", lambda: broken)
    with pytest.raises(MeteorError, match=r"(?i)invalid or corrupt jarfile"):
        meteor_statistics([SEGMENT])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF of another machine", "Exec format error"),
        (b"#!/no/such/interpreter\n", "No such file or directory"),
    ],
)
def test_a_java_that_cannot_be_started_is_an_error_with_its_reason(
    content: bytes, reason: str, play_java: Callable[[str], None], tmp_path: Path
) -> None:
    play_java("")
    java = tmp_path / "java"
    java.write_bytes(content)
    with pytest.raises(MeteorError, match=f"could not be started: {java}: {reason}. Run `java -v"):
        meteor_statistics([SEGMENT])


def test_a_java_that_hangs_is_stopped_and_said_to_have_hung(
    play_java: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    play_java("import time; time.sleep(600)")
    monkeypatch.setattr("rrg_metrics.meteor._PATIENCE", 0.6)
    told = r"did not answer within 1 s \(1 segments\), and was stopped. Run `java -version`"
    with pytest.raises(MeteorError, match=told):
        meteor_statistics([SEGMENT])


def test_an_answer_that_is_no_line_of_statistics_is_quoted(
    play_java: Callable[[str], None],
) -> None:
    play_java("print('Error: specify hypothesis')")
    with pytest.raises(MeteorError, match="'Error: specify hypothesis' instead of its 23"):
        meteor_statistics([SEGMENT])


def test_no_java_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MeteorError, match="apt-get install default-jre"):
        meteor_statistics([SEGMENT])


# ---- in a protocol ------------------------------------------------------------------------------

PAIRS = [
    Pair("a", "The lungs are clear.", "The lungs are clear. No effusion."),
    Pair("b", "Heart size is normal.", "The heart is enlarged."),
]


def test_a_protocol_has_meteor_where_there_is_java(play_java: Callable[[str], None]) -> None:
    play_java(ANSWERS)
    found = Coco().score(PAIRS)
    assert found.values["METEOR"] == 1
    assert not found.missing


def test_a_java_that_fails_costs_no_other_score(play_java: Callable[[str], None]) -> None:
    play_java("sys.exit('out of memory')")
    found = Coco().score(PAIRS)
    assert list(found.values) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert "out of memory" in found.missing["METEOR"]


def test_a_java_that_cannot_be_started_costs_no_other_score(
    play_java: Callable[[str], None], tmp_path: Path
) -> None:
    play_java("")
    (tmp_path / "java").write_bytes(b"\x7fELF of another machine")
    found = Coco().score(PAIRS)
    assert list(found.values) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert "Exec format error" in found.missing["METEOR"]


def test_without_java_meteor_is_missing_and_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    found = Coco().score(PAIRS)
    assert list(found.values) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert found.missing["METEOR"] == (
        "not computed: METEOR needs Java, and no `java` is on the PATH; install a Java runtime, "
        "e.g. apt-get install default-jre, then score again"
    )


def system(prediction: str) -> list[Pair]:
    return [Pair(pair.id, prediction, pair.reference) for pair in PAIRS]


def test_meteor_stops_at_its_limit_and_names_the_option(
    play_java: Callable[[str], None],
) -> None:
    play_java(ANSWERS)
    systems = {"x": PAIRS, "y": system("Clear."), "z": system("Heart.")}
    found = Coco(meteor_segments=4).score_all(systems)
    assert ["METEOR" in scores.values for scores in found.values()] == [True, True, False]
    assert found["z"].missing["METEOR"] == (
        "not computed: the systems scored together have more than 4 different pairs; raise the "
        "option `meteor_segments`"
    )


def test_equal_pairs_count_once_towards_the_limit(play_java: Callable[[str], None]) -> None:
    play_java(ANSWERS)
    systems = {"x": PAIRS, "again": PAIRS * 3, "y": system("Clear.")}
    found = Coco(meteor_segments=4).score_all(systems)
    assert all("METEOR" in scores.values for scores in found.values())


def test_meteor_is_computed_for_the_first_system_however_large(
    play_java: Callable[[str], None],
) -> None:
    play_java(ANSWERS)
    assert "METEOR" in Coco(meteor_segments=1).score(PAIRS).values
