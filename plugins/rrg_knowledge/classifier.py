"""The annotator `classifier`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, final

import numpy as np

from rrg_knowledge.asked_labeler import labeler_or_rules
from rrg_knowledge.classifier_record import find_saved, read_record
from rrgcore.annotations import Labels, Probabilities
from rrgcore.auroc import auroc
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError
from rrgcore.provenance import Artefact, Provenance
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, HoldsArtefacts, Workbench, artefacts_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rrg_knowledge.classifier_network import Architecture

CACHE_BYTES: Final = 1 << 30
"""Images that are kept between the epochs: 20,000 of 224 × 224; what does not fit is read again."""


@final
class ObservationClassifier(Annotator, HoldsArtefacts):
    """p(o | X) = sigmoid(f(X))_o for CheXpert's 14 observations; the mean over a study's images.

    f is a model of timm, fitted in the run to the labels of the training reports, which `labeler`
    reads (`rules` unless said). What a report does not mention is absent; what it leaves open
    counts as `uncertain` says. A share of the training patients, `held_out`, is not fitted: the
    AUROC of `summary` is theirs. With the defaults, 4,000 phantoms of 80 pixels take some 95
    seconds of one CPU core. For real images name a larger `model`, with `weights`: a file of
    timm's, or a hub name.

    With `saved`, the folder of one that was fitted before (`artefacts/probabilities` of a run, or
    the run), nothing is fitted, and the options of fitting are not used. It says what it learned
    from, or else is used only if `trusted`.

    CmEAA, A.1, has cft-chexpert in its place, whose weights are not public any more.
    """

    writes: ClassVar[type] = Probabilities

    def __init__(
        self,
        *,
        image_size: int,
        model: str = "test_resnet",
        weights: str | None = None,
        labeler: Annotator | None = None,
        uncertain: Literal["positive", "negative", "ignored"] = "positive",
        epochs: int = 5,
        lr: float = 3e-3,
        weight_decay: float = 0.05,
        batch_size: int = 50,
        held_out: float = 0.1,
        saved: str | None = None,
        trusted: bool = False,
    ) -> None:
        if not 0 <= held_out < 1:
            raise ValueError(f"`held_out` is {held_out}; expected a share of at least 0, below 1")
        if min(epochs, batch_size) < 1:
            raise ValueError("`epochs` and `batch_size` are at least 1")
        self.image_size = image_size
        self.model = model
        self.weights = weights
        self.labeler = labeler_or_rules(labeler)
        self.uncertain = uncertain
        self.epochs = epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.held_out = held_out
        self.saved = None if saved is None else Path(saved).expanduser()
        self.trusted = trusted
        self._bench: Workbench | None = None
        self._network: nn.Module | None = None
        self._architecture: Architecture | None = None
        self._about: dict[str, Any] = {}
        self._images: dict[ImageRef, Tensor] = {}

    def read_given(self) -> None:
        """Find what is `saved`, or `model` and `weights`; raises DataError or ValueError."""
        if self.saved is not None:
            read_record(find_saved(self.saved))
            return
        from rrg_knowledge.classifier_network import check_model, check_weights

        check_model(self.model)
        check_weights(self.weights)

    def artefacts(self) -> Sequence[Artefact]:
        """Return the classifier that was fitted elsewhere, if it was."""
        given = artefacts_of(self.labeler)
        if self.saved is None:
            return given
        # not what a run wrote beside it: one that only used it has other training studies
        learned = read_record(find_saved(self.saved))["learned_from"]
        provenance = Provenance.from_json(learned) if learned else None
        return [Artefact(f"the classifier {self.saved}", provenance, self.trusted), *given]

    def equip(self, bench: Workbench) -> None:
        """Take the images."""
        self._bench = bench
        self.labeler.equip(bench)

    def fit(self, studies: Sequence[Study]) -> None:
        """Fit the network; raises DataError for a study without report, and for too few images."""
        if self.saved is not None:
            self.load(find_saved(self.saved))
            return
        from rrg_knowledge.classifier_fitting import fit_network, hold_out, targets
        from rrg_knowledge.classifier_network import begin, own_randomness
        from rrg_knowledge.classifier_saved import digest_of

        bench = self._workbench
        labels: list[Labels] = list(self.labeler.annotate(studies))
        wanted = targets(labels, OBSERVATIONS, self.uncertain)
        kept = hold_out(studies, self.held_out, bench.seed)
        items = [
            (image, row)
            for row, study in enumerate(studies)
            for image in study.images
            if not kept[row]
        ]
        if len(items) < 2:
            raise DataError(
                f"{len(items)} images are too few to fit a classifier to; expected two at least"
            )
        images = [image for image, _ in items]
        with own_randomness(bench.seed, bench.device):
            self._architecture, self._network = begin(
                self.model,
                image_size=self.image_size,
                outputs=len(OBSERVATIONS),
                weights=self.weights,
            )
            fit_network(
                self._network,
                self._architecture,
                partial(self._stack, images),
                wanted[[row for _, row in items]],
                epochs=self.epochs,
                lr=self.lr,
                weight_decay=self.weight_decay,
                batch_size=self.batch_size,
                seed=bench.seed,
                device=bench.device,
                track=bench.track,
            )
        unseen = [study for study, out in zip(studies, kept.tolist(), strict=True) if out]
        scores = np.array([list(each.values.values()) for each in self.annotate(unseen)])
        truth = wanted[kept].numpy()
        areas = {
            name: auroc(scores[known, i], truth[known, i] > 0)
            for i, name in enumerate(OBSERVATIONS)
            if (known := ~np.isnan(truth[:, i])).any()
        }
        self._about = {
            "architecture": asdict(self._architecture),
            "observations": list(OBSERVATIONS),
            "labels": self.labeler.fingerprint(),
            "images": len(images),
            "held_out": len(unseen),
            "auroc": {name: area for name, area in areas.items() if area is not None},
            "digest": digest_of(self._network),
            "learned_from": Provenance.of(studies).to_json(),
        }

    def save(self, folder: Path) -> None:
        """Write the tensors, and what is known about them."""
        from rrg_knowledge.classifier_saved import save_classifier

        assert self._network is not None, "a classifier is fitted, or loaded, before it is saved"
        save_classifier(folder, self._network, self._about)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; raises DataError where it is damaged."""
        from rrg_knowledge.classifier_saved import load_classifier

        self._architecture, network, self._about = load_classifier(folder)
        self._network = network.to(self._workbench.device).eval()

    def annotate(self, studies: Iterable[Study]) -> Iterator[Probabilities]:
        """Yield probabilities; raises DataError for a study without image."""
        from rrg_knowledge.classifier_network import ask

        assert self._network is not None, "a classifier is fitted, or loaded, before it is asked"
        assert self._architecture is not None, "a network has an architecture"
        bench, asked = self._workbench, list(studies)
        if bare := [study.id for study in asked if not study.images]:
            raise DataError(f"study '{bare[0]}' has no image to classify")
        with_image = [image for study in asked for image in study.images]
        starts = range(0, len(with_image), self.batch_size)
        found: list[list[float]] = []
        for start in bench.track(starts, "classifying images", len(starts)):
            images = self._stack(
                with_image, range(start, min(start + self.batch_size, len(with_image)))
            )
            found += ask(
                self._network,
                self._architecture,
                list(images),
                batch_size=self.batch_size,
                device=bench.device,
            ).tolist()
        rows = iter(found)
        for study in asked:
            mean = np.mean([next(rows) for _ in study.images], axis=0)
            names = self._about.get("observations", OBSERVATIONS)
            yield Probabilities(
                {name: round(float(p), 6) for name, p in zip(names, mean, strict=True)}
            )

    def fingerprint(self) -> str:
        """Return the model, whose labels it learned, and a digest of its weights."""
        if not self._about:
            return f"classifier {self.model} at {self.image_size} pixels, not fitted yet"
        architecture = self._about["architecture"]
        return (
            f"classifier {architecture['model']} at {architecture['image_size']} pixels, fitted to "
            f"labels by {self._about['labels']} (digest {self._about['digest']})"
        )

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Return the AUROC of each observation on the training patients that were held out."""
        areas: Mapping[str, float] = self._about.get("auroc", {})
        if not areas:
            return {}
        rows = {name: {"AUROC": areas[name]} for name in OBSERVATIONS if name in areas}
        return {**rows, "mean": {"AUROC": sum(areas.values()) / len(areas)}}

    @property
    def _workbench(self) -> Workbench:
        assert self._bench is not None, "an annotator is equipped before it works"
        return self._bench

    def _stack(self, images: Sequence[ImageRef], rows: Sequence[int]) -> "Tensor":
        import torch

        return torch.stack([self._read(images[row]) for row in rows])

    def _read(self, image: ImageRef) -> "Tensor":
        import torch

        if (known := self._images.get(image)) is not None:
            return known
        assert self._architecture is not None, "the architecture says how large images are"
        size = self._architecture.image_size
        read = torch.from_numpy(self._workbench.look(image, size).copy())
        if (len(self._images) + 1) * size**2 <= CACHE_BYTES:
            self._images[image] = read
        return read
