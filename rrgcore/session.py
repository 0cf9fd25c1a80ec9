"""The Python face of rrg: what the commands do, for notebooks and services."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast, final

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn

from rrgcore.assess import Assessment, assess
from rrgcore.build import WORDS, Tokenizers, build_model, check_assembled, make_metrics, part_of
from rrgcore.check import check_recipe
from rrgcore.checkpoint import link_folder, load_part, write_json
from rrgcore.errors import DataError, Problem, RecipeError, RunError, UserError, did_you_mean
from rrgcore.evaluate import Prediction
from rrgcore.folder import PREDICTIONS, RECIPE, SCORES, RunFolder, new_folder, unfinished
from rrgcore.interfaces import DataChecks, Metric, Pretrained
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered, discover
from rrgcore.recipe import Recipe
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.resolve import Weight, resolved, weigh
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.tokens import AbsentTokenizer
from rrgcore.training import Trainer
from rrgcore.types import Pair
from rrgcore.watch import Watcher


def load_recipe(
    name: str | Path,
    *,
    variants: Sequence[str] = (),
    overrides: Sequence[str] = (),
    plugins: Discovered | None = None,
) -> "Session":
    """Load a recipe by path, or by the name of one that is installed, with variants and overrides."""
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

        Reads the data's index and, where `images`, opens every image; allocates no model.
        """
        plan = self.plan
        problems: list[Problem] = []
        studies: Studies | None = None
        try:
            studies = Studies(plan)
            for role in ("train", "val", "test"):
                studies[cast(Split, role)]
        except UserError as error:
            problems += _as_problems(error, "data")
            studies = None
        if studies is not None and images and isinstance(studies.dataset, DataChecks):
            found = studies.dataset.check_data()
            problems += [Problem("data", text) for text in found]
        tokenizers = Tokenizers(plan, studies and (lambda: cast(Studies, studies).reports("train")))
        try:
            model = check_assembled(plan, tokenizers)
            if studies is not None:
                studies.check_training_set(model)
                studies.annotated("train")
            _check_selected(plan, make_metrics(plan))
        except UserError as error:
            problems += _as_problems(error, "data")
        for block in plan.blocks():
            problem = _weights_problem(block.cls, block.options.get("weights"))
            if problem:
                problems.append(self._located(f"{block.address}.weights", problem))
        if problems:
            raise RecipeError(self.recipe.source, problems)
        return plan

    def show(self) -> Shown:
        """Resolve the recipe and count its parameters, without data, weights or network."""
        plan = check_recipe(self.recipe, self.plugins.registry, expand_paths=False)
        absent: list[str] = []
        texts = None
        try:
            studies = Studies(self.plan)
            studies["train"]
            texts = lambda: studies.reports("train")  # noqa: E731
        except UserError as error:
            absent.append(f"data: {str(error).splitlines()[0]}")
        tokenizers = Tokenizers(plan, texts, absent_allowed=True)
        model = check_assembled(plan, tokenizers)
        absent += [
            f"tokenizer '{name}': counted with {len(tokenizers.loaded[name]):,} tokens"
            for name in tokenizers.absent
        ]
        for block in plan.blocks():
            if _weights_problem(block.cls, block.options.get("weights"), hub=True):
                absent.append(f"weights '{block.options['weights']}' of {block.address}")
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
        watcher = watcher or Watcher()
        plan = self.plan
        folder = self._folder(out, Path(root), new)
        if folder is not None and folder.state == "finished":
            watcher.note(f"{folder.path} is finished already: nothing was done")
            return Run(folder, self.plugins)
        job = _Job(plan, watcher, folder)
        if folder is None:
            path = Path(out) if out is not None else new_folder(Path(root), self.recipe)
            folder = RunFolder.create(path, self.recipe, resolved(plan), job.facts())
            job.save_tokenizers(folder)
        else:
            watcher.note(f"going on with {folder.path}")
            folder.update(state="running")
        try:
            job.run(folder)
        except BaseException:
            folder.update(state="stopped")
            raise
        folder.update(state="finished")
        return Run(folder, self.plugins)

    def _folder(self, out: str | Path | None, root: Path, new: bool) -> RunFolder | None:
        """Return the folder to go on with, or None to make one."""
        values = resolved(self.plan)
        if out is None:
            path = None if new else unfinished(root, self.recipe, values)
            return path and RunFolder(path)
        path = Path(out)
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return None
        folder = RunFolder.open(path)
        if new:
            raise RunError(f"--new, but {path} holds a run already; name another folder")
        if not folder.is_of(values):
            raise RunError(
                f"{path} holds a run of another recipe ({folder.record['recipe']}, or the same with "
                f"other options). See {path / RECIPE}; name another folder with --out"
            )
        return folder

    def _located(self, address: str, text: str) -> Problem:
        origin = self.recipe.origin(address)
        return Problem(address, text, origin.line if origin else None)


@final
class _Job:
    """Everything built for one run; building it writes nothing."""

    def __init__(self, plan: Plan, watcher: Watcher, folder: RunFolder | None) -> None:
        self.plan = plan
        self.watcher = watcher
        self.studies = Studies(plan)
        for role in ("train", "val", "test"):
            self.studies[cast(Split, role)]
        saved = folder.saved_tokenizers() if folder else {}
        self.tokenizers = Tokenizers(plan, lambda: self.studies.reports("train"), saved)
        self.studies.check_training_set(check_assembled(plan, self.tokenizers))
        self.metrics = make_metrics(plan)
        _check_selected(plan, self.metrics)
        self.accelerator = make_accelerator(plan)
        set_seed(plan.seed)
        self.model = build_model(plan, self.tokenizers)
        objectives = cast(Mapping[str, nn.Module], dict(self.model.objectives.items()))
        for part, source in plan.init.items():
            module = part_of(self.model.parts, objectives, part)
            load_part(_checkpoint_of(source), part, module)
        self.model.to(self.accelerator.device)
        for (
            stage
        ) in plan.stages:  # annotations that are missing are found now, not in the second stage
            self.studies.loader(
                self.model, "train", training=True, objectives=list(plan.stage_weights(stage))
            )
        if cut := self.studies.cut_reports(self.model):
            watcher.note(
                f"{cut} of {len(self.studies['train'])} training reports are longer than "
                f"data.max_report_tokens={plan.data.max_report_tokens} and are cut for training; "
                "references are scored whole"
            )

    def facts(self) -> dict[str, Any]:
        return {
            "seed": self.plan.seed,
            "data": self.studies.facts(),
            "studies": {
                role: len(self.studies[cast(Split, role)]) for role in ("train", "val", "test")
            },
            "parameters": {
                weight.part: {"trainable": weight.trainable, "frozen": weight.frozen}
                for weight in weigh(self.model)
            },
            "device": str(self.accelerator.device),
        }

    def save_tokenizers(self, folder: RunFolder) -> None:
        names = {}
        for number, (name, tokenizer) in enumerate(self.tokenizers.loaded.items()):
            assert not isinstance(tokenizer, AbsentTokenizer), "a run has its tokenizers at hand"
            relative = f"tokenizers/{WORDS if name == WORDS else number}"
            tokenizer.save(folder.path / relative)
            names[name] = relative
        folder.update(tokenizers=names)

    def run(self, folder: RunFolder) -> None:
        common: dict[str, Any] = {
            "plan": self.plan,
            "model": self.model,
            "studies": self.studies,
            "metrics": self.metrics,
            "folder": folder,
            "accelerator": self.accelerator,
            "watcher": self.watcher,
        }
        trainer = Trainer(**common)
        trainer.train()
        stage, found = trainer.best()
        link_folder(folder.checkpoint(stage, "best"), folder.best)
        folder.update(best={"stage": stage, "score": found})
        write_assessment(folder, assess(**common, split="test"))


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
        return dict(json.loads((self.path / SCORES).read_text(encoding="utf-8")))

    @property
    def predictions(self) -> list[Pair]:
        """The test reports and what the model wrote."""
        lines = (self.path / PREDICTIONS).read_text(encoding="utf-8").splitlines()
        return [Pair(e["id"], e["prediction"], e["reference"]) for e in map(json.loads, lines)]

    def model(self, checkpoint: str = "best") -> ReportModel:
        """Load the model with the weights of a checkpoint: `best`, or a stage's as `align/last`."""
        from rrgcore.checkpoint import load_model

        model = build_model(
            self.plan,
            Tokenizers(self.plan, None, self.folder.saved_tokenizers()),
            load_weights=False,
        )
        load_model(self.path / "checkpoints" / checkpoint, model)
        return model.eval()

    def evaluate(self, split: Split = "test", *, watcher: Watcher | None = None) -> Assessment:
        """Generate and score again."""
        accelerator = make_accelerator(self.plan)
        return assess(
            plan=self.plan,
            model=self.model().to(accelerator.device),
            studies=Studies(self.plan),
            metrics=make_metrics(self.plan),
            folder=self.folder,
            accelerator=accelerator,
            watcher=watcher or Watcher(),
            split=split,
        )


def write_assessment(folder: RunFolder, found: Assessment) -> None:
    """Write scores.json and predictions.jsonl (for another split than test, with its name in theirs)."""
    suffix = "" if found.split == "test" else f"-{found.split}"
    folder.write_lines(
        PREDICTIONS.replace(".", f"{suffix}."), [_entry(p) for p in found.predictions]
    )
    write_json(folder.path / SCORES.replace(".", f"{suffix}."), found.to_json())


def make_accelerator(plan: Plan) -> Accelerator:
    """Make the accelerator of a plan: precision is a process's, so every stage has the first one's."""
    precision = next(iter(plan.stages.values())).precision
    return Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        # a report-only stage, or a variant without mim, leaves cross-attention or heads unused
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def _entry(prediction: Prediction) -> dict[str, Any]:
    return {
        "id": prediction.id,
        "reference": prediction.reference,
        "prediction": prediction.prediction,
        "logprob": prediction.logprob,
    }


def _check_selected(plan: Plan, metrics: Mapping[str, Metric]) -> None:
    """Refuse to train for hours towards a score that no metric gives."""
    select = plan.evaluation.select
    if select == "last":
        return
    pair = [Pair("a", "the lungs are clear .", "the lungs are clear .")]
    given = [key for metric in metrics.values() for key in metric.score(pair, quick=True).values]
    if select not in given:
        raise RecipeError(
            plan.recipe.source,
            [
                Problem(
                    "evaluation.select",
                    f"no metric gives '{select}' while training.{did_you_mean(select, given)}\n"
                    f"Given: {', '.join(given) or 'nothing: name a metric under evaluation.metrics'}; "
                    "or `last`, which keeps the newest checkpoint",
                )
            ],
        )


def _weights_problem(cls: type, weights: object, *, hub: bool = False) -> str | None:
    """Say that local weights are not there; a hub name is only looked for where `hub`."""
    if not issubclass(cls, Pretrained) or not isinstance(weights, str):
        return None
    local = Path(weights).expanduser()
    if local.exists():
        return None
    if weights.startswith((".", "/", "~")) or weights.endswith((".safetensors", ".pth", ".bin")):
        return f"'{weights}' does not exist; expected a file or folder, or a hub name"
    return f"'{weights}' is a hub name" if hub else None


def _as_problems(error: UserError, address: str) -> list[Problem]:
    if isinstance(error, RecipeError):
        return list(error.problems)
    return [Problem(address, str(error))]


def _checkpoint_of(source: str) -> Path:
    if not source.startswith("run:"):
        raise RunError(
            f"init: '{source}' is no run; expected run:PATH (published weights are an option of the "
            "component: `weights`)"
        )
    return RunFolder.open(source.removeprefix("run:")).best
