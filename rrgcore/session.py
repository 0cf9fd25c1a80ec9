"""The Python face of rrg: what the commands do, for notebooks and services."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

from rrgcore.assembled import check_assembled
from rrgcore.build import make_metrics
from rrgcore.check import check_recipe
from rrgcore.checkpoint import load_part
from rrgcore.errors import Problem, RecipeError, UserError
from rrgcore.interfaces import Pretrained
from rrgcore.job import check_selected, fitted_metrics, listed_studies
from rrgcore.memory import Memory, predict_memory
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered, discover
from rrgcore.pretrained import check_weights
from rrgcore.recipe import Recipe
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.resolve import Weight, resolved, weigh
from rrgcore.run import Run
from rrgcore.running import Runner
from rrgcore.starts import checkpoint_of, starts_of
from rrgcore.studies import Studies
from rrgcore.supply import DataChecks
from rrgcore.tokenizers import Tokenizers
from rrgcore.watch import Watcher

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
    ) -> Run:
        """Train every stage, test once with the best checkpoint, fill the run folder.

        Without `out`, goes on with the newest unfinished run of the very same recipe below `root`,
        unless `new`. Nothing is written before everything that can be checked has been. `track`
        names trackers, which are no part of the recipe.
        """
        runner = Runner(self.plan, self.plugins, watcher or Watcher(), track)
        return Run(runner.run(out, Path(root), new=new), self.plugins, trust=True)
