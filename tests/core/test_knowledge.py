"""What a run knows: learned from the training split, kept with it, blind where reports are to be
predicted.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from rrgcore import Component, build, hookimpl, load_recipe, load_run
from rrgcore.annotations import Labels, Probabilities
from rrgcore.cli import make_app
from rrgcore.errors import DataError, RecipeError, RunError
from rrgcore.interfaces import Adapter, Prepares
from rrgcore.knowledge import Knowledge, leak
from rrgcore.plugins import GROUP, Discovered, discover
from rrgcore.provenance import Artefact, Provenance
from rrgcore.run import Run
from rrgcore.session import Session
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, Dataset, HoldsArtefacts, Workbench
from rrgcore.tokenizers import Tokenizers
from rrgcore.types import Encoded, Visual

TINY = Path(__file__).parent.parent / "tiny.yaml"
shown: list[tuple[str, bool, bool]] = []
"""Study, whether its report was there, whether the data's own labels were."""
fits: list[list[str]] = []


class Brightness(Annotator):
    """Probabilities by how bright an image is beside those of the training split."""

    writes = Probabilities

    def equip(self, bench: Workbench) -> None:
        self.open = bench.open

    def fit(self, studies: Sequence[Study]) -> None:
        fits.append([study.id for study in studies])
        self.mean = float(np.mean([self.open(s.images[0]).mean() for s in studies]))

    def save(self, folder: Path) -> None:
        (folder / "mean.json").write_text(json.dumps(self.mean))

    def load(self, folder: Path) -> None:
        self.mean = json.loads((folder / "mean.json").read_text())

    def annotate(self, studies: Iterable[Study]) -> Iterator[Probabilities]:
        for study in studies:
            shown.append((study.id, study.report is not None, Labels in study.annotations))
            bright = self.open(study.images[0]).mean() > self.mean
            yield Probabilities({"Edema": 0.9 if bright else 0.1})


class Guess(Annotator):
    """Labels from probabilities; what the report says of it where there is one."""

    writes = Labels
    reads = (Probabilities,)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            likely = study[Probabilities].values["Edema"] > 0.5
            yield Labels({"Edema": int(likely)}, {"Edema": str(study.report is not None)})


class Reader(Annotator):
    """Labels as the report has them."""

    writes = Labels
    from_report = True

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            yield Labels({"Edema": int("edema" in (study.report or ""))})


class Given(Guess, HoldsArtefacts):
    """Labels by something learned elsewhere."""

    def __init__(self, *, record: str | None = None, trusted: bool = False) -> None:
        self.record = record
        self.trusted = trusted

    def artefacts(self) -> Sequence[Artefact]:
        text = self.record and Path(self.record).read_text()
        learned = Provenance.from_json(json.loads(text)) if text else None
        return [Artefact("the table", learned, self.trusted)]


class ReadsLabels(Adapter, Prepares[Tensor]):
    """Projects, and adds what the labels say."""

    reads: ClassVar[tuple[type, ...]] = (Labels,)

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> Tensor:
        return Tensor([[float(study[Labels].values["Edema"])] for study in studies])

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens) + prepared[..., None], image.mask)


@hookimpl
def rrg_components() -> list[Component]:
    """Make this file a plugin."""
    here = __name__
    return [
        Component("adapter", "reads_labels", f"{here}:ReadsLabels", "a reader of labels"),
        Component("annotator", "brightness", f"{here}:Brightness", "learns"),
        Component("annotator", "guess", f"{here}:Guess", "looks at probabilities"),
        Component("annotator", "probable", f"{here}:Probable", "looks at labels"),
        Component("annotator", "reader", f"{here}:Reader", "looks at the report"),
        Component("annotator", "given", f"{here}:Given", "was learned elsewhere"),
        Component("annotator", "calls", f"{here}:Calls", "asks somebody elsewhere"),
    ]


@pytest.fixture(scope="module")
def found() -> Discovered:
    return discover(points=[*entry_points(group=GROUP), EntryPoint("some", __name__, GROUP)])


PREDICTED = "data.annotations={probabilities: brightness, labels: guess}"


def session(found: Discovered, *overrides: str) -> Session:
    changes = ["model.adapter=reads_labels", "objectives.mim=off", *overrides]
    return load_recipe(TINY, variants=["short"], overrides=changes, plugins=found)


def refusal(of: Session) -> str:
    with pytest.raises((RecipeError, DataError)) as caught:
        of.check()
    return str(caught.value)


@pytest.fixture(scope="module")
def run(found: Discovered, tmp_path_factory: pytest.TempPathFactory) -> Run:
    shown.clear()
    fits.clear()
    return session(found, PREDICTED).run(tmp_path_factory.mktemp("runs") / "run")


def test_annotators_learn_once_and_from_training_studies_alone(run: Run):
    assert fits == [[f"phantom-train-{i:05d}" for i in range(10)]]
    learned = json.loads((run.path / "artefacts/probabilities/learned.json").read_text())
    assert learned["ids"] == fits[0]
    assert learned["hash"] == Provenance.of(run_studies(run, "train")).hash


def run_studies(run: Run, split: str) -> list[Study]:
    from rrgcore.build import make_dataset

    return list(make_dataset(run.plan).studies(split))


def test_in_training_they_see_reports_and_where_these_are_to_be_predicted_they_do_not(run: Run):
    seen = {id: (report, labels) for id, report, labels in shown}
    assert len(seen) == 17
    for id, (report, labels) in seen.items():
        assert report == id.startswith("phantom-train")
        assert not labels, "the data's exact labels are not for who makes predicted ones"


def test_what_they_said_is_kept_with_its_source(run: Run):
    for role, report in (("train", "True"), ("val-blind", "False"), ("test-blind", "False")):
        lines = (run.path / f"artefacts/labels/{role}.jsonl").read_text().splitlines()
        assert {json.loads(line)["value"]["sources"]["Edema"] for line in lines} == {report}


def test_who_evaluates_a_run_loads_what_was_learned(run: Run, found: Discovered):
    fits.clear()
    shown.clear()
    again = load_run(run.path, plugins=found).evaluate("test")
    assert not fits
    assert not shown, "what was said of the test split is kept"
    assert [p.prediction for p in again.predictions] == [p.prediction for p in run.predictions]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"Edema": 0', '"Edema": -1').replace('"Edema": 1', '"Edema": 0'),
        lambda text: text.replace("sum", "som"),
        lambda text: text[:-9] + "\n",
        lambda text: "[]\n",
        lambda text: "[" * 100_000,
        lambda text: text.replace("Edema", "Ed\udcff"),
    ],
)
def test_what_was_said_and_is_not_as_it_was_is_refused(
    damage: Callable[[str], str], run: Run, found: Discovered, tmp_path: Path
):
    copy = shutil.copytree(run.path, tmp_path / "run")
    path = copy / "artefacts/labels/test-blind.jsonl"
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=r"labels/test-blind\.jsonl is damaged .*: remove it, and"):
        load_run(copy, plugins=found).evaluate("test")
    path.unlink()
    again = load_run(copy, plugins=found).evaluate("test")
    assert json.loads(json.dumps(again.to_json())) == run.scores


def test_prediction_needs_nothing_but_the_run_folder(run: Run, found: Discovered, tmp_path: Path):
    fits.clear()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(np.full((40, 30), 90, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    written = load_run(run.path, plugins=found).predict([tmp_path])
    assert [Path(each.id).name for each in written] == ["a.png", "b.jpg"]
    assert not fits
    [failed] = load_run(run.path, plugins=found).predict([tmp_path / "notes.txt"])
    assert "notes.txt: is not an image" in (failed.error or "")


def test_a_run_whose_artefacts_are_gone_learns_nothing_again_in_silence(
    run: Run, found: Discovered, tmp_path: Path
):
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("artefacts"))
    fits.clear()
    image = tmp_path / "a.png"
    Image.fromarray(np.full((40, 30), 90, np.uint8)).save(image)
    copied = load_run(tmp_path / "run", plugins=found)
    for ask in (lambda: copied.evaluate("test"), lambda: copied.predict([image])):
        with pytest.raises(RunError, match="artefacts/probabilities is gone since the checkpoint"):
            ask()
    assert not fits


def test_annotators_that_wait_for_each_other_are_said_so(found: Discovered):
    waiting = session(found, "data.annotations={probabilities: probable, labels: guess}")
    assert "wait for each other: labels needs probabilities needs labels" in refusal(waiting)


def test_labels_that_the_data_knows_are_refused_where_reports_are_predicted(found: Discovered):
    assert "the data's labels were made of the reports" in refusal(session(found))


def test_an_annotator_that_reads_the_report_is_refused_there(found: Discovered):
    text = refusal(session(found, "data.annotations={labels: reader}"))
    assert "Reader, which tells what the report says" in text
    assert "data.oracle=true" in text


def test_one_that_stands_behind_another_is_found_too(found: Discovered):
    knowledge = Knowledge(
        dataset=Blank(), annotators={Probabilities: Probable()}, training=lambda: []
    )
    assert "the data's labels" in str(knowledge.only_from_reports(Probabilities))


class Probable(Annotator):
    """Probabilities from labels."""

    writes = Probabilities
    reads = (Labels,)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Probabilities]:
        for study in studies:
            yield Probabilities({k: float(v > 0) for k, v in study[Labels].values.items()})


class Blank(Dataset):
    """Nothing."""

    def studies(self, split: str) -> Sequence[Study]:
        return ()

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        return np.zeros((8, 8), np.uint8)


class Counts(Reader):
    """Labels as the report has them; how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for labels in super().annotate(studies):
            self.asked += 1
            yield labels


def two(folder: Path, *, writes: bool) -> list[tuple[Knowledge, Counts]]:
    """What two processes know, of which the first asks for both."""
    sent: list[Any] = []

    def once(make: Callable[[], Any]) -> Any:
        sent.append(make())
        return sent[-1]

    found = []
    for main in (True, False):
        counts = Counts()
        knowledge = Knowledge(dataset=Blank(), annotators={Labels: counts}, training=list)
        knowledge.keep_in(folder, writes=writes and main)
        knowledge.ask(once if main else lambda make: sent[-1])
        found.append((knowledge, counts))
    return found


@pytest.mark.parametrize("writes", [True, False])
def test_of_several_processes_one_asks_and_the_others_hear_of_it(writes: bool, tmp_path: Path):
    studies = [Study(str(n), (), (), report) for n, report in enumerate(("edema", "clear"))]
    processes = two(tmp_path, writes=writes)
    first, second = (each.open("train", studies, [Labels]) for each, _ in processes)

    assert first == second
    assert [study[Labels].values["Edema"] for study in second] == [1, 0]
    assert [counts.asked for _, counts in processes] == [2, 0]
    assert (tmp_path / "labels" / "train.jsonl").is_file() is writes


class Slow(Guess):
    """Labels that are worth writing down one by one."""

    reads = ()
    one_by_one = True

    def __init__(self, *, stops: str | None = None) -> None:
        self.stops = stops
        self.asked: list[str] = []

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            if study.id == self.stops:
                raise KeyboardInterrupt
            self.asked.append(study.id)
            yield Labels({"Edema": int(study.id[-1]) % 2}, {"Edema": "slow"})


def test_who_answers_study_by_study_goes_on_behind_the_last_answer(tmp_path: Path):
    studies = [Study(f"s{n}", (), (), "x") for n in range(6)]

    def ask(annotator: Slow) -> list[Study]:
        known = Knowledge(dataset=Blank(), annotators={Labels: annotator}, training=list)
        known.keep_in(tmp_path, writes=True)
        return known.open("train", studies, [Labels])

    with pytest.raises(KeyboardInterrupt):
        ask(Slow(stops="s4"))
    answers = tmp_path / "labels" / "train.jsonl"
    with answers.open("a") as file:
        file.write('{"id": "s4", "val')  # what was being written when somebody killed it
    again = Slow()
    assert [study[Labels].values["Edema"] for study in ask(again)] == [0, 1] * 3
    assert again.asked == ["s4", "s5"]
    assert len(answers.read_text().splitlines()) == 6


class Calls(Guess):
    """Labels by somebody elsewhere."""

    reaches = "sends reports to http://example.org"
    kept = False


def test_what_reaches_out_is_not_asked_of_a_run_unless_it_is_trusted(
    found: Discovered, tmp_path: Path
):
    annotators = "data.annotations={probabilities: brightness, labels: calls}"
    run = session(found, annotators).run(tmp_path / "run")
    image = np.zeros((40, 32), np.uint8)
    Image.fromarray(image).save(tmp_path / "new.png")

    stranger = load_run(tmp_path / "run", plugins=found)
    with pytest.raises(RunError, match=r"data.annotations.labels .*example.org.* --trust"):
        stranger.predict([tmp_path / "new.png"])
    trusted = load_run(tmp_path / "run", plugins=found, trust=True)
    assert trusted.predict([tmp_path / "new.png"])[0].error is None
    assert run.trust


def test_an_answer_that_only_the_main_process_sees_is_said_so(tmp_path: Path):
    studies = [Study("a", (), (), "edema")]
    (main, _), (other, _) = two(tmp_path, writes=True)
    main.open("train", studies, [Labels])
    other.keep_in(tmp_path / "of this machine", writes=False)

    with pytest.raises(RunError, match="on a file system that all machines share"):
        other.open("train", studies, [Labels])


def test_an_oracle_is_let_through_and_says_so_wherever_scores_stand(
    found: Discovered, tmp_path: Path
):
    oracle = session(found, "data.annotations={labels: reader}", "data.oracle=true")
    done = oracle.run(tmp_path / "run")
    assert any(text.startswith("Oracle: the model was given") for text in done.scores["cautions"])
    for command in (["score", f"{done.path}/predictions.jsonl"], ["compare", str(done.path)]):
        said = CliRunner().invoke(make_app(), [*command, "-p", "13a"])
        assert "These scores are an upper bound, not a result." in said.output
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(RunError, match="an oracle's run"):
        done.predict([tmp_path / "a.png"])


def artefact_of(path: Path, *studies: str) -> str:
    learned = Provenance.of([Study(id, (), ()) for id in studies], about="elsewhere")
    path.write_text(json.dumps(learned.to_json()))
    return f"{{name: given, record: {path}}}"


def with_given(found: Discovered, given: str) -> Session:
    return session(found, f"data.annotations={{probabilities: brightness, labels: {given}}}")


def test_an_artefact_that_saw_a_test_report_is_refused(found: Discovered, tmp_path: Path):
    given = artefact_of(tmp_path / "r.json", "x-1", "phantom-test-00002", "phantom-val-00000")
    text = refusal(with_given(found, given))
    assert "data.annotations.labels" in text
    assert "the table was learned from 'phantom-val-00000' and 1 more of the studies" in text
    with pytest.raises(RecipeError, match="was learned from"):
        with_given(found, given).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_that_saw_training_studies_alone_is_not(found: Discovered, tmp_path: Path):
    with_given(found, artefact_of(tmp_path / "r.json", "phantom-train-00002")).check()


def test_one_that_does_not_say_what_it_saw_has_to_be_vouched_for(found: Discovered):
    assert "does not say which studies it was learned from" in refusal(with_given(found, "given"))
    vouched = with_given(found, "{name: given, trusted: true}")
    vouched.check()
    assert any(text.startswith("Trusted: what data.anno") for text in vouched.plan.cautions)


def test_annotators_may_not_learn_from_what_is_to_be_predicted(found: Discovered, tmp_path: Path):
    same = session(found, PREDICTED, "data.splits={test: train}")
    assert "data.splits" in refusal(same)
    assert "'phantom-train-00000' and 9 more studies are to be predicted" in refusal(same)
    with pytest.raises(RecipeError, match="annotators learn from"):
        same.run(tmp_path / "run")


def test_a_part_from_a_run_is_never_taken_for_published(run: Run, found: Discovered):
    """A run that goes on does not read `init` again, and must not forget what it came from."""
    plan = session(found, PREDICTED, f"init={{encoder: 'run:{run.path}'}}").plan
    seen: list[list[Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "left_out", lambda model, loaded, *, started: seen.append(started))
        tokenizers = Tokenizers(plan, lambda: [s.report or "" for s in run_studies(run, "train")])
        model = build.build_model(plan, tokenizers, starts={})
    assert seen == [[model.parts.encoder]]


def test_a_part_of_a_run_that_was_trained_on_these_test_studies_is_refused(
    found: Discovered, run: Run, tmp_path: Path
):
    start = f"init={{encoder: 'run:{run.path}'}}"
    session(found, PREDICTED, start).check()
    swapped = session(found, PREDICTED, start, "data.splits={test: train, train: test}")
    assert "init.encoder" in refusal(swapped)
    assert "was learned from 'phantom-train-00000' and 9 more" in refusal(swapped)


def test_annotations_by_one_that_learned_from_these_studies_are_refused():
    class Annotated(Blank):
        def knows_from_images(self, kind: type) -> bool:
            return True

        def learned_from(self, kind: type) -> Provenance:
            return Provenance.of([Study("test-1", (), ())])

        def annotation(self, study: Study, kind: type) -> Any:
            return Labels({})

    knowledge = Knowledge(
        dataset=Annotated(), annotators={Probabilities: Probable()}, training=lambda: []
    )
    others = [Study("test-0", (), ())]
    assert knowledge.blind("test", others, [Probabilities])[0][Probabilities].values == {}
    with pytest.raises(DataError, match="what made the data's labels was learned from 'test-1'"):
        knowledge.blind("test", [*others, Study("test-1", (), ())], [Probabilities])


def test_what_a_run_was_given_is_in_its_record(run: Run, found: Discovered, tmp_path: Path):
    given = artefact_of(tmp_path / "r.json", "elsewhere-7")
    start = f"init={{encoder: 'run:{run.path}'}}"
    annotators = f"data.annotations={{probabilities: brightness, labels: {given}}}"
    done = session(found, annotators, start, "data.train=8").run(tmp_path / "run")
    learned = done.folder.training
    assert learned is not None
    assert set(learned.ids) == {"elsewhere-7", *(f"phantom-train-{i:05d}" for i in range(10))}


def test_an_artefact_of_other_studies_is_no_leak():
    artefact = Artefact("it", Provenance.of([Study("a", (), ())]))
    assert leak(artefact, [Study("b", (), ())]) is None


def test_an_annotator_looks_at_what_the_model_has_read_already():
    opened: list[ImageRef] = []

    def read(image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        opened.append(image)
        return np.full((8, 6), 7, np.uint8)

    seen = np.full((4, 4), 9, np.uint8)
    bench = Workbench(read, cached=lambda image, size: seen if size == 4 else None)
    assert bench.look(ImageRef("a"), 4) is seen
    assert bench.look(ImageRef("a"), 5).shape == (5, 5)
    assert opened == [ImageRef("a")]
