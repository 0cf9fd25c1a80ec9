"""The Python face of rrg: what the commands do, for notebooks and services."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

from accelerate import Accelerator

from rrgcore.assembled import check_assembled
from rrgcore.assess import Assessment, assess
from rrgcore.build import build_model, make_metrics
from rrgcore.card import write_card
from rrgcore.check import check_recipe
from rrgcore.checkpoint import load_part
from rrgcore.confined import inside
from rrgcore.disk import refusal
from rrgcore.errors import Problem, RecipeError, RunError, UserError
from rrgcore.faults.stops import last_saved
from rrgcore.faults.telling import preparing, writing
from rrgcore.files import read_json
from rrgcore.folder import (
    CHECKPOINTS,
    PREDICTIONS,
    RECIPE,
    RUN,
    SCORES,
    RunFolder,
    State,
    check_writable,
    new_folders,
    package_versions,
)
from rrgcore.insight.explaining import FOLDER, Explained, Offer, draw_figures, offers
from rrgcore.insight.opened import OpenRun
from rrgcore.insight.opening import open_run
from rrgcore.insight.telling import telling_studies
from rrgcore.interfaces import Pretrained
from rrgcore.interrupts import ECHO, Interrupts
from rrgcore.job import (
    Job,
    check_selected,
    fitted_metrics,
    in_a_line,
    listed_studies,
    make_accelerator,
)
from rrgcore.manifest import check_all_belong, check_belongs, hashes_of, load_checkpoint
from rrgcore.memory import Memory, predict_memory
from rrgcore.model import ReportModel
from rrgcore.page import PageFile, write_page
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered, discover
from rrgcore.prediction.inputs import USUAL, TableOptions, find_requests, paths_of
from rrgcore.prediction.predictor import Predictor
from rrgcore.prediction.written import Origin, Written
from rrgcore.pretrained import check_weights
from rrgcore.processes import on_main
from rrgcore.recipe import Recipe
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.resolve import Weight, resolved, weigh
from rrgcore.resume import changed_versions, check_same_data
from rrgcore.run_export import Exported, export_run
from rrgcore.same_recipe import is_run_of, recipe_changes, unfinished
from rrgcore.scoring import Pair
from rrgcore.scoring.by_name import CLINICAL, make_named_metrics
from rrgcore.scoring.scorecard import fit_metrics
from rrgcore.settings import Split
from rrgcore.starts import checkpoint_of, starts_of
from rrgcore.studies import Studies
from rrgcore.supply import DataChecks
from rrgcore.tokenizers import Tokenizers
from rrgcore.tracker_names import check_trackers
from rrgcore.trackers import Tracked
from rrgcore.watch import Watcher, tracking

T = TypeVar("T")


def load_recipe(
    name: str | Path,
    *,
    variants: Sequence[str] = (),
    overrides: Sequence[str] = (),
    plugins: Discovered | None = None,
) -> "Session":
    """Load a recipe by path, or by the name of an installed one, with variants and overrides."""
    recipe = read_recipe(name, variants=variants, overrides=overrides)
    return Session(recipe, plugins or discover())


def load_run(path: str | Path, *, plugins: Discovered | None = None) -> "Run":
    """Load a run from its folder; raises RunError when it is none."""
    return Run(RunFolder.open(path), plugins or discover())


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """A recipe with every default filled in, and its parameters counted."""

    values: Mapping[str, Any]
    weights: Sequence[Weight]
    absent: Sequence[str]
    """What the recipe names and this machine does not have: data, tokenizers, weights."""


@final
class Session:
    """A recipe that was read, and what can be done with it."""

    def __init__(self, recipe: Recipe, plugins: Discovered) -> None:
        self.recipe = recipe
        self.plugins = plugins

    @cached_property
    def plan(self) -> Plan:
        """The checked recipe; raises RecipeError."""
        return check_recipe(self.recipe, self.plugins.registry)

    def check(self, *, images: bool = True, watcher: Watcher | None = None) -> Plan:
        """Find everything that can be known without building; raises RecipeError with all of it.

        Reads the data's index and, where `images`, opens every image. Weights are read and fitted
        to a model that is not allocated; those with a hub name are fetched, as a run would.
        """
        plan, watcher = self.plan, watcher or Watcher()
        problems: list[Problem] = []

        def collect(address: str, look: Callable[[], T]) -> T | None:
            try:
                return look()
            except RecipeError as error:
                problems.extend(error.problems)
            except UserError as error:
                problems.append(plan.problem(address, str(error)))
            return None

        studies = collect("data", lambda: listed_studies(plan))
        if studies is not None and images and isinstance(studies.dataset, DataChecks):
            texts = studies.dataset.check_data(progress=watcher.progress("opening images"))
            problems += [plan.problem("data", text) for text in texts]
        tokenizers = Tokenizers(plan, (lambda: studies.reports("train")) if studies else None)
        built: list[tuple[str, object]] = []
        views = studies.most_views if studies else 1
        model = collect("model", lambda: check_assembled(plan, tokenizers, built, views=views))
        if model is not None and studies is not None:
            problems += studies.training_set_problems(model)
            for role, objectives in plan.loaders():
                collect("data", partial(studies.check_annotations, model, role, objectives))
        if studies is None:
            collect("evaluation.metrics", lambda: make_metrics(plan))
        else:
            metrics = collect("evaluation.metrics", partial(fitted_metrics, plan, studies))
            if metrics is not None:
                collect("evaluation.select", partial(check_selected, plan, metrics, studies))
        if model is not None:
            collect("model", lambda: check_weights(plan, model))
        for part, source in plan.init.items():
            folder = collect(f"init.{part}", partial(checkpoint_of, source))
            if folder is not None and model is not None:  # into which nothing is read but shapes
                collect(f"init.{part}", partial(load_part, folder, part, model.part(part)))
        if studies is not None:
            told = any(problem.address.startswith("init.") for problem in problems)
            problems += studies.leaks([*built, *(() if told else starts_of(plan))])
        if problems:
            raise RecipeError(self.recipe.source, list(dict.fromkeys(problems)))
        return plan

    def show(self) -> Shown:
        """Resolve the recipe and count its parameters, without data, weights or network."""
        plan = check_recipe(self.recipe, self.plugins.registry, expand_paths=False)
        studies, absent = self._at_hand()
        texts = partial(studies.reports, "train") if studies else None
        tokenizers = Tokenizers(plan, texts, absent_allowed=True)
        model = check_assembled(plan, tokenizers)
        absent += [
            f"tokenizer '{name}': counted with {len(tokenizers.loaded[name]):,} tokens"
            for name in tokenizers.absent
        ]
        for block in plan.blocks():
            name = block.options.get("weights") if issubclass(block.cls, Pretrained) else None
            if isinstance(name, str) and not Path(name).expanduser().exists():
                absent.append(f"weights '{name}' of {block.address}")
        return Shown(resolved(plan), weigh(model), absent)

    def memory(self, *, views: int | None = None) -> Memory:
        """Predict what training takes on a CUDA device, which need not be there: nothing is
        allocated, and neither data nor weights nor tokenizers need be at hand.

        A study has as many images as the data's that has most, unless `views` says; 1 where the
        data is absent. Raises DataError for a component that reads what only its plugin knows.
        """
        plan = check_recipe(self.recipe, self.plugins.registry, expand_paths=False)
        studies, _ = self._at_hand()
        texts = partial(studies.reports, "train") if studies else None
        seen = views or (studies.most_views if studies else 1)
        return predict_memory(plan, Tokenizers(plan, texts, absent_allowed=True), views=seen)

    def _at_hand(self) -> tuple[Studies | None, list[str]]:
        """Return the studies, or none and why they are absent."""
        try:
            return listed_studies(self.plan), []
        except RecipeError as error:
            return None, [f"{p.address}: {p.text.splitlines()[0]}" for p in error.problems]
        except UserError as error:
            return None, [f"data: {str(error).splitlines()[0]}"]

    def run(
        self,
        out: str | Path | None = None,
        *,
        root: str | Path = "runs",
        new: bool = False,
        track: Sequence[str] = (),
        watcher: Watcher | None = None,
    ) -> "Run":
        """Train every stage, test once with the best checkpoint, fill the run folder.

        Without `out`, goes on with the newest unfinished run of the very same recipe below `root`,
        unless `new`. Nothing is written before everything that can be checked has been. `track`
        names trackers, which are no part of the recipe.
        """
        plan, watcher = self.plan, watcher or Watcher()
        track = check_trackers(track)
        accelerator = make_accelerator(plan)
        with ExitStack() as holding:
            path, state = on_main(
                accelerator, lambda: self._take(holding, out, Path(root), new, watcher)
            )
            folder = RunFolder(path, writes=accelerator.is_main_process)
            if state == "finished":
                watcher.note(
                    f"{path} is finished already: nothing was done. See `rrg evaluate {path}`"
                )
            else:
                self._fill(folder, accelerator, watcher, track, exists=state is not None)
                accelerator.wait_for_everyone()
        return Run(folder, self.plugins)

    def _fill(
        self,
        folder: RunFolder,
        accelerator: Accelerator,
        watcher: Watcher,
        track: Sequence[str],
        *,
        exists: bool,
    ) -> None:
        """Begin a run in a folder that is held, or go on with the one that `exists` there."""
        plan, path = self.plan, folder.path
        saved = folder.saved_tokenizers() if exists else {}
        tracked = Tracked(watcher, folder, accelerator, track)
        with preparing(plan, "building the model"):
            job = Job(
                plan,
                tracked,
                accelerator,
                saved,
                resumes=exists and folder.trained,
                kept=folder.given,
            )
        facts = {**job.facts(), **self._plugin_facts()}
        if exists:
            check_same_data(folder, facts)
            if changed := changed_versions(folder, facts):
                watcher.note(changed)
        alone = accelerator.num_processes == 1
        with Interrupts(echo=0.0 if alone else ECHO) as interrupts:
            try:
                if exists:
                    watcher.note(f"going on with {path}")
                    folder.update(state="running")
                elif folder.writes:
                    RunFolder.create(path, self.recipe, resolved(plan), facts)
                if folder.writes and not folder.saved_tokenizers():
                    # a run that was killed at the very beginning may have saved none either
                    job.save_tokenizers(folder)
                title = "-".join((self.recipe.name, *self.recipe.variants))
                with interrupts.let_through(when=alone):
                    tracked.begin(f"{title}/{path.name}", resolved(plan))
                accelerator.wait_for_everyone()
                watcher.note(in_a_line(facts))
                with preparing(plan, "before training, or between two steps"):
                    with interrupts.let_through(when=alone):
                        job.learn(folder)
                    job.run(folder, interrupts)
                tracked.end()
                if folder.writes:
                    write_card(folder, plan)
                folder.update(state="finished")
            except BaseException as error:
                tracked.close(failed=True)
                refused = refusal(error)
                folder.stopped()
                if isinstance(error, KeyboardInterrupt):
                    lost = " at once, unsaved since the last checkpoint" * interrupts.forced
                    watcher.note(f"stopped{lost}; to go on: {self._to_go_on(path, track)}")
                elif refused is not None and (path / RUN).is_file():
                    raise refused.told(
                        last_saved(folder, plan.stages), f"go on: {self._to_go_on(path, track)}"
                    ) from error
                elif isinstance(error, UserError) and not exists:
                    folder.remove_unless_trained()
                raise

    def _to_go_on(self, path: Path, track: Sequence[str]) -> str:
        """Return the command that goes on with a run."""
        words = ["rrg", "run", str(path / RECIPE), "--out", str(path)]
        words += [word for name in track for word in ("--track", name)]
        for plugin in self.plugins.plugins:
            if plugin.blocked:
                words += ["--no-plugin", plugin.name]
            elif plugin.version == "file":
                words += ["--plugin", plugin.origin]
        return shlex.join(words)

    def _plugin_facts(self) -> dict[str, Any]:
        """Return what run.json says of the plugins that were there: name to where from."""
        there = [plugin for plugin in self.plugins.plugins if not plugin.blocked]
        return {"plugins": {plugin.name: f"{plugin.origin} {plugin.version}" for plugin in there}}

    def _take(
        self, holding: ExitStack, out: str | Path | None, root: Path, new: bool, watcher: Watcher
    ) -> tuple[Path, State | None]:
        """Hold the folder to run in, tidied up and checked; return it, and the state of the run in
        it, if one is. A finished run is not held.
        """
        if out is not None:
            path = Path(out)
            if (state := self._state_in(path, new=new)) == "finished":
                return path, state
            holding.enter_context(RunFolder(path).held())
            return path, self._settled(path, new=new)
        values, registry = resolved(self.plan), self.plugins.registry
        while not new and (found := unfinished(root, self.recipe, values, registry, watcher.note)):
            if _is_got(found, holding):
                return found, self._settled(found)
        path = next(path for path in new_folders(root, self.recipe) if _is_got(path, holding))
        return path, self._settled(path, new=True)

    def _settled(self, path: Path, *, new: bool = False) -> State | None:
        """Look what is in a folder that is held: until then another process may have begun a run
        there, or ended one. What killed writes left is cleared away, and the rest held against the
        checkpoints.
        """
        if (state := self._state_in(path, new=new)) != "finished":
            folder = RunFolder(path)
            folder.tidy()
            check_all_belong(folder)
        return state

    def _state_in(self, path: Path, *, new: bool) -> State | None:
        """Return the state of the run in a folder, None where none is; raises RunError where this
        recipe cannot be run in it.
        """
        values, registry = resolved(self.plan), self.plugins.registry
        check_writable(path)
        if not path.exists() or RunFolder(path).is_beginning_of(values):
            return None
        folder = RunFolder.open(path)
        if new:
            raise RunError(f"--new, but {path} holds a run already; name another folder with --out")
        if not is_run_of(folder, values, registry):
            raise RunError(
                f"{path} holds a run of another recipe ({folder.record['recipe']}): "
                f"{recipe_changes(path, values, registry)}. Name another folder with --out"
            )
        return folder.state


def _is_got(path: Path, holding: ExitStack) -> bool:
    """Hold a folder that nobody asked for by name, unless another process was faster."""
    check_writable(path)
    folder = RunFolder(path)
    try:
        holding.enter_context(folder.held())
    except RunError:
        if not folder.in_use:
            raise
        return False
    return True


@final
class Run:
    """A run on disk."""

    def __init__(self, folder: RunFolder, plugins: Discovered) -> None:
        self.folder = folder
        self.plugins = plugins

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @cached_property
    def plan(self) -> Plan:
        """The checked recipe that it ran."""
        recipe = read_recipe(self.path / RECIPE, alone=True)
        return check_recipe(recipe, self.plugins.registry)

    @property
    def scores(self) -> dict[str, Any]:
        """What scores.json says; raises RunError while the run is not finished."""
        if not (self.path / SCORES).is_file():
            raise RunError(
                f"{self.path} has no {SCORES} yet; go on with it: rrg run … --out {self.path}"
            )
        return read_json(self.path / SCORES)

    @property
    def predictions(self) -> list[Pair]:
        """The test reports and what the model wrote; raises RunError where they are damaged."""
        if not self.folder.has_predictions():
            raise RunError(
                f"{self.path / PREDICTIONS} is not there: write it again, rrg evaluate {self.path}"
            )
        lines = self.folder.predictions()
        return [Pair(each["id"], each["prediction"], each["reference"]) for each in lines]

    def model(self, checkpoint: str = "best") -> ReportModel:
        """Load the model with the weights of a checkpoint: `best`, or a stage's as `align/last`.

        Raises RunError where it, or what it was saved with, is not as it was.
        """
        path = inside(self.path, f"{CHECKPOINTS}/{checkpoint}", "the checkpoint asked for")
        check_belongs(self.folder, path)
        tokenizers = Tokenizers(self.plan, None, self.folder.saved_tokenizers(), only_saved=True)
        model = build_model(self.plan, tokenizers, load_weights=False, kept=self.folder.given)
        load_checkpoint(path, model)
        # the published weights that said so need not be on this machine
        for name, values in self.folder.pixels.items():
            setattr(model.parts.encoder, name, tuple(values))
        return model.eval()

    def _studies(self, plan: Plan, accelerator: Accelerator, watcher: Watcher) -> Studies:
        """Make its studies, whose annotators know what they learned in it."""
        studies = Studies(
            plan,
            track=tracking(watcher),
            device=str(accelerator.device),
            note=watcher.note,
            kept=self.folder.given,
        )
        studies.knowledge.keep_in(self.folder.artefacts, writes=False)
        return studies

    def predictor(self, *, batch_size: int | None = None) -> Predictor:
        """Load what writes reports for new images; it needs nothing but the run folder."""
        plan = self._plan_in_batches_of(batch_size)
        accelerator = make_accelerator(plan)
        model = self.model().to(accelerator.device)
        recipe, weights = hashes_of(self.folder.best)
        packages, there = package_versions(), [p for p in self.plugins.plugins if not p.blocked]
        plugins = {p.name: f"{Path(p.origin).name} {p.version}" for p in there}
        return Predictor(
            plan=plan,
            model=model,
            folder=self.folder,
            origin=Origin(
                str(self.path),
                recipe,
                weights,
                str(packages["rrg"]),
                str(packages["torch"]),
                plugins,
            ),
            accelerator=accelerator,
        )

    def predict(
        self,
        paths: Sequence[str | Path],
        *,
        tables: TableOptions = USUAL,
        batch_size: int | None = None,
        watcher: Watcher | None = None,
    ) -> list[Written]:
        """Write a report for each study that paths ask for: image files, folders of them, tables of
        studies. One whose images cannot be read has an `error` in place of a report.

        Raises DataError for a path that does not exist, a folder without images, and a table that
        cannot be read.
        """
        requests = find_requests(paths_of(paths), tables)
        predictor = self.predictor(batch_size=batch_size)
        batches, count = predictor.batches(requests), -(-len(requests) // predictor.batch_size)
        tracked = (watcher or Watcher()).track(batches, "writing reports", count)
        return [written for batch in tracked for written in batch]

    def evaluate(
        self,
        split: Split = "test",
        *,
        protocols: Sequence[str] = (),
        batch_size: int | None = None,
        watcher: Watcher | None = None,
    ) -> Assessment:
        """Generate and score again: with the recipe's metrics, and with others by name.

        With several processes only the main one's folder `writes` from then on.
        """
        plan = self._plan_in_batches_of(batch_size)
        accelerator = make_accelerator(plan)
        self.folder.writes = accelerator.is_main_process
        studies = self._studies(plan, accelerator, watcher or Watcher())
        named = [name for name in protocols if name not in self.plan.metrics]
        # who asks for clinical efficacy by name gets it by our own labeler
        labeler = "rules" if CLINICAL in named else None
        more = make_named_metrics(named, self.plugins.registry, labeler=labeler)
        fit_metrics(more, studies.raw_reports("train"))
        with writing(plan):
            return assess(
                plan=plan,
                model=self.model().to(accelerator.device),
                studies=studies,
                metrics={**fitted_metrics(self.plan, studies), **more},
                folder=self.folder,
                accelerator=accelerator,
                watcher=watcher or Watcher(),
                split=split,
            )

    def page(
        self,
        out: str | Path | None = None,
        *,
        split: Split = "test",
        studies: int = 200,
        images: bool = True,
        attention: bool = True,
        recipe: str | Path | None = None,
        watcher: Watcher | None = None,
    ) -> PageFile:
        """Write it as one HTML file: page.html in its folder, with the split's name for another
        than test; at most so many `studies` are in it.

        `recipe` is what it was made of, where its name alone does not tell. What is not at hand is
        left out, and said.
        """
        watcher = watcher or Watcher()
        name = "page.html" if split == "test" else f"page-{split}.html"
        return write_page(
            self.path / name if out is None else Path(out),
            folder=self.folder,
            registry=self.plugins.registry,
            plan=lambda: self.plan,
            studies=lambda: self._studies(self.plan, make_accelerator(self.plan), watcher),
            model=lambda: self.model().to(make_accelerator(self.plan).device),
            split=split,
            most=studies,
            images=images,
            attention=attention,
            recipe=recipe,
            watcher=watcher,
        )

    def write_card(self) -> Path:
        """Write its card again, as after its scores were."""
        return write_card(self.folder, self.plan)

    def export(
        self,
        target: str | Path,
        *,
        zipped: bool = False,
        unfinished: bool = False,
        training_data: bool = False,
    ) -> Exported:
        """Write one folder, or one zip, from which another machine predicts; raises RunError."""
        return export_run(
            self.folder,
            self.plan,
            Path(target),
            zipped=zipped,
            unfinished=unfinished,
            training_data=training_data,
        )

    def open(self, split: Split = "test", *, watcher: Watcher | None = None) -> OpenRun:
        """Open the run, to look into what it trained, at the studies of a split."""
        accelerator, watcher = make_accelerator(self.plan), watcher or Watcher()
        return open_run(
            plan=self.plan,
            folder=self.folder,
            model=self.model(),
            studies=self._studies(self.plan, accelerator, watcher),
            registry=self.plugins.registry,
            split=split,
            device=accelerator.device,
            watcher=watcher,
        )

    def figures(self, split: Split = "test") -> list[Offer]:
        """List the figures that there are, and why the run cannot be drawn so where it cannot."""
        return offers(self.open(split))

    def explain(
        self,
        studies: Sequence[str] = (),
        *,
        figures: Sequence[str] = (),
        split: Split = "test",
        out: str | Path | None = None,
        watcher: Watcher | None = None,
    ) -> Explained:
        """Draw what the model does for studies of a split, by id: the figures that are named, or
        all that the run has the parts for, into a folder, `explain` in the run's unless said.

        Without studies, three telling ones are chosen. Raises RunError where a figure that was
        named cannot be drawn.
        """
        opened = self.open(split, watcher=watcher)
        chosen = dict.fromkeys(studies, "")
        if not chosen:
            at_hand = split == "test" and (self.path / PREDICTIONS).is_file()
            written = {pair.id: pair.prediction for pair in self.predictions} if at_hand else {}
            chosen = telling_studies(opened, written)
        return draw_figures(
            opened,
            self.path / FOLDER if out is None else Path(out),
            figures=figures,
            studies=chosen,
            facts={"run": self.path.name, "recipe": self.plan.recipe.name, "split": split},
        )

    def _plan_in_batches_of(self, size: int | None) -> Plan:
        """Return the plan, with so many reports written at a time where that is said."""
        if size is None:
            return self.plan
        if size < 1:
            raise UserError(f"a batch of {size} reports is none; expected at least 1")
        evaluation = replace(self.plan.evaluation, batch_size=size)
        data = replace(self.plan.data, batch_size=min(size, self.plan.data.batch_size))
        return replace(self.plan, evaluation=evaluation, data=data)
