"""What studies must have, found before anything is trained, and what their loaders carry."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import UInt8
from torch import Tensor, nn

from rrgcore import Component, hookimpl, load_recipe
from rrgcore.annotations import Labels, NGrams, RadGraph
from rrgcore.assembled import check_assembled
from rrgcore.data import Loader
from rrgcore.errors import DataError, RecipeError, UserError
from rrgcore.interfaces import Adapter, Prepares
from rrgcore.plugins import GROUP, Discovered, discover
from rrgcore.session import Session
from rrgcore.studies import Studies
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, Dataset
from rrgcore.testing import FakeDataset, make_study
from rrgcore.testing.samples import REPORTS
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Encoded, Visual
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"
SIZES = {"train": 10, "val": 3, "test": 4}
EVERYWHERE = tuple(SIZES)


class Some(Dataset):
    """Studies of which options say what they lack."""

    def __init__(
        self,
        *,
        labels: tuple[str, ...] = (),
        radgraph: tuple[str, ...] = EVERYWHERE,
        ngrams: tuple[str, ...] = (),
        silent: tuple[str, ...] = (),
        unseen: tuple[str, ...] = (),
    ) -> None:
        self.carried = {Labels: labels, RadGraph: radgraph, NGrams: ngrams}
        self.silent = silent
        self.unseen = unseen

    def studies(self, split: str) -> Sequence[Study]:
        return [self._study(f"{split}-{number}", split, number) for number in range(SIZES[split])]

    def _study(self, id: str, split: str, number: int) -> Study:
        whole = make_study(id, report=REPORTS[number % len(REPORTS)])
        return Study(
            id=id,
            images=() if id in self.unseen else whole.images,
            views=() if id in self.unseen else whole.views,
            report=None if id in self.silent else whole.report,
            annotations={k: whole[k] for k, splits in self.carried.items() if split in splits},
        )

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        return FakeDataset(studies=[]).open(image)

    def knows_from_images(self, kind: type) -> bool:
        return True


class ReadsLabels(Adapter, Prepares[Tensor]):
    """Projects, and adds what the labels say; it declares what it reads as the contract advises."""

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def annotations_read(self) -> tuple[type, ...]:
        return (Labels,)

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> Tensor:
        return Tensor([[float(len(study[Labels].values))] for study in studies])

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens) + prepared[..., None], image.mask)


fitted: list[list[str]] = []


class LearnsLabels(Annotator):
    """Labels from n-grams, after a look at the training studies."""

    writes = Labels
    reads = (NGrams,)

    def fit(self, studies: Iterable[Study]) -> None:
        fitted.append([study.id for study in studies])

    def save(self, folder: Path) -> None:
        (folder / "nothing").touch()

    def load(self, folder: Path) -> None:
        assert (folder / "nothing").is_file()

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            yield Labels({name.removesuffix("_True"): 1 for name in study[NGrams].values})


@hookimpl
def rrg_components() -> list[Component]:
    """Make this file a plugin."""
    return [
        Component("dataset", "some", f"{__name__}:Some", "studies that lack something"),
        Component("adapter", "reads_labels", f"{__name__}:ReadsLabels", "a reader of labels"),
        Component("annotator", "learns", f"{__name__}:LearnsLabels", "labels from n-grams"),
    ]


@pytest.fixture(scope="module")
def found() -> Discovered:
    return discover(points=[*entry_points(group=GROUP), EntryPoint("some", __name__, GROUP)])


@pytest.fixture(autouse=True)
def _unfitted() -> None:
    fitted.clear()


def session(found: Discovered, data: str, *overrides: str) -> Session:
    options = f"data={{name: some, image_size: 32, batch_size: 2, {data}}}"
    return load_recipe(
        TINY,
        variants=["short"],
        overrides=[options, "objectives.mim=off", *overrides],
        plugins=found,
    )


def loaders(of: Session) -> dict[str, Loader]:
    """Make the loaders of a run, by role."""
    studies = Studies(of.plan)
    model = check_assembled(of.plan, Tokenizers(of.plan, lambda: studies.reports("train")))
    return {
        role: studies.loader(model, role, training=role == "train", objectives=objectives)
        for role, objectives in of.plan.loaders()
    }


READER = "model.adapter=reads_labels"
LEARNS = "data.annotations={labels: {name: learns}}"


class Listens(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


# ---- reports before cleaning ------------------------------------------------------------------


def test_a_dataset_that_cleans_gives_metrics_the_reports_of_its_files(
    r2gen: Path, plugins: Discovered
) -> None:
    path = r2gen / "annotation.json"
    path.write_text(path.read_text().replace("there is", "1. There IS"))
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32, batch_size: 2}}"
    studies = Studies(load_recipe(TINY, overrides=[data], plugins=plugins).plan)

    assert studies.reports("val")[0].startswith("there is a small left")
    assert studies.raw_reports("val")[0].startswith("1. There IS a small left")
    assert list(studies.references("val").values()) == studies.raw_reports("val")
    assert list(studies.references("val")) == ["val0", "val1", "val2", "val3"]


def test_reports_of_a_dataset_that_does_not_tell_are_scored_as_they_are(found: Discovered) -> None:
    studies = Studies(session(found, "silent: [test-1]").plan)

    assert studies.raw_reports("train") == studies.reports("train")
    assert studies.references("test")["test-1"] == ""


# ---- annotations ------------------------------------------------------------------------------


def test_each_split_needs_only_what_its_own_loader_reads(found: Discovered) -> None:
    """Masked words read RadGraph, in training alone; the adapter reads labels everywhere."""
    ready = session(found, "labels: [train, val, test], radgraph: [train]", READER)

    ready.check()
    batches = {role: next(loader.epoch()) for role, loader in loaders(ready).items()}
    assert {"adapter", "objectives.mlm"} <= batches["train"].prepared.keys()
    assert batches["val"].prepared.keys() == batches["test"].prepared.keys() == {"adapter"}


def test_check_finds_annotations_that_only_training_studies_have(found: Discovered) -> None:
    with pytest.raises(RecipeError) as refused:
        session(found, "labels: [train]", READER).check()

    texts = [problem.text for problem in refused.value.problems]
    assert [text.splitlines()[0] for text in texts] == [
        f"study '{first}' and {more} has no labels annotation (Labels), which a component of this "
        "recipe reads."
        for first, more in (("val-0", "2 more of 3"), ("test-0", "3 more of 4"))
    ]
    assert texts[0].endswith("To do without it: model.adapter=… (rrg list adapters)")


@pytest.mark.parametrize(("labels", "lacks"), [("train", "val-0"), ("train, val", "test-0")])
def test_a_run_finds_them_before_it_trains_or_writes(
    labels: str, lacks: str, found: Discovered, tmp_path: Path
) -> None:
    ready = session(found, f"labels: [{labels}]", READER)

    with pytest.raises(UserError, match=rf"study '{lacks}' .* has no labels annotation"):
        ready.run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_reader_of_an_annotation_says_how_to_do_without_it(found: Discovered) -> None:
    masked = "objectives.mlm.masking=label"

    with pytest.raises(RecipeError) as refused:
        session(found, "labels: []", READER, masked).check()
    assert refused.value.problems[0].text.splitlines()[-1] == (
        "To do without it: model.adapter=… (rrg list adapters); and objectives.mlm.masking=… "
        "(rrg list maskings), or objectives.mlm=off"
    )


# ---- annotators -------------------------------------------------------------------------------


def test_check_fits_no_annotator(found: Discovered) -> None:
    session(found, "ngrams: [train, val, test]", READER, LEARNS).check()

    assert fitted == []


def test_check_finds_that_an_annotator_has_nothing_to_read(found: Discovered) -> None:
    with pytest.raises(RecipeError, match=r"study 'test-0' .* has no ngrams annotation"):
        session(found, "ngrams: [train, val]", READER, LEARNS).check()


def test_an_annotator_learns_once_from_the_training_split(found: Discovered) -> None:
    made = loaders(session(found, "ngrams: [train, val, test]", READER, LEARNS))

    assert all(Labels in study.annotations for each in made.values() for study in each.studies)
    assert fitted == [[f"train-{number}" for number in range(SIZES["train"])]]


def test_an_annotator_that_nobody_reads_does_not_learn(found: Discovered) -> None:
    loaders(session(found, "ngrams: []", LEARNS))

    assert fitted == []


# ---- reports and images -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("silent: [train-1, train-4]", "study 'train-1' and 1 more of 10 of `train` has no report"),
        ("silent: [val-2]", "study 'val-2' of `val` has no report"),
        ("unseen: [train-3]", "study 'train-3' of `train` has no image"),
        ("unseen: [test-0, test-1]", "study 'test-0' and 1 more of 4 of `test` has no image"),
        ("silent: [test-0, test-1, test-2, test-3]", "no study of `test` has a report, so that"),
    ],
)
def test_studies_that_lack_what_a_run_needs_are_named_before_it_trains(
    lacking: str, said: str, found: Discovered, tmp_path: Path
) -> None:
    ready = session(found, lacking)

    with pytest.raises(DataError) as refused:
        ready.run(tmp_path / "run")
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith("Mend such studies, or leave them out of the data")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match=said.split(" of `")[0]):
        ready.check()


def test_everything_that_is_missing_is_said_at_once(found: Discovered) -> None:
    with pytest.raises(RecipeError) as refused:
        session(found, "silent: [train-1, val-0], unseen: [val-1]").check()

    assert refused.value.problems[0].text.splitlines() == [
        "study 'train-1' of `train` has no report",
        "study 'val-1' of `val` has no image",
        "study 'val-0' of `val` has no report",
        "Mend such studies, or leave them out of the data",
    ]


def test_test_studies_without_a_report_are_written_one_and_not_scored(
    found: Discovered, tmp_path: Path
) -> None:
    watcher = Listens()
    options = ("evaluation.probes=true", "evaluation.baselines=true")
    ready = session(found, "silent: [test-1]", *options)

    run = ready.run(tmp_path / "run", watcher=watcher)

    assert [pair.id for pair in run.predictions] == [f"test-{number}" for number in range(4)]
    assert (run.scores["studies"], run.scores["references"]) == (4, 3)
    assert "3 pairs" in run.scores["fingerprint"]["coco"]
    assert any(key.startswith("recall@1 of 3") for key in run.scores["probes"]["irc"])
    assert "scoring 3 of 4 reports: the other studies have none to compare with" in watcher.notes
