"""What an artefact was learned from: so that none of it is a report that is to be predicted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, final

from rrgcore.errors import DataError
from rrgcore.study import Study

LEARNED = "learned.json"
"""Beside what an annotator saved: the studies that it learned from."""
HIDDEN = "blake2b:"
"""What an id begins with that stands for another."""


@final
@dataclass(frozen=True, slots=True)
class Provenance:
    """The studies that something was learned from: mined n-grams, a classifier, an index, an atlas.

    Written beside the artefact, and held against the validation and test studies of every run that
    uses it.
    """

    ids: tuple[str, ...]
    """Sorted."""
    hash: str
    """Of the ids and their reports: the same studies with the same texts have the same."""
    about: str = ""
    """Where the studies are from, for people."""

    @classmethod
    def of(cls, studies: Iterable[Study], *, about: str = "") -> "Provenance":
        """Record studies."""
        rows = sorted((study.id, study.report or "") for study in studies)
        digest = blake2b(digest_size=16)
        for id, report in rows:
            digest.update(f"{id}\0{report}\0".encode())
        return cls(tuple(id for id, _ in rows), digest.hexdigest(), about)

    def joined(self, others: Iterable["Provenance"]) -> "Provenance":
        """Return the record of what was learned from these studies and from the others'."""
        more = [each for each in others if each.hash != self.hash]
        if not more:
            return self
        digest = blake2b(
            "\0".join(sorted({self.hash, *(m.hash for m in more)})).encode(), digest_size=16
        )
        ids = {id for each in (self, *more) for id in each.ids}
        about = "; ".join(dict.fromkeys(each.about for each in (self, *more) if each.about))
        return Provenance(tuple(sorted(ids)), digest.hexdigest(), about)

    @classmethod
    def from_json(cls, data: Any) -> "Provenance":
        """Read what `to_json` wrote, or a list of the studies' ids; raises DataError."""
        record = {"ids": data} if isinstance(data, list) else data
        ids = record.get("ids") if isinstance(record, Mapping) else None
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise DataError(
                "not a record of what an artefact was learned from; expected a list of the ids of "
                'those studies, or {"ids": […], "hash": "…", "about": "…"} as a run writes it'
            )
        digest = blake2b("\0".join(sorted(ids)).encode(), digest_size=16).hexdigest()
        return cls(tuple(ids), str(record.get("hash", digest)), str(record.get("about", "")))

    def to_json(self) -> Any:
        """Return what `from_json` reads."""
        return {"about": self.about, "studies": len(self.ids), "hash": self.hash, "ids": self.ids}

    @staticmethod
    def hidden(id: str) -> str:
        """Return what stands for an id where ids may not be passed on; of what is hidden, itself.

        No secret: who has the ids can find theirs in it.
        """
        if id.startswith(HIDDEN):
            return id
        return f"{HIDDEN}{blake2b(id.encode(), digest_size=16).hexdigest()}"

    def seen(self, studies: Sequence[Study]) -> list[str]:
        """List those of the studies that it was learned from, hidden ids included."""
        learned = set(self.ids)
        hides = any(id.startswith(HIDDEN) for id in self.ids)
        return [
            study.id
            for study in studies
            if study.id in learned or (hides and self.hidden(study.id) in learned)
        ]


@final
@dataclass(frozen=True, slots=True)
class Artefact:
    """Something learned elsewhere that a component was given: a file, a part of another run."""

    name: str
    """As the recipe names it."""
    learned_from: Provenance | None
    """None where it does not say."""
    trusted: bool = False
    """Whether the recipe vouches for one that does not say."""
