"""A report of images that nobody has reported, as Python has it and as a file's row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from rrgcore.errors import printable
from rrgcore.prediction.notices import Notice
from rrgcore.prediction.words import Word


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A predicted report, or why there is none."""

    id: str
    """The file, or what a table calls the study."""
    report: str
    logprob: float
    """Mean over the tokens, the end included."""
    words: tuple[Word, ...] = ()
    """The report's words, each with its probability."""
    confidence: float | None = None
    """The probability that the report neither misses nor invents a finding, as it turned out on
    the run's validation studies; None where the run cannot tell.
    """
    warnings: tuple[Notice, ...] = ()
    images: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    """SHA-256 of each image file."""
    error: str | None = None
    """Why there is no report."""

    @classmethod
    def failed(cls, id: str, error: str, images: tuple[str, ...] = ()) -> "Written":
        """Return what stands for a study whose images could not be read."""
        return cls(id, "", 0.0, images=images, error=printable(error))

    def to_json(self) -> dict[str, Any]:
        """Return a row, without what is the same for all rows of a run."""
        if self.error is not None:
            return {"id": self.id, "error": self.error}
        return {
            "id": self.id,
            "report": self.report,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "logprob": self.logprob,
            "warnings": [{"kind": each.kind, "text": each.text} for each in self.warnings],
            "words": [list(word) for word in self.words],
            "images": list(self.images),
            "sha256": list(self.digests),
        }


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a report: which run, recipe and checkpoint, and by which releases."""

    run: str
    recipe: str
    """SHA-256 of the run's recipe."""
    checkpoint: str
    """SHA-256 of its weights."""
    rrg: str
    torch: str
    """Their releases."""
    plugins: Mapping[str, str]
    """Those that were there: name to the distribution, and its release."""

    def to_json(self) -> dict[str, Any]:
        """Return what stands in each row."""
        return {
            "run": self.run,
            "recipe": self.recipe,
            "checkpoint": self.checkpoint,
            "rrg": self.rrg,
            "torch": self.torch,
            "plugins": dict(self.plugins),
        }

    @property
    def line(self) -> str:
        """All of it in a line."""
        return (
            f"run {self.run}, recipe {self.recipe[:12]}, checkpoint {self.checkpoint[:12]}; "
            f"{self.versions}"
        )

    @property
    def versions(self) -> str:
        """The releases in a line."""
        by_release: dict[str, list[str]] = {}
        for name, release in self.plugins.items():
            by_release.setdefault(release, []).append(name)
        plugins = "; ".join(f"{release}: {', '.join(n)}" for release, n in by_release.items())
        return f"rrg {self.rrg}, torch {self.torch}, plugins of {plugins or 'nobody'}"
