"""The Python face of rrg: what the commands do, for notebooks and services."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

from accelerate import Accelerator

from rrgcore.assembled import check_assembled
from rrgcore.assess import Assessment, assess
from rrgcore.build import build_model, make_metrics
from rrgcore.check import check_recipe
from rrgcore.checkpoint import load_model, load_part
from rrgcore.errors import Problem, RecipeError, RunError, UserError
from rrgcore.files import read_json
from rrgcore.folder import (
    PREDICTIONS,
    RECIPE,
    SCORES,
    RunFolder,
    check_writable,
    new_folder,
    unfinished,
)
from rrgcore.interfaces import Pretrained
from rrgcore.interrupts import Interrupts
from rrgcore.job import (
    Job,
    check_selected,
    fitted_metrics,
    in_a_line,
    listed_studies,
    make_accelerator,
)
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered, discover
from rrgcore.predicting import Written, find_images, predict_reports
from rrgcore.pretrained import check_weights
from rrgcore.processes import on_main
from rrgcore.recipe import Recipe
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.resolve import Weight, resolved, weigh
from rrgcore.resume import changed_versions, check_same_data
from rrgcore.scoring import Pair
from rrgcore.scoring.by_name import CLINICAL, make_named_metrics
from rrgcore.scoring.scorecard import fit_metrics
from rrgcore.settings import Split
from rrgcore.starts import checkpoint_of, starts_of
from rrgcore.studies import Studies
from rrgcore.supply import DataChecks
from rrgcore.tokenizers import Tokenizers
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
            started = collect("init", lambda: list(starts_of(plan))) or []
            problems += studies.leaks([*built, *started])
        if problems:
            raise RecipeError(self.recipe.source, list(dict.fromkeys(problems)))
        return plan

    def show(self) -> Shown:
        """Resolve the recipe and count its parameters, without data, weights or network."""
        plan = check_recipe(self.recipe, self.plugins.registry, expand_paths=False)
        absent: list[str] = []
        texts: Callable[[], list[str]] | None = None
        try:
            studies = listed_studies(self.plan)
            texts = partial(studies.reports, "train")
        except RecipeError as error:
            absent += [f"{p.address}: {p.text.splitlines()[0]}" for p in error.problems]
        except UserError as error:
            absent.append(f"data: {str(error).splitlines()[0]}")
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

    def run(
        self,
        out: str | Path | None = None,
        *,
        root: str | Path = "runs",
        new: bool = False,
        watcher: Watcher | None = None,
    ) -> "Run":
        """Train every stage, test once with the best checkpoint, fill the run folder.

        Without `out`, goes on with the newest unfinished run of the very same recipe below `root`,
        unless `new`. Nothing is written before everything that can be checked has been.
        """
        plan, watcher = self.plan, watcher or Watcher()
        accelerator = make_accelerator(plan)
        path, exists = on_main(accelerator, lambda: self._where(out, Path(root), new, watcher))
        folder = RunFolder(path, writes=accelerator.is_main_process)
        if exists and folder.state == "finished":
            watcher.note(f"{path} is finished already: nothing was done. See `rrg evaluate {path}`")
            return Run(folder, self.plugins)
        saved = folder.saved_tokenizers() if exists else {}
        job = Job(plan, watcher, accelerator, saved, resumes=exists and folder.trained)
        facts = {**job.facts(), **self._plugin_facts()}
        if exists:
            check_same_data(folder, facts)
            if changed := changed_versions(folder, facts):
                watcher.note(changed)
        elif folder.writes:
            RunFolder.create(path, self.recipe, resolved(plan), facts)
        with folder.held(), Interrupts() as interrupts:
            if exists:
                watcher.note(f"going on with {path}")
                folder.update(state="running")
            if folder.writes and not folder.saved_tokenizers():
                # a run that was killed at the very beginning may have saved none either
                job.save_tokenizers(folder)
            accelerator.wait_for_everyone()
            watcher.note(in_a_line(facts))
            try:
                job.learn(folder)
                job.run(folder, interrupts)
            except BaseException as error:
                folder.update(state="stopped")
                if isinstance(error, KeyboardInterrupt):
                    watcher.note(f"stopped; to go on: rrg run {path / RECIPE} --out {path}")
                if isinstance(error, UserError) and not exists:
                    folder.remove_unless_trained(parents=out is None)
                raise
            folder.update(state="finished")
            accelerator.wait_for_everyone()
        return Run(folder, self.plugins)

    def _plugin_facts(self) -> dict[str, Any]:
        """Return what run.json says of the plugins that were there: name to where from."""
        there = [plugin for plugin in self.plugins.plugins if not plugin.blocked]
        return {"plugins": {plugin.name: f"{plugin.origin} {plugin.version}" for plugin in there}}

    def _where(
        self, out: str | Path | None, root: Path, new: bool, watcher: Watcher
    ) -> tuple[Path, bool]:
        """Return the folder to run in, and whether it holds a run to go on with."""
        values = resolved(self.plan)
        if out is None:
            path = None if new else unfinished(root, self.recipe, values, watcher.note)
            fresh = path or new_folder(root, self.recipe)
            check_writable(fresh)
            return fresh, path is not None
        path = Path(out)
        check_writable(path)
        if not path.exists() or not any(path.iterdir()):
            return path, False
        folder = RunFolder.open(path)
        if new:
            raise RunError(f"--new, but {path} holds a run already; name another folder with --out")
        if not folder.is_of(values):
            raise RunError(
                f"{path} holds a run of another recipe ({folder.record['recipe']}, or the same "
                f"with other options). See {path / RECIPE}; name another folder with --out"
            )
        return path, True


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
        return check_recipe(read_recipe(self.path / RECIPE), self.plugins.registry)

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
        """The test reports and what the model wrote."""
        lines = (self.path / PREDICTIONS).read_text(encoding="utf-8").splitlines()
        return [Pair(e["id"], e["prediction"], e["reference"]) for e in map(json.loads, lines)]

    def model(self, checkpoint: str = "best") -> ReportModel:
        """Load the model with the weights of a checkpoint: `best`, or a stage's as `align/last`."""
        model = build_model(
            self.plan,
            Tokenizers(self.plan, None, self.folder.saved_tokenizers()),
            load_weights=False,
        )
        load_model(self.path / "checkpoints" / checkpoint, model)
        # the published weights that said so need not be on this machine
        for name, values in self.folder.record["pixels"].items():
            setattr(model.parts.encoder, name, tuple(values))
        return model.eval()

    def _studies(self, accelerator: Accelerator, watcher: Watcher) -> Studies:
        """Make its studies, whose annotators know what they learned in it."""
        studies = Studies(self.plan, track=tracking(watcher), device=str(accelerator.device))
        studies.knowledge.keep_in(self.folder.artefacts, writes=False)
        return studies

    def predict(
        self, paths: Sequence[str | Path], *, watcher: Watcher | None = None
    ) -> list[Written]:
        """Write a report for each image file, those in folders included; it needs nothing but the
        run folder. Raises DataError for a file that is no image.
        """
        accelerator = make_accelerator(self.plan)
        return predict_reports(
            plan=self.plan,
            model=self.model().to(accelerator.device),
            folder=self.folder,
            paths=find_images([Path(path) for path in paths]),
            accelerator=accelerator,
            watcher=watcher or Watcher(),
        )

    def evaluate(
        self,
        split: Split = "test",
        *,
        protocols: Sequence[str] = (),
        watcher: Watcher | None = None,
    ) -> Assessment:
        """Generate and score again: with the recipe's metrics, and with others by name.

        With several processes only the main one's folder `writes` from then on.
        """
        accelerator = make_accelerator(self.plan)
        self.folder.writes = accelerator.is_main_process
        studies = self._studies(accelerator, watcher or Watcher())
        named = [name for name in protocols if name not in self.plan.metrics]
        # who asks for clinical efficacy by name gets it by our own labeler
        labeler = "rules" if CLINICAL in named else None
        more = make_named_metrics(named, self.plugins.registry, labeler=labeler)
        fit_metrics(more, studies.raw_reports("train"))
        return assess(
            plan=self.plan,
            model=self.model().to(accelerator.device),
            studies=studies,
            metrics={**fitted_metrics(self.plan, studies), **more},
            folder=self.folder,
            accelerator=accelerator,
            watcher=watcher or Watcher(),
            split=split,
        )
