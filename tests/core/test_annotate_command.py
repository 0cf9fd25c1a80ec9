"""`rrg annotate` and the function behind it: sidecars, what was learned, and from what."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest

from rrgcore.annotating import AnnotationOrder, annotate_dataset, work_folder
from rrgcore.annotating.tally import Tally
from rrgcore.annotations import (
    Box,
    Boxes,
    Labels,
    NearestReport,
    NGrams,
    Probabilities,
)
from rrgcore.datasets import load_dataset
from rrgcore.errors import DataError, UserError
from rrgcore.plugins import Discovered
from rrgcore.provenance import Artefact, Provenance
from rrgcore.sidecar import made_from_images
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, Dataset, HoldsArtefacts, Workbench

TINY = Path(__file__).parent.parent / "tiny.yaml"
Rrg = Callable[..., Any]


@final
class Shelf(Dataset):
    """Three, two and two studies in memory, whose reports are words of their own."""

    def __init__(self, **known: Any) -> None:
        self.known: Mapping[type, Any] = {type(value): value for value in known.values()}
        self.from_images: set[type] = set()

    def studies(self, split: str) -> Sequence[Study]:
        counts = {"train": 3, "val": 2, "test": 2}
        return [
            Study(f"{split}{i}", (ImageRef(f"{split}{i}.png"),), ("frontal",), f"{split} {i} .")
            for i in range(counts.get(split, 0))
        ]

    def open(self, image: ImageRef) -> np.ndarray:
        return np.full((8, 8), len(image.where), dtype=np.uint8)

    def annotation(self, study: Study, kind: type) -> Any:
        return self.known.get(kind)

    def knows_from_images(self, kind: type) -> bool:
        return kind in self.from_images


@final
class Guess(Annotator, HoldsArtefacts):
    """Learns the training words, and gives each image a probability; fails when it is told to."""

    writes: ClassVar[type] = Probabilities

    def __init__(self, *, fails_at: int | None = None, given: Sequence[Artefact] = ()) -> None:
        self.fails_at = fails_at
        self.given = given
        self.words = 0
        self.fitted: list[str] = []
        self.seen: list[Study] = []
        self.bench: Workbench | None = None

    def artefacts(self) -> Sequence[Artefact]:
        return self.given

    def equip(self, bench: Workbench) -> None:
        self.bench = bench

    def fit(self, studies: Sequence[Study]) -> None:
        self.fitted += [study.id for study in studies]
        self.words = sum(len((study.report or "").split()) for study in studies)

    def save(self, folder: Path) -> None:
        (folder / "words.json").write_text(json.dumps(self.words))

    def load(self, folder: Path) -> None:
        self.words = json.loads((folder / "words.json").read_text())

    def annotate(self, studies: Iterable[Study]) -> Iterator[Probabilities]:
        assert self.bench is not None, "equipped before it annotates"
        for number, study in enumerate(studies):
            if number == self.fails_at:
                raise DataError(f"study '{study.id}' cannot be read")
            self.seen.append(study)
            shade = float(self.bench.open(study.images[0]).mean()) / 100
            yield Probabilities({"Edema": round(shade, 3), "Fracture": self.words / 100})

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        return {"words": {"of train": float(self.words)}}


@final
class Cut(Annotator):
    """Calls what is probable present."""

    writes: ClassVar[type] = Labels
    reads: ClassVar[tuple[type, ...]] = (Probabilities,)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            yield Labels({name: int(p > 0.08) for name, p in study[Probabilities].values.items()})


@final
class Reader(Annotator):
    """Counts the report's words."""

    writes: ClassVar[type] = NGrams
    from_report = True

    def annotate(self, studies: Iterable[Study]) -> Iterator[NGrams]:
        for study in studies:
            yield NGrams({"words": tuple((study.report or "").split())})


def order(out: Path | None = None, **more: Any) -> AnnotationOrder:
    return AnnotationOrder(annotator="guess", out=out, **more)


def lines(path: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["value"] for row in rows}


def record(path: Path) -> Any:
    return json.loads(path.with_suffix(".meta.json").read_text(encoding="utf-8"))


ALL = ["train0", "train1", "train2", "val0", "val1", "test0", "test1"]

# ---- what is made ---------------------------------------------------------------------------


def test_every_split_is_annotated_and_the_training_split_alone_learned_from(tmp_path: Path):
    guess = Guess()
    done = annotate_dataset(Shelf(), guess, order(tmp_path))

    assert guess.fitted == ["train0", "train1", "train2"]
    assert done.sidecar == tmp_path / "probabilities.jsonl"
    assert list(lines(done.sidecar)) == ALL
    assert done.studies == {"train": 3, "val": 2, "test": 2}
    assert done.learned_from == Provenance.of(Shelf().studies("train"))
    assert record(done.sidecar)["learned_from"]["ids"] == guess.fitted
    assert done.summary == {"words": {"of train": 9}}
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "probabilities.jsonl",
        "probabilities.meta.json",
    ]


def test_what_was_learned_can_be_saved_and_loaded(tmp_path: Path):
    folder = tmp_path / "learned"
    done = annotate_dataset(Shelf(), Guess(), order(save=folder))

    assert done.sidecar is None
    again = Guess()
    again.load(folder)
    assert again.words == 9
    learned = json.loads((folder / "learned.json").read_text())
    assert Provenance.from_json(learned) == done.learned_from
    with pytest.raises(UserError, match="holds what was learned before; to write over it: --force"):
        annotate_dataset(Shelf(), Guess(), order(save=folder))
    assert annotate_dataset(Shelf(), Guess(), order(save=folder, force=True)).saved == folder


def test_a_folder_of_somebody_elses_is_never_replaced(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"is not empty: it holds thesis.tex"):
        annotate_dataset(Shelf(), Guess(), order(save=tmp_path, force=True))
    assert (tmp_path / "thesis.tex").exists()


def test_who_learns_nothing_has_nothing_to_save(tmp_path: Path):
    with pytest.raises(UserError, match="'guess' learns nothing, so that there is nothing to save"):
        annotate_dataset(Shelf(), Reader(), order(save=tmp_path / "x"))


def test_what_it_reads_comes_from_others_who_learn_from_the_training_split_too(tmp_path: Path):
    guess = Guess()
    done = annotate_dataset(Shelf(), Cut(), order(tmp_path), others={Probabilities: guess})
    assert guess.fitted == ["train0", "train1", "train2"]
    assert done.learned_from is not None
    assert lines(tmp_path / "labels.jsonl")["val0"] == {"Edema": 0, "Fracture": 1}
    assert record(tmp_path / "labels.jsonl")["built_on"] == {"probabilities": "Guess"}
    assert done.counts == {
        "Edema": {"present": 5, "denied": 2},
        "Fracture": {"present": 7, "denied": 0},
    }


def test_what_it_reads_may_be_the_datas(tmp_path: Path):
    data = Shelf(known=Probabilities({"Edema": 0.5}))
    done = annotate_dataset(data, Cut(), order(tmp_path))
    assert done.learned_from is None
    assert set(map(str, lines(tmp_path / "labels.jsonl").values())) == {"{'Edema': 1}"}
    with pytest.raises(DataError, match="'train0' and 6 more of 7 has no probabilities annotation"):
        annotate_dataset(Shelf(), Cut(), order(tmp_path / "other"))
    assert not (tmp_path / "other").exists(), "nothing half-written stays"


def test_some_splits_and_some_studies_can_be_asked_for(tmp_path: Path):
    guess = Guess()
    annotate_dataset(
        Shelf(),
        guess,
        order(
            tmp_path / "some.jsonl",
            wanted=("test",),
            limit=1,
            splits={"train": "val", "val": "train", "test": "test"},
        ),
    )
    assert guess.fitted == ["val0"]
    assert list(lines(tmp_path / "some.jsonl")) == ["test0"]


def test_nothing_to_learn_from_or_to_annotate_is_said(tmp_path: Path):
    nowhere = {"train": "nowhere", "val": "none", "test": "none"}
    with pytest.raises(DataError, match="no studies in its split 'nowhere', which 'guess' is to"):
        annotate_dataset(Shelf(), Guess(), order(save=tmp_path / "x", splits=nowhere))
    with pytest.raises(DataError, match="no studies in none: there is nothing to annotate"):
        annotate_dataset(
            Shelf(), Guess(), order(tmp_path, splits=nowhere, wanted=("test",), blind=True)
        )
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_written_over_only_when_asked(tmp_path: Path):
    annotate_dataset(Shelf(), Reader(), order(tmp_path))
    (tmp_path / "ngrams.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"ngrams.jsonl is there already; to write over it: --for"):
        annotate_dataset(Shelf(), Reader(), order(tmp_path))
    assert (tmp_path / "ngrams.jsonl").read_text() == "mine"
    annotate_dataset(Shelf(), Reader(), order(tmp_path, force=True))
    assert list(lines(tmp_path / "ngrams.jsonl")) == ALL


# ---- what may be known of an image ----------------------------------------------------------


def test_blind_withholds_the_report_and_what_was_made_of_it(tmp_path: Path):
    guess = Guess()
    done = annotate_dataset(Shelf(known=Labels({"Edema": 1})), guess, order(tmp_path, blind=True))
    assert guess.words == 9, "the training split is learned from whole"
    assert [study.id for study in guess.seen] == ALL
    assert {study.report for study in guess.seen} == {None}
    assert all(not study.annotations for study in guess.seen)
    assert done.sidecar is not None
    assert record(done.sidecar)["from"] == "images"
    assert made_from_images(done.sidecar)


def test_without_blind_nobody_may_take_it_for_made_of_images(tmp_path: Path):
    done = annotate_dataset(Shelf(), Guess(), order(tmp_path))
    assert done.sidecar is not None
    assert record(done.sidecar)["from"] == "reports"
    assert not made_from_images(done.sidecar)


def test_a_sidecar_that_was_edited_is_no_longer_known_to_be_of_images(tmp_path: Path):
    done = annotate_dataset(Shelf(), Guess(), order(tmp_path, blind=True))
    assert done.sidecar is not None
    done.sidecar.write_text(done.sidecar.read_text().replace("0.1", "0.9"))
    assert not made_from_images(done.sidecar)
    done.sidecar.with_suffix(".meta.json").write_text("[]")
    assert not made_from_images(done.sidecar)


def test_blind_refuses_who_reads_the_report(tmp_path: Path):
    with pytest.raises(UserError, match="--blind withholds reports, and Reader, which makes ngram"):
        annotate_dataset(Shelf(), Reader(), order(tmp_path, blind=True))


def test_blind_refuses_what_the_data_read_in_reports(tmp_path: Path):
    data = Shelf(known=Probabilities({"Edema": 0.5}))
    with pytest.raises(UserError, match="the data has no probabilities, which are needed, that"):
        annotate_dataset(data, Cut(), order(tmp_path, blind=True))
    data.from_images = {Probabilities}
    done = annotate_dataset(data, Cut(), order(tmp_path, blind=True))
    assert done.studies == {"train": 3, "val": 2, "test": 2}


def test_an_artefact_that_saw_a_test_study_is_refused(tmp_path: Path):
    tested = Artefact("a classifier", Provenance.of(Shelf().studies("test")[:1]))
    with pytest.raises(DataError, match="a classifier was learned from 'test0' of the studies tha"):
        annotate_dataset(Shelf(), Guess(given=[tested]), order(tmp_path, wanted=("train",)))
    trained = Artefact("a classifier", Provenance.of(Shelf().studies("train")))
    annotate_dataset(Shelf(), Guess(given=[trained]), order(tmp_path))


# ---- going on -------------------------------------------------------------------------------


def test_work_that_was_stopped_goes_on_where_it_was(tmp_path: Path):
    with pytest.raises(DataError, match="'val1' cannot be read"):
        annotate_dataset(Shelf(), Guess(fails_at=4), order(tmp_path))
    assert not (tmp_path / "probabilities.jsonl").exists()

    second = Guess()
    done = annotate_dataset(Shelf(), second, order(tmp_path))
    assert second.fitted == [], "what was learned is loaded"
    assert [study.id for study in second.seen] == ["val1", "test0", "test1"]
    assert done.resumed == 4
    assert done.counts["Edema"]["studies"] == 7

    whole = annotate_dataset(Shelf(), Guess(), order(tmp_path / "whole"))
    assert done.sidecar is not None
    assert whole.sidecar is not None
    assert done.sidecar.read_text() == whole.sidecar.read_text()
    assert replace(done, sidecar=None, resumed=0) == replace(whole, sidecar=None)
    assert not work_folder(done.sidecar).exists()


def test_half_a_line_is_written_again(tmp_path: Path):
    with pytest.raises(DataError):
        annotate_dataset(Shelf(), Guess(fails_at=3), order(tmp_path))
    path = work_folder(tmp_path / "probabilities.jsonl") / "lines.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    done = annotate_dataset(Shelf(), Guess(), order(tmp_path))
    assert done.resumed == 2
    assert list(lines(tmp_path / "probabilities.jsonl")) == ALL


def test_work_that_was_begun_otherwise_is_not_gone_on_with(tmp_path: Path):
    with pytest.raises(DataError):
        annotate_dataset(Shelf(), Guess(fails_at=3), order(tmp_path))
    other = order(tmp_path, blind=True)
    with pytest.raises(UserError, match=r"begun otherwise \(blind\). Finish it as it was"):
        annotate_dataset(Shelf(), Guess(), other)
    done = annotate_dataset(Shelf(), Guess(), replace(other, force=True))
    assert done.resumed == 0
    assert done.sidecar is not None
    assert made_from_images(done.sidecar)


# ---- counts ---------------------------------------------------------------------------------


def test_annotations_are_counted_by_what_they_say():
    def counted(*annotations: Any) -> Any:
        tally = Tally()
        for each in annotations:
            tally.add(each)
        return tally.table(), tally.empty

    labels = (Labels({"Fracture": 1, "Edema": -1}), Labels({"Edema": 0}), Labels({}))
    assert counted(*labels) == (
        {
            "Edema": {"present": 0, "denied": 1, "uncertain": 1},
            "Fracture": {"present": 1, "denied": 0, "uncertain": 0},
        },
        1,
    )
    heart = Box("cardiac silhouette", 0.1, 0.1, 0.2, 0.2)
    assert counted(Boxes(((heart,), ())), Boxes(((),))) == (
        {"cardiac silhouette": {"boxes": 1}},
        1,
    )
    assert counted(Probabilities({"Edema": 0.2}), Probabilities({"Edema": 0.4})) == (
        {"Edema": {"studies": 2, "mean probability": pytest.approx(0.3)}},
        0,
    )
    assert counted(NGrams({"Edema_True": ("a", "b")}), NGrams({"Edema_True": ("a",)}))[0] == {
        "Edema_True": {"studies": 2, "n-grams each": 1.5}
    }
    assert counted(NearestReport("a", "s1"), NearestReport("a", "s1"))[0] == {
        "all": {"studies": 2, "different reports": 1}
    }


# ---- the command ----------------------------------------------------------------------------


def test_a_dataset_reads_back_what_was_annotated(rrg: Rrg, r2gen: Path, plugins: Discovered):
    sidecar = r2gen / "annotations" / "labels.jsonl"
    sidecar.unlink()
    answer = rrg("annotate", "rules", "r2gen", f"root={r2gen}")
    assert answer.code == 0, answer.err
    assert "labels.jsonl: 20 studies (12 train, 4 val, 4 test)" in answer.out
    assert "Pleural Effusion" in answer.out
    assert "no model reads it where reports are to be predicted" in answer.out
    data = load_dataset("r2gen", [f"root={r2gen}"], plugins.registry)
    labels = data.annotation(data.studies("test")[0], Labels)
    assert labels.values == {"Pleural Effusion": 1, "Pneumothorax": 0}
    assert not data.knows_from_images(Labels)


def test_a_blind_sidecar_is_known_to_be_of_images(
    rrg: Rrg, r2gen: Path, plugins: Discovered, tmp_path: Path
):
    table = tmp_path / "boxes.csv"
    table.write_text("image,name,x1,y1,x2,y2\ntest_0.png,Spine,0.4,0,0.6,1\n")
    told = ["annotate", "box_table", "r2gen", f"root={r2gen}", "--set", f"box_table.path={table}"]
    answer = rrg(*told, "--blind")
    assert answer.code == 0, answer.err
    assert "19 of them say nothing" in answer.out
    data = load_dataset("r2gen", [f"root={r2gen}"], plugins.registry)
    assert data.knows_from_images(Boxes)
    assert not data.knows_from_images(Labels)
    assert data.annotation(data.studies("test")[0], Boxes) == Boxes(
        ((Box("spine", 0.4, 0.0, 0.6, 1.0),),)
    )

    assert rrg(*told).code == 2
    assert rrg(*told, "--force").code == 0
    data = load_dataset("r2gen", [f"root={r2gen}"], plugins.registry)
    assert not data.knows_from_images(Boxes)


def test_a_recipe_says_the_data_and_the_options(rrg: Rrg):
    answer = rrg(
        *("annotate", "atlas", TINY, "data.limit=2", "data.annotations.key_patches.keys=4"),
        *("--out", "here.jsonl", "--set", "atlas.patches=[4, 4]", "--split", "val", "--json"),
    )
    assert answer.code == 2
    assert "data.annotations.key_patches.keys" in answer.err
    answer = rrg(
        *("annotate", "atlas", TINY, "data.limit=2"),
        "data.annotations.key_patches={name: atlas, keys: 4}",
        *("--out", "here.jsonl", "--set", "atlas.patches=[4, 4]", "--split", "val", "--json"),
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["options"] == {"keys": 4, "patches": [4, 4]}
    assert told["studies"] == {"val": 2}
    assert told["learned_from"]["studies"] == 2
    assert told["summary"]["spine"]["boxes"] == 2
    assert all(value["grid"] == [4, 4] for value in lines(Path("here.jsonl")).values())


def test_the_annotators_own_options_are_named_as_they_are_given(rrg: Rrg):
    answer = rrg("annotate", "atlas", "phantom", "--save", "x", "--set", "atlas.kees=3")
    assert answer.code == 2
    assert "--set atlas.kees (command line)" in answer.err
    assert "has no option 'kees'. Did you mean 'keys'?" in answer.err
    answer = rrg("annotate", "atlas", "phantom", "--save", "x", "--set", "rules.keys=3")
    assert answer.err.strip() == "--set rules.keys=3: expected atlas.OPTION=VALUE"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rulez", "phantom"), "no annotator called 'rulez'. Did you mean 'rules'?"),
        (("rules", "phantoms"), "no dataset called 'phantoms'. Did you mean 'phantom'?"),
        (("rules", "phantom", "trian=3"), "has an option 'trian'. Did you mean 'train'?"),
        (("rules", "phantom"), "no folder of its own for labels.jsonl: say where to write it"),
        (("rules", "phantom", "--out", "."), "no studies in train, val, test"),
        (
            ("rules", "phantom", "--out", "x.json"),
            "annotations are lines of JSON; name a file ….jsonl",
        ),
        (("rules", "phantom", "--split", "tset"), "'tset' is none of train, val, test"),
        (("rules", "phantom", "--variant", "x"), "a data set, which has no variants"),
        (("rules", "."), "to annotate the data in it: rrg annotate ANNOTATOR r2gen root=."),
    ],
)
def test_mistakes_are_told_in_a_sentence(rrg: Rrg, words: Sequence[str], said: str):
    none = ("train=0", "val=0", "test=0") if "." in words[2:] else ()
    answer = rrg("annotate", *words, *none)
    assert answer.code == 2
    assert said in " ".join(answer.err.replace("│", " ").split())
    assert list(Path().iterdir()) == []


def test_work_that_is_kept_is_told_of(rrg: Rrg, r2gen: Path, tmp_path: Path):
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    (graphs / "val_1_SceneGraph.json").write_text("{")
    told = ["annotate", "scene_graphs", "r2gen", f"root={r2gen}"]
    told += ["--set", f"scene_graphs.path={graphs}"]
    answer = rrg(*told)
    assert answer.code == 2
    assert "val_1_SceneGraph.json is not a scene graph" in answer.err
    assert "boxes.jsonl.partial: the same command goes on from there" in answer.err
    (graphs / "val_1_SceneGraph.json").write_text('{"objects": []}')
    assert "20 studies (12 train, 4 val, 4 test), 13 of them before" in rrg(*told).out
