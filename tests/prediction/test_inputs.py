"""What `rrg predict` takes: files, folders, tables of studies."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrgcore.errors import DataError
from rrgcore.images import read_image
from rrgcore.prediction.inputs import Request, TableOptions, find_requests, paths_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images a, b and c, and others below it."""
    for name in ("a.png", "b.png", "c.jpg"):
        Image.fromarray(np.full((20, 20), 90, np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Callable[..., list[Request]]:
    """Write a table beside the images, and read it."""

    def read(text: str, *, name: str = "studies.csv", **options: object) -> list[Request]:
        (folder / name).write_text(text)
        columns = options.pop("columns", {})
        return find_requests([folder / name], TableOptions(columns, **options))  # type: ignore[arg-type]

    return read


def names(requests: list[Request]) -> dict[str, list[str]]:
    return {each.id: [path.name for path in each.images] for each in requests}


def test_a_folder_has_its_images_by_name_and_those_below(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "d.PNG").write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.txt").write_text("no image")
    found = find_requests([folder])

    assert [path.name for each in found for path in each.images] == [
        "a.png", "b.png", "c.jpg", "d.PNG",
    ]  # fmt: skip
    assert [each.id for each in found] == [str(each.images[0]) for each in found]


def test_studies_are_taken_from_r2gens_file(folder: Path) -> None:
    rows = {
        "train": [{"id": "s1", "image_path": ["c.jpg"]}],
        "test": [{"id": "s2", "image_path": ["a.png", "b.png"], "report": "Clear."}, 3],
    }
    path = folder / "annotation.json"
    path.write_text(json.dumps(rows))

    found = find_requests([path])
    assert names(found) == {"s2": ["a.png", "b.png"], f"{path}, row 2: is no object": []}
    assert names(find_requests([path], TableOptions({}, split="train"))) == {"s1": ["c.jpg"]}
    with pytest.raises(DataError, match=r"no studies of split 'val'.* Splits there: train, test"):
        find_requests([path], TableOptions({}, split="val"))
    path.write_text(json.dumps(rows["train"]))
    assert names(find_requests([path])) == {"s1": ["c.jpg"]}


def test_what_begins_like_a_dicom_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    dicom = bytes(128) + b"DICM" + bytes(20)
    for name in ("IM000001", "1.2.840.77", "DICOMDIR", ".hidden"):
        (folder / name).write_bytes(dicom)
    (folder / "README").write_text("x" * 400)
    found = {path.name for each in find_requests([folder]) for path in each.images}

    assert found == {"a.png", "b.png", "c.jpg", "IM000001", "1.2.840.77"}


def test_what_is_named_twice_is_reported_once(folder: Path) -> None:
    assert len(find_requests([folder / "a.png", folder, folder / "b.png"])) == 3


def test_a_path_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_requests([folder / "a.png", folder / "gone.png"])


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        find_requests([tmp_path])


def test_a_name_that_would_break_a_line_is_spelt_out(folder: Path) -> None:
    (folder / "a.png").rename(folder / "a\nb.png")

    assert find_requests([folder])[0].id.endswith("a\\nb.png")


# ---- tables ---------------------------------------------------------------------------------


def test_a_row_is_a_study_with_its_images_beside_the_table(
    table: Callable[..., list[Request]], folder: Path
) -> None:
    found = table("study_id,image_path,view\nA,a.png,PA\nB,b.png;c.jpg,PA;LL\n")

    assert names(found) == {"A": ["a.png"], "B": ["b.png", "c.jpg"]}
    assert found[0].images == (folder / "a.png",)
    assert [each.views for each in found] == [("frontal",), ("frontal", "lateral")]


def test_rows_of_one_id_are_one_study(table: Callable[..., list[Request]]) -> None:
    found = table("id,image,view\nA,a.png,PA\nB,c.jpg,\nA,b.png,LATERAL\n")

    assert names(found) == {"A": ["a.png", "b.png"], "B": ["c.jpg"]}
    assert found[0].views == ("frontal", "lateral")


@pytest.mark.parametrize(
    "text",
    [
        "id,image_1,image_2\nA,a.png,b.png\nB,c.jpg,\n",
        "id;frontal;lateral\nA;a.png;b.png\nB;c.jpg;\n",
        "id,image\nA,a.png|b.png\nB,c.jpg\n",
    ],
)
def test_several_images_are_understood_without_being_told(
    text: str, table: Callable[..., list[Request]]
) -> None:
    assert names(table(text)) == {"A": ["a.png", "b.png"], "B": ["c.jpg"]}


def test_columns_called_after_a_view_have_it(table: Callable[..., list[Request]]) -> None:
    assert table("id,frontal,lateral\nA,a.png,b.png\n")[0].views == ("frontal", "lateral")


def test_columns_and_separator_can_be_said(table: Callable[..., list[Request]]) -> None:
    columns = {"id": ["who"], "image": ["x", "y"]}
    found = table("who,x,y\nA,a.png b.png,c.jpg\n", columns=columns, separator=" ")

    assert names(found) == {"A": ["a.png", "b.png", "c.jpg"]}


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    table: Callable[..., list[Request]],
) -> None:
    with pytest.raises(DataError, match=r"no column 'imag' \(image\).*columns who, file"):
        table("who,file\nA,a.png\n", columns={"image": ["imag"]})
    with pytest.raises(DataError, match="--column image=NAME"):
        table("who,where\nA,a.png\n")


def test_without_ids_a_study_is_called_after_its_image(
    table: Callable[..., list[Request]],
) -> None:
    assert names(table("image\na.png\nb.png\n")) == {"a.png": ["a.png"], "b.png": ["b.png"]}


def test_what_a_data_table_has_beside_is_no_trouble(
    table: Callable[..., list[Request]], folder: Path
) -> None:
    (folder / "images").mkdir()
    (folder / "a.png").rename(folder / "images" / "a.png")
    found = table("id,report,image,split\nA,the lungs are clear,a.png,test\n")

    assert found[0].images == (folder / "images" / "a.png",)


def test_json_lines_and_compressed_tables_are_read(
    table: Callable[..., list[Request]], folder: Path
) -> None:
    found = table(json.dumps({"id": 7, "images": ["a.png", "b.png"]}) + "\n", name="s.jsonl")
    packed = folder / "s.csv.gz"
    packed.write_bytes(gzip.compress(b"id,image\nA,a.png\n"))

    assert names(found) == {"7": ["a.png", "b.png"]}
    assert names(find_requests([packed])) == {"A": ["a.png"]}


def test_a_row_without_an_image_is_a_problem_and_the_rest_goes_on(
    table: Callable[..., list[Request]],
) -> None:
    found = table("id,image\nA,\nB,b.png\nC,c.jpg,too,many\n")

    assert [bool(each.problem) for each in found] == [True, False, True]
    assert "line 2: names no image" in (found[0].problem or "")


def test_one_id_for_two_studies_is_refused(folder: Path) -> None:
    for name, image in (("one.csv", "a.png"), ("two.csv", "b.png")):
        (folder / name).write_text(f"id,image\nA,{image}\n")

    with pytest.raises(DataError, match=r"two studies are called 'A': .*a\.png and .*b\.png"):
        find_requests([folder / "one.csv", folder / "two.csv"])


# ---- names that nobody would choose ---------------------------------------------------------


def test_a_file_that_cannot_be_opened_is_asked_for_so_that_it_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [each.images[0].name for each in find_requests([tmp_path])] == ["gone.png"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    (there / "a.png").touch()
    (here / "link").symlink_to(there)
    (there / "back").symlink_to(here)
    assert [each.id for each in find_requests([here])] == [str(here / "link" / "a.png")]


@pytest.mark.parametrize("cell", ["a\\u0000b.png", "x" * 300, "\\ud800.png"])
def test_a_cell_that_no_file_can_be_called_is_one_study_s_trouble(
    tmp_path: Path, cell: str
) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"id": "a", "image": "{cell}"}}\n')
    [request] = find_requests([tmp_path / "t.jsonl"])
    with pytest.raises(DataError, match="cannot be read"):
        read_image(request.images[0])


def test_a_tilde_is_the_home_only_where_no_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("~").mkdir()
    Path("~/a.png").touch()
    found = paths_of(["~tilde.png", "~/a.png", "~/b.png"])
    assert found == [Path("~tilde.png"), Path("~/a.png"), tmp_path / "home" / "b.png"]
