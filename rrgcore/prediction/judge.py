"""What a run learns about its own predictions when it is trained: when an image is unlike those it
has seen, and how far a report can be believed.

It stands in `artefacts/prediction`, with the studies that it was learned from, and seals itself: it
is made after the checkpoints that the other artefacts belong to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from jaxtyping import UInt8
from safetensors.numpy import load_file, save_file

from rrgcore.digest import digest_of_facts, digest_of_file
from rrgcore.errors import DataError, RunError
from rrgcore.files import read_json, write_json, written_whole
from rrgcore.folder import RunFolder
from rrgcore.manifest import JUDGE
from rrgcore.prediction.confidence import Confidence
from rrgcore.prediction.familiarity import Familiarity
from rrgcore.prediction.notices import Notice
from rrgcore.prediction.picture import BLOCKS
from rrgcore.provenance import LEARNED, Provenance

FACTS: Final = "judge.json"
TENSORS: Final = "familiarity.safetensors"
SUM, FILE = "sum", "file"
UNTOLD: Final = (
    "the run was finished before rrg learned that; `rrg evaluate` learns it where the data is at "
    "hand"
)


@final
@dataclass(frozen=True, slots=True)
class Judge:
    """What is known of images and reports; or, as a sentence, why it is not."""

    familiarity: Familiarity | str
    confidence: Confidence | str
    most_views: int | None = None
    """Images of the training study that has most of them."""
    training: Provenance | None = None
    validation: Provenance | None = None

    def believe(self, logprobs: Sequence[float]) -> float | None:
        """Return how far a report can be believed, by the log-probabilities of its tokens."""
        return self.believe_total(float(sum(logprobs))) if logprobs else None

    def believe_total(self, total: float) -> float | None:
        """Return the same by the log-probability of the whole report."""
        return None if isinstance(self.confidence, str) else self.confidence.of(total)

    def look(self, images: Sequence[UInt8[np.ndarray, "h w"]]) -> list[Notice]:
        """Return what is to be said of a study's images, as the model sees them."""
        found = []
        if self.most_views is not None and len(images) > self.most_views:
            text = f"{len(images)} images; no study that the run was trained on has more than "
            found.append(Notice("views", f"{text}{self.most_views}"))
        for number, image in enumerate(images, start=1):
            if isinstance(self.familiarity, str):
                break
            if (distance := self.familiarity.distance(image)) > 1:
                which = f"image {number}" if len(images) > 1 else "the image"
                text = (
                    f"{which} is unlike those that the run was trained on ({distance:.1f} times as "
                    f"far as the limit), most in {self.familiarity.strangest(image)}"
                )
                found.append(Notice("unfamiliar", text))
        return found

    def untold(self) -> dict[str, str]:
        """Return what cannot be told, and why."""
        found = {"familiarity": self.familiarity, "confidence": self.confidence}
        return {name: why for name, why in found.items() if isinstance(why, str)}

    def save(self, folder: RunFolder) -> None:
        """Write it into a run, unless it is there."""
        place = folder.artefacts / JUDGE
        if not folder.writes or place.is_dir() or self.training is None or self.validation is None:
            return
        facts: dict[str, Any] = {
            "familiarity": self.familiarity,
            "confidence": self.confidence,
            "most_views": self.most_views,
            FILE: None,
        }
        with written_whole(place) as beside:
            if isinstance(self.familiarity, Familiarity):
                known = asdict(self.familiarity)
                facts["familiarity"] = {"limit": known.pop("limit")}
                save_file({k: np.ascontiguousarray(v) for k, v in known.items()}, beside / TENSORS)
                facts[FILE] = digest_of_file(beside / TENSORS)
            if isinstance(self.confidence, Confidence):
                facts["confidence"] = asdict(self.confidence)
            write_json(beside / FACTS, {**facts, SUM: digest_of_facts(facts)})
            learned = {
                "by": "rrg predict",
                **self.training.to_json(),
                "validation": self.validation.to_json(),
            }
            write_json(beside / LEARNED, learned)


def load_judge(folder: RunFolder) -> Judge:
    """Read what a run has learned of its predictions; of one that has not, why nothing is known.

    Raises RunError where it is not as it was written.
    """
    place = folder.artefacts / JUDGE
    if not place.is_dir():
        return Judge(UNTOLD, UNTOLD)
    path = place / FACTS
    facts = read_json(path)
    if facts.pop(SUM, None) != digest_of_facts(facts):
        raise _damaged(path, "it is not as it was written")
    try:
        return Judge(
            familiarity=_familiarity(place, facts),
            confidence=_confidence(facts["confidence"]),
            most_views=facts["most_views"],
            **_learned(place / LEARNED),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, repr(error)) from error


def _familiarity(place: Path, facts: Mapping[str, Any]) -> Familiarity | str:
    told, path = facts["familiarity"], place / TENSORS
    if isinstance(told, str):
        return told
    if not path.is_file() or digest_of_file(path) != facts[FILE]:
        raise _damaged(path, "it is not as it was written")
    tensors = load_file(path)
    width = sum(BLOCKS.values())
    if tensors["mean"].shape[1:] != (width,):
        return "another release of rrg measured the training images otherwise"
    return Familiarity(
        tensors["mean"], tensors["scale"], tensors["precision"], float(told["limit"])
    )


def _confidence(told: Any) -> Confidence | str:
    if isinstance(told, str):
        return told
    return Confidence(float(told["intercept"]), float(told["slope"]))


def _learned(path: Path) -> dict[str, Provenance]:
    record = read_json(path)
    try:
        return {
            "training": Provenance.from_json(record),
            "validation": Provenance.from_json(record.get("validation")),
        }
    except DataError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"{path} is damaged ({why}). Bring the run back from a copy")
