"""`rrg predict` and `Run.predict`: reports for images that belong to no data set."""

import csv
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrgcore import load_recipe, load_run
from rrgcore.errors import DataError, RunError
from rrgcore.manifest import JUDGE, Manifest
from rrgcore.plugins import Discovered
from rrgcore.prediction.confidence import Confidence
from rrgcore.prediction.judge import FACTS, TENSORS, Judge, load_judge
from rrgcore.run import Run
from rrgcore.studies import Studies

from .films import film, turned, write_films

TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plugins: Discovered) -> Run:
    """A run with enough images to tell which are strange; it writes one report for all."""
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    splits: dict[str, list[Any]] = {}
    for split, first, count in (("train", 0, 50), ("val", 100, 50), ("test", 200, 4)):
        names = write_films(root / "images", first, count)
        report = "the heart is normal . the lungs are clear ."
        splits[split] = [{"id": n, "report": report, "image_path": [n]} for n in names]
    (root / "annotation.json").write_text(json.dumps(splits))
    overrides = [
        f"data={{name: r2gen, root: {root}, image_size: 32, batch_size: 10}}",
        "objectives={mlm: off, mim: off, irc: off, irm: off}",
        "model.shared.joint=off",
        "evaluation.metrics.findings=phantom_findings",
        "generation.beams=1",
    ]
    session = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins)
    return session.run(tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films, one of them upside down, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(4):
        drawn = film(300 + number)
        Image.fromarray(drawn if number else turned(drawn, 2)).save(folder / f"{number}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def copied(run: Run, folder: Path) -> Run:
    """A copy to do with as one likes."""
    return load_run(shutil.copytree(run.path, folder / "run"), plugins=run.plugins)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- from Python ------------------------------------------------------------------------------


def test_a_bad_file_has_an_error_and_the_others_their_reports(run: Run, images: Path) -> None:
    found = {Path(each.id).name: each for each in run.predict([images], batch_size=2)}

    assert "bad.png: is not an image" in (found["bad.png"].error or "")
    assert found["bad.png"].report == ""
    for name in ("0.png", "1.png", "2.png", "3.png"):
        assert found[name].error is None
        assert [word for word, _ in found[name].words] == found[name].report.split()
        assert found[name].logprob < 0


def test_a_film_that_is_upside_down_is_said_to_be_strange(run: Run, images: Path) -> None:
    found = run.predict([images / f"{number}.png" for number in range(4)])
    strange = [[w.kind for w in each.warnings if w.kind == "unfamiliar"] for each in found]

    assert strange == [["unfamiliar"], [], [], []]


def test_reports_are_the_same_in_any_batch(run: Run, images: Path) -> None:
    paths = sorted(images.glob("?.png"))
    together, alone = run.predict(paths, batch_size=4), run.predict(paths, batch_size=1)

    assert [each.report for each in together] == [each.report for each in alone]
    assert [each.logprob for each in together] == pytest.approx([e.logprob for e in alone])


def test_an_image_in_memory_is_reported_as_its_file(run: Run, images: Path) -> None:
    path = images / "1.png"
    [of_file] = run.predict([path])
    predictor = run.predictor()
    grey = np.asarray(Image.open(path))

    for image in (path.read_bytes(), grey, np.stack([grey] * 3, axis=-1)):
        found = predictor.predict_image(image, id="upload")
        assert (found.id, found.images) == ("upload", ())
        assert (found.report, found.words) == (of_file.report, of_file.words)
    with pytest.raises(DataError, match="image upload: is not an image"):
        predictor.predict_image(b"nothing", id="upload")


def test_threads_that_share_a_predictor_get_the_reports_of_their_own_images(
    run: Run, images: Path
) -> None:
    predictor = run.predictor()
    files = [(images / f"{number}.png").read_bytes() for number in (1, 2)]
    alone = [predictor.predict_image(file) for file in files]
    assert alone[0].words != alone[1].words

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.predict_image, files * 4))

    assert together == alone * 4


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.zeros((64, 64), np.uint16), "an array of uint16, 64 × 64; expected uint8"),
        (np.zeros((64, 64)), "an array of float64, 64 × 64; expected uint8"),
        (np.zeros((64, 64, 1), np.uint8), "an array of uint8, 64 × 64 × 1; expected uint8"),
        (np.zeros((3, 3), np.uint8), "is 3 × 3 pixels; expected at least"),
    ],
)
def test_an_array_that_would_be_read_otherwise_than_its_file_is_refused(
    run: Run, pixels: np.ndarray, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        run.predictor().predict_image(pixels)


def test_several_views_of_a_table_are_one_report_and_said_to_be_more_than_training_had(
    run: Run, images: Path
) -> None:
    table = images / "studies.csv"
    table.write_text("id,image_1,image_2\nA,1.png,2.png\nB,3.png,\nC,gone.png,1.png\n")
    two, one, gone = run.predict([table])
    table.unlink()

    assert [Path(image).name for image in two.images] == ["1.png", "2.png"]
    assert [warning.kind for warning in two.warnings if warning.kind == "views"] == ["views"]
    assert "views" not in [warning.kind for warning in one.warnings]
    assert "gone.png: there is no such file" in (gone.error or "")


# ---- what the run has learned of it -----------------------------------------------------------


def test_a_run_says_what_it_cannot_tell(run: Run, images: Path, tmp_path: Path) -> None:
    copy, judge = copied(run, tmp_path), load_judge(run.folder)
    shutil.rmtree(copy.folder.artefacts / JUDGE)
    assert "before rrg learned that" in load_judge(copy.folder).untold()["familiarity"]

    replace(judge, familiarity="too few").save(copy.folder)
    assert load_judge(copy.folder).untold()["familiarity"] == "too few"
    [written] = copy.predict([images / "0.png"])
    assert "unfamiliar" not in [warning.kind for warning in written.warnings]


def test_a_confidence_is_given_where_it_was_fitted(run: Run, images: Path, tmp_path: Path) -> None:
    copy, judge = copied(run, tmp_path), load_judge(run.folder)
    shutil.rmtree(copy.folder.artefacts / JUDGE)
    replace(judge, confidence=Confidence(1.5, 0.1)).save(copy.folder)
    [written] = copy.predict([images / "1.png"])
    assert written.confidence is not None

    count = len(written.words) + ("cut" not in [warning.kind for warning in written.warnings])
    expected = 1 / (1 + exp(-(1.5 + 0.1 * written.logprob * count)))
    assert written.confidence == pytest.approx(expected)
    assert run.predict([images / "1.png"])[0].confidence is None


def test_evaluate_learns_it_where_it_is_missing(run: Run, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    place = copy.folder.artefacts / JUDGE
    shutil.rmtree(place)
    judge = copy.evaluate().judge
    assert isinstance(judge, Judge)
    judge.save(copy.folder)

    for name in (FACTS, TENSORS):
        assert (place / name).read_bytes() == (run.folder.artefacts / JUDGE / name).read_bytes()


def test_what_it_learned_from_is_recorded_and_is_no_test_study(run: Run) -> None:
    judge = load_judge(run.folder)
    assert judge.training is not None
    assert judge.validation is not None

    assert len(judge.training.ids) == len(judge.validation.ids) == 50
    assert not judge.training.seen(Studies(run.plan)["test"])


def test_scores_say_what_it_is_worth(run: Run) -> None:
    judged = run.scores["judged"]

    assert judged["familiarity"] == {"images": 4, "unlike training": 0, "share": 0.0}
    assert "name the findings right" in judged["confidence"]["missing"]
    assert judged["warnings"]["references"] == {"prior": 0.0, "laterality": 0.0}


def test_nothing_is_measured_on_what_it_was_learned_from(run: Run) -> None:
    judged = run.evaluate("val").judged

    assert judged["familiarity"] == {"missing": "it was learned from 50 of these studies"}


@pytest.mark.parametrize("name", [FACTS, TENSORS, "learned.json"])
def test_what_it_learned_and_is_not_as_it_was_is_refused_by_name(
    name: str, run: Run, images: Path, tmp_path: Path
) -> None:
    copy = copied(run, tmp_path)
    path = copy.folder.artefacts / JUDGE / name
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        copy.predict([images / "1.png"])


# ---- the command ------------------------------------------------------------------------------


def test_research_use_is_said_once_and_rows_alone_are_printed(
    run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    answer = rrg("predict", run.path, images / "1.png", images / "2.png")

    assert answer.code == 0
    assert answer.err.lower().count("research") == 1
    assert [Path(json.loads(line)["id"]).name for line in answer.out.splitlines()] == [
        "1.png", "2.png",
    ]  # fmt: skip


def test_rows_go_to_standard_output_where_a_bar_is_shown_beside_them(
    run: Run, images: Path, rrg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    answer = rrg("predict", run.path, images / "1.png")

    assert json.loads(answer.out)["report"]
    assert "\x1b[" in answer.err


def test_a_bad_file_is_told_and_the_status_is_1(
    run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    answer = rrg("predict", run.path, images, "--out", "out.jsonl")

    assert answer.code == 1
    assert "bad.png: is not an image" in answer.err
    assert "4 reports written to out.jsonl" in answer.err
    assert sum("error" in row for row in rows(Path("out.jsonl"))) == 1


def test_where_no_image_can_be_read_nothing_is_written(
    run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    answer = rrg("predict", run.path, images / "bad.png", "--out", "out.jsonl")

    assert answer.code == 2
    assert "bad.png: is not an image" in answer.err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_what_was_stopped_goes_on(
    name: str, run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    paths = [images / f"{number}.png" for number in range(4)]
    one = ("--batch-size", 1)  # floating point sums differ between batches
    assert rrg("predict", run.path, *paths, "--out", f"whole-{name}", *one).code == 0
    whole = Path(f"whole-{name}").read_bytes()
    assert rrg("predict", run.path, *paths[:2], "--out", name, *one).code == 0
    with Path(name).open("ab") as file:
        file.write(b'{"id": "torn')
    answer = rrg("predict", run.path, *paths, "--out", name, *one)

    assert answer.code == 0
    assert "2 of 4 are in" in answer.err
    assert Path(name).read_bytes() == whole


def test_another_run_s_file_is_left_alone(
    run: Run, images: Path, rrg: Callable[..., Any], tmp_path: Path
) -> None:
    other = copied(run, tmp_path)
    with (other.path / "recipe.yaml").open("a") as recipe:
        recipe.write("# another\n")
    Manifest.of(other.folder, ()).write(other.folder.best)
    assert rrg("predict", run.path, images / "1.png", "--out", "out.csv").code == 0
    before = Path("out.csv").read_bytes()
    answer = rrg("predict", other.path, images / "2.png", "--out", "out.csv")

    assert answer.code == 2
    assert "was begun with another run" in answer.err
    assert Path("out.csv").read_bytes() == before


def test_a_file_of_predictions_can_be_scored(
    run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    paths = [images / f"{number}.png" for number in range(4)]
    assert rrg("predict", run.path, *paths, "--out", "out.csv").code == 0
    ids = [row["id"] for row in csv.DictReader(Path("out.csv").read_text().splitlines())]
    true = "".join(f"{id},the heart is normal\n" for id in ids)
    Path("true.csv").write_text(f"id,report\n{true}")

    assert rrg("score", "out.csv", "true.csv", "-p", "13a", "--labeler", "none").code == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_study_that_could_not_be_read_is_never_scored_as_an_empty_report(
    name: str, run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    shutil.copy(images / "1.png", "1.png")
    Path("2.png").write_bytes((images / "2.png").read_bytes()[:100])
    Path("true.csv").write_text("id,report\n1.png,the heart is normal\n2.png,clear\n")
    scored = ("score", name, "true.csv", "-p", "13a", "--labeler", "none")
    assert rrg("predict", run.path, "1.png", "2.png", "--out", name).code == 1
    answer = rrg(*scored)
    assert answer.code == 2
    assert "1 of 2 studies have no report:\n  2.png: image 2.png: is damaged" in answer.err

    shutil.copy(images / "2.png", "2.png")
    assert rrg("predict", run.path, "1.png", "2.png", "--out", name).code == 0
    assert rrg(*scored).code == 0  # the last row of a study counts


@pytest.mark.parametrize(
    "options",
    [
        ["--column", "report=x"],
        ["--column", "image"],
        ["--separator", ""],
        ["--column", "id=accession"],  # of a table, and there is none
        ["--split", "val"],
        ["--out", "reports.txt"],
    ],
)
def test_an_option_that_means_nothing_is_refused(
    options: list[str], run: Run, images: Path, rrg: Callable[..., Any]
) -> None:
    assert rrg("predict", run.path, images / "1.png", *options).code == 2
