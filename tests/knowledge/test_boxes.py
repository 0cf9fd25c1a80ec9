"""Boxes that others drew: Chest ImaGenome's scene graphs, and tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from rrg_knowledge.box_table import BoxTable
from rrg_knowledge.scene_graphs import SUFFIX, SceneGraphs, image_size
from rrgcore.annotations import Box, Boxes
from rrgcore.chest import LANDMARKS, View
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Workbench

from .tables import write_rows

DICOM = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
Pixels = Mapping[str, tuple[int, int, int, int]]
LARGE: Pixels = {
    "right lung": (300, 250, 1150, 2300),
    "left lung": (1300, 260, 2200, 2350),
    "Spine": (1120, -40, 1420, 3070),
    "carina": (1200, 1000, 1300, 1080),
    "svc": (1000, 900, 1000, 1300),
}
FRACTIONS = {
    "right lung": (300 / 2500, 250 / 3000, 1150 / 2500, 2300 / 3000),
    "left lung": (1300 / 2500, 260 / 3000, 2200 / 2500, 2350 / 3000),
    "spine": (1120 / 2500, 0.0, 1420 / 2500, 1.0),
    "carina": (1200 / 2500, 1000 / 3000, 1300 / 2500, 1080 / 3000),
}
"""Of an image of 2,500 × 3,000: the spine is cut, and the flat vein is gone."""


COPY = 1 / 187
"""A pixel of the padded square, on which edges and bars are rounded."""


def graph(
    boxes: Pixels, size: tuple[int, int], *, padded: bool = True, original: bool = True
) -> str:
    """Write a graph as Chest ImaGenome does: rounded, on the image and on a padded square."""
    ratio = 224 / max(size)
    bars = bars_of(size)
    objects = []
    for name, (x1, y1, x2, y2) in boxes.items():
        each: dict[str, Any] = {"bbox_name": name, "object_id": f"{DICOM}_{name}"}
        for key, edge, bar in zip(
            ("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), bars * 2, strict=True
        ):
            each |= {key: round(edge * ratio + bar)} if padded else {}
            each |= {f"original_{key}": edge} if original else {}
        each |= {"original_width": x2 - x1, "original_height": y2 - y1} if original else {}
        objects.append(each)
    return json.dumps({"image_id": DICOM, "viewpoint": "PA", "objects": objects, "attributes": []})


def bars_of(size: tuple[int, int]) -> list[int]:
    """Return the black bars left and above, in whole pixels, as images are usually padded."""
    return [(224 - int(side * 224 / max(size))) // 2 for side in size]


def study(
    where: str = f"p10/p10000032/s50414267/{DICOM}.jpg",
    *more: str,
    id: str = "s50414267",
    views: Sequence[View] | None = None,
) -> Study:
    images = tuple(map(ImageRef, (where, *more)))
    return Study(id, images, tuple(views or ("frontal",) * len(images)), "no edema .")


def annotator(folder: Path, size: tuple[int, int] | None) -> tuple[SceneGraphs, list[str]]:
    """Read graphs, beside images of a size; return which of these were opened too."""
    opened: list[str] = []

    def open_image(image: ImageRef) -> np.ndarray:
        assert size is not None, "no image needs to be opened"
        opened.append(image.where)
        return np.zeros((size[1], size[0]), dtype=np.uint8)

    graphs = SceneGraphs(path=str(folder))
    graphs.equip(Workbench(open_image))
    return graphs, opened


def boxes_of(source: SceneGraphs | BoxTable, *studies: Study) -> list[Boxes]:
    return list(source.annotate(studies or (study(),)))


def near(found: Sequence[Box], tolerance: float) -> bool:
    edges = {box.name: (box.x1, box.y1, box.x2, box.y2) for box in found}
    assert edges == {
        name: pytest.approx(expected, abs=tolerance) for name, expected in FRACTIONS.items()
    }
    return True


# ---- scene graphs ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "scene_graph", "silver_dataset/scene_graph"])
@pytest.mark.parametrize("packed", [False, True])
def test_graphs_are_found_in_a_folder_or_a_zip_file(tmp_path: Path, place: str, packed: bool):
    folder = tmp_path / place
    text = graph(LARGE, (2500, 3000))
    if packed:
        path = folder.with_name("scene_graph.zip") if place else tmp_path / "any.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(path, "w") as file:
            file.writestr(f"scene_graph/{DICOM}{SUFFIX}", text)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{DICOM}{SUFFIX}").write_text(text)
    source, _ = annotator(path if packed and not place else tmp_path, (2500, 3000))
    assert near(boxes_of(source)[0].images[0], 1e-9)
    assert "1 graphs, sha256 of their names" in source.fingerprint()


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    (tmp_path / f"{DICOM}{SUFFIX}").write_text(graph(LARGE, (2500, 3000)))
    return tmp_path


def test_boxes_are_fractions_of_the_image_whose_size_the_graph_does_not_say(graphs: Path):
    source, _ = annotator(graphs, (2500, 3000))
    assert near(boxes_of(source)[0].images[0], 1e-9)


def test_a_smaller_copy_of_the_image_has_the_same_boxes(graphs: Path):
    source, _ = annotator(graphs, (427, 512))
    assert near(boxes_of(source)[0].images[0], COPY)
    source, _ = annotator(graphs, (224, 224))  # even squeezed
    assert near(boxes_of(source)[0].images[0], COPY)


def test_after_a_few_images_no_more_are_opened(graphs: Path):
    source, opened = annotator(graphs, (427, 512))
    first = boxes_of(source, *[study()] * 40)
    assert len(opened) == 8
    assert near(first[-1].images[0], COPY)
    assert near(boxes_of(SceneGraphs(path=str(graphs)))[0].images[0], COPY)


def test_the_padded_square_is_enough(tmp_path: Path):
    (tmp_path / f"{DICOM}{SUFFIX}").write_text(graph(LARGE, (2500, 3000), original=False))
    source, _ = annotator(tmp_path, (427, 512))
    assert near(boxes_of(source)[0].images[0], COPY)
    with pytest.raises(DataError, match="does not tell the size of its image, and nothing here op"):
        boxes_of(SceneGraphs(path=str(tmp_path)))


def test_one_small_box_cannot_tell_how_large_the_image_is(tmp_path: Path):
    carina = {"carina": LARGE["carina"]}
    (tmp_path / f"{DICOM}{SUFFIX}").write_text(graph(carina, (2500, 3000)))
    source, opened = annotator(tmp_path, (427, 512))
    boxes_of(source, *[study()] * 10)
    assert len(opened) == 10
    assert boxes_of(source)[0].images[0][0].x1 == pytest.approx(0.48, abs=COPY)


def test_coordinates_on_the_image_need_the_image_as_it_was(tmp_path: Path):
    (tmp_path / f"{DICOM}{SUFFIX}").write_text(graph(LARGE, (2500, 3000), padded=False))
    source, _ = annotator(tmp_path, (2500, 3000))
    assert near(boxes_of(source)[0].images[0], 1e-9)
    source, _ = annotator(tmp_path, (427, 512))
    with pytest.raises(
        DataError, match="its boxes reach to 2200 × 3070, and the image is 427 × 51"
    ):
        boxes_of(source)


def test_sizes_follow_from_the_two_sets_of_coordinates():
    rng = np.random.default_rng(0)
    for size in ((2500, 3000), (3056, 2544), (2000, 2000), (1024, 2048), (4280, 3520)):
        for _ in range(20):
            edges = np.sort(rng.integers(0, 1000, (36, 2, 2)), axis=1) / 1000 * np.array(size)
            original = edges.reshape(36, 4).round()
            padded = original * (224 / max(size)) + np.tile(bars_of(size), 2)
            found = image_size(padded.round(), original)
            assert found == pytest.approx(size, rel=0.0075)


def test_edges_that_do_not_agree_tell_no_size():
    original = np.array([[0.0, 0.0, 100.0, 200.0], [50.0, 50.0, 90.0, 90.0]])
    assert image_size(original * [1, 2, 1, 2], original) is None
    assert image_size(np.zeros((1, 4)), np.zeros((1, 4))) is None


def test_an_image_is_found_by_its_file_or_by_the_id_of_its_study(graphs: Path):
    source, _ = annotator(graphs, (2500, 3000))
    built, lateral = study("s1/0.png", id=DICOM), study(f"{DICOM}.jpg", "lateral.jpg")
    found = boxes_of(source, built, lateral, study("unknown.jpg"))
    assert [[len(image) for image in each.images] for each in found] == [[4], [4, 0], [0]]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"objects": [{"x1": 0}]}', '{"objects": [{"bbox_name": "spine", "x1": 0}]}'],
)
def test_a_file_that_is_no_graph_is_named(tmp_path: Path, text: str):
    (tmp_path / f"{DICOM}{SUFFIX}").write_text(text)
    source, _ = annotator(tmp_path, (100, 100))
    with pytest.raises(DataError, match=rf"{DICOM}{SUFFIX}.* (is not a scene graph|has neither)"):
        boxes_of(source)


def test_a_folder_without_graphs_is_refused(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"holds no \*_SceneGraph.json. Chest ImaGenome has them in"
    ):
        SceneGraphs(path=str(tmp_path)).read_given()
    with pytest.raises(DataError, match=r"does not exist: expected a folder of \*_SceneGraph.json"):
        SceneGraphs(path=str(tmp_path / "nowhere")).read_given()
    with ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(DataError, match=r"empty.zip holds no \*_SceneGraph.json"):
        SceneGraphs(path=str(tmp_path / "empty.zip")).read_given()
    (tmp_path / "none.zip").write_text("PK")
    with pytest.raises(DataError, match="is no zip file that can be read"):
        SceneGraphs(path=str(tmp_path / "none.zip")).read_given()


# ---- tables ---------------------------------------------------------------------------------

HEAD = ("image_id", "bbox_name", "x1", "y1", "x2", "y2")
SIZED = (*HEAD, "image_width", "image_height")


def table(folder: Path, *rows: Sequence[str], **columns: str | None) -> BoxTable:
    return BoxTable(path=write_rows(folder / "boxes.csv", *rows), columns=columns)


def test_a_table_of_pixels_becomes_fractions(tmp_path: Path):
    rows = [(DICOM, name, *map(str, edges), "2500", "3000") for name, edges in LARGE.items()]
    assert near(boxes_of(table(tmp_path, SIZED, *rows))[0].images[0], 1e-9)


def test_a_table_of_fractions_is_clipped(tmp_path: Path):
    source = table(
        tmp_path,
        HEAD,
        (f"{DICOM}.dcm", "Cardiac  Silhouette", "-0.1", "0.5", "0.5", "1.2"),
        (DICOM, "svc", "0.5", "0.2", "0.5", "0.6"),
        (DICOM, "spine", "1.2", "0", "1.4", "1"),
    )
    assert boxes_of(source)[0].images == ((Box("cardiac silhouette", 0.0, 0.5, 0.5, 1.0),),)


def test_columns_are_found_by_any_usual_name_or_the_one_that_is_said(tmp_path: Path):
    head = ("Label", "YMAX", "xmax", "ymin", "xmin", "file", "note")
    row = ("spine", "1", "0.6", "0", "0.4", "a/b.png", "0.5")
    expected = ((Box("spine", 0.4, 0.0, 0.6, 1.0),),)
    assert boxes_of(table(tmp_path, head, row), study("a/b.png"))[0].images == expected
    source = table(tmp_path, head, row, x1="note")
    assert boxes_of(source, study("a/b.png"))[0].images[0][0].x1 == 0.5


@pytest.mark.parametrize(
    ("named", "where", "found"),
    [
        ("1.2.840.dcm", "p1/1.2.840.jpg", True),
        ("files/p1/x.jpg", "p1/x.png", True),
        ("x", "a/b/x.jpg", True),
        ("CXR1/0.png", "CXR1/0.png", True),
        ("CXR1/0.png", "CXR2/0.png", False),
        ("CXR1\\0.png", "CXR1/0.png", True),
        ("images/CXR1/0.png", "CXR1/0.png", True),
        ("y", "a/b/x.jpg", False),
    ],
)
def test_an_image_is_found_by_the_end_of_its_path(
    tmp_path: Path, named: str, where: str, found: bool
):
    source = table(tmp_path, HEAD, (named, "spine", "0", "0", "1", "1"))
    assert bool(boxes_of(source, study(where))[0].images[0]) is found


def test_an_end_that_several_paths_have_is_nobodys(tmp_path: Path):
    rows = [(f"CXR{i}/0.png", "spine", "0", "0", f"0.{i}", "1") for i in (1, 2)]
    source = table(tmp_path, HEAD, *rows)
    assert boxes_of(source, study("0.png"))[0].images == ((),)
    assert boxes_of(source, study("CXR2/0.png"))[0].images[0][0].x2 == 0.2


def test_a_table_of_studies_is_about_their_frontal_image(tmp_path: Path):
    source = table(tmp_path, ("study_id", *HEAD[1:]), ("50414267", "spine", "0", "0", "1", "1"))
    both = study("a.jpg", "b.jpg", views=("lateral", "frontal"))
    assert [len(image) for image in boxes_of(source, both)[0].images] == [0, 1]
    assert len(boxes_of(source, study(views=("unknown",)))[0].images[0]) == 1
    with pytest.raises(DataError, match="of whose 2 images 2 may be meant; a table that names ima"):
        boxes_of(source, study("a.jpg", "b.jpg"))


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        (HEAD, ("a", "spine", "0", "0", "x", "1"), "line 2: x2 is 'x'; expected a number"),
        (HEAD, ("a", "spine", "0", "0", "nan", "1"), "line 2: x2 is 'nan'; expected a number"),
        (HEAD, ("a", "spine", "0.5", "0", "0.4", "1"), "line 2: x2 is left of x1, or y2 above y1"),
        (HEAD, ("a", "spine", "0", "0", "99", "1"), "line 2: 0, 0, 99, 1 are no fractions of an"),
        (HEAD, ("a", "", "0", "0", "1", "1"), "line 2: the box has no name"),
        (HEAD, ("", "spine", "0", "0", "1", "1"), "line 2: the box has no image or study"),
        (HEAD, ("a", "spine", "0", "0", "1"), "line 2: has 5 cells; the first line has 6"),
        (HEAD[1:], ("spine", "0", "0", "1", "1"), "no column for image"),
        (HEAD[:-1], ("a", "spine", "0", "0", "1"), "no column for y2; say which it is: columns.N"),
        (SIZED[:-1], ("a", "spine", "0", "0", "1", "1", "9"), "no column for height"),
        (SIZED, ("a", "spine", "0", "0", "1", "1", "0", "9"), "line 2: an image of 0 × 9 pixels"),
        (
            SIZED,
            ("a", "spine", "0", "0", "1", "1", "99", "99"),
            "no coordinate is above 1, so that",
        ),
        (
            (*HEAD, "width", "height"),
            ("a", "spine", "300", "250", "1150", "2300", "850", "2050"),
            "width and height are those of the box, x2 - x1 and y2 - y1; expected the image's",
        ),
    ],
)
def test_a_table_that_is_not_so_is_refused(
    tmp_path: Path, head: Sequence[str], row: Sequence[str], said: str
):
    with pytest.raises(DataError) as refused:
        table(tmp_path, head, row).read_given()
    assert said in str(refused.value)
    assert "boxes.csv" in str(refused.value)


def test_a_column_that_is_said_and_not_there_is_named(tmp_path: Path):
    row = ("a", "spine", "0", "0", "1", "1")
    with pytest.raises(
        DataError, match=r"no column 'bbox_nane' \(name\). Did you mean 'bbox_name'"
    ):
        table(tmp_path, HEAD, row, name="bbox_nane").read_given()
    with pytest.raises(DataError, match="'nam' is nothing a column can mean"):
        table(tmp_path, HEAD, row, nam="x").read_given()
    sized = (*row, "10", "10")
    source = table(tmp_path, SIZED, sized, width=None, height=None)
    assert boxes_of(source, study("a.png"))[0].images[0][0].x2 == 1.0


def test_every_landmark_can_be_named(tmp_path: Path):
    source = table(
        tmp_path, HEAD, *((DICOM, name.title(), "0", "0", "1", "1") for name in LANDMARKS)
    )
    assert [box.name for box in boxes_of(source)[0].images[0]] == list(LANDMARKS)
