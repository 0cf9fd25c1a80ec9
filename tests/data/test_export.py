"""`rrg data export`: what is written reads back the same, and nothing is left by halves."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrg_data.r2gen import R2GenDataset
from rrg_data.table import TableDataset
from rrg_phantom.dataset import PhantomDataset
from rrgcore import load_recipe
from rrgcore.annotations import Annotation, Boxes, Labels, NGrams, RadGraph
from rrgcore.cleaning import CLEANERS
from rrgcore.datasets import load_component, load_dataset
from rrgcore.errors import DataError, RecipeError, UserError
from rrgcore.export import export_dataset
from rrgcore.plugins import Discovered
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset, KeepsRawReports

Rrg = Callable[..., Any]
SPLITS = ("train", "val", "test")
SMALL = ("train=20", "val=2", "test=2", "image_size=32")


class Few(Dataset):
    """Studies of a training split; an image is named by its side, in pixels."""

    def __init__(self, *studies: Study, labels: Sequence[str] = ()) -> None:
        self.all = studies
        self.labels = labels

    def studies(self, split: str) -> Sequence[Study]:
        return self.all if split == "train" else ()

    def open(self, image: ImageRef) -> np.ndarray:
        if not image.where.isdecimal():
            raise DataError(f"image {image.where}: there is no such file")
        side = int(image.where)
        return np.arange(side * side, dtype=np.uint8).reshape(side, side)

    def annotation(self, study: Study, kind: type) -> Any:
        return Labels({"Edema": 1}) if kind is Labels and study.id in self.labels else None


def study(id: str, *, images: Sequence[str] = ("20",), report: str | None = "clear .") -> Study:
    return Study(id, tuple(map(ImageRef, images)), ("unknown",) * len(images), report)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


# ---- there and back ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phantoms() -> PhantomDataset:
    return PhantomDataset(image_size=48, train=6, val=3, test=2, lateral=True)


@pytest.fixture(scope="module")
def exported(phantoms: PhantomDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "phantoms"
    export_dataset(phantoms, folder)
    return folder


def test_ids_views_and_reports_read_back_the_same(phantoms: PhantomDataset, exported: Path) -> None:
    data = R2GenDataset(root=str(exported), cleaning="none")
    for split in SPLITS:
        before, after = phantoms.studies(split), data.studies(split)
        assert [(s.id, s.views, s.report) for s in after] == [
            (s.id, s.views, s.report) for s in before
        ]
    assert data.studies("val")[0].views == ("frontal", "lateral")
    assert data.check_data() == []


def test_pixels_read_back_the_same(phantoms: PhantomDataset, exported: Path) -> None:
    data = R2GenDataset(root=str(exported))
    for split in SPLITS:
        for before, after in zip(phantoms.studies(split), data.studies(split), strict=True):
            for drawn, read in zip(before.images, after.images, strict=True):
                np.testing.assert_array_equal(data.open(read), phantoms.open(drawn))


def test_images_are_grey_png_of_8_bits(exported: Path) -> None:
    with Image.open(exported / "images" / "phantom-train-00000" / "1.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))


@pytest.mark.parametrize("kind", [RadGraph, Labels, Boxes])
def test_annotations_read_back_the_same(
    kind: type, phantoms: PhantomDataset, exported: Path
) -> None:
    data = R2GenDataset(root=str(exported))
    for split in SPLITS:
        for before, after in zip(phantoms.studies(split), data.studies(split), strict=True):
            assert data.annotation(after, kind) == phantoms.annotation(before, kind) is not None


def test_the_default_cleaning_keeps_the_words_that_radgraph_counts(exported: Path) -> None:
    data = R2GenDataset(root=str(exported))
    for each in data.studies("train"):
        graph = data.annotation(each, RadGraph)
        assert graph is not None
        assert tuple((each.report or "").split()) == graph.words


def test_a_row_says_its_split_and_whose_it_is_where_that_is_known(tmp_path: Path) -> None:
    export_dataset(Few(replace(study("a"), subject="p7"), study("b")), tmp_path / "data")
    written = json.loads((tmp_path / "data/annotation.json").read_text())
    assert [(row["split"], row.get("subject_id")) for row in written["train"]] == [
        ("train", "p7"),
        ("train", None),
    ]
    assert "subject_id" not in written["train"][1]
    data = R2GenDataset(root=str(tmp_path / "data"))
    assert [each.subject for each in data.studies("train")] == ["p7", None]


def test_what_was_read_can_be_written_again(exported: Path, tmp_path: Path) -> None:
    export_dataset(R2GenDataset(root=str(exported), cleaning="none"), tmp_path / "again")
    assert files(tmp_path / "again") == files(exported)
    for name in files(exported):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def reports(root: Path) -> dict[str, str]:
    data = json.loads((root / "annotation.json").read_text(encoding="utf-8"))
    return {row["id"]: row["report"] for rows in data.values() for row in rows}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """R2Gen's file as a radiologist writes: case, commas, decimals, a list, dashes."""
    texts = {
        "train": ["Nodule of 3.5 cm, left.  1. Heart/lungs: OK. 2. No effusion.", "T11. Old – <x>"],
        "val": ["Clear lungs\nand XXXX."],
        "test": ["Mild edema, 20% worse!"],
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, those in texts.items():
        for number, text in enumerate(those):
            id = f"CXR_{split}{number}"
            ids = {"subject_id": split, "study_id": f"{split}{number}"}
            row = {"id": id, "report": text, "image_path": [f"{id}/0.png"], **ids}
            rows.setdefault(split, []).append(row)
            (tmp_path / "mine/images" / id).mkdir(parents=True)
            shade = np.full((20, 20), len(text), np.uint8)
            Image.fromarray(shade).save(tmp_path / "mine/images" / id / "0.png")
    (tmp_path / "mine/annotation.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "mine"


@pytest.mark.parametrize("rule", CLEANERS)
def test_r2gen_s_file_comes_out_as_it_went_in(rule: str, written: Path, tmp_path: Path) -> None:
    before = R2GenDataset(root=str(written), cleaning=rule)
    exported = export_dataset(before, tmp_path / "again")
    assert exported.cleaning == rule
    assert reports(tmp_path / "again") == reports(written)
    after = R2GenDataset(root=str(tmp_path / "again"), cleaning=rule)
    for split in SPLITS:
        assert after.studies(split) == before.studies(split) != []


def test_the_command_names_the_rule_that_reads_it_back(rrg: Rrg, written: Path) -> None:
    answer = rrg("data", "export", "r2gen", "again", f"root={written}", "cleaning=r2gen-mimic")
    read = "To read it in a recipe: data.name=r2gen data.root=again data.cleaning=r2gen-mimic"
    assert answer.out.splitlines()[-1] == read
    assert reports(Path("again")) == reports(written)


def test_a_table_s_reports_are_written_as_they_stand_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    Image.new("L", (20, 20), 7).save(tmp_path / "mine/a.png")
    lines = ("id,findings,impression,image,split", 'a,"3.5 cm, left.",Normal.,a.png,train')
    (tmp_path / "mine/reports.csv").write_text("\n".join(lines))
    columns = {"report": ["findings", "impression"]}
    table = TableDataset(root=str(tmp_path / "mine"), columns=columns)
    assert export_dataset(table, tmp_path / "data").cleaning == "lossless"
    assert reports(tmp_path / "data") == {"a": "3.5 cm, left. Normal."}


@pytest.mark.parametrize(("raw", "rule"), [("Hazy.", "lossless"), (None, "lossless"), ("", "mine")])
def test_a_report_that_its_rule_does_not_make_is_written_as_it_is_given(
    raw: str | None, rule: str, tmp_path: Path
) -> None:
    class Edited(Few, KeepsRawReports):
        cleaning = rule

        def raw_report(self, study: Study) -> str | None:
            return "Clear." if study.id == "a" else raw

    exported = export_dataset(Edited(study("a"), study("b")), tmp_path / "data")
    assert exported.cleaning == "none"
    assert reports(tmp_path / "data") == {"a": "clear .", "b": "clear ."}


def test_the_default_recipe_is_good_on_exported_phantoms(
    plugins: Discovered, tmp_path: Path
) -> None:
    export_dataset(PhantomDataset(image_size=32, train=20, val=4, test=4), tmp_path / "data")
    # naming another dataset drops the options of the one before
    overrides = (
        "data.name=r2gen",
        f"data.root={tmp_path / 'data'}",
        "data.image_size=32",
        "data.batch_size=4",
    )
    session = load_recipe("kia_graph", variants=["tiny"], overrides=overrides, plugins=plugins)
    plan = session.check()
    assert plan.dataset.name == "r2gen"
    assert plan.objectives["mlm"].options["masking"].cls.reads == (RadGraph,)


# ---- sidecars ---------------------------------------------------------------------------------


def test_what_a_study_carries_is_written_too(tmp_path: Path) -> None:
    carried = study("a").annotated({NGrams: NGrams({"Edema": ("mild edema",)})})
    written = export_dataset(Few(carried, labels=["a"]), tmp_path / "data")
    assert written.annotations == ("labels", "ngrams")
    assert json.loads((tmp_path / "data/annotations/ngrams.jsonl").read_text()) == {
        "id": "a",
        "value": {"Edema": ["mild edema"]},
    }


def test_what_a_study_carries_comes_before_what_the_data_knows(tmp_path: Path) -> None:
    carried = study("a").annotated({Labels: Labels({"Edema": -1})})
    export_dataset(Few(carried, labels=["a"]), tmp_path / "data")
    data = R2GenDataset(root=str(tmp_path / "data"))
    assert data.annotation(data.studies("train")[0], Labels) == Labels({"Edema": -1})


def test_an_annotation_of_somebody_else_is_written_under_its_slug(tmp_path: Path) -> None:
    class Gaze:
        slug = "gaze"

        @classmethod
        def from_json(cls, data: Any) -> "Gaze":
            return cls()

        def to_json(self) -> Any:
            return [1, 2]

    assert isinstance(Gaze(), Annotation)
    export_dataset(Few(study("a").annotated({Gaze: Gaze()})), tmp_path / "data")
    text = (tmp_path / "data/annotations/gaze.jsonl").read_text()
    assert text == '{"id": "a", "value": [1, 2]}\n'


def test_an_annotation_that_some_studies_lack_is_left_out_and_counted(tmp_path: Path) -> None:
    written = export_dataset(Few(study("a"), study("b"), labels=["b"]), tmp_path / "data")
    assert (written.annotations, written.partial) == ((), {"labels": 1})
    assert files(tmp_path / "data") == ["annotation.json", "images/a/0.png", "images/b/0.png"]
    assert not (tmp_path / "data/annotations").exists()


# ---- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["p10/s5", "..", ".", "a:b?", "Ä 1", "%2E."])
def test_an_id_that_is_no_file_name_reads_back_and_stays_inside(id: str, tmp_path: Path) -> None:
    export_dataset(Few(study(id), study("other")), tmp_path / "data")
    data = R2GenDataset(root=str(tmp_path / "data"))
    assert [each.id for each in data.studies("train")] == [id, "other"]
    assert data.check_data() == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    export_dataset(Few(study("a")), tmp_path / "data")
    assert files(tmp_path) == ["data/annotation.json", "data/images/a/0.png"]


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("studies", "said"),
    [
        ([study("a"), study("b", report=None)], "study 'b' has no report; in R2Gen's layout"),
        ([study("a", report=" ."), study("b", report="")], "study 'a' and 1 more of 2 has no rep"),
        ([study("a", images=())], "study 'a' has no image; in R2Gen's layout"),
        ([study("a"), study("b"), study("a")], "study 'a' is there twice; in R2Gen's layout"),
        ([study("a"), study("b", images=("x.png",))], "study 'b': image x.png: there is no such"),
        ([study("a", images=("20", "8"))], "study 'a': image 8: is 8 × 8 pixels; expected at lea"),
        ([], "the data has no studies in train, val or test: there is nothing to write"),
    ],
)
def test_a_study_that_cannot_be_written_leaves_nothing(
    studies: list[Study], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        export_dataset(Few(*studies), tmp_path / "data")
    assert str(error.value).startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, RuntimeError])
def test_being_stopped_half_way_leaves_nothing(
    stopped: type[BaseException], tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def stop(done: int, total: int) -> None:
        seen.append([path.name for path in tmp_path.iterdir()])
        if done == 2:
            raise stopped

    with pytest.raises(stopped):
        export_dataset(Few(*map(study, "abc")), tmp_path / "data", progress=stop)
    assert seen == [[".data.writing"], [".data.writing"]]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=r"is not empty: it holds a\.txt and 2 more\. Name a fol"):
        export_dataset(Few(study("a")), tmp_path)
    assert files(tmp_path) == ["a.txt", "b.txt", "c.txt"]


def test_a_file_in_its_place_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UserError, match="data is a file; name a folder that does not exist yet"):
        export_dataset(Few(study("a")), tmp_path / "data")
    with pytest.raises(UserError, match=r"data/below cannot be written \(.*name another folder"):
        export_dataset(Few(study("a")), tmp_path / "data" / "below")
    assert (tmp_path / "data").read_text() == "mine"


def test_the_folder_one_is_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^\. is the folder that you are in; name one below it"):
        export_dataset(Few(study("a")), ".")


# ---- options ----------------------------------------------------------------------------------


def test_any_component_that_needs_no_model_may_be_loaded(plugins: Discovered, r2gen: Path) -> None:
    loaded = load_component("dataset", "r2gen", [f"root={r2gen}"], plugins.registry)
    assert isinstance(loaded, R2GenDataset)
    with pytest.raises(RecipeError, match=r"metric phantom_findings: 1 problem(?s:.*)no option"):
        load_component("metric", "phantom_findings", ["weigth=1"], plugins.registry)


def test_core_fills_in_what_a_recipe_s_data_would(plugins: Discovered) -> None:
    data = load_dataset("phantom", ["train=3"], plugins.registry)
    assert isinstance(data, PhantomDataset)
    assert (data.image_size, len(data.studies("train"))) == (224, 3)


def test_a_path_may_name_the_environment(
    plugins: Discovered, r2gen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRG_DATA", str(r2gen.parent))
    data = load_dataset("r2gen", ["root=$RRG_DATA/r2gen"], plugins.registry)
    assert len(data.studies("train")) == 12


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("phantm", [], ["name (", "no dataset called 'phantm'. Did you mean 'phantom'?"]),
        ("phantom", ["tran=3"], ["tran (", "has no option 'tran'. Did you mean 'train'?"]),
        ("phantom", ["train=many"], ["train (", "expected int, got 'many'"]),
        ("phantom", ["train"], ["train (", "expected OPTION=VALUE"]),
        ("phantom", ["name=r2gen"], ["name=r2gen (", "expected OPTION=VALUE"]),
        ("phantom", ["=3"], ["=3 (", "expected OPTION=VALUE"]),
        ("phantom", ["train=[1"], ["train (", "while parsing a flow sequence"]),
        ("phantom", ["normal=2"], ["`normal` is 2.0; expected a share between 0 and 1"]),
        ("phantom", ["image_size=0"], ["`image_size` is 0; expected at least 1"]),
        ("r2gen", [], ["dataset 'r2gen' needs the option 'root'"]),
        ("r2gen", ["root=$NOWHERE_AT_ALL"], ["root (", "NOWHERE_AT_ALL", "is not set"]),
        ("r2gen", ["root=x", "image_size=8"], ["dataset 'r2gen' has no option 'image_size'"]),
    ],
)
def test_a_mistake_in_an_option_is_told_with_the_nearest(
    name: str, options: list[str], said: list[str], plugins: Discovered
) -> None:
    with pytest.raises(RecipeError) as error:
        load_dataset(name, options, plugins.registry)
    text = str(error.value)
    assert text.startswith(f"dataset {name}: 1 problem\n")
    assert all(part in text for part in said), text


def test_every_mistake_is_told_at_once(plugins: Discovered) -> None:
    with pytest.raises(RecipeError) as error:
        load_dataset("phantom", ["tran=3", "seed=x", "lateral"], plugins.registry)
    assert [problem.address for problem in error.value.problems] == ["lateral", "tran", "seed"]


# ---- the command ------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote_and_how_to_read_it(rrg: Rrg) -> None:
    answer = rrg("data", "export", "phantom", "my data", *SMALL)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "my data: 24 studies (20 train, 2 val, 2 test), 24 images, "
        "annotations: radgraph, labels, boxes, finding_boxes",
        PhantomDataset.caution,
        "To read it in a recipe: data.name=r2gen 'data.root=my data' data.cleaning=none",
    ]
    read = ("data.name=r2gen", "data.root=my data", "data.cleaning=none")
    assert rrg("check", "kia_graph", "--variant", "tiny", *read).code == 0


def test_the_command_counts_what_it_left_out(rrg: Rrg, r2gen: Path) -> None:
    sidecar = r2gen / "annotations" / "labels.jsonl"
    sidecar.write_text(sidecar.read_text().partition("\n")[0])
    answer = rrg("data", "export", "r2gen", "out", f"root={r2gen}")
    assert answer.out.splitlines()[:2] == [
        "out: 20 studies (12 train, 4 val, 4 test), 20 images, annotations: radgraph",
        "labels: left out, since only 1 of 20 studies have it",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["phantm", "out"], "no dataset called 'phantm'. Did you mean 'phantom'?"),
        (["phantom", "out", "trian=3"], "Did you mean 'train'?"),
        (["phantom", "out", "image_size=8", *SMALL[:3]], "is 8 × 8 pixels"),
        (["r2gen", "out", "root=nowhere"], "data.root: the folder nowhere does not exist"),
        (["phantom", ".", *SMALL], ". is the folder that you are in"),
        (["phantom"], "Missing argument 'DIR'"),
    ],
)
def test_a_mistake_exits_with_2_and_leaves_nothing(
    arguments: list[str], said: str, rrg: Rrg
) -> None:
    answer = rrg("data", "export", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("arguments", ["data --help", "data export --help", "data export phantm x"])
def test_what_needs_no_data_imports_no_torch(arguments: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['rrg', *sys.argv[1:]]\n"
        "from rrgcore.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("option", ["train=-3", "val=-1", "test=-1"])
def test_fewer_than_no_phantoms_are_refused(rrg: Rrg, tmp_path: Path, option: str) -> None:
    answer = rrg("data", "export", "phantom", tmp_path / "px", *SMALL, option)
    split, _, count = option.partition("=")
    assert answer.code == 2
    assert f"`{split}` is {count}; expected a number of studies, at least 0" in answer.err
    assert not (tmp_path / "px").exists()


def test_labels_are_written_as_the_mapping_that_people_write() -> None:
    bare = Labels({"Edema": 1})
    sourced = Labels({"Edema": 1}, {"Edema": "rules"})
    assert bare.to_json() == {"Edema": 1}
    assert sourced.to_json() == {"values": {"Edema": 1}, "sources": {"Edema": "rules"}}
    assert [Labels.from_json(each.to_json()) for each in (bare, sourced)] == [bare, sourced]
