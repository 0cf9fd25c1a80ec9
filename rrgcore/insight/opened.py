"""A finished run, opened to be looked into: its models, and the studies that are looked at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, cast, final

import numpy as np
import torch
from jaxtyping import UInt8

from rrgcore.annotations import FindingBoxes
from rrgcore.cleaning import is_empty
from rrgcore.data import Loader, study_rng
from rrgcore.datasets import load_component
from rrgcore.errors import RecipeError, UserError, did_you_mean
from rrgcore.features import Features, Parts
from rrgcore.images import resize
from rrgcore.interfaces import Lacks, MaskingStrategy, check_capability
from rrgcore.model import ReportModel
from rrgcore.registry import Registry
from rrgcore.settings import Split
from rrgcore.study import Study
from rrgcore.supply import Dataset, Mention, NamesFindings
from rrgcore.types import Batch, Encoded, Generated, Generation
from rrgcore.watch import Watcher

NAMER = "rules"
"""The annotator that is asked which words name an observation; it reads text alone."""
SHARPEST = 256
"""Pixels: at least so many are shown of an image, whatever the model sees."""


@final
class OpenRun:
    """A run's models and some studies of a split, as figures need them; computed once, on demand.

    There is one model in memory: `model` fills it with the checkpoint that is asked for. An
    objective is asked with that of the last stage that trained it (`trained`), since a later stage
    without it moves the parts under its head.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        fill: Callable[[str | None], ReportModel],
        load: Callable[[ReportModel, Split, Sequence[str]], Loader],
        listed: Callable[[Split], Sequence[Study]],
        references: Callable[[Split], Mapping[str, str]],
        know: Callable[[Split, Sequence[Study], Sequence[type]], Sequence[Study]],
        dataset: Dataset,
        trained: Mapping[str, str],
        exported: bool = False,
        generation: Generation,
        max_report_tokens: int,
        split: Split = "test",
        ids: Sequence[str] = (),
        caution: str = "",
        seed: int = 0,
        batch_size: int = 16,
        device: torch.device | str = "cpu",
        watcher: Watcher | None = None,
    ) -> None:
        self.registry = registry
        self.dataset = dataset
        self.trained = trained
        """The objectives that were trained, and the last stage that did so."""
        self.exported = exported
        """Whether it is an export, which has no stage's checkpoint."""
        self.generation = generation
        self.max_report_tokens = max_report_tokens
        self.split: Split = split
        self.caution = caution
        self.seed = seed
        self.batch_size = batch_size
        self.device = device
        self.watcher = watcher or Watcher()
        self._fill, self._load, self._listed = fill, load, listed
        self._references, self._know = references, know
        self._stage: str | None = "none is loaded"
        self._model: ReportModel | None = None
        self._loaders: dict[tuple[Split, tuple[str, ...]], Loader] = {}
        self._written: dict[str, Generated] = {}
        self._images: dict[str, Encoded] = {}
        self.ids: tuple[str, ...] = ()
        """The studies to draw."""
        self.look_at(ids)

    def look_at(self, ids: Sequence[str]) -> None:
        """Take the studies to draw; raises UserError for one that the split does not have."""
        known = {study.id for study in self.studies()}
        for id in ids:
            if id not in known:
                raise UserError(
                    f"the split '{self.split}' has no study '{id}'.{did_you_mean(id, known)} "
                    f"It has {len(known):,}, such as '{next(iter(known))}'"
                )
        self.ids = tuple(dict.fromkeys(ids))

    # ---- the model ----------------------------------------------------------------------------

    def model(self, objective: str | None = None) -> ReportModel:
        """Return the model as it writes reports, or as the last stage left it that trained an
        objective; only until it is asked for again.
        """
        stage = None if objective is None else self.trained[objective]
        if self._model is None or stage != self._stage:
            self._model, self._stage = self._fill(stage), stage
            self._images.clear()
        return self._model.eval()

    def objectives(self, *capabilities: type) -> list[str]:
        """List the objectives that were trained and have all of these capabilities."""
        found = self._built.objectives
        return [
            name for name in self.trained if all(_can(found[name], each) for each in capabilities)
        ]

    def without(self, what: str) -> str:
        """Say that there is none of some objectives to ask, and why: for `Figure.why_not`."""
        if self.exported:
            return f"an export has the best checkpoint alone, and no stage's to ask {what}"
        return f"no {what} was trained"

    @property
    def parts(self) -> Parts:
        """The model's parts, with whatever weights were loaded last: to ask what they can do."""
        return self._built.parts

    def masking(self, objective: str) -> MaskingStrategy | None:
        """Return the masking that an objective holds, as the run has it."""
        held = vars(self._built.objectives[objective]).values()
        return next((value for value in held if isinstance(value, MaskingStrategy)), None)

    @property
    def _built(self) -> ReportModel:
        return self._model or self.model()

    # ---- studies ------------------------------------------------------------------------------

    def studies(self, split: Split | None = None) -> Sequence[Study]:
        """List the studies of a split, the run's own unless said."""
        return self._listed(split or self.split)

    def study(self, id: str) -> Study:
        """Return a study of the split."""
        return next(study for study in self.studies() if study.id == id)

    def reference(self, id: str) -> str:
        """Return a study's report as it stands in the data."""
        return self._references(self.split).get(id, "")

    def loader(self, objectives: Sequence[str] = (), split: Split | None = None) -> Loader:
        """Return a loader of a split, for which these objectives prepare what they need.

        Raises DataError where a study lacks what they read.
        """
        key = (split or self.split, tuple(objectives))
        if key not in self._loaders:
            self._loaders[key] = self._load(self._built, *key)
        return self._loaders[key]

    def annotated(self, ids: Sequence[str], objectives: Sequence[str] = ()) -> list[Study]:
        """List studies with what the adapter and these objectives read."""
        studies = {study.id: study for study in self.loader(objectives).studies}
        return [studies[id] for id in ids]

    def batch(self, ids: Sequence[str], objectives: Sequence[str] = ()) -> Batch:
        """Collate studies of the split, in this order."""
        loader = self.loader(objectives)
        return loader.collate(self.annotated(ids, objectives)).to(self.device)

    def batches(
        self,
        title: str,
        objectives: Sequence[str] = (),
        split: Split | None = None,
        *,
        first: int | None = None,
    ) -> Iterator[tuple[Sequence[Study], Batch]]:
        """Iterate over the studies of a split that have a report, or the first so many of them,
        batch by batch.
        """
        loader = self.loader(objectives, split)
        studies = [study for study in loader.studies if not is_empty(study.report or "")]
        studies = studies[:first]
        starts = range(0, len(studies), self.batch_size)
        for at in self.watcher.track(starts, title, len(starts)):
            part = studies[at : at + self.batch_size]
            yield part, loader.collate(part).to(self.device)

    def written(self, ids: Sequence[str], split: Split | None = None) -> list[Generated]:
        """Return the reports that the model writes of studies, each written once."""
        split = split or self.split
        missing = [id for id in dict.fromkeys(ids) if f"{split}/{id}" not in self._written]
        if missing:
            loader = self.loader(split=split)
            studies = {study.id: study for study in loader.studies}
            starts = range(0, len(missing), self.batch_size)
            model = self.model()
            for at in self.watcher.track(starts, f"writing {split} reports", len(starts)):
                part = missing[at : at + self.batch_size]
                batch = loader.collate([studies[id] for id in part]).to(self.device)
                reports = model.generate(batch, self.generation)
                self._written |= zip((f"{split}/{id}" for id in part), reports, strict=True)
        return [self._written[f"{split}/{id}"] for id in ids]

    @torch.no_grad()
    def encoded(self, id: str, objective: str) -> Encoded:
        """Return a study's image as the encoder has it, `[1 n d]`, under an objective's model."""
        model = self.model(objective)
        if id not in self._images:
            self._images[id] = Features(model.parts, self.batch([id])).image
        return self._images[id]

    def grey(self, study: Study, image: int) -> UInt8[np.ndarray, "size size"]:
        """Return one of a study's images as a square, as the model sees it but no coarser than
        can be looked at.
        """
        size = max(self.loader().collate.images.size, SHARPEST)
        return resize(self.dataset.open(study.images[image]), size)

    # ---- what is known ------------------------------------------------------------------------

    def strategies(self) -> dict[str, MaskingStrategy]:
        """Return every masking by name: as the run's objectives hold it, else as it comes.

        One that cannot be made without options is left out.
        """
        found: dict[str, MaskingStrategy] = {}
        own = {
            type(masking): masking
            for name in self._built.objectives
            if (masking := self.masking(name)) is not None
        }
        for name in self.registry.names("masking"):
            cls = self.registry.get("masking", name)
            if cls in own:
                found[name] = own[cls]
                continue
            with suppress(RecipeError):
                made = load_component("masking", name, (), self.registry)
                found[name] = cast(MaskingStrategy, made)
        return found

    def knowing(self, ids: Sequence[str], kinds: Sequence[type]) -> list[Study]:
        """List studies with annotations of these kinds; raises UserError where they are not to be
        had.
        """
        return list(self._know(self.split, [self.study(id) for id in ids], kinds))

    def finding_boxes(self, study: Study) -> FindingBoxes | None:
        """Return where the data says that findings lie, if it does."""
        return self.dataset.annotation(study, FindingBoxes)

    def mentions(self, text: str) -> list[Mention] | None:
        """List the observations that a text names; None where nobody can tell."""
        return None if self._namer is None else list(self._namer.mentions(text))

    @cached_property
    def _namer(self) -> NamesFindings | None:
        if NAMER not in self.registry.names("annotator"):
            return None
        namer = cast(Any, self.registry.get("annotator", NAMER))()
        return namer if isinstance(namer, NamesFindings) else None

    def rng(self, slot: str) -> np.random.Generator:
        """Make a figure's generator."""
        return study_rng(self.seed, 0, "", slot)


def _can(component: object, capability: type) -> bool:
    try:
        check_capability(component, capability)
    except Lacks:
        return False
    return True
