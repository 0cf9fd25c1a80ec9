"""A run's studies by the role they play, and the loaders that feed them to a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from rrgcore.build import make_annotators, make_dataset
from rrgcore.data import Collator, ImageCache, Loader, gather_annotations, truncated
from rrgcore.errors import DataError, Problem
from rrgcore.interfaces import ChecksTrainingSet, Dataset, Prepares
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.settings import Split
from rrgcore.types import Study

ROLES: tuple[Split, ...] = ("train", "val", "test")


@final
class Studies:
    """The studies of a plan: listed at once, annotated when a loader wants them so."""

    def __init__(self, plan: Plan, dataset: Dataset | None = None) -> None:
        self.plan = plan
        self.dataset = dataset or make_dataset(plan)
        self._annotators = make_annotators(plan)
        self._of: dict[Split, list[Study]] = {}
        self._annotated: dict[Split, list[Study]] = {}
        self._images = ImageCache(self.dataset, size=plan.data.image_size)
        self._fitted: set[type] = set()

    def __getitem__(self, role: Split) -> list[Study]:
        """List the studies of a role; raises DataError when there are none."""
        if role not in self._of:
            split = self.plan.data.splits.get(role, role)
            found = list(self.dataset.studies(split))[: self.plan.data.limit]
            if not found:
                raise DataError(
                    f"the data has no studies in its split '{split}', which is to be `{role}`. "
                    f"Name another one: data.splits={{{role}: …}}"
                )
            self._of[role] = found
        return self._of[role]

    def reports(self, role: Split) -> list[str]:
        """List the reports of a role."""
        return [study.report or "" for study in self[role]]

    def annotated(self, role: Split) -> list[Study]:
        """List the studies of a role with every annotation that components read.

        Annotators learn from the training split, whichever split they are asked for.
        """
        if role not in self._annotated:
            for kind in self._annotators:
                self._fit(kind)
            self._annotated[role] = gather_annotations(
                self.dataset,
                self[role],
                self.plan.reads(),
                self._annotators,
                advice=self.plan.without(),
            )
        return self._annotated[role]

    def _fit(self, kind: type) -> None:
        """Let an annotator learn from the training split, after those whose work it reads."""
        if kind in self._fitted:
            return
        self._fitted.add(kind)
        annotator = self._annotators[kind]
        for needed in annotator.reads:
            if needed in self._annotators:
                self._fit(needed)
        annotator.fit(
            gather_annotations(self.dataset, self["train"], annotator.reads, self._annotators)
        )

    def loader(
        self,
        model: ReportModel,
        role: Split,
        *,
        training: bool,
        objectives: Sequence[str] = (),
        batch_size: int | None = None,
        first: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> Loader:
        """Make a loader; of the objectives, only those named prepare anything."""
        parts = model.parts
        components: dict[str, Any] = {
            "adapter": parts.adapter,
            **{f"objectives.{name}": model.objectives[name] for name in objectives},
        }
        prepares = {k: v for k, v in components.items() if isinstance(v, Prepares)}
        reads = any(component.annotations_read() for component in prepares.values())
        studies = self.annotated(role) if reads else self[role]
        collate = Collator(
            images=self._images,
            mean=parts.encoder.mean,
            std=parts.encoder.std,
            report_tokenizer=parts.decoder.tokenizer,
            text_tokenizer=getattr(parts.text_encoder, "tokenizer", parts.decoder.tokenizer),
            max_report_tokens=self.plan.data.max_report_tokens,
            prepares=prepares,
            seed=self.plan.seed,
        )
        return Loader(
            studies[:first],
            collate,
            batch_size=batch_size or self.plan.data.batch_size,
            training=training,
            # a last batch of one or two studies has no negatives to speak of
            drop_last=training and len(studies) >= self.plan.data.batch_size,
            rank=rank,
            world=world,
            workers=self.plan.data.workers,
        )

    def training_set_problems(self, model: ReportModel) -> Iterator[Problem]:
        """Find what components cannot do with so few studies."""
        count = len(self["train"])
        for name, objective in model.objectives.items():
            if isinstance(objective, ChecksTrainingSet):
                problem = objective.check_training_size(count)
                if problem is not None:
                    yield self.plan.problem(f"objectives.{name}", problem)

    def cut_reports(self, model: ReportModel) -> int:
        """Count the training reports that are longer than `data.max_report_tokens`."""
        return truncated(
            self["train"], model.parts.decoder.tokenizer, self.plan.data.max_report_tokens
        )

    def facts(self) -> Mapping[str, Any]:
        """Return what identifies the data, for run.json."""
        return {"dataset": self.plan.dataset.name, **self.dataset.fingerprint()}
