"""A run on disk, and what can be done with it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

from accelerate import Accelerator

from rrgcore.assess import Assessment, assess
from rrgcore.build import build_model
from rrgcore.card import write_card
from rrgcore.check import check_recipe
from rrgcore.confined import inside
from rrgcore.errors import Problem, RecipeError, RunError, UserError
from rrgcore.faults.telling import writing
from rrgcore.files import read_json
from rrgcore.folder import CHECKPOINTS, PREDICTIONS, RECIPE, SCORES, RunFolder
from rrgcore.insight.explaining import FOLDER, Explained, Offer, draw_figures, offers
from rrgcore.insight.opened import OpenRun
from rrgcore.insight.opening import open_run
from rrgcore.insight.telling import telling_studies
from rrgcore.job import fitted_metrics, make_accelerator
from rrgcore.manifest import check_belongs, hashes_of, load_checkpoint
from rrgcore.model import ReportModel
from rrgcore.page import PageFile, write_page
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered, discover
from rrgcore.prediction.inputs import USUAL, TableOptions, find_requests, paths_of
from rrgcore.prediction.predictor import Predictor
from rrgcore.prediction.written import Origin, Written
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.run_export import Exported, export_run
from rrgcore.scoring import Pair
from rrgcore.scoring.by_name import CLINICAL, make_named_metrics
from rrgcore.scoring.scorecard import fit_metrics
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.tokenizers import Tokenizers
from rrgcore.versions import package_versions
from rrgcore.watch import Watcher, tracking


def load_run(path: str | Path, *, plugins: Discovered | None = None, trust: bool = False) -> "Run":
    """Load a run from its folder; raises RunError when it is none.

    Its annotators ask no address and start no program that its recipe names, unless you `trust` who
    made it.
    """
    return Run(RunFolder.open(path), plugins or discover(), trust=trust)


@final
class Run:
    """A run on disk."""

    def __init__(self, folder: RunFolder, plugins: Discovered, *, trust: bool = False) -> None:
        self.folder = folder
        self.plugins = plugins
        self.trust = trust

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @cached_property
    def plan(self) -> Plan:
        """The checked recipe that it ran; raises RecipeError, with the plugins that it had and that
        are not here.
        """
        recipe = read_recipe(self.path / RECIPE, alone=True)
        try:
            return check_recipe(recipe, self.plugins.registry)
        except RecipeError as error:
            here = {plugin.name for plugin in self.plugins.plugins if not plugin.blocked}
            had = self.folder.record.get("plugins", {})
            gone = {k: v for k, v in had.items() if k not in here} if isinstance(had, dict) else {}
            if not gone:
                raise
            listed = ", ".join(f"{name} ({where})" for name, where in gone.items())
            text = f"the run was made with plugins that are not here: {listed}. Install them, or "
            text += "name the file of one with --plugin"
            raise RecipeError(error.source, [Problem("", text), *error.problems]) from error

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
            trusted=self.trust,
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
            trusted=self.trust,
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
        chosen, how = dict.fromkeys(studies, ""), ""
        if not chosen:
            lines = self.folder.predictions(split) if self.folder.has_predictions(split) else ()
            written = {line["id"]: line["prediction"] for line in lines}
            chosen, how = telling_studies(opened, written)
        return draw_figures(
            opened,
            self.path / FOLDER if out is None else Path(out),
            figures=figures,
            studies=chosen,
            how=how,
            facts=self._facts(split),
        )

    def _facts(self, split: Split) -> dict[str, Any]:
        """Return what tells numbers of this run from those of another."""
        recipe, weights = hashes_of(self.folder.best)
        return {
            "run": self.path.resolve().name,
            "recipe": self.folder.record["recipe"],
            "variants": self.folder.record["variants"],
            "hashes": {"recipe": recipe[:12], "weights": weights[:12]},
            "split": split,
        }

    def _plan_in_batches_of(self, size: int | None) -> Plan:
        """Return the plan, with so many reports written at a time where that is said."""
        if size is None:
            return self.plan
        if size < 1:
            raise UserError(f"a batch of {size} reports is none; expected at least 1")
        evaluation = replace(self.plan.evaluation, batch_size=size)
        data = replace(self.plan.data, batch_size=min(size, self.plan.data.batch_size))
        return replace(self.plan, evaluation=evaluation, data=data)
