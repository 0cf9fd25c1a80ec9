"""A run folder is enough: no data, and none of the files that its components were given."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from rrgcore import Component, hookimpl, load_recipe, load_run
from rrgcore.annotations import Labels, NGrams
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import RecipeError, RunError
from rrgcore.interfaces import Adapter, Prepares
from rrgcore.plugins import GROUP, Discovered, discover
from rrgcore.provenance import Provenance
from rrgcore.run import Run
from rrgcore.study import Study
from rrgcore.types import Encoded, Visual

TINY = Path(__file__).parent.parent / "tiny.yaml"
SPLITS = {"train": 12, "val": 4, "test": 4}
STUDIES = [f"{split}{number}" for split, count in SPLITS.items() for number in range(count)]


class ReadsKnowledge(Adapter, Prepares[Tensor]):
    """Projects, and adds what labels and n-grams say."""

    reads: ClassVar[tuple[type, ...]] = (Labels, NGrams)

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> Tensor:
        said = [(s[Labels].values, s[NGrams].values) for s in studies]
        return Tensor([[sum(labels.values()) + len(str(ngrams))] for labels, ngrams in said])

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens) + prepared[..., None], image.mask)


@hookimpl
def rrg_components() -> list[Component]:
    """Make this file a plugin."""
    return [Component("adapter", "reads_knowledge", f"{__name__}:ReadsKnowledge", "reads it")]


@pytest.fixture(scope="module")
def found() -> Discovered:
    return discover(points=[*entry_points(group=GROUP), EntryPoint("knows", __name__, GROUP)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, r2gen_writer: Callable[[Path], Path]) -> Path:
    """Data in R2Gen's layout, and beside it what components are given."""
    place = tmp_path_factory.mktemp("here")
    r2gen_writer(place / "data")
    image = np.random.default_rng(1).integers(0, 256, (40, 32), dtype=np.uint8)
    Image.fromarray(image).save(place / "new.png")
    given = place / "given"
    given.mkdir()
    edema = {"Edema_True": ["mild edema"], "No Finding_True": ["clear"]}
    (given / "lists.json").write_text(json.dumps(edema))
    head = ",".join(("study_id", *OBSERVATIONS))
    for name, value in (("labels.csv", "1"), ("probabilities.csv", "0.7")):
        rows = [",".join((id, *[value] * 14)) for id in (*STUDIES, str(place / "new.png"))]
        (given / name).write_text("\n".join((head, *rows)) + "\n")
    ids = [*STUDIES, str(place / "new.png")]
    rng = np.random.default_rng(0)
    for name in ("images", "reports"):
        np.save(given / f"{name}.npy", rng.normal(size=(len(ids), 6)).astype(np.float32))
        (given / f"{name}.txt").write_text("\n".join(ids))
    own = Provenance.of([Study(id, (), (), "x") for id in STUDIES if "train" in id])
    (given / "learned.json").write_text(json.dumps(own.to_json()))
    return place


def train(place: Path, found: Discovered, name: str, *changes: str) -> Run:
    overrides = [
        f"data={{name: r2gen, root: {place / 'data'}, image_size: 32, batch_size: 4}}",
        "objectives.mlm=off",
        *changes,
    ]
    session = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=found)
    return session.run(place / name)


GIVEN = ("given", "fitted", "embedder")
"""What runs are given, beside the data."""


def elsewhere(run: Run, place: Path, found: Discovered) -> Run:
    """Take a run to where nothing of what it was given is."""
    for name in GIVEN:
        (place / name).rename(place / f"{name} away")
    return load_run(shutil.copytree(run.path, place / "other" / run.path.name), plugins=found)


@pytest.fixture
def put_back(place: Path) -> Iterator[None]:
    """Let the next test find everything again."""
    yield
    for path in place.glob("* away"):
        path.rename(path.with_name(path.name.removesuffix(" away")))


def said(run: Run, image: Path) -> list[tuple[str, float]]:
    return [(each.report, each.logprob) for each in run.predict([image])]


@pytest.fixture(scope="module")
def embedder(place: Path, found: Discovered) -> Run:
    """A run whose joint space others may ask: without patches that only boxes could tell."""
    return train(place, found, "embedder", "objectives.mim=off")


ANNOTATORS: Mapping[str, str] = {
    "a classifier, another run and a table of labels": (
        "probabilities: {name: classifier, saved: HERE/fitted, trusted: true}, "
        "nearest_report: {name: nearest_by_run, run: HERE/embedder, matching: irm, candidates: 2}, "
        "labels: {name: observe, labeler: {name: label_table, path: HERE/given/labels.csv}}, "
        "ngrams: {name: organ, file: HERE/given/lists.json, trusted: true}"
    ),
    "a table of probabilities and matrices": (
        "probabilities: {name: probability_table, path: HERE/given/probabilities.csv, "
        "learned_from: HERE/given/learned.json}, "
        "nearest_report: {name: nearest_by_matrix, images: HERE/given/images.npy, "
        "image_ids: HERE/given/images.txt, reports: HERE/given/reports.npy, "
        "report_ids: HERE/given/reports.txt, trusted: true}, "
        "labels: observe, ngrams: {name: organ, file: HERE/given/lists.json, trusted: true}"
    ),
}


@pytest.fixture(scope="module")
def fitted(place: Path, found: Discovered) -> Path:
    """A classifier that was fitted in a run, in a folder of its own."""
    run = train(
        place,
        found,
        "fitting",
        "objectives.mim=off",
        "model.adapter=reads_knowledge",
        "data.annotations={probabilities: {name: classifier, epochs: 1}, "
        "nearest_report: nearest_by_probabilities, labels: observe, ngrams: organ}",
    )
    return Path(shutil.copytree(run.path / "artefacts" / "probabilities", place / "fitted"))


def changes(place: Path, which: int) -> list[str]:
    """What makes the tiny recipe one of these annotators'."""
    annotations = list(ANNOTATORS.values())[which].replace("HERE", str(place))
    return [
        "objectives.mim=off",
        "model.adapter=reads_knowledge",
        f"data.annotations={{{annotations}}}",
    ]


@pytest.fixture(scope="module")
def runs(place: Path, found: Discovered, embedder: Run, fitted: Path) -> list[Run]:
    """A run of each of these annotators."""
    return [train(place, found, f"run{i}", *changes(place, i)) for i in range(len(ANNOTATORS))]


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize("which", range(len(ANNOTATORS)), ids=list(ANNOTATORS))
def test_whoever_has_the_run_needs_nothing_that_it_was_given(
    which: int, runs: Sequence[Run], place: Path, found: Discovered
) -> None:
    run = runs[which]
    before, scores = said(run, place / "new.png"), run.scores
    there = elsewhere(run, place, found)

    assert json.loads(json.dumps(there.evaluate().to_json())) == scores
    (place / "data").rename(place / "data away")
    assert said(there, place / "new.png") == before


@pytest.mark.usefixtures("put_back")
def test_a_run_goes_on_without_what_it_was_given(
    runs: Sequence[Run], place: Path, found: Discovered
) -> None:
    begun = load_run(shutil.copytree(runs[0].path, place / "begun"), plugins=found)
    begun.folder.update(state="stopped")
    (begun.path / "scores.json").unlink()
    for name in GIVEN:
        (place / name).rename(place / f"{name} away")

    assert train(place, found, "begun", *changes(place, 0)).scores == runs[0].scores


@pytest.mark.slow
def test_an_atlas_that_was_given_is_kept(place: Path, found: Discovered, tmp_path: Path) -> None:
    from rrg_kia.atlas import load_atlas, save_atlas

    save_atlas(load_atlas(), tmp_path / "mine.json")
    masking = f"{{name: anatomy, atlas: {tmp_path / 'mine.json'}, trusted: true}}"
    run = train(place, found, "masked", f"objectives.mim.masking={masking}")
    (tmp_path / "mine.json").unlink()

    assert json.loads(json.dumps(run.evaluate().to_json())) == run.scores
    assert said(run, place / "new.png")


@pytest.mark.parametrize(
    ("slug", "annotator", "told"),
    [
        ("probabilities", "{name: probability_table, path: gone.csv}", "no table of probabilities"),
        ("probabilities", "{name: classifier, saved: gone}", "no classifier is saved in gone"),
        ("probabilities", "{name: classifier, model: resnt}", "timm has no model 'resnt'"),
        ("nearest_report", "{name: nearest_by_run, run: gone}", "gone does not exist"),
        ("ngrams", "{name: organ, file: gone.json}", "no observation n-grams at gone.json"),
        ("labels", "{name: chexbert, weights: gone.pth}", "no weights of CheXbert at gone.pth"),
        ("boxes", "{name: box_table, path: gone.csv}", "no table of boxes at gone.csv"),
        ("boxes", "{name: scene_graphs, path: gone}", "gone does not exist"),
        ("radgraph", "{name: radgraph_file, path: gone.json}", "no file of RadGraph's at gone"),
        ("radgraph", "{name: radgraph_package, python: gone}", "no interpreter to run"),
        (
            "nearest_report",
            "{name: nearest_by_matrix, images: gone.npy, image_ids: a, reports: b.npy, "
            "report_ids: c, trusted: true}",
            "no matrix of embeddings at gone.npy",
        ),
    ],
)
def test_what_is_not_there_is_told_by_check_with_its_address(
    slug: str, annotator: str, told: str, plugins: Discovered
) -> None:
    overrides = [f"data.annotations={{{slug}: {annotator}}}"]
    with pytest.raises(RecipeError) as refused:
        load_recipe(TINY, overrides=overrides, plugins=plugins).check(images=False)

    (problem,) = refused.value.problems
    assert problem.address == f"data.annotations.{slug}"
    assert told in problem.text


def test_what_is_nested_has_an_address_of_its_own(plugins: Discovered) -> None:
    labeler = "{name: observe, labeler: {name: label_table, path: gone.csv}}"
    overrides = [f"data.annotations={{labels: {labeler}}}"]
    with pytest.raises(RecipeError) as refused:
        load_recipe(TINY, overrides=overrides, plugins=plugins).check(images=False)

    (problem,) = refused.value.problems
    assert problem.address == "data.annotations.labels.labeler"


def test_what_was_kept_is_part_of_what_a_checkpoint_belongs_to(
    runs: Sequence[Run], found: Discovered, tmp_path: Path
) -> None:
    copy = shutil.copytree(runs[1].path, tmp_path / "copy")
    kept = copy / "artefacts" / "given" / "data.annotations.probabilities"
    (file,) = kept.iterdir()
    assert file.name == "given.csv"
    file.write_text(file.read_text().replace("0.7", "0.8"))

    with pytest.raises(RunError, match=r"artefacts/given is not what the checkpoint was saved"):
        load_run(copy, plugins=found).evaluate()
