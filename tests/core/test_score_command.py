"""`rrg score`: anybody's file, scored by name, beside what it must be read beside."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPORTS = [
    "the heart is normal in size . the lungs are clear .",
    "there is a small left pleural effusion .",
    "no focal consolidation . no pneumothorax .",
    "the lungs are clear . no acute bony abnormality .",
]
COCO = ("-p", "coco", "--set", "coco.meteor=false", "--labeler", "none")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions by id, and R2Gen's annotation.json with the references."""
    rows = {
        split: [{"id": f"{split}{i}", "report": report} for i, report in enumerate(REPORTS)]
        for split in ("train", "val", "test")
    }
    references = tmp_path / "annotation.json"
    references.write_text(json.dumps(rows), encoding="utf-8")
    predictions = tmp_path / "mine.json"
    written = {f"test{i}": REPORTS[i // 2] for i in range(len(REPORTS))}
    predictions.write_text(json.dumps(written), encoding="utf-8")
    return predictions, references


def test_a_file_is_scored_beside_baselines_and_leakage(files: tuple[Path, Path], rrg: Any) -> None:
    answer = rrg("score", *map(str, files), *COCO)

    assert answer.code == 0, answer.err
    assert "mine.json: 4 pairs, by id" in answer.out
    for said in (
        "most frequent",
        "best constant",
        "random report",
        "references that are, word for word, a training report: 100.0%",
        "distinct reports: 50.0%; 50.0% are “the heart is normal",
    ):
        assert said in answer.out
    row = next(line for line in answer.out.splitlines() if line.split()[:1] == ["BLEU-1"])
    assert row.count(".") == 6, row  # the score, its interval, three baselines


def test_eighty_columns_cut_no_figure_and_no_policy(files: tuple[Path, Path], rrg: Any) -> None:
    out = rrg("score", *map(str, files), "-p", "clinical").out
    table = out.partition("clinical")[2].partition("clinical efficacy")[0]

    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert " ".join(table.split()).count("uncertain") == 7
    row = next(line for line in table.splitlines() if "F1 (14, macro" in line)
    assert len(re.findall(r"\d\.\d{3}", row)) == 4


def test_every_number_has_its_fingerprint(files: tuple[Path, Path], rrg: Any) -> None:
    found = json.loads(rrg("score", *map(str, files), *COCO, "--json").out)

    assert found["pairs"] == 4
    assert found["protocols"].keys() == found["fingerprint"].keys() == {"coco"}
    assert "4" in found["fingerprint"]["coco"]
    assert found["leakage"]["verbatim"] == 1
    assert set(found["baselines"]) == {
        "most frequent report",
        "best constant report",
        "random report",
    }


def test_the_split_that_is_scored_teaches_nothing(files: tuple[Path, Path], rrg: Any) -> None:
    """A constant must not be chosen on it, nor a reference be found in itself."""
    rows = json.loads(files[1].read_text())
    rows["val"] = [
        {"id": f"test{i}", "report": f"{report} once"} for i, report in enumerate(REPORTS)
    ]
    files[1].write_text(json.dumps(rows))
    val = json.loads(rrg("score", *map(str, files), *COCO, "--split", "val", "--json").out)
    rows["train"] = rows["val"]
    files[1].write_text(json.dumps(rows))
    train = json.loads(rrg("score", *map(str, files), *COCO, "--split", "train", "--json").out)

    assert val["leakage"]["verbatim"] == 0
    assert not val["about baselines"]["best constant report"].endswith("once")
    assert train["leakage"]["verbatim"] is None
    assert train["baselines"] == {}


def test_how_sides_were_paired_is_said(files: tuple[Path, Path], rrg: Any, tmp_path: Path) -> None:
    by_id = rrg("score", *map(str, files), *COCO)
    (tmp_path / "mine.txt").write_text("\n".join(REPORTS))
    by_order = rrg("score", str(tmp_path / "mine.txt"), str(files[1]), *COCO)

    assert "4 pairs, by id" in by_id.out
    assert "4 pairs, by order" in by_order.out


def test_the_default_is_two_protocols_and_clinical_efficacy(
    files: tuple[Path, Path], rrg: Any
) -> None:
    settings = [word for name in ("coco", "r2gen") for word in ("--set", f"{name}.meteor=false")]
    found = json.loads(rrg("score", *map(str, files), *settings, "--json").out)

    assert list(found["protocols"]) == ["coco", "r2gen", "clinical"]
    assert all(found["protocols"].values())


def test_what_needs_training_reports_says_so_and_the_rest_is_scored(
    files: tuple[Path, Path], rrg: Any, tmp_path: Path
) -> None:
    references = tmp_path / "references.json"
    rows = {f"test{i}": report for i, report in enumerate(REPORTS)}
    references.write_text(json.dumps(rows), encoding="utf-8")
    answer = rrg("score", str(files[0]), str(references), "-p", "r2gen", *COCO)

    assert answer.code == 0, answer.err
    assert "BLEU-4" in answer.out
    assert "r2gen BLEU-1 … r2gen CIDEr (7 scores): not computed." in answer.out
    assert "--train FILE" in answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "coca"], ["no metric called 'coca'. Did you mean 'coco'?"]),
        (["--labeler", "ruels"], ["no annotator called 'ruels'. Did you mean 'rules'?"]),
        (["--set", "coco.metoer=false"], ["metric 'coco' has no option 'metoer'"]),
        (["--set", "cocoa=1"], ["expected METRIC.OPTION=VALUE"]),
        (["-p", "clinical", "--labeler", "none"], ["clinical needs a labeler"]),
        (["--out", "nowhere/scores.json"], ["is in a folder that does not exist"]),
        (["--prediction-column", "text"], ["mine.json"]),
        (["--split", "val"], ["are of the split 'test' of", "--split test"]),
        (["--split", "dev"], ["has no rows of split 'dev'; it has train, val, test"]),
    ],
)
def test_a_mistake_is_refused(
    files: tuple[Path, Path], rrg: Any, arguments: list[str], said: list[str]
) -> None:
    if arguments[0] == "--prediction-column":
        files[0].write_text(json.dumps([{"id": "test0", "report": "x"}]), encoding="utf-8")
    answer = rrg("score", *map(str, files), *arguments)

    assert answer.code == 2, answer
    for text in said:
        assert text in answer.err, answer.err
    assert "Traceback" not in answer.err


def test_a_file_that_is_not_there_and_one_that_is_a_folder(rrg: Any, tmp_path: Path) -> None:
    assert "cannot be read (No such file" in rrg("score", "none.jsonl", "none.jsonl").err
    assert "is a folder" in rrg("score", str(tmp_path)).err


def test_references_without_a_word_are_left_out_and_counted(rrg: Any, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prediction": "x y", "reference": "x y"},
        {"id": "b", "prediction": "x", "reference": " ."},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    answer = rrg("score", str(tmp_path / "p.jsonl"), *COCO)

    assert "1 pairs, by row; 1 without a reference were left out" in answer.out


def test_a_protocol_that_could_not_be_computed_is_seen_by_a_script(
    files: tuple[Path, Path], rrg: Any, tmp_path: Path
) -> None:
    references = tmp_path / "references.json"
    references.write_text(json.dumps({f"test{i}": each for i, each in enumerate(REPORTS)}))
    answer = rrg("score", *map(str, (files[0], references)), "-p", "r2gen", "--labeler", "none")
    assert answer.code == 1
    assert "not computed" in answer.out


def test_what_a_terminal_would_obey_is_spelt_out(rrg: Any, tmp_path: Path) -> None:
    rows = [{"id": id, "prediction": "\x1b[31mred", "reference": "x"} for id in "ab"]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answer = rrg("score", str(tmp_path / "p.jsonl"), *COCO)

    assert "\x1b" not in answer.out
    assert "100.0% are “\\x1b[31mred”" in answer.out


def test_the_json_can_be_written_to_a_file(
    files: tuple[Path, Path], rrg: Any, tmp_path: Path
) -> None:
    rrg("score", *map(str, files), *COCO, "--out", str(tmp_path / "scores.json"))

    assert json.loads((tmp_path / "scores.json").read_text())["pairs"] == 4


def test_scoring_imports_no_torch(files: tuple[Path, Path]) -> None:
    """Half of what a small file takes would be spent on it."""
    code = (
        "import sys\nfrom rrgcore.cli import make_app\n"
        f"make_app()(['score', {str(files[0])!r}, {str(files[1])!r}, '-p', 'raw', "
        "'--labeler', 'none'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    # without Java, so that only what Python computes is
    environment = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "raw METEOR: not computed." in done.stdout
    assert "Java" in done.stdout
