"""Annotations in files beside the data.

One file a kind, `annotations/<slug>.jsonl`, and in it one line a study,

    {"id": "CXR2384_IM-0942", "value": {"Edema": 1, "Pneumothorax": 0}}

where `value` is what the annotation class's `from_json` reads. A study without a line has no such
annotation; lines of studies that the data does not hold are no harm. `<slug>.meta.json`, which
`rrg annotate` writes beside it, says how it was made.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, final

from rrgcore.annotations import Boxes
from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance
from rrgcore.sidecar import learned_from, made_from_images
from rrgcore.study import Study
from rrgcore.supply import AnnotationFile

A = TypeVar("A")


@final
class Sidecars:
    """The folder of annotation files of one data set; each is read when first asked for."""

    def __init__(self, folder: Path, *, max_images: int | None = None) -> None:
        self.folder = folder
        self.max_images = max_images
        """Images of a study beyond so many are left out, and so are their boxes."""
        self._files: dict[str, Lines] = {}
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
        value = values[study.id]
        try:
            found = reader(value)
            return cast(A, self._fitting(found, study) if isinstance(found, Boxes) else found)
        except DataError as error:
            raise DataError(f"{self.path(slug)}, study '{study.id}': {error}") from error

    def _fitting(self, boxes: Boxes, study: Study) -> Boxes:
        """Return the boxes of a study's images; raises DataError where they are of others."""
        given, images = len(boxes.images), len(study.images)
        if given > images == self.max_images:
            return Boxes(boxes.images[:images])
        if given != images:
            raise DataError(f"boxes of {given} images, and the study has {images}")
        return boxes

    def values(self, slug: str) -> "Lines":
        """Return what a file holds by study, nothing where there is no file; raises DataError."""
        if slug not in self._files:
            self._files[slug] = Lines(self.path(slug))
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
        paths = sorted(self.folder.glob("*.jsonl"))
        return {path.stem: digest_of_file(path)[:16] for path in paths}

    def files(self) -> Iterator[AnnotationFile]:
        """Read each file there is, and say whom it is about."""
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                yield AnnotationFile(path.stem, str(path), self.values(path.stem).keys())
            except DataError as error:
                yield AnnotationFile(path.stem, str(path), (), problem=str(error))


@final
class Lines(Mapping[str, Any]):
    """One file of annotations: every line is read once, to see that it can be, and again whenever
    its study is asked for.

    What is held is where the lines are. What they say takes gigabytes where studies are hundreds of
    thousands, and whoever asks makes something else of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        """Where a study's line begins, in bytes."""
        if path.is_file():
            self._index()

    def __getitem__(self, study: str) -> Any:
        """Return a study's value; raises KeyError where it has no line, DataError where the file
        is another one now.
        """
        at = self._places[study]
        with self.path.open("rb") as file:
            file.seek(at)
            found, value = _line(_text(file.readline(), at), f"{self.path}, byte {at}")
        if found != study:
            raise DataError(f"{self.path} has changed while it was in use; start again")
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _index(self) -> None:
        at = number = 0
        try:
            with self.path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    text = _text(line, at)
                    if text.strip():
                        study, _ = _line(text, f"{self.path}, line {number}")
                        if study in self._places:
                            raise DataError(
                                f"{self.path}, line {number}: study '{study}' has a line already"
                            )
                        self._places[study] = at
                    at += len(line)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}, line {number}: is not UTF-8 ({error.reason}); save it as UTF-8"
            ) from error


def _text(line: bytes, at: int) -> str:
    return line.decode("utf-8" if at else "utf-8-sig")


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
