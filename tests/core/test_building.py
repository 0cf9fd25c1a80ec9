"""Building a data set from a source: streamed, gone on with, and whole or not there."""

import json
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrg_data.r2gen import R2GenDataset
from rrgcore.annotations import Labels
from rrgcore.errors import DataError, UserError
from rrgcore.settings import Split
from rrgcore.sources import Ledger, Source
from rrgcore.sources.building import Built, build_dataset
from rrgcore.sources.partial import partial_folder
from rrgcore.sources.record import Order
from rrgcore.study import ImageRef, Study

Found = tuple[Split, Study]


class Few(Source):
    """Studies from a list; an image is named by its width and height, and is grey by its name."""

    layout = "ROOT/anything"

    def __init__(self, *found: Found, version: str = "1") -> None:
        self.found = found
        self.version = version
        self.opened: list[str] = []
        self.bad: list[str] = []

    def read(self, ledger: Ledger) -> Iterator[Found]:
        ledger.found["reports"] = len(self.found)
        for name in self.bad:
            ledger.refuse(name, "is malformed")
        yield from self.found

    def open(self, image: ImageRef) -> np.ndarray:
        self.opened.append(image.where)
        size, _, name = image.where.partition(" ")
        if name.startswith("corrupt"):
            raise DataError(f"image {image.where}: is damaged; copy or download it again")
        width, height = map(int, size.split("x"))
        return np.full((height, width), sum(name.encode()) % 256, dtype=np.uint8)

    def fingerprint(self) -> Mapping[str, Any]:
        return {"version": self.version}


class Files(Few):
    """Images that are files below a folder."""

    def __init__(self, images: Path, *found: Found) -> None:
        super().__init__(*found)
        self.images = images

    def folder(self) -> Path:
        return self.images


def study(
    id: str,
    images: Sequence[str] = ("40x30",),
    *,
    split: Split = "train",
    report: str | None = "Clear.",
    subject: str | None = None,
    labels: bool = False,
) -> Found:
    carried = {Labels: Labels({"Edema": 1})} if labels else {}
    views = ("frontal", *["lateral"] * (len(images) - 1))[: len(images)]
    refs = tuple(ImageRef(f"{image} {id}" if " " not in image else image) for image in images)
    return split, Study(id, refs, views, report, carried, subject)


def build(
    source: Source, folder: Path, *, size: int = 512, link: bool = False, **how: Any
) -> Built:
    order = Order(source="few", size=size, link=link)
    return build_dataset(source, folder, order, workers=2, **how)


def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((folder / "annotation.json").read_text())
    return found


def left_out(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "left_out.jsonl").read_text().splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


# ---- what is written --------------------------------------------------------------------------


def test_rows_are_in_the_order_of_the_archive_and_say_what_is_known(tmp_path: Path) -> None:
    source = Few(
        study("b", ["40x30", "30x40"], subject="7"),
        study("t", split="test", report="Heart – normal."),
        study("a"),
    )
    build(source, tmp_path / "out")
    assert rows(tmp_path / "out") == {
        "train": [
            {
                "id": "b",
                "report": "Clear.",
                "image_path": ["b/0.png", "b/1.png"],
                "split": "train",
                "views": ["frontal", "lateral"],
                "subject_id": "7",
            },
            {
                "id": "a",
                "report": "Clear.",
                "image_path": ["a/0.png"],
                "split": "train",
                "views": ["frontal"],
            },
        ],
        "val": [],
        "test": [
            {
                "id": "t",
                "report": "Heart – normal.",
                "image_path": ["t/0.png"],
                "split": "test",
                "views": ["frontal"],
            }
        ],
    }


def test_what_is_built_is_read_by_the_data_set_r2gen(tmp_path: Path) -> None:
    source = Few(study("p10/s5", labels=True), study("..", split="val", labels=True))
    build(source, tmp_path / "out")
    data = R2GenDataset(root=str(tmp_path / "out"), cleaning="none")
    (read,) = data.studies("train")
    assert (read.id, read.report, read.views) == ("p10/s5", "Clear.", ("frontal",))
    assert data.annotation(read, Labels) == Labels({"Edema": 1})
    assert [each.id for each in data.studies("val")] == [".."]


@pytest.mark.parametrize(
    ("given", "size", "kept"),
    [
        ((100, 60), 20, (33, 20)),
        ((60, 100), 20, (20, 33)),
        ((100, 60), 60, (100, 60)),
        ((40, 30), 512, (40, 30)),
        ((1000, 17), 16, (941, 16)),
        ((100, 60), 0, (100, 60)),
    ],
)
def test_the_short_side_is_shrunk_and_never_enlarged(
    given: tuple[int, int], size: int, kept: tuple[int, int], tmp_path: Path
) -> None:
    source = Few(study("a", ["{}x{}".format(*given)]))
    build(source, tmp_path / "out", size=size)
    with Image.open(tmp_path / "out/images/a/0.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", kept)


def test_shrinking_averages(tmp_path: Path) -> None:
    class Stripes(Few):
        def open(self, image: ImageRef) -> np.ndarray:
            return np.tile(np.array([0, 255], np.uint8), (64, 32))

    build(Stripes(study("a")), tmp_path / "out", size=16)
    with Image.open(tmp_path / "out/images/a/0.png") as image:
        pixels = np.asarray(image)[:, 2:-2].astype(int)
    assert np.abs(pixels - 127).max() <= 8  # one pixel in four of the stripes would be 0 or 255


def test_an_annotation_that_some_lack_is_kept_and_counted(tmp_path: Path) -> None:
    built = build(Few(study("a", labels=True), study("b")), tmp_path / "out")
    assert built.written.annotations == {"labels": 1}
    assert files(tmp_path / "out/annotations") == ["labels.jsonl"]


def test_the_record_says_what_it_was_made_of(tmp_path: Path) -> None:
    source = Few(study("a"), study("b", report=" ."))
    order = Order(source="few", options={"text": "both"}, size=64)
    build_dataset(source, tmp_path / "out", order)
    record = json.loads((tmp_path / "out/build.json").read_text())
    assert record["versions"].keys() >= {"python", "numpy", "pillow"}
    assert len(record.pop("date")) == len("2026-01-31T12:00:00+00:00")
    del record["versions"], record["rrg"]
    assert record == {
        "source": "few",
        "options": {"text": "both"},
        "size": 64,
        "link": False,
        "archive": {"version": "1"},
        "found": {"reports": 2},
        "studies": {"train": 1, "val": 0, "test": 0},
        "images": 1,
        "annotations": {},
        "left_out": {"its report is empty": 1},
        "missing": {},
        "bad": 0,
    }
    assert left_out(tmp_path / "out") == [
        {"name": "b", "kind": "selection", "reason": "its report is empty"}
    ]


# ---- what is bad ------------------------------------------------------------------------------


def test_a_damaged_image_stops_the_build_with_the_study_s_name(tmp_path: Path) -> None:
    source = Few(study("a"), study("b", ["40x30", "40x30 corrupt"]))
    with pytest.raises(DataError, match=r"^b: image 40x30 corrupt: is damaged(?s:.*)--skip-bad"):
        build(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_with_a_damaged_image_is_skipped_and_named_if_asked(tmp_path: Path) -> None:
    source = Few(study("a"), study("b", ["40x30", "40x30 corrupt"]), study("c"))
    source.bad = ["x.xml"]
    built = build(source, tmp_path / "out", skip_bad=True)
    assert [name for name, _ in built.ledger.bad] == ["x.xml", "b"]
    assert [row["id"] for row in rows(tmp_path / "out")["train"]] == ["a", "c"]
    assert files(tmp_path / "out/images") == ["a/0.png", "c/0.png"]
    assert [(each["name"], each["kind"]) for each in left_out(tmp_path / "out")] == [
        ("x.xml", "bad"),
        ("b", "bad"),
    ]


def test_an_id_that_is_there_twice_is_bad(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^a: is there twice"):
        build(Few(study("a"), study("a")), tmp_path / "out")


def test_an_image_too_small_to_be_read_back_is_bad(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^a: image 40x8 a: is 40 × 8 pixels; expected at least"):
        build(Few(study("a", ["40x8"])), tmp_path / "out")


def test_nothing_left_is_refused_with_the_reasons_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no study is left to write of 2 reports\n  2 its report"):
        build(Few(study("a", report=""), study("b", report=None)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_left_begins_with_the_damage_that_explains_the_rest(tmp_path: Path) -> None:
    class Damaged(Few):
        def read(self, ledger: Ledger) -> Iterator[Found]:
            for number in range(12):
                ledger.refuse(f"{number}.xml", "is malformed")
            ledger.refuse("reports.tgz", "is cut off or damaged after 12 files", whole=True)
            yield from ()

    with pytest.raises(DataError) as error:
        build(Damaged(), tmp_path / "out", skip_bad=True)
    head, first, *others = str(error.value).splitlines()
    assert head.startswith("source few: no study is left to write")
    assert first == "  bad: reports.tgz: is cut off or damaged after 12 files"
    assert others == [*(f"  bad: {n}.xml: is malformed" for n in range(9)), "  bad: 3 more"]
    assert list(tmp_path.iterdir()) == []


def test_everything_bad_is_kept_also_of_one_name(tmp_path: Path) -> None:
    source = Few(study("a"), study("a", ["40x31"]), study("a", ["40x32"]))
    built = build(source, tmp_path / "out", skip_bad=True)
    twice = "is there twice; an id belongs to one study"
    assert built.ledger.bad == [("a", twice), ("a", twice)]
    assert json.loads((tmp_path / "out/build.json").read_text())["bad"] == 2
    assert [each["name"] for each in left_out(tmp_path / "out")] == ["a", "a"]


def test_a_disk_that_cannot_be_read_is_told_from_one_that_cannot_be_written(
    tmp_path: Path,
) -> None:
    class Broken(Few):
        def read(self, ledger: Ledger) -> Iterator[Found]:
            yield from self.found
            raise OSError("input/output error")

    with pytest.raises(DataError, match="source few: cannot be read"):
        build(Broken(study("a")), tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="out cannot be written"):
        build(Few(study("a")), tmp_path / "file" / "out")


# ---- going on ---------------------------------------------------------------------------------


def test_an_interrupted_build_goes_on_with_the_images_that_it_has(tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    found = [study(name, ["40x30", "30x40"]) for name in "abcdef"]
    with pytest.raises(KeyboardInterrupt):
        build(Few(*found), tmp_path / "out", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]

    again = Few(*found)
    build(again, tmp_path / "out")
    assert not {"40x30 a", "30x40 b", "40x30 c"} & set(again.opened)
    assert {"40x30 f", "30x40 f"} <= set(again.opened)
    build(Few(*found), tmp_path / "straight")
    assert files(tmp_path / "out") == files(tmp_path / "straight")
    for name in files(tmp_path / "out"):
        same = (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
        assert same or name == "build.json", name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "straight"]


def test_going_on_is_told_with_the_images_that_are_there(tmp_path: Path) -> None:
    told: list[tuple[Path, int]] = []

    def resumed(partial: Path, images: int) -> None:
        told.append((partial, images))

    partial = stopped_build(tmp_path, study("a", ["40x30", "30x40"]), study("b"))
    assert not told
    build(Few(study("a", ["40x30", "30x40"]), study("b")), tmp_path / "out", resumed=resumed)
    assert told == [(partial, 3)]
    build(Few(study("a")), tmp_path / "anew", resumed=resumed)
    assert len(told) == 1


def test_a_build_that_stopped_at_something_bad_goes_on_without_it(tmp_path: Path) -> None:
    source = Few(*(study(name) for name in "abcdef"), study("g", ["40x30", "40x30 corrupt"]))
    with pytest.raises(DataError):
        build(source, tmp_path / "out")
    again = Few(*source.found)
    build(again, tmp_path / "out", skip_bad=True)
    assert "40x30 a" not in again.opened
    assert files(tmp_path / "out/images") == [f"{name}/0.png" for name in "abcdef"]


def stopped_build(tmp_path: Path, *found: Found) -> Path:
    """A folder that a build has left, all of whose studies but the last were done."""
    bad = study("z", ["40x30 corrupt"])
    with pytest.raises(DataError):
        build(Few(*found, bad), tmp_path / "out")
    return tmp_path / "out.partial"


def test_an_image_of_another_origin_is_converted_again(tmp_path: Path) -> None:
    """An image that was missing is there now: what was the first image is the second."""
    stopped_build(tmp_path, study("a", ["40x30 later"]))
    build(Few(study("a", ["30x40 first", "40x30 later"])), tmp_path / "out")
    with Image.open(tmp_path / "out/images/a/0.png") as image:
        assert image.size == (30, 40)


def test_an_image_that_power_failure_cut_off_is_converted_again(tmp_path: Path) -> None:
    partial = stopped_build(tmp_path, study("a"))
    whole = (partial / "images/a/0.png").read_bytes()
    (partial / "images/a/0.png").write_bytes(whole[:-12])
    build(Few(study("a")), tmp_path / "out")
    assert (tmp_path / "out/images/a/0.png").read_bytes() == whole


def test_what_the_selection_no_longer_has_is_taken_away(tmp_path: Path) -> None:
    stopped_build(tmp_path, study("a", ["40x30", "40x31"]), study("b"))
    build(Few(study("a", ["40x30"])), tmp_path / "out")
    assert files(tmp_path / "out/images") == ["a/0.png"]


@pytest.mark.parametrize(
    ("source", "size", "said"),
    [
        (Few(study("a")), 64, "size was 512, is now 64"),
        (
            Few(study("a"), version="2"),
            512,
            'archive was {"version": "1"}, is now {"version": "2"}',
        ),
    ],
)
def test_a_build_that_was_begun_otherwise_is_not_gone_on_with(
    source: Few, size: int, said: str, tmp_path: Path
) -> None:
    partial = stopped_build(tmp_path, study("a"))
    before = files(partial)
    with pytest.raises(UserError) as error:
        build(source, tmp_path / "out", size=size)
    assert said in str(error.value)
    assert "remove that folder" in str(error.value)
    assert files(partial) == before


def test_two_builds_at_a_time_are_refused(tmp_path: Path) -> None:
    def second(done: int, total: int | None) -> None:
        with pytest.raises(UserError, match="is in use: another rrg builds in it"):
            build(Few(study("a")), tmp_path / "out")

    build(Few(study("a")), tmp_path / "out", progress=second)


def test_a_folder_of_somebody_else_s_in_its_place_is_kept(tmp_path: Path) -> None:
    partial = partial_folder(tmp_path / "out")
    partial.mkdir()
    (partial / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds what no build has left there"):
        build(Few(study("a")), tmp_path / "out")
    assert files(tmp_path) == ["out.partial/mine.txt"]


def test_a_finished_folder_is_never_written_over(tmp_path: Path) -> None:
    build(Few(study("a")), tmp_path / "out")
    before = files(tmp_path)
    with pytest.raises(UserError, match=r"out is not empty: it holds annotation\.json and 3 more"):
        build(Few(study("b")), tmp_path / "out")
    assert files(tmp_path) == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(Few(study("a")), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# ---- images that stay where they are ----------------------------------------------------------


def linked(tmp_path: Path, *wheres: str) -> Files:
    for where in wheres:
        (tmp_path / "archive" / where).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20)).save(tmp_path / "archive" / where, format="PNG")
    images = tuple(map(ImageRef, wheres))
    return Files(tmp_path / "archive", ("train", Study("a", images, ("unknown",) * 2, "Clear.")))


def test_linked_images_are_neither_opened_nor_copied(tmp_path: Path) -> None:
    source = linked(tmp_path, "p1/one.png", "two.png")
    build(source, tmp_path / "out", link=True)
    assert source.opened == []
    assert (tmp_path / "out/images").is_symlink()
    assert rows(tmp_path / "out")["train"][0]["image_path"] == ["p1/one.png", "two.png"]
    data = R2GenDataset(root=str(tmp_path / "out"), cleaning="none")
    assert data.open(data.studies("train")[0].images[0]).shape == (20, 20)


def test_a_dicom_file_is_not_linked_and_the_original_stays(tmp_path: Path) -> None:
    source = linked(tmp_path, "a/one.png", "a/two.dcm")
    with pytest.raises(DataError, match=r"^a: image a/two.dcm: is a DICOM file, which --link"):
        build(source, tmp_path / "out", link=True)
    with pytest.raises(DataError, match="no study is left"):
        build(source, tmp_path / "out", link=True, skip_bad=True)
    assert files(tmp_path) == ["archive/a/one.png", "archive/a/two.dcm"]


def test_images_that_are_no_files_are_not_linked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--link: the images of few are not files that other"):
        build(Few(study("a")), tmp_path / "out", link=True)
    assert list(tmp_path.iterdir()) == []


# ---- its size does not matter -----------------------------------------------------------------


def test_few_studies_are_on_their_way_at_a_time(tmp_path: Path) -> None:
    ahead: list[int] = []

    class Counting(Few):
        def read(self, ledger: Ledger) -> Iterator[Found]:
            for number, found in enumerate(self.found, start=1):
                ahead.append(number)
                yield found

    def tell(done: int, total: int | None) -> None:
        assert ahead[-1] - done < 4  # two threads, and one more study for each

    source = Counting(*(study(f"s{number}") for number in range(40)))
    build(source, tmp_path / "out", progress=tell)
    assert ahead[-1] == len(rows(tmp_path / "out")["train"]) == 40


def test_memory_grows_by_ids_and_not_by_reports(tmp_path: Path) -> None:
    class Many(Files):
        def read(self, ledger: Ledger) -> Iterator[Found]:
            for number in range(1000):
                images = (ImageRef("one.png"),)
                yield "train", Study(f"s{number:08}", images, ("frontal",), "Clear. " * 2000)

    (tmp_path / "archive").mkdir()
    build(Many(tmp_path / "archive"), tmp_path / "before", link=True)  # modules, caches
    tracemalloc.start()
    try:
        build(Many(tmp_path / "archive"), tmp_path / "out", link=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "out/annotation.json").stat().st_size > 14e6
    assert peak < 2e6
