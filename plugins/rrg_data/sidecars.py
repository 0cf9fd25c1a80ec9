"""Annotations in files beside the data.

One file a kind, `annotations/<slug>.jsonl`, and in it one line a study,

    {"id": "CXR2384_IM-0942", "value": {"Edema": 1, "Pneumothorax": 0}}

where `value` is what the annotation class's `from_json` reads. A study without a line has no such
annotation; lines of studies that the data does not hold are no harm. `<slug>.meta.json`, which
`rrg annotate` writes beside it, says how it was made.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, cast, final

from rrg_data.json_text import parse_json
from rrgcore.errors import DataError
from rrgcore.provenance import Provenance
from rrgcore.sidecar import learned_from, made_from_images
from rrgcore.study import Study
from rrgcore.supply import AnnotationFile

A = TypeVar("A")


@final
class Sidecars:
    """The folder of annotation files of one data set; each is read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, dict[str, Any]] = {}
        self._from_images: dict[str, bool] = {}

    def annotation(self, study: Study, kind: type[A]) -> A | None:
        """Return a study's annotation, or None; raises DataError naming file and study."""
        slug = getattr(kind, "slug", None)
        reader = getattr(kind, "from_json", None)
        if slug is None or reader is None:
            return None
        values = self.values(slug)
        if study.id not in values:
            return None
        try:
            return cast(A, reader(values[study.id]))
        except DataError as error:
            raise DataError(f"{self.path(slug)}, study '{study.id}': {error}") from error

    def values(self, slug: str) -> dict[str, Any]:
        """Return what a file holds by study, nothing where there is no file; raises DataError."""
        if slug not in self._files:
            self._files[slug] = self._load(slug)
        return self._files[slug]

    def path(self, slug: str) -> Path:
        """Return where the annotations of a kind are."""
        return self.folder / f"{slug}.jsonl"

    def from_images(self, kind: type) -> bool:
        """Whether the file of a kind was made of images alone, as the one beside it says, and is
        still as it was then.
        """
        slug = str(getattr(kind, "slug", ""))
        if slug not in self._from_images:
            path = self.path(slug)
            self._from_images[slug] = path.is_file() and made_from_images(path)
        return self._from_images[slug]

    def learned_from(self, kind: type) -> Provenance | None:
        """Return what whoever made the file of a kind had learned from, as its record says."""
        return learned_from(self.path(str(getattr(kind, "slug", ""))))

    def digests(self) -> dict[str, str]:
        """Return what tells each file from an edited one, by slug."""
        digests = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                digests[path.stem] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return digests

    def files(self) -> Iterator[AnnotationFile]:
        """Read each file there is, and say whom it is about."""
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                yield AnnotationFile(path.stem, str(path), self.values(path.stem).keys())
            except DataError as error:
                yield AnnotationFile(path.stem, str(path), (), problem=str(error))

    def _load(self, slug: str) -> dict[str, Any]:
        path = self.path(slug)
        if not path.is_file():
            return {}
        values: dict[str, Any] = {}
        number = 0
        try:
            with path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.strip():
                        continue
                    study, value = _line(line, f"{path}, line {number}")
                    if study in values:
                        raise DataError(
                            f"{path}, line {number}: study '{study}' has a line already"
                        )
                    values[study] = value
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, after line {number}: is not UTF-8 ({error.reason}); save it as UTF-8"
            ) from error
        return values


def _line(text: str, place: str) -> tuple[str, Any]:
    try:
        data = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: is not JSON (column {error.colno}: {error.msg})") from error
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    if not (isinstance(data, dict) and isinstance(data.get("id"), str) and "value" in data):
        raise DataError(f'{place}: expected {{"id": "…", "value": …}}')
    return data["id"], data["value"]
