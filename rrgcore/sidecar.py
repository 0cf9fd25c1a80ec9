"""How a file of annotations beside the data was made: `annotations/<slug>.meta.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError
from rrgcore.files import write_json
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance

Origin = Literal["images", "reports"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarRecord:
    """Who made a file of annotations, of what, and what they had learned from."""

    annotator: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str
    built_on: Mapping[str, str] = field(default_factory=dict)
    """The fingerprints of others whose work it read, by slug."""
    origin: Origin
    """Images where no report was shown, of any study in it: it may be used at test time."""
    studies: Mapping[str, int]
    """How many of each split."""
    learned_from: Provenance | None = None
    """None where nothing was learned."""

    def write(self, sidecar: Path) -> None:
        """Write it beside the file that it is about, which is there already."""
        learned = self.learned_from
        facts = {
            "annotator": self.annotator,
            "options": self.options,
            "fingerprint": self.fingerprint,
            "built_on": self.built_on,
            "from": self.origin,
            "studies": self.studies,
            "sha256": digest_of_file(sidecar),
            "learned_from": None if learned is None else learned.to_json(),
        }
        write_json(record_path(sidecar), facts)


def record_path(sidecar: Path) -> Path:
    """Return where the record of a file of annotations is: `labels.meta.json`."""
    return sidecar.with_suffix(".meta.json")


def made_from_images(sidecar: Path) -> bool:
    """Whether a file of annotations was made of images alone, as its record says.

    A file without a record was not, as far as anybody knows, nor one that has changed since.
    """
    try:
        facts = parse_json(record_path(sidecar).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(facts, dict) or facts.get("from") != "images":
        return False
    return facts.get("sha256") == digest_of_file(sidecar)


def learned_from(sidecar: Path) -> Provenance | None:
    """Return what whoever made a file of annotations had learned from; None where that is nothing,
    or nobody says. Raises DataError for a record that says it in another way.
    """
    try:
        facts = parse_json(record_path(sidecar).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    learned = facts.get("learned_from") if isinstance(facts, dict) else None
    if learned is None:
        return None
    try:
        return Provenance.from_json(learned)
    except DataError as error:
        raise DataError(f"{record_path(sidecar)}: {error}") from error
