"""`rrg data check`: statistics by hand, everything that can be wrong, and how it is told."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, final
from xml.etree import ElementTree
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from rrgcore.annotations import Box, Boxes, Entity, Labels, RadGraph
from rrgcore.cleaning import clean
from rrgcore.data_check import Checked, DataCheck, Reading, check_data
from rrgcore.data_check.raw import changes
from rrgcore.data_check.report import report_lines, verdict
from rrgcore.data_check.same import Same
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset, KeepsRawReports
from rrgcore.tokens import WordTokenizer

TINY = Path(__file__).parent.parent / "tiny.yaml"
CLEAR = "the lungs are clear ."


@final
class Shelf(Dataset, KeepsRawReports):
    """Studies in memory; an image is noise of its own unless it is put on the shelf."""

    def __init__(
        self, *, raw: Mapping[str, str] | None = None, cleaning: str = "none", **splits: list[Study]
    ) -> None:
        self.splits = splits
        self.pictures: dict[str, np.ndarray | str] = {}
        self.known: dict[tuple[str, type], Any] = {}
        self.raw = raw or {}
        self.cleaning = cleaning
        self.threads: set[int] = set()

    def studies(self, split: str) -> Sequence[Study]:
        return self.splits.get(split, [])

    def open(self, image: ImageRef) -> np.ndarray:
        self.threads.add(get_ident())
        found = self.pictures.get(image.where)
        if isinstance(found, str):
            raise DataError(f"image {image.where}: {found}")
        return noise(crc32(image.where.encode())) if found is None else found

    def annotation(self, study: Study, kind: type[Any]) -> Any:
        found = self.known.get((study.id, kind))
        if isinstance(found, str):
            raise DataError(found)
        return found

    def raw_report(self, study: Study) -> str | None:
        return self.raw.get(study.id)


def noise(seed: int, size: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def study(id: str, report: str | None = None, *, images: int = 1, **more: Any) -> Study:
    files = tuple(ImageRef(f"{id}/{number}.png") for number in range(images))
    text = f"{CLEAR} number {id} ." if report is None else report
    return Study(id, files, ("frontal",) * images, text, **more)


def shelf(**more: Any) -> Shelf:
    """Five studies with which nothing is wrong."""
    return Shelf(
        train=[study("a", images=2), study("b"), study("c")],
        val=[study("v")],
        test=[study("t")],
        **more,
    )


def told(checked: Checked) -> dict[str, list[str]]:
    return {each.kind: list(each.sentences) for each in checked.findings}


# ---- statistics -------------------------------------------------------------------------------


def test_nothing_is_wrong_with_good_data() -> None:
    checked = check_data(shelf())

    assert told(checked) == {}
    assert verdict(checked) == "no errors, no warnings"


def test_the_statistics_that_papers_print() -> None:
    data = Shelf(
        train=[study("a", "one two three .", images=2), study("b", "one two . three four .")],
        val=[study("v", "one two .")],
        test=[],
    )
    found = check_data(data).to_json()["splits"]

    assert {split: found[split]["images"] for split in found} == {
        "train": 3, "val": 1, "test": 0, "all": 4,
    }  # fmt: skip
    assert [found[split]["reports"] for split in found] == [2, 1, 0, 3]
    assert [found[split]["words"]["mean"] for split in found] == [5, 3, None, 13 / 3]
    assert found["train"]["views"] == {"frontal": 3, "lateral": 0, "unknown": 0}
    assert found["train"]["images_of_a_study"] == {"1": 1, "2": 1}


def test_lengths_are_counted_whole_and_in_quantiles() -> None:
    data = Shelf(train=[study(str(n), "word " * n) for n in range(3, 103)], val=[], test=[])
    texts = check_data(data).texts.of["train"]

    assert [texts.quantile(percent) for percent in (1, 50, 100)] == [3, 52, 102]
    assert texts.longer_than(59) == 43
    assert texts.longer_than(99) == 3


def test_a_report_is_cut_where_frame_and_words_exceed_the_limit() -> None:
    data = Shelf(train=[study("a", "w " * 8), study("b", "w " * 9)], val=[], test=[])

    assert check_data(data, reading=Reading(max_tokens=10)).texts.all.cut == 1


def test_words_that_are_rare_in_training_are_unknown() -> None:
    data = Shelf(
        train=[study("a", "often often often rare"), study("b", "often often often")],
        val=[study("v", "often often rare")],
        test=[study("t", "often new new")],
    )
    found = check_data(data, reading=Reading(min_count=2)).to_json()

    assert found["vocabulary"] == {"2": 1, "3": 1, "10": 0}
    unknown = {split: each["unknown"]["2"] for split, each in found["splits"].items()}
    assert unknown["train"]["words"] == {"count": 1, "share": 1 / 7}
    assert unknown["train"]["reports"] == {"count": 1, "share": 1 / 2}
    assert unknown["test"]["words"] == {"count": 2, "share": 2 / 3}


def test_another_tokenizer_counts_its_own_tokens_and_unknown_ones() -> None:
    tokenizer = WordTokenizer(words=["the", "lungs", "are"])
    data = Shelf(train=[study("a", CLEAR)], val=[], test=[])
    reading = Reading(max_tokens=6, tokenizer=tokenizer, tokenizer_name="mine")
    checked = check_data(data, reading=reading)

    assert checked.texts.all.cut == 1  # [CLS] and [SEP] around five words
    assert checked.to_json()["splits"]["all"]["unknown_tokens"] == {"count": 2, "share": 2 / 7}
    assert any("cut at 6 tokens (mine)" in line for line in report_lines(checked))


def test_test_reports_that_training_has_word_for_word_are_counted_and_no_error() -> None:
    data = Shelf(
        train=[study("a", CLEAR), study("b", "something else is here .")],
        val=[study("v", "a third thing is here .")],
        test=[study("t", "The  lungs are clear .".replace("T", "t")), study("u", "new here too .")],
    )
    checked = check_data(data)

    assert checked.to_json()["splits"]["test"]["copied_from_train"] == {"count": 1, "share": 0.5}
    assert checked.errors == []


def test_without_training_reports_nothing_could_be_copied_and_no_word_is_unknown() -> None:
    checked = check_data(Shelf(train=[], val=[], test=[study("t")]))

    assert told(checked) == {
        "no_train": [
            "the data has no studies in train: a run needs train, val and test; name others with "
            "data.splits"
        ],
        "no_split": [
            "the data has no studies in val: a run needs train, val and test; name others with "
            "data.splits"
        ],
    }
    assert verdict(checked) == "1 error, 1 warning"
    assert "copied_from_train" not in checked.to_json()["splits"]["test"]


def test_patients_are_counted_where_the_data_tells_them() -> None:
    data = Shelf(
        train=[study("a", subject="1"), study("b", subject="1"), study("c", subject="2")],
        val=[study("v", subject="3")],
        test=[],
    )
    assert check_data(data).patients == {"train": 2, "val": 1, "test": 0, "all": 3}
    assert check_data(shelf()).patients is None


def test_marks_of_deidentification_are_counted_in_the_raw_report() -> None:
    raw = {
        "a": "Compared to ___ and ___. By Dr. [**Last Name (un) **], XXXX-year-old.",
        "b": "Clear. XXXX.",
    }
    data = Shelf(
        raw=raw,
        cleaning="r2gen-mimic",
        train=[study(id, clean(text, "r2gen-mimic")) for id, text in raw.items()],
        val=[],
        test=[],
    )
    marks = check_data(data).to_json()["splits"]["train"]["deidentified"]

    assert {mark: found["found"] for mark, found in marks.items()} == {
        "xxxx": 2, "___": 2, "[** **]": 1,
    }  # fmt: skip
    assert marks["___"]["reports"] == {"count": 1, "share": 0.5}
    assert marks["___"]["words_left"]["count"] == 0  # the rule deletes them
    assert marks["xxxx"]["words_left"]["count"] == 1  # "xxxx-year-old" is another word


@pytest.mark.parametrize(
    ("raw", "merged", "glued"),
    [
        ("Nodule of 3.5 cm.", ["3.5 → 35"], []),
        ("Nodule of 3.5cm.", ["3.5cm → 35cm"], []),
        ("PA/lateral views; heart:normal", [], ["palateral", "heartnormal"]),
        ("1. Clear. 2. T11. Old fracture.", [], ["t1old"]),
        ("The patient's heart. No a.p. view.", [], []),
        ("Clear.", [], []),
    ],
)
def test_what_cleaning_merges_and_glues(raw: str, merged: list[str], glued: list[str]) -> None:
    assert changes(raw, clean(raw, "r2gen-iu")) == (merged, glued)


def test_our_own_rule_changes_nothing_of_it() -> None:
    raw = "Nodule of 3.5cm; PA/lateral views, heart:normal. T11. Old fracture."

    assert changes(raw, clean(raw, "lossless")) == ([], [])


def test_data_that_is_not_cleaned_is_told_what_the_usual_rule_would_do() -> None:
    data = Shelf(train=[study("a", "a nodule of 3.5 cm .")], val=[], test=[])
    found = check_data(data).to_json()["cleaning"]

    assert found["rule"] == "r2gen-iu"
    assert not found["applied"]
    assert found["merges_decimals"] == {"count": 1, "share": 1.0, "examples": ["3.5 → 35"]}


# ---- what would corrupt a result --------------------------------------------------------------


def test_no_studies_at_all_is_an_error() -> None:
    assert told(check_data(Shelf())) == {
        "no_studies": ["the data has no studies in train, val or test"]
    }


def test_splits_that_others_stand_in_for_are_not_missed() -> None:
    data = Shelf(train=[], val=[study("v")], test=[study("t")])
    standing_in = {"train": "val", "val": "test"}

    assert told(check_data(data, splits=standing_in)) == {}
    assert list(told(check_data(data, splits={"val": "train"}))) == ["no_train", "no_split"]
    assert told(check_data(data, splits=None)) == {}  # a run asks for its own


def test_an_id_that_is_there_twice() -> None:
    data = shelf()
    data.splits["test"].append(study("a", "another report than that of train ."))
    data.splits["train"].append(study("b", "another report than the first one ."))

    assert told(check_data(data))["ids"] == [
        "study 'a' is there once in train and once in test",
        "study 'b' is there twice in train",
    ]


def test_a_patient_in_two_splits() -> None:
    data = Shelf(
        train=[study("a", subject="p"), study("b", subject="p"), study("c", subject="q")],
        val=[study("v", subject="q")],
        test=[study("t", subject="p")],
    )
    assert check_data(data).errors == [
        "patient 'p' is in train (study 'a') and in test (study 't')",
        "patient 'q' is in train (study 'c') and in val (study 'v')",
    ]


def test_the_same_pixels_in_two_splits_under_other_names() -> None:
    data = shelf()
    data.pictures |= {"b/0.png": noise(1), "t/0.png": noise(1), "v/0.png": noise(2)}

    assert check_data(data).errors == [
        "image 'b/0.png' in train (study 'b') is the same as 't/0.png' in test (study 't')"
    ]


def test_one_file_in_two_splits_is_found_without_opening_it() -> None:
    data = shelf()
    data.splits["val"] = [Study("v", (ImageRef("a/0.png"),), ("frontal",), CLEAR)]
    check = DataCheck(data)
    check.read()

    assert check.finish().errors == [
        "image 'a/0.png' is in train (study 'a') and in val (study 'v')"
    ]
    assert data.threads == set()


def test_the_same_picture_within_a_split_is_worth_a_look_only() -> None:
    data = shelf()
    data.pictures |= {"a/0.png": noise(1), "a/1.png": noise(1)}

    assert told(check_data(data)) == {
        "same_images": [
            "image 'a/0.png' in train (study 'a') is the same as 'a/1.png' in train (study 'a')"
        ]
    }


def test_the_same_bytes_in_another_shape_are_another_picture() -> None:
    data = shelf()
    tall = noise(1).reshape(100, 64)
    data.pictures |= {"a/0.png": tall, "t/0.png": tall.reshape(64, 100)}

    assert told(check_data(data)) == {}


def test_images_of_one_grey_are_told_and_not_compared() -> None:
    data = shelf()
    data.pictures |= dict.fromkeys(("a/0.png", "t/0.png"), np.full((70, 70), 9, np.uint8))

    assert told(check_data(data)) == {
        "blank_images": ["study 'a' (train): image a/0.png", "study 't' (test): image t/0.png"]
    }


def test_small_images_are_worth_a_look() -> None:
    data = shelf()
    data.pictures["b/0.png"] = noise(1, 63)

    assert told(check_data(data)) == {
        "small_images": ["study 'b' (train): image b/0.png is 63 × 63 pixels"]
    }


def test_every_image_that_cannot_be_opened_is_named_and_the_others_are_opened() -> None:
    data = shelf()
    data.pictures |= {"a/1.png": "is damaged", "t/0.png": "is empty"}
    seen: list[tuple[int, int]] = []
    checked = check_data(data, progress=lambda done, total: seen.append((done, total)))

    assert checked.errors == [
        "study 'a' (train): image a/1.png: is damaged",
        "study 't' (test): image t/0.png: is empty",
    ]
    assert (checked.images.all.opened, checked.images.all.unreadable) == (4, 2)
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert get_ident() not in data.threads


def test_a_study_without_an_image() -> None:
    data = shelf()
    data.splits["train"].append(study("n", images=0))

    assert check_data(data).errors == ["study 'n' (train) has no image"]


def test_empty_reports_are_errors_and_test_studies_without_one_are_not() -> None:
    data = shelf()
    data.splits["train"].append(study("e", " ."))
    data.splits["test"].append(Study("n", (ImageRef("n.png"),), ("frontal",)))

    assert told(check_data(data)) == {
        "empty_reports": ["study 'e' (train): its report is empty"],
        "no_report": ["study 'n' (test) has no report"],
    }


def test_nothing_but_unknown_words_is_an_error() -> None:
    data = Shelf(
        train=[study("a", "one two three four")],
        val=[study("v", "one two")],
        test=[study("t", "eins zwei drei")],
    )
    assert check_data(data).errors == [
        "no word of the test reports is among those that the training reports have once or more"
    ]
    (error,) = check_data(data, reading=Reading(min_count=3)).errors
    assert error.startswith("no word is in the training reports 3 times or more")


def test_half_a_surrogate_pair_is_an_error() -> None:
    data = shelf()
    data.splits["train"].append(study("s", "the heart is \ud83d large ."))

    (error,) = check_data(data).errors
    assert error.startswith("study 's' (train): its report has half a surrogate pair (U+D83D)")


def test_characters_that_are_no_text_are_worth_a_look() -> None:
    data = shelf()
    data.splits["train"] += [
        study("x", "the heart\x1b[2J is large ."),
        study("y", "the heart is la\ufffdge ."),
    ]
    checked = check_data(data)

    assert told(checked) == {
        "control_characters": ["study 'x' (train): U+001B"],
        "lost_characters": ["study 'y' (train): '…the heart is la\ufffdge .…'"],
    }


def test_very_short_and_very_long_reports_are_worth_a_look() -> None:
    data = shelf()
    data.splits["train"] += [study("s", "stable chest ."), study("l", f"{CLEAR} " * 101)]

    assert told(check_data(data)) == {
        "short_reports": ["study 's' (train): 'stable chest .'"],
        "long_reports": ["study 'l' (train): 505 words"],
    }


# ---- annotations ------------------------------------------------------------------------------


def test_radgraph_of_another_text_names_the_first_difference() -> None:
    data = shelf()
    entities = {"1": Entity("lungs", "ANAT-DP", 1, 1)}
    report = data.splits["train"][1].report or ""
    data.known["a", RadGraph] = RadGraph(("the", "lungs", "were"), entities)
    data.known["b", RadGraph] = RadGraph(tuple(report.replace(" .", "  .").split(" ")), entities)

    (error,) = check_data(data).errors
    assert error.startswith("study a: RadGraph was run on another text than its report. From word")


def test_misspelt_observations_are_told_once_a_name_with_the_nearest() -> None:
    data = shelf()
    for id in ("a", "b", "t"):
        data.known[id, Labels] = Labels({"Cardiomegally": 1, "Edema": 0})
    data.known["t", Labels] = Labels({"pleural effusion": 1})

    assert told(check_data(data))["label_names"] == [
        "'Cardiomegally' (study 'a' and 1 more) is none of the 14 observations, so that nothing "
        "reads it. Did you mean 'Cardiomegaly'?",
        "'pleural effusion' (study 't') is none of the 14 observations, so that nothing reads it. "
        "Did you mean 'Pleural Effusion'?",
    ]


def test_coverage_is_counted_by_split() -> None:
    data = shelf()
    for id in ("a", "b", "t"):
        data.known[id, Labels] = Labels({"Edema": 0})
    carrying = data.splits["val"][0].annotated({Labels: Labels({})})
    data.splits["val"] = [carrying]

    assert check_data(data).to_json()["annotations"]["studies"] == {
        "labels": {"train": 2, "val": 1, "test": 1}
    }


def test_annotations_that_cannot_be_read_are_told_once_each() -> None:
    data = shelf()
    for id in ("a", "b"):
        data.known[id, Labels] = "labels.jsonl is damaged"

    assert check_data(data).errors == ["labels.jsonl is damaged"]


def test_boxes_in_pixels_and_boxes_of_other_images_are_worth_a_look() -> None:
    data = shelf()
    data.known["a", Boxes] = Boxes(((Box("heart", 0.1, 0.1, 0.5, 0.5),),))
    data.known["b", Boxes] = Boxes(((Box("heart", 10.0, 20.0, 30.0, 40.0),),))

    assert told(check_data(data))["boxes"] == [
        "study 'a' (train): boxes of 1 images, and 2 images",
        "study 'b' (train): 'heart' is 10, 20, 30, 40; expected x1 < x2 and y1 < y2, as fractions "
        "of the image",
    ]


# ---- which things are the same ----------------------------------------------------------------


def test_equal_things_are_grouped_by_their_first() -> None:
    same = Same()
    for number, thing in ((0, "x"), (2, "y"), (3, "z"), (5, "y"), (6, "x"), (7, "y")):
        same.add(number, thing)

    assert list(same.groups()) == [[0, 6], [2, 5, 7]]
    assert same.distinct(range(3, 8)) == 3
    assert same.found(range(5, 8), range(0, 3)) == 3
    assert list(Same().groups()) == []


# ---- the command ------------------------------------------------------------------------------


def edit(root: Path, change: Any) -> None:
    path = root / "annotation.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def test_good_data_exits_with_0_and_prints_markdown(rrg: Any, r2gen: Path) -> None:
    answer = rrg("data", "check", "r2gen", f"root={r2gen}")
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert lines[0] == f"r2gen root={r2gen}"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6]]
    assert rows[0] == ["", "train", "val", "test", "all"]
    assert rows[2] == ["images", "12", "4", "4", "20"]
    assert rows[3] == ["reports", "12", "4", "4", "20"]
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    assert "Annotations labels: 20 (100.0%) of the studies (12 train, 4 val, 4 test)." in lines
    assert lines[-1] == "no errors, 20 warnings"  # the images of this fixture are small


def test_json_has_everything_that_a_terminal_is_spared(rrg: Any, r2gen: Path) -> None:
    for path in (r2gen / "images").glob("*.png"):
        path.write_bytes(b"")

    answer = rrg("data", "check", "r2gen", f"root={r2gen}")
    assert answer.code == 1
    assert "- images that are missing or cannot be read: 20" in answer.out
    assert "  - and 10 more" in answer.out
    whole = rrg("data", "check", "r2gen", f"root={r2gen}", "--json")
    assert whole.code == 1
    found = json.loads(whole.out)
    assert not found["good"]
    assert [(each["kind"], len(each["sentences"])) for each in found["errors"]] == [("images", 20)]
    assert found["splits"]["all"]["images_unreadable"] == 20


def test_images_are_left_alone_when_asked(rrg: Any, r2gen: Path) -> None:
    (r2gen / "images" / "train_3.png").write_bytes(b"")

    answer = rrg("data", "check", "r2gen", f"root={r2gen}", "--no-images")
    assert answer.code == 0
    assert "Images: none was opened" in answer.out


def test_rows_that_are_wrong_are_told_in_their_own_words_beside_the_rest(
    rrg: Any, r2gen: Path
) -> None:
    def spoil(rows: dict[str, list[Any]]) -> None:
        for number in range(1, 12):
            rows["train"][number]["report"] = ""
        rows["test"][1]["id"] = "train0"
        rows["test"][2]["image_path"] = ["nowhere.png"]

    edit(r2gen, spoil)
    answer = rrg("data", "check", "r2gen", f"root={r2gen}", "--json")

    assert answer.code == 1
    found = json.loads(answer.out)
    rows = found["errors"][0]
    assert (rows["kind"], rows["count"]) == ("rows", 13)
    assert rows["sentences"][0] == "study 'train1' (train, row 2): its report is empty"
    assert rows["sentences"][-2:] == [
        "study 'train0' (test, row 2): is in train, row 1, already: a test would be on what was "
        "learned",
        "study 'test2' (test, row 3): image nowhere.png is missing",
    ]
    assert found["splits"]["train"]["studies"] == 1
    assert found["splits"]["test"]["studies"] == 2


def test_sidecars_are_read_through(rrg: Any, r2gen: Path) -> None:
    labels = r2gen / "annotations" / "labels.jsonl"
    labels.write_text(labels.read_text() + '{"id": "stranger", "value": {}}\n')
    (r2gen / "annotations" / "radgraf.jsonl").write_text('{"id": "train0", "value": {}}\n')
    (r2gen / "annotations" / "boxes.jsonl").write_text("{broken\n")

    found = json.loads(rrg("data", "check", "r2gen", f"root={r2gen}", "--json").out)

    assert [each["kind"] for each in found["errors"]] == ["annotation_files"]
    (broken,) = found["errors"][0]["sentences"]
    assert "boxes.jsonl, line 1: is not JSON" in broken
    warned = {each["kind"]: each["sentences"] for each in found["warnings"]}
    assert warned["other_studies"][0].endswith(
        "labels.jsonl: 1 of 21 line is of studies that the data does not hold ('stranger')"
    )
    assert warned["unread_files"][0].endswith(
        "radgraf.jsonl: nothing is called so. Did you mean 'radgraph'?"
    )


def test_raw_reports_are_those_of_the_file(rrg: Any, r2gen: Path) -> None:
    edit(r2gen, lambda rows: rows["train"][0].update(report="A 3.5 cm nodule on PA/lateral. XXXX."))
    (r2gen / "annotations" / "radgraph.jsonl").unlink()

    answer = rrg("data", "check", "r2gen", f"root={r2gen}")
    assert answer.code == 0
    assert (
        "Cleaning by r2gen-iu changes what 1 (5.0%) reports say: it merges decimals in 1 (5.0%) "
        "(3.5 → 35) and glues words in 1 (5.0%) (palateral)."
    ) in answer.out
    assert "De-identification: xxxx once" in answer.out


def test_without_reports_nothing_is_said_of_cleaning(rrg: Any, tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("id,report,image\n")
    answer = rrg("data", "check", "table", f"root={tmp_path}")
    assert answer.code == 1
    assert "Vocabulary: " in answer.out
    assert "Cleaning by" not in answer.out


def test_what_a_terminal_cannot_show_is_escaped(rrg: Any, r2gen: Path) -> None:
    edit(r2gen, lambda rows: rows["train"][0].update(report="\x1b[2Jclear", id="s\ud800"))
    (r2gen / "annotations" / "radgraph.jsonl").unlink()

    answer = rrg("data", "check", "r2gen", f"root={r2gen}")
    assert answer.code == 1
    assert "\x1b" not in answer.out
    assert (
        r"study 's\ud800' (train, row 1): its id has half a surrogate pair (U+D800)" in answer.out
    )
    found = json.loads(rrg("data", "check", "r2gen", f"root={r2gen}", "--json").out)
    assert found["errors"][0]["sentences"][0].startswith("study 's\ud800' (train, row 1)")


def test_limits_are_those_that_are_asked_for(rrg: Any, r2gen: Path) -> None:
    command = ("data", "check", "r2gen", f"root={r2gen}", "--tokens", 13, "--min-count", 2)
    found = json.loads(rrg(*command, "--json").out)

    assert found["splits"]["all"]["cut"] == {"count": 20, "share": 1.0}
    assert list(found["vocabulary"]) == ["2", "3", "10"]
    answer = rrg(*command[:4], "--min-count", 50)
    assert answer.code == 1
    assert "no word is in the training reports 50 times or more" in answer.out


def test_a_recipe_says_which_data_and_how_they_are_read(rrg: Any, r2gen: Path) -> None:
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32, max_report_tokens: 12}}"
    options = (data, "objectives.mim=off", "data.min_word_count=4")

    answer = rrg("data", "check", TINY, "--variant", "short", *options, "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["splits"]["train"]["images"] == 12
    assert found["tokens"] == {"limit": 12, "tokenizer": "words", "min_count": 4}
    assert found["splits"]["train"]["cut"]["count"] == 12


def test_a_recipe_may_name_another_split_for_training(rrg: Any, r2gen: Path) -> None:
    path = r2gen / "annotation.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps({**rows, "train": []}))
    recipe = (TINY, "data.name=r2gen", f"data.root={r2gen}", "data.cleaning=none")

    alone = rrg("data", "check", *recipe, "--no-images", "--json")
    assert (alone.code, [each["kind"] for each in json.loads(alone.out)["errors"]]) == (
        1,
        ["no_train"],
    )
    named = rrg("data", "check", *recipe, "data.splits={train: val}", "--no-images", "--json")
    assert (named.code, json.loads(named.out)["errors"]) == (0, [])


def test_rows_that_are_wrong_are_told_of_the_data_of_a_recipe_too(rrg: Any, r2gen: Path) -> None:
    edit(r2gen, lambda rows: rows["train"][3].update(report=""))
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32}}"

    answer = rrg("data", "check", TINY, data, "objectives.mim=off")
    assert answer.code == 1
    assert "study 'train3' (train, row 4): its report is empty" in answer.out


def test_a_saved_tokenizer_of_a_recipe_counts_its_tokens(
    rrg: Any, r2gen: Path, tmp_path: Path
) -> None:
    WordTokenizer(words=["there", "is"]).save(tmp_path / "few")
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32}}"
    chosen = f"model.decoder.tokenizer={tmp_path / 'few'}"

    found = json.loads(rrg("data", "check", TINY, data, chosen, "objectives.mim=off", "--json").out)
    assert found["tokens"]["tokenizer"] == str(tmp_path / "few")
    assert found["splits"]["train"]["unknown_tokens"]["share"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["r2gne", "root=x"], ["no dataset called 'r2gne'. Did you mean 'r2gen'?", "Recipes: "]),
        (["r2gen", "root=nowhere"], ["the folder nowhere does not exist"]),
        (["r2gen", "rot=x"], ["has no option 'rot'", "Did you mean 'root'?"]),
        (["r2gen", "root=x", "cleaning"], ["expected OPTION=VALUE"]),
        (["phantom", "train=3", "--variant", "short"], ["which has no variants"]),
        (["phantom", "--tokens", "2"], ["--tokens"]),
        ([TINY, "data.trian=3"], ["an option 'trian'. Did you mean 'train'?"]),
        (["."], ["'.' is a folder", "rrg data check r2gen root=."]),
    ],
)
def test_a_users_mistake_is_refused(arguments: list[Any], said: list[str], rrg: Any) -> None:
    answer = rrg("data", "check", *arguments)

    assert (answer.code, answer.out) == (2, "")
    for text in said:
        assert text in answer.err
    assert "Traceback" not in answer.err


def test_an_index_that_cannot_be_read_is_refused(rrg: Any, r2gen: Path) -> None:
    (r2gen / "annotation.json").write_text('{"train": [')

    answer = rrg("data", "check", "r2gen", f"root={r2gen}")
    assert answer.code == 2
    assert "annotation.json, line 1" in answer.err


def test_rrg_check_finds_what_the_data_check_finds(rrg: Any, r2gen: Path) -> None:
    """One implementation: identical pixels in two splits, and a misspelt observation."""
    Image.open(r2gen / "images" / "train_1.png").save(r2gen / "images" / "test_2.png")
    labels = r2gen / "annotations" / "labels.jsonl"
    labels.write_text(labels.read_text().replace("Pneumothorax", "Pneumotorax"))

    errors = json.loads(rrg("data", "check", "r2gen", f"root={r2gen}", "--json").out)["errors"]
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32, batch_size: 2}}"
    answer = rrg("check", TINY, data, "objectives.mim=off")

    assert [each["kind"] for each in errors] == ["label_names", "images_in_two_splits"]
    assert answer.code == 2
    for each in errors:
        assert each["sentences"][0] in answer.err


# ---- real data --------------------------------------------------------------------------------


def test_real_x_rays_have_nothing_that_corrupts_a_result(rrg: Any, shared: Path) -> None:
    answer = rrg("data", "check", "r2gen", f"root={shared / 'data/covid_cxr'}", "--json")

    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["splits"]["all"]["images_opened"] == 132
    assert [found["splits"][split]["reports"] for split in ("train", "val", "test")] == [76, 10, 26]


def test_statistics_of_iu_x_ray_are_those_that_others_measured(shared: Path) -> None:
    """Mean words, share longer than 60, R2Gen's vocabulary of 760 with `<unk>`."""
    splits = json.loads((shared / "data/iu_xray/r2gen_split_ids.json").read_text())
    of = {id.split("_")[0].removeprefix("CXR"): (s, id) for s in splits for id in splits[s]}
    studies: dict[str, list[Study]] = {"train": [], "val": [], "test": []}
    raw: dict[str, str] = {}
    with tarfile.open(shared / "data/iu_xray/NLMCXR_reports_trainval.tgz") as archive:
        for member in (m for m in archive if m.name.endswith(".xml")):
            split, id = of[Path(member.name).stem]
            file = archive.extractfile(member)
            assert file is not None
            texts = ElementTree.parse(file).iter("AbstractText")
            raw[id] = next(t.text or "" for t in texts if t.get("Label") == "FINDINGS")
            studies[split].append(study(id, clean(raw[id], "r2gen-iu"), images=0))
    check = DataCheck(Shelf(raw=raw, cleaning="r2gen-iu", **studies), reading=Reading(min_count=3))
    check.read()
    checked = check.finish()

    texts = [checked.texts_of(split) for split in ("train", "val")]
    assert [text.reports for text in texts] == [2069, 296]
    assert [round(text.mean or 0, 2) for text in texts] == [36.45, 35.72]
    assert [round(text.longer_than(60) / text.reports, 3) for text in texts] == [0.074, 0.071]
    assert [text.longer_than(59) for text in texts] == [162, 24]
    assert checked.texts.vocabulary(1) == 1501
    assert checked.texts.vocabulary(3) + 1 == 760
    assert round(checked.raw.all.words_left["xxxx"] / checked.raw.all.words, 2) == 0.02
    assert checked.raw.with_merged == 27
