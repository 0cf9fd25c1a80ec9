"""What fuzzing found, each with the smallest input that shows it."""

import gzip
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_data.r2gen import R2GenDataset
from rrg_data.table import TableDataset
from rrg_kia.atlas import load_atlas
from rrg_kia.atlas_prior import AtlasPrior
from rrg_knowledge.label_table import LabelTable
from rrg_knowledge.nearest_by_matrix import NearestByMatrix
from rrg_knowledge.nearest_index import Entry, ReportIndex
from rrg_knowledge.radgraph_file import RadGraphFile
from rrg_knowledge.scene_graphs import SceneGraphs
from rrgcore.annotations import Boxes, Labels, NGrams, Probabilities, RadGraph
from rrgcore.errors import DataError, RecipeError, RunError, UserError
from rrgcore.images import decode_image
from rrgcore.images.apart import Undecodable, decode_apart
from rrgcore.scoring.cautions import ORACLE, cautions_of
from rrgcore.scoring.judging import training_reports
from rrgcore.scoring.report_files import load_reports
from rrgcore.scoring.systems import load_systems
from rrgcore.session import load_recipe
from rrgcore.sidecar import learned_from
from rrgcore.yaml_loader import read_yaml

from .harness import bounded, installed
from .test_fuzz_images import GREY, dicom, pictures, scans
from .test_fuzz_knowledge import ATLAS, IDS, SCENE, STUDIES
from .test_fuzz_recipes import TINY
from .test_fuzz_rows import data_set, use_all


def refused(call: Callable[[], Any], kind: type[UserError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def planned(*overrides: str) -> Any:
    return load_recipe(TINY, overrides=overrides, plugins=installed()).plan


# ---- recipes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["3", "null", "[a, [b]]", "{a: b}", "1.5"])
def test_a_variant_on_top_of_what_is_no_name_is_refused_by_its_line(
    tmp_path: Path, on: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"seed: 1\nvariants:\n  a: {{on: {on}}}", encoding="utf-8")
    said = refused(lambda: load_recipe(path, variants=["a"], plugins=installed()), RecipeError)
    assert "variants.a.on (line 3)" in said
    assert "expected the name of a variant" in said


@pytest.mark.parametrize("ref", ["[a]", "{a: b}", "null", "3"])
def test_a_reference_that_is_no_name_is_refused(ref: str) -> None:
    said = refused(lambda: planned(f"model.encoder.trunk={{ref: {ref}}}"), RecipeError)
    assert "model.encoder.trunk.ref" in said
    assert "expected the name of a part of model.shared" in said


@pytest.mark.parametrize("name", ["3", "[phantom]", "{name: phantom}", "null"])
def test_a_data_set_whose_name_is_no_word_is_refused(name: str) -> None:
    assert "needs a `name`: which dataset?" in refused(
        lambda: planned(f"data={{name: {name}}}"), RecipeError
    )


def test_one_number_too_many_in_a_pair_is_refused() -> None:
    said = refused(lambda: planned("stages.align.optimizer.betas=[0.9, 0.99, x]"), RecipeError)
    assert "stages.align.optimizer.betas" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a: "\\UFFFFFFFF"', "the code of no character"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", "a number that YAML cannot read"),
        ("a: " + "9" * 5000, "a number of 5,000 digits"),
        ("[" + "9" * 5000 + "]", "a number of 5,000 digits"),
        ('a: "\\0"', "is not allowed in a recipe's texts"),
        ('"a\\0": 1', "is not allowed in a recipe's texts"),
        ('a: "\\ud800"', "is not allowed in a recipe's texts"),
        ("a: " + "[" * 3000, "more than 100 levels"),
        ("{a: " * 3000, "more than 100 levels"),
        ("- " * 3000, "more than 100 levels"),
        ("a: " + "x" * 2_000_000, "which no recipe has"),
    ],
)
def test_a_text_that_ends_other_readers_of_yaml_is_refused(text: str, said: str) -> None:
    _, problems = read_yaml(text, file="r.yaml")
    assert said in problems[-1].text
    assert problems[-1].line is not None


def test_what_an_error_quotes_cannot_steer_a_terminal_and_can_be_written() -> None:
    said = str(UserError("a\x1b[2Jb \ud800 \x85 \u202e c\nd\te"))
    assert said == "a\\x1b[2Jb \\ud800 \\x85 \\u202e c\nd\te"


def test_an_error_has_an_end_however_much_is_wrong() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(300))
    said = refused(
        lambda: planned(f"seed={'x' * 5000}", f"model.encoder={{name: vit, {keys}}}"), RecipeError
    )
    assert "more" in said
    assert len(said) < 20_000


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 65535])
def test_a_lookup_table_of_an_impossible_depth_is_damage(bits: int) -> None:
    pytest.importorskip("pydicom")
    table = {"LUTDescriptor": [4, 0, bits], "LUTData": bytes(range(4))}
    data = dicom({}, [], "1.2.840.10008.1.2.1", {"VOILUTSequence": table})
    assert "is a damaged DICOM file" in refused(lambda: decode_image(data, name="a.dcm"))


def test_a_damaged_note_in_a_picture_that_can_be_read_is_no_ones_business() -> None:
    data = pictures()["turned.jpg"]
    at = data.index(b"Exif\0\0") + 6
    broken = data[: at + 8] + b"\xff\x00" + data[at + 10 :]  # so many tags
    assert decode_image(broken, name="a.jpg").ndim == 2


def test_a_file_that_ends_the_process_of_its_decoder_ends_no_other() -> None:
    pytest.importorskip("gdcm")
    jpeg = scans()["jpeg.dcm"]
    broken = jpeg.replace(b"\xff\xd8\xff", b"\xff\xd8\x00", 1)
    with pytest.raises(Undecodable, match="its decoder ended"):
        decode_apart(broken)
    assert decode_apart(jpeg).shape == (24, 20)
    assert "is a damaged DICOM file" in refused(lambda: decode_image(broken, name="a.dcm"))


def test_what_a_decoder_says_of_a_file_is_told_by_its_kind() -> None:
    pytest.importorskip("gdcm")
    with pytest.raises(Undecodable, match=r"^\w+ from pydicom$"):
        decode_apart(b"nothing")


@pytest.mark.parametrize("name", ["lossless.dcm", "jpeg-ls.dcm"])
def test_pixels_decoded_apart_are_the_pixels(name: str) -> None:
    assert np.array_equal(decode_image(scans()[name], name=name), GREY)


# ---- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Labels, {"values": [1]}),
        (Labels, {"values": {"Edema": 1}, "sources": "me"}),
        (Probabilities, {"Edema": 10**400}),
        (NGrams, {"Edema_True": None}),
        (NGrams, {"Edema_True": "pulmonary edema"}),
        (NGrams, {"Edema_True": [["pulmonary edema"]]}),
        (Boxes, [[{"name": "spine", "x1": "0", "y1": 0, "x2": 1, "y2": 1}]]),
        (Boxes, [[{"name": "spine", "x1": float("nan"), "y1": 0, "x2": 1, "y2": 1}]]),
        (Boxes, [[{"name": None, "x1": 0, "y1": 0, "x2": 1, "y2": 1}]]),
        (Boxes, [[{"name": "spine", "x1": 0, "y1": 0, "x2": 1, "y2": 10**400}]]),
        (
            RadGraph,
            {
                "text": "a",
                "entities": {
                    "1": {"tokens": "a", "label": "OBS-DP", "start_ix": float("inf"), "end_ix": 0}
                },
            },
        ),
        (
            RadGraph,
            {
                "text": "a",
                "entities": {"1": {"tokens": 3, "label": "OBS-DP", "start_ix": 0, "end_ix": 0}},
            },
        ),
    ],
)
def test_a_value_of_another_form_is_no_annotation(kind: Any, value: Any) -> None:
    assert refused(lambda: kind.from_json(value))


def test_an_annotation_that_is_none_is_not_quoted_for_pages() -> None:
    assert len(refused(lambda: Labels.from_json(["x" * 100_000]))) < 400


def test_boxes_of_more_images_than_the_study_has_are_refused_by_file_and_study() -> None:
    with data_set() as root:
        box = {"name": "spine", "x1": 0, "y1": 0, "x2": 1, "y2": 1}
        path = root / "annotations" / "boxes.jsonl"
        path.write_text(json.dumps({"id": "a", "value": [[box]] * 3}), encoding="utf-8")
        study = R2GenDataset(root=str(root)).studies("train")[0]
        said = refused(lambda: R2GenDataset(root=str(root)).annotation(study, Boxes))
        assert said == f"{path}, study 'a': boxes of 3 images, and the study has 2"
        # those of images that are left out are left out with them
        few = R2GenDataset(root=str(root), max_images=1)
        boxes = few.annotation(few.studies("train")[0], Boxes)
        assert boxes is not None
        assert len(boxes.images) == 1


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.meta.json"
    path.write_text('{"learned_from": 3}', encoding="utf-8")
    assert str(path) in refused(lambda: learned_from(tmp_path / "labels.jsonl"))


@pytest.mark.parametrize("read", ["labels", "radgraph", "table"])
def test_a_packed_file_with_a_damaged_middle_is_refused_by_name(tmp_path: Path, read: str) -> None:
    whole = gzip.compress(b"id,report,image\n" * 50, mtime=0)
    damaged = whole[:12] + b"\xff\xff\xff" + whole[15:]
    with pytest.raises(zlib.error):
        gzip.decompress(damaged)
    path = tmp_path / "file.csv.gz"
    path.write_bytes(damaged)
    use = {
        "labels": lambda: list(LabelTable(path=str(path)).annotate(STUDIES)),
        "radgraph": lambda: list(RadGraphFile(path=str(path)).annotate(STUDIES)),
        "table": lambda: use_all(lambda: TableDataset(root=str(tmp_path))),
    }[read]
    assert str(path) in refused(use)


@pytest.mark.parametrize(
    "text", ['{"a": {"text": "x"},', '{"a": {"text": ' + "[" * 5000, '{"a": {"b": ' + "9" * 5000]
)
def test_a_file_of_radgraphs_that_ends_too_early_or_goes_too_deep_is_refused(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "graphs.json"
    path.write_text(text, encoding="utf-8")
    assert str(path) in refused(lambda: list(RadGraphFile(path=str(path)).annotate(STUDIES)))


@pytest.mark.parametrize(
    "change",
    [
        {"grid": [-2, 3]},
        {"grid": [100_000, 100_000]},
        {"grid": [float("inf"), 3]},
        {"landmarks": {"": {"top1": [0]}}},
        {"landmarks": {}},
        {"landmarks": {"left lung": {"aliases": [3], "top1": [0]}}},
        {"landmarks": ["left lung"]},
        {"sideless_words": {"": ["left lung"]}},
    ],
)
def test_an_atlas_of_nothing_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "atlas.json"
    path.write_text(json.dumps({**ATLAS, **change}), encoding="utf-8")
    assert str(path) in refused(lambda: load_atlas(path))


def test_two_spaces_in_an_alias_are_one(tmp_path: Path) -> None:
    path = tmp_path / "atlas.json"
    landmarks = {"left lung": {"aliases": ["left  lung\tbase"], "top1": [3]}}
    path.write_text(json.dumps({**ATLAS, "landmarks": landmarks}), encoding="utf-8")
    assert AtlasPrior(load_atlas(path)).atlas.aliases == {"left lung": ("left lung base",)}


# ---- matrices ---------------------------------------------------------------------------------


def saved(array: np.ndarray, save: Callable[..., None] = np.save) -> bytes:
    held = BytesIO()
    save(held, array)
    return held.getvalue()


FLOATS = np.ones((3, 4), dtype=np.float32)
BROKEN_HEADER = saved(FLOATS).replace(b"(3, 4), }", b"((3, 4,  ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        saved(FLOATS, np.savez),
        saved(FLOATS, np.savez)[:60],
        BROKEN_HEADER,
        saved(FLOATS).replace(b"(3, 4)", b"(9999999999, 9999999)"),
        saved(np.full((3, 4), 1e300)),
        saved(np.full((3, 4), 1e30)),
        saved(np.array([[print, None]], dtype=object)),
    ],
    ids=["empty", "zip", "cut zip", "header", "shape", "large", "large for 32 bits", "pickle"],
)
def test_what_is_no_matrix_is_refused_and_no_pickle_is_read(tmp_path: Path, data: bytes) -> None:
    path, ids = tmp_path / "images.npy", tmp_path / "ids.txt"
    path.write_bytes(data)
    ids.write_text("\n".join(IDS), encoding="utf-8")
    given = {
        "images": str(path),
        "reports": str(path),
        "image_ids": str(ids),
        "report_ids": str(ids),
    }

    def look() -> None:
        NearestByMatrix(**given).fit(STUDIES)

    assert str(path) in refused(look)


def test_a_saved_index_with_other_rows_than_vectors_is_damaged(tmp_path: Path) -> None:
    entries = [Entry("a", None, None, "clear .")]
    ReportIndex(entries, FLOATS, np.array([0]), "l2").save(tmp_path)
    path = tmp_path / "index.json"
    for text in (None, 3):
        about = json.loads(path.read_text(encoding="utf-8"))
        about["reports"][0]["id"] = text
        path.write_text(json.dumps(about), encoding="utf-8")
        assert "is damaged" in refused(lambda: ReportIndex.load(tmp_path))


# ---- reports ----------------------------------------------------------------------------------


def test_references_a_json_line_each_are_no_splits(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    path.write_text('{"id": "a", "report": "x"}\n{"id": "b", "report": "y"}\n', encoding="utf-8")
    assert training_reports(None, path).training == ()
    assert list(load_reports(path, "reference").texts) == ["x", "y"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_number_of_five_thousand_digits_is_refused_by_its_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"id": ' + "9" * 5000 + "}", encoding="utf-8")
    said = refused(lambda: load_reports(path, "prediction"))
    assert str(path) in said
    assert "more digits than can be read" in said


@pytest.mark.parametrize("data", [{"a": "\ud800 clear"}, ["\ud800 clear"]])
def test_half_a_surrogate_pair_is_refused_without_columns_too(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert f"{path}, report 1: has half a surrogate pair" in refused(
        lambda: load_reports(path, "prediction")
    )


@pytest.mark.parametrize("before", ["\ufeff", "\n", "\ufeff\n \n"])
def test_an_oracles_mark_is_seen_behind_a_byte_order_mark_and_blank_lines(
    tmp_path: Path, before: str
) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(before + '{"id": "a", "prediction": "x", "oracle": true}\n', encoding="utf-8")
    assert cautions_of(path) == [ORACLE]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *[("run.json", text) for text in ("", "[]", "3", "{", '{"recipe": 3}', '{"variants": 3}')],
        *[("recipe.yaml", text) for text in ("", "[]", "a: [", "3", "seed: [1]", "\tx")],
        *[("scores.json", text) for text in ("", "[]", '{"cautions": 3}', '{"cautions": [3]}')],
    ],
)
def test_a_run_with_a_damaged_file_is_refused_by_that_file(
    tmp_path: Path, file: str, text: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"recipe": "tiny", "variants": []}', encoding="utf-8")
    (run / "recipe.yaml").write_text("seed: 1", encoding="utf-8")
    (run / "scores.json").write_text("{}", encoding="utf-8")
    (run / "predictions.jsonl").write_text(
        '{"id": "a", "prediction": "x", "reference": "y"}', encoding="utf-8"
    )
    load_systems([run])
    (run / file).write_text(text, encoding="utf-8")

    def look() -> None:
        load_systems([run])
        cautions_of(run)

    assert str(run / file) in refused(look, RunError)


# ---- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "model.shared.image_trunk.depth=10000000",
        "model.shared.image_trunk.dim=1099511627776",
        "model.shared.joint.dim=1000000000000000000000000000000",
        "model.decoder={name: llama2, tokenizer: words, frozen: false, depth: 1000000000}",
        "model.encoder={name: swin, depths: [1000000000], heads: [2]}",
        "data.image_size=1099511627776",
        "data.max_report_tokens=1099511627776",
        "data.train=1000000000000",
        "objectives.irc.queue=1000000000000000000000000000000",
    ],
)
def test_a_size_beyond_every_machine_is_refused_at_its_address_and_at_once(override: str) -> None:
    def look() -> None:
        with bounded(20, 1024):
            load_recipe(TINY, overrides=[override], plugins=installed()).check(images=False)

    address, _, _ = override.partition("=")
    assert address.rpartition(".")[0] in refused(look, RecipeError)


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-that-name/r.yaml", "a\0b"])
def test_a_name_that_no_system_takes_is_no_recipe(name: str) -> None:
    assert "is no file, and no recipe" in refused(lambda: load_recipe(name), UserError)


@pytest.mark.parametrize(
    ("root", "said"),
    [("x" * 5000, "does not exist"), ("~nobody-of-that-name/x", "there is no such home")],
)
def test_a_folder_that_no_system_takes_does_not_exist(root: str, said: str) -> None:
    def look() -> None:
        data = f"data={{name: r2gen, root: {root}}}"
        load_recipe(TINY, overrides=[data], plugins=installed()).check(images=False)

    assert said in refused(look, RecipeError)


@pytest.mark.parametrize("edge", [10**400, 1e300, float("nan"), float("inf")])
def test_a_scene_graph_with_an_edge_beyond_all_pixels_is_refused(tmp_path: Path, edge: Any) -> None:
    scene = json.loads(json.dumps(SCENE))
    scene["objects"][0]["x2"] = edge
    path = tmp_path / "a_SceneGraph.json"
    path.write_text(json.dumps(scene), encoding="utf-8")

    def look() -> None:
        list(SceneGraphs(path=str(tmp_path)).annotate(STUDIES))

    assert path.name in refused(look)
