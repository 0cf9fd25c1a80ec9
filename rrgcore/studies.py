"""A run's studies by the role they play, and the loaders that feed them to a model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import UInt8

from rrgcore.augment import tell_never_mirrored, unfit
from rrgcore.build import make_annotators, make_dataset
from rrgcore.cleaning import is_empty
from rrgcore.data import CACHE_BYTES, Collator, ImageCache, Loader, truncated
from rrgcore.errors import DataError, Problem, RecipeError
from rrgcore.gathering import slug_of
from rrgcore.images.disk_cache import open_disk_cache, unheard
from rrgcore.interfaces import ChecksTrainingSet, Prepares
from rrgcore.knowledge import Knowledge, find_leaks, learned_elsewhere
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.provenance import Provenance
from rrgcore.settings import ROLES, AugmentSettings, Split
from rrgcore.study import ImageRef, Study
from rrgcore.supply import (
    Annotator,
    Dataset,
    KeepsRawReports,
    Track,
    Workbench,
    learns,
    raw_report,
    untracked,
)
from rrgcore.types import Batch

ADAPTER = "adapter"
"""The slot of the model itself that prepares from studies; the others are objectives'."""


@final
class Studies:
    """The studies of a plan: listed at once, annotated when a loader wants them so.

    What annotators were given is read at once if `read_given`, but for what a run has `kept`. Of
    images in memory at most `hold` bytes are kept. Unless the plan is `trusted`, annotators that
    reach out of rrg are not asked.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset | None = None,
        *,
        track: Track = untracked,
        device: str = "cpu",
        note: Callable[[str], None] = unheard,
        kept: Path | None = None,
        read_given: bool = False,
        hold: int = CACHE_BYTES,
        trusted: bool = True,
    ) -> None:
        self.plan = plan
        self.dataset = dataset or make_dataset(plan)
        self._images = ImageCache(
            self.dataset,
            size=plan.data.image_size,
            max_bytes=hold,
            disk=open_disk_cache(plan.data.cache, size=plan.data.image_size, note=note),
        )
        self.annotating: list[tuple[str, object]] = []
        """The annotators and what is nested in them, with their addresses."""
        annotators = make_annotators(plan, built=self.annotating, kept=kept, read_given=read_given)
        for annotator in annotators.values():
            annotator.equip(
                Workbench(self.dataset.open, plan.seed, device, track, cached=self._cached)
            )
        self.knowledge = Knowledge(
            dataset=self.dataset,
            annotators=annotators,
            training=lambda: self["train"],
            oracle=plan.data.oracle,
            refused={} if trusted else self._reaching(annotators),
        )
        self._of: dict[Split, list[Study]] = {}
        self._known: dict[tuple[Split, bool], _Known] = {}
        """What is known of the studies of a role, blind or not."""

    def _reaching(self, annotators: Mapping[type, Annotator]) -> dict[type, str]:
        """Say why annotators are not asked that reach out of rrg, or hold one that does."""
        refused = {}
        for kind in annotators:
            at = f"data.annotations.{slug_of(kind)}"
            for address, component in self.annotating:
                what = getattr(component, "reaches", "")
                if what and (address == at or address.startswith(f"{at}.")):
                    refused[kind] = (
                        f"{address} of the run's recipe {what}. Where the run is yours, or you "
                        "trust who made it, say so: --trust"
                    )
        return refused

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
        """List the reports of a role as a model reads them: cleaned, where the data does so."""
        return [study.report or "" for study in self[role]]

    def raw_reports(self, role: Split) -> list[str]:
        """List the reports of a role, in the same order, as they stand in the data: what metrics
        and baselines are given. Of a dataset that does not tell, they are the same as `reports`.
        """
        return [raw_report(self.dataset, study) for study in self[role]]

    def references(self, role: Split) -> dict[str, str]:
        """Return what each study of a role is scored against: its raw report, or nothing."""
        return {study.id: raw_report(self.dataset, study) for study in self[role]}

    @property
    def most_views(self) -> int:
        """Count the images of the study that has most of them."""
        return max(len(study.images) for role in ROLES for study in self[role])

    def check_whole(self) -> None:
        """Raise DataError for studies that lack an image, or a report where one is needed.

        Training and validation need all of theirs; of test studies those without a report are
        written one, and left out of the scores.
        """
        wrong: list[str] = []
        for role in ROLES:
            studies = self[role]
            pictureless = [study.id for study in studies if not study.images]
            silent = [study.id for study in studies if is_empty(study.report or "")]
            if pictureless:
                wrong.append(f"{_some(pictureless, studies)} of `{role}` has no image")
            if silent and role != "test":
                wrong.append(f"{_some(silent, studies)} of `{role}` has no report")
            elif len(silent) == len(studies):
                wrong.append("no study of `test` has a report, so that nothing could be scored")
        if wrong:
            raise DataError("\n".join([*wrong, "Mend such studies, or leave them out of the data"]))

    def check_annotations(
        self, model: ReportModel, role: Split, objectives: Sequence[str] = ()
    ) -> None:
        """Raise DataError where a study lacks an annotation that a loader's components read.

        What annotators make is not made: that they find what they read is enough, and fitting them
        may take long. Raises RecipeError where such an annotation of a training study would not
        follow its augmented image.
        """
        prepares = preparing(model, objectives)
        if role == "train":
            self._check_augment(prepares)
        self._carrying(role, prepares, training=role == "train", make=False)

    def learn(self, model: ReportModel) -> None:
        """Let the annotators that a run needs learn."""
        for _, objectives in self.plan.loaders():
            for component in preparing(model, objectives).values():
                self.knowledge.learn(component.annotations_read())

    def leaks(self, components: Iterable[tuple[str, object]]) -> Iterator[Problem]:
        """Find artefacts among components, and among annotators, that were learned from studies
        which are to be predicted.
        """
        held_out = [*self["val"], *self["test"]]
        learning = [k for k, each in self.knowledge.annotators.items() if learns(each)]
        training = {study.id for study in self["train"]}
        seen = [study.id for study in held_out if study.id in training]
        if learning and seen:
            slugs = ", ".join(map(slug_of, learning))
            yield self.plan.problem(
                "data.splits",
                f"'{seen[0]}' and {len(seen) - 1:,} more studies are to be predicted, and are what "
                f"annotators learn from ({slugs}): `train` needs others than `val` and `test`",
            )
        annotators = self.knowledge.annotators.items()
        held = [(f"data.annotations.{slug_of(kind)}", each) for kind, each in annotators]
        for address, text in find_leaks([*components, *held], held_out):
            yield self.plan.problem(address, text)

    def _carrying(
        self,
        role: Split,
        prepares: Mapping[str, Prepares[Any]],
        *,
        training: bool,
        make: bool = True,
    ) -> list[Study]:
        """List the studies of a role with every annotation that these components read.

        Unless in training, what the model itself reads is made without their reports. What only an
        objective reads, to be measured by, is not: no generated word depends on it.
        """
        readers: dict[bool, dict[type, list[str]]] = {True: {}, False: {}}
        for slot, component in prepares.items():
            blind = not training and slot == ADAPTER
            for kind in component.annotations_read():
                readers[blind].setdefault(kind, []).append(slot)
        # of a kind that both read, the model's is the one: it must not see more
        whole = {k: slots for k, slots in readers[False].items() if k not in readers[True]}
        studies = self[role]
        for blind, wanted in ((False, whole), (True, readers[True])):
            if wanted:
                studies = self._with(role, studies, wanted, blind=blind, make=make)
        return studies

    def _with(
        self,
        role: Split,
        studies: Sequence[Study],
        wanted: Mapping[type, Sequence[str]],
        *,
        blind: bool,
        make: bool,
    ) -> list[Study]:
        """Add the annotations that are wanted, each made once for a role."""
        known = self._known.setdefault((role, blind), _Known(self[role]))
        missing = {kind: slots for kind, slots in wanted.items() if kind not in known.kinds}
        if missing:
            ways = {
                kind: "; and ".join(self.plan.without(slot, kind) for slot in slots)
                for kind, slots in missing.items()
            }
            gather = self.knowledge.blind if blind else self.knowledge.open
            found = gather(
                role,
                known.studies,
                tuple(missing),
                make=make,
                advice={kind: f"To do without it: {way}" for kind, way in ways.items()},
            )
            if not make:
                return found
            known.studies, known.kinds = found, known.kinds | missing.keys()
        return [
            study.annotated({kind: each[kind] for kind in wanted})
            for study, each in zip(studies, known.studies, strict=True)
        ]

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
        """Make a loader; the adapter and the objectives that are named prepare what they need.

        Studies carry what these read, the adapter's made without their reports unless in
        `training`. Raises DataError where one lacks it. In training alone studies are augmented.
        """
        prepares = preparing(model, objectives)
        if training:
            self._check_augment(prepares)
        studies = self._carrying(role, prepares, training=training)
        collate = self._collator(model, prepares, training=training)
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

    def batch_of(self, model: ReportModel, studies: Sequence[Study]) -> Batch:
        """Make a batch of studies that are in no split, with what the model itself reads of their
        images. Raises DataError for one that has no image, or of which an annotator cannot tell.
        """
        prepares = preparing(model, ())
        kinds = tuple({kind: 0 for each in prepares.values() for kind in each.annotations_read()})
        if kinds:
            studies = self.knowledge.blind("new", studies, kinds)
        return self._collator(model, prepares, training=False)(studies)

    def look(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Return an image as the model sees it, before its pixels are normalised."""
        return self._images[image]

    def _collator(
        self, model: ReportModel, prepares: Mapping[str, Prepares[Any]], *, training: bool
    ) -> Collator:
        parts = model.parts
        return Collator(
            images=self._images,
            mean=parts.encoder.mean,
            std=parts.encoder.std,
            report_tokenizer=parts.decoder.tokenizer,
            text_tokenizer=getattr(parts.text_encoder, "tokenizer", parts.decoder.tokenizer),
            max_report_tokens=self.plan.data.max_report_tokens,
            prepares=prepares,
            seed=self.plan.seed,
            augment=self._augment if training else None,
        )

    @property
    def _augment(self) -> AugmentSettings | None:
        """How training studies are varied; None where they are not."""
        augment = self.plan.data.augment
        return None if augment == AugmentSettings() else augment

    def _check_augment(self, prepares: Mapping[str, Prepares[Any]]) -> None:
        """Refuse annotations that would not follow what is done to their images."""
        problems = [
            self.plan.problem(
                "data.augment",
                f"{slot} reads {kind.__name__}, and {text}.\n"
                f"To do without it: {self.plan.without(slot, kind)}",
            )
            for slot, component in prepares.items()
            for kind in component.annotations_read()
            if (text := unfit(self.plan.data.augment, kind)) is not None
        ]
        if problems:
            raise RecipeError(self.plan.recipe.source, problems)

    def never_mirrored(self) -> str | None:
        """Say which training studies a flip passes over, and why; None where there are none."""
        return tell_never_mirrored(self["train"]) if self.plan.data.augment.flip else None

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

    def _cached(self, image: ImageRef, size: int) -> UInt8[np.ndarray, "h w"] | None:
        """Show annotators what the model will see too, rather than read it twice."""
        return self._images[image] if size == self._images.size else None

    def provenance(self, components: Iterable[object] = ()) -> Provenance:
        """Record the training studies, and what the artefacts of components and annotators had
        learned from, for whoever uses what a run learned.
        """
        own = Provenance.of(self["train"], about=self.plan.dataset.name)
        return own.joined(learned_elsewhere([*components, *self.knowledge.annotators.values()]))

    @property
    def cleaning(self) -> tuple[str, ...]:
        """The rule by which the data cleans reports, if it does."""
        return (self.dataset.cleaning,) if isinstance(self.dataset, KeepsRawReports) else ()

    def facts(self) -> Mapping[str, Any]:
        """Return what identifies the data, for run.json."""
        return {"dataset": self.plan.dataset.name, **self.dataset.fingerprint()}


def preparing(model: ReportModel, objectives: Sequence[str]) -> dict[str, Prepares[Any]]:
    """Return the components that work on raw studies, by slot."""
    components: dict[str, Any] = {
        ADAPTER: model.parts.adapter,
        **{f"objectives.{name}": model.objectives[name] for name in objectives},
    }
    return {slot: each for slot, each in components.items() if isinstance(each, Prepares)}


@final
@dataclass
class _Known:
    """Studies, and the kinds of annotation that were gathered for them."""

    studies: list[Study]
    kinds: frozenset[type] = frozenset()


def _some(ids: Sequence[str], among: Sequence[Study]) -> str:
    others = f" and {len(ids) - 1:,} more of {len(among):,}" if len(ids) > 1 else ""
    return f"study '{ids[0]}'{others}"
