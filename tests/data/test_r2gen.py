"""R2Gen's layout: what is read, and what is said of every kind of broken input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrg_data.plugin import rrg_components
from rrg_data.r2gen import R2GenDataset
from rrgcore.annotations import Labels, RadGraph
from rrgcore.chest import view_of
from rrgcore.errors import DataError
from rrgcore.registry import Registry
from rrgcore.study import ImageRef

Rows = dict[str, list[dict[str, Any]]]


def row(study: str, *, images: int = 1, **more: Any) -> dict[str, Any]:
    paths = [f"{study}/{number}.png" for number in range(images)]
    return {"id": study, "report": f"Lungs of {study} are clear.", "image_path": paths, **more}


def small() -> Rows:
    return {
        "train": [row("a", images=2, views=["PA", "LATERAL"]), row("b")],
        "val": [row("c")],
        "test": [row("d")],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Write an annotation file, with an image for every path in it."""

    def write(data: Any) -> Path:
        rows = data if isinstance(data, list) else [row for part in data.values() for row in part]
        for path in [path for row in rows for path in row.get("image_path") or []]:
            file = tmp_path / "images" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            shade = len(str(file.relative_to(tmp_path)))
            Image.fromarray(np.full((20, 16), shade, dtype=np.uint8)).save(file)
        (tmp_path / "annotation.json").write_text(json.dumps(data), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def complaint(write: Callable[[Any], Path]) -> Callable[[Any], list[str]]:
    """Write good data, change it, and return the problems that the error lists."""

    def complaint(change: Callable[[Rows], Any]) -> list[str]:
        root = write(small())
        rows = small()
        change(rows)
        (root / "annotation.json").write_text(json.dumps(rows), encoding="utf-8")
        with pytest.raises(DataError) as error:
            R2GenDataset(root=str(root))
        first, *lines = str(error.value).splitlines()
        assert first.startswith(f"{root}/annotation.json: {len(lines)} problem")
        return [line.strip() for line in lines]

    return complaint


def add_sidecar(root: Path, slug: str, *lines: Any) -> None:
    (root / "annotations").mkdir(exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (root / "annotations" / f"{slug}.jsonl").write_text(text, encoding="utf-8")


# ---- what is read ----------------------------------------------------------------------------


def test_studies_by_split_with_images_views_and_clean_reports(write):
    data = R2GenDataset(root=str(write(small())))
    assert [[study.id for study in data.studies(s)] for s in ("train", "val", "test")] == [
        ["a", "b"],
        ["c"],
        ["d"],
    ]
    study = data.studies("train")[0]
    assert study.images == (ImageRef("a/0.png"), ImageRef("a/1.png"))
    assert study.views == ("frontal", "lateral")
    assert study.report == "lungs of a are clear ."
    assert data.studies("val")[0].views == ("unknown",)


def test_an_image_is_opened_below_the_images_folder(write):
    data = R2GenDataset(root=str(write(small())))
    image = data.open(data.studies("train")[0].images[1])
    assert image.shape == (20, 16)
    assert image.dtype == np.uint8


def test_no_image_is_opened_before_it_is_asked_for(write):
    root = write(small())
    (root / "images/a/0.png").write_bytes(b"")
    data = R2GenDataset(root=str(root))
    with pytest.raises(DataError, match=r"a/0\.png: is empty"):
        data.open(data.studies("train")[0].images[0])


def test_a_flat_list_with_splits_is_the_same_data(write):
    flat = [{**row, "split": split} for split, rows in small().items() for row in rows]
    data = R2GenDataset(root=str(write(flat)))
    assert [study.id for study in data.studies("train")] == ["a", "b"]
    assert [study.id for study in data.studies("test")] == ["d"]


def test_other_names_for_file_and_folder(write):
    root = write(small())
    (root / "annotation.json").rename(root / "reports.json")
    (root / "images").rename(root / "png")
    data = R2GenDataset(root=str(root), annotation="reports.json", images="png")
    assert data.open(data.studies("test")[0].images[0]).shape == (20, 16)


def test_only_the_first_images_of_a_study_when_asked(write):
    study = R2GenDataset(root=str(write(small())), max_images=1).studies("train")[0]
    assert study.images == (ImageRef("a/0.png"),)
    assert study.views == ("frontal",)


def test_a_split_that_the_file_lacks_is_empty(write):
    data = R2GenDataset(root=str(write({"test": [row("d")]})))
    assert list(data.studies("train")) == []


def test_the_cleaning_rule_decides_how_reports_read(write):
    rows = {"train": [{**row("a"), "report": "Nodule of 3.5 cm."}]}
    root = str(write(rows))
    assert R2GenDataset(root=root).studies("train")[0].report == "nodule of 35 cm ."
    kept = R2GenDataset(root=root, cleaning="lossless").studies("train")[0]
    assert kept.report == "nodule of 3.5 cm ."


def test_rows_of_mimic_are_one_study_an_image(write):
    rows = [row(name, study_id=7, subject_id=1) for name in ("dicom1", "dicom2")]
    data = R2GenDataset(root=str(write({"train": rows})), cleaning="r2gen-mimic")
    assert [study.id for study in data.studies("train")] == ["dicom1", "dicom2"]
    assert data.check_data() == []


def test_the_fingerprint_follows_the_file_and_what_is_made_of_it(write):
    root = str(write(small()))
    one = R2GenDataset(root=root).fingerprint()
    assert one == R2GenDataset(root=root).fingerprint()
    assert one["studies"] == {"train": 2, "val": 1, "test": 1}
    assert one["images"] == 5
    assert one != R2GenDataset(root=root, cleaning="lossless").fingerprint()
    rows = small()
    rows["train"][0]["report"] += " Heart normal."
    write(rows)
    assert one["annotation_sha256"] != R2GenDataset(root=root).fingerprint()["annotation_sha256"]


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("PA", "frontal"),
        ("AP Supine", "frontal"),
        ("AP LLD", "frontal"),
        ("frontal", "frontal"),
        ("L", "lateral"),
        ("LL", "lateral"),
        ("Lateral", "lateral"),
        ("XTABLE LATERAL", "lateral"),
        ("postero-anterior", "frontal"),
        ("left lateral", "lateral"),
        ("", "unknown"),
        (None, "unknown"),
        ("ABDOMEN", "unknown"),
    ],
)
def test_views_by_the_names_that_archives_use(name: str | None, view: str):
    assert view_of(name) == view


# ---- sidecars --------------------------------------------------------------------------------


def test_annotations_are_read_from_sidecars(write):
    root = write(small())
    add_sidecar(root, "labels", {"id": "a", "value": {"Edema": 1}}, "", {"id": "x", "value": {}})
    data = R2GenDataset(root=str(root))
    a, b = data.studies("train")
    assert data.annotation(a, Labels) == Labels({"Edema": 1})
    assert data.annotation(b, Labels) is None
    assert data.annotation(a, RadGraph) is None


def test_the_fingerprint_follows_each_sidecar(write):
    """A run that was begun with other labels is not gone on with."""
    root = write(small())
    bare = R2GenDataset(root=str(root)).fingerprint()
    add_sidecar(root, "labels", {"id": "a", "value": {"Edema": 1}})
    before = R2GenDataset(root=str(root)).fingerprint()
    add_sidecar(root, "labels", {"id": "a", "value": {"Edema": 0}})
    after = R2GenDataset(root=str(root)).fingerprint()

    assert bare["sidecars_sha256"] == {}
    assert before["sidecars_sha256"].keys() == after["sidecars_sha256"].keys() == {"labels"}
    assert before["sidecars_sha256"] != after["sidecars_sha256"]


def test_a_sidecar_that_is_not_utf8_is_named(write):
    root = write(small())
    add_sidecar(root, "labels", {"id": "a", "value": {"Edema": 1}})
    path = root / "annotations" / "labels.jsonl"
    path.write_bytes(path.read_bytes() + b"\xff\xfe")

    (problem,) = R2GenDataset(root=str(root)).check_data()
    assert problem.startswith(str(path))
    assert "save it as UTF-8" in problem


def test_views_may_come_from_a_sidecar_and_a_row_outranks_it(write):
    root = write(small())
    add_sidecar(
        root,
        "views",
        {"id": "a", "value": ["L", "L"]},
        {"id": "b", "value": ["L"]},
    )
    a, b = R2GenDataset(root=str(root)).studies("train")
    assert a.views == ("frontal", "lateral")
    assert b.views == ("lateral",)


def test_views_in_a_sidecar_are_checked_like_those_in_a_row(write):
    root = write(small())
    add_sidecar(root, "views", {"id": "b", "value": "PA"})
    with pytest.raises(DataError, match=r"study 'b' \(train, row 2\): its views are \"PA\""):
        R2GenDataset(root=str(root))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", "labels.jsonl, line 2: is not JSON (column 2"),
        ("[" * 100_000, "line 2: is not JSON that can be read (nested too deeply)"),
        ("1" * 10_000, "line 2: is not JSON that can be read (a number of too many digits)"),
        ('{"id": "b"}', 'labels.jsonl, line 2: expected {"id": "…", "value": …}'),
        ('{"id": "a", "value": {}}', "labels.jsonl, line 2: study 'a' has a line already"),
    ],
)
def test_a_line_of_a_sidecar_that_is_wrong_is_numbered(write, line: str, said: str):
    root = write(small())
    add_sidecar(root, "labels", {"id": "a", "value": {}}, line)
    data = R2GenDataset(root=str(root))
    with pytest.raises(DataError) as error:
        data.annotation(data.studies("train")[0], Labels)
    assert said in str(error.value)
    assert any(said in problem for problem in data.check_data())


@pytest.mark.parametrize(
    "value", [{"Edema": 1}, {"values": {"Edema": 1}}, {"values": {"Edema": 1}, "sources": None}]
)
def test_labels_are_read_bare_or_under_values(write, value: dict[str, Any]):
    root = write(small())
    add_sidecar(root, "labels", {"id": "a", "value": value})
    data = R2GenDataset(root=str(root))
    assert data.annotation(data.studies("train")[0], Labels) == Labels({"Edema": 1})


def test_a_value_that_is_no_annotation_names_file_and_study(write):
    root = write(small())
    add_sidecar(root, "labels", {"id": "a", "value": {"Edema": 7}})
    data = R2GenDataset(root=str(root))
    with pytest.raises(
        DataError, match=r"labels\.jsonl, study 'a': labels \{'Edema': 7\} are none"
    ):
        data.annotation(data.studies("train")[0], Labels)


# ---- what is wrong with a row ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("report", None, "its report is null; expected a text"),
        ("report", ["a"], 'its report is ["a"]; expected a text'),
        ("report", " .", "its report is empty"),
        ("report", "1. ", 'nothing is left of its report "1. " after cleaning by r2gen-iu'),
        ("image_path", [], "has no image"),
        ("image_path", "b/0.png", 'its image_path is "b/0.png"; expected a list of files'),
        ("image_path", ["b/7.png"], "image b/7.png is missing"),
        ("image_path", ["b/0.jpg"], "image b/0.jpg is missing (there is 0.png in its place)"),
        ("image_path", ["../b.png"], "image ../b.png is outside the folder of images"),
        ("image_path", ["/b/0.png"], "image /b/0.png is outside the folder of images"),
        ("views", "PA", 'its views are "PA"; expected a list of words, one an image'),
        ("views", ["PA", "L"], "has 2 views of 1 images"),
        ("split", "test", 'stands among train and says that its split is "test"'),
    ],
)
def test_what_is_wrong_with_a_study_is_said(complaint, key: str, value: Any, said: str):
    def change(rows: Rows) -> None:
        rows["train"][1][key] = value

    assert complaint(change) == [f"study 'b' (train, row 2): {said}"]


def test_missing_keys_are_named_with_those_there_are(complaint):
    def change(rows: Rows) -> None:
        rows["val"][0] = {"id": "c", "text": "clear", "image_path": ["c/0.png"]}
        rows["test"][0] = {}

    assert complaint(change) == [
        "study 'c' (val, row 1): has no report (it has id, text, image_path)",
        "test, row 1: has no id and no report and no image_path (it has nothing)",
    ]


def test_an_id_must_be_a_word(complaint):
    def change(rows: Rows) -> None:
        rows["train"][0]["id"] = 12

    assert complaint(change) == ["train, row 1: its id is 12; expected a word"]


def test_a_row_must_be_a_mapping(complaint):
    def change(rows: Rows) -> None:
        rows["train"][0] = "a"  # type: ignore[call-overload]

    said = 'is "a"; expected a mapping with id, report and image_path'
    assert complaint(change) == [f"train, row 1: {said}"]


def test_an_id_in_two_splits_is_a_leak(complaint):
    def change(rows: Rows) -> None:
        rows["test"].append(row("b"))
        rows["train"].append(row("a"))

    assert complaint(change) == [
        "study 'a' (train, row 3): is in train, row 1, already",
        "study 'b' (test, row 2): is in train, row 2, already: a test would be on what was learned",
    ]


def test_unknown_splits_are_counted(complaint):
    def change(rows: Rows) -> None:
        rows["validate"] = [*rows.pop("val"), row("e")]

    assert complaint(change) == ["2 rows have the split 'validate'; expected train, val or test"]


def test_a_row_of_a_flat_list_without_a_split_is_told(write):
    root = write([row("a")])
    with pytest.raises(DataError, match="1 row has no split; expected train, val or test"):
        R2GenDataset(root=str(root))


def test_beyond_twenty_problems_are_counted(write):
    root = write({"train": [{**row(f"s{number}"), "report": ""} for number in range(57)]})
    with pytest.raises(DataError) as error:
        R2GenDataset(root=str(root))
    lines = str(error.value).splitlines()
    assert lines[0] == f"{root}/annotation.json: 57 problems"
    assert lines[20] == "  study 's19' (train, row 20): its report is empty"
    assert lines[21:] == ["  … and 37 more"]


# ---- what is wrong with the whole ------------------------------------------------------------


def test_a_missing_folder_says_what_was_expected(tmp_path: Path):
    with pytest.raises(DataError) as error:
        R2GenDataset(root=str(tmp_path / "iu"))
    text = str(error.value)
    assert text.startswith(f"data.root: the folder {tmp_path}/iu does not exist.")
    assert "ROOT/images/FILE" in text
    assert "`rrg data export phantom DIR` makes such a folder of phantoms" in text
    assert "data.name=phantom" in text


def test_a_missing_annotation_file_lists_those_there_are(write):
    root = write(small())
    (root / "annotation.json").rename(root / "iu_annotation.json")
    with pytest.raises(
        DataError, match=r"annotation\.json does not exist\. JSON files there: iu_ann"
    ):
        R2GenDataset(root=str(root))


def test_a_missing_images_folder_is_one_problem(write):
    root = write(small())
    shutil.rmtree(root / "images")
    with pytest.raises(DataError) as error:
        R2GenDataset(root=str(root))
    assert str(error.value).splitlines()[1:] == [
        f"  the folder of images, {root}/images, does not exist"
    ]


def test_broken_json_names_line_and_column(write):
    root = write(small())
    (root / "annotation.json").write_text('{"train": [\n  {"id": "a",}\n]}')
    with pytest.raises(DataError, match=r"annotation\.json, line 2, column \d+: is not JSON"):
        R2GenDataset(root=str(root))
    (root / "annotation.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"annotation\.json: is not JSON that can be read \(nested"):
        R2GenDataset(root=str(root))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"train": {}}', "'train' is {}; expected a list of rows"),
        (b'"train"', 'holds "train"'),
        (b'{"train": "\xff"}', "byte 11 is not UTF-8"),
    ],
)
def test_json_of_another_form_is_refused(write, text: bytes, said: str):
    root = write(small())
    (root / "annotation.json").write_bytes(text)
    with pytest.raises(DataError, match=r"annotation\.json: ") as error:
        R2GenDataset(root=str(root))
    assert said in str(error.value)


def test_a_byte_order_mark_is_no_harm(write):
    root = write(small())
    path = root / "annotation.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(R2GenDataset(root=str(root)).studies("train")) == 2


def test_a_misspelt_cleaning_rule_suggests_the_nearest(write):
    with pytest.raises(DataError, match="Did you mean 'lossless'"):
        R2GenDataset(root=str(write(small())), cleaning="losless")


def test_images_are_counted_from_one(write):
    with pytest.raises(ValueError, match="max_images is 0"):
        R2GenDataset(root=str(write(small())), max_images=0)


def test_an_unknown_split_is_refused(write):
    with pytest.raises(DataError, match="no split called 'validate'; expected train, val or test"):
        R2GenDataset(root=str(write(small()))).studies("validate")


# ---- check_data ------------------------------------------------------------------------------


def test_check_data_opens_every_image(write):
    root = write(small())
    data = R2GenDataset(root=str(root))
    assert data.check_data() == []
    (root / "images/a/1.png").write_bytes(b"")
    (root / "images/d/0.png").write_bytes(b"hello")
    (root / "images/c/0.png").unlink()
    seen = []
    problems = data.check_data(progress=lambda done, total: seen.append((done, total)))
    assert [problem.split(": ")[0] for problem in problems] == [
        "study 'a' (train)",
        "study 'c' (val)",
        "study 'd' (test)",
    ]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_check_data_finds_patients_and_images_in_two_splits(write):
    rows = small()
    for study in (*rows["train"], *rows["test"]):
        study["subject_id"] = 10000032
    rows["val"][0]["image_path"] = ["b/0.png"]
    assert R2GenDataset(root=str(write(rows))).check_data() == [
        "image 'b/0.png' is in train (study 'b') and in val (study 'c')",
        "patient '10000032' is in train (study 'a') and in test (study 'd')",
    ]


def test_check_data_finds_a_sidecar_of_other_data(write):
    root = write(small())
    add_sidecar(root, "labels", {"id": "CXR1", "value": {}}, {"id": "CXR2", "value": {}})
    (problem,) = R2GenDataset(root=str(root)).check_data()
    assert problem.endswith("labels.jsonl: none of its 2 studies is in the data ('CXR1')")


# ---- real data -------------------------------------------------------------------------------


def test_real_x_rays_are_read(shared: Path):
    data = R2GenDataset(root=str(shared / "data/covid_cxr"), cleaning="lossless")
    assert data.fingerprint()["studies"] == {"train": 76, "val": 10, "test": 26}
    assert data.check_data() == []
    studies = [study for split in ("train", "val", "test") for study in data.studies(split)]
    views = [view for study in studies for view in study.views]
    assert {view: views.count(view) for view in set(views)} == {"frontal": 116, "lateral": 16}
    image = data.open(studies[0].images[0])
    assert min(image.shape) == 256
    assert image.std() > 20


def test_the_registry_finds_the_data_set():
    registry = Registry()
    for component in rrg_components():
        registry.add(component, plugin="data")
    assert registry.get("dataset", "r2gen") is R2GenDataset
