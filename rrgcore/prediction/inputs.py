"""What reports are asked for: image files, folders of them, tables of studies."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import exists, isdir, isfile, join, realpath  # of any name: no errors
from pathlib import Path
from typing import Final, final

from rrgcore.chest import View
from rrgcore.errors import DataError, printable
from rrgcore.images.dicom import HEAD, is_dicom
from rrgcore.images.naming import SUFFIXES, called_like_an_image
from rrgcore.tables import is_json, table_suffix

DIRECTORY: Final = "DICOMDIR"
"""The table of contents of a DICOM medium, which begins like a DICOM file and has no picture."""


@final
@dataclass(frozen=True, slots=True)
class Request:
    """A study to be reported: its image files, none of which was opened yet."""

    id: str
    images: tuple[Path, ...]
    views: tuple[View, ...]
    problem: str | None = None
    """Why its table says nothing that could be reported."""


@final
@dataclass(frozen=True, slots=True)
class TableOptions:
    """How tables of studies are read."""

    columns: Mapping[str, str | list[str] | None]
    """Which column is what, where its name does not tell: id, image, view."""
    separator: str | None = None
    """What stands between several images in one cell; `;` or `|` where it is not said."""
    split: str = "test"
    """Which studies of a file in R2Gen's layout."""


USUAL: Final = TableOptions({})


def find_requests(paths: Iterable[Path], options: TableOptions = USUAL) -> list[Request]:
    """List the studies that paths ask for: an image file is one, a folder has one a file, a table
    one a row.

    In folders, those below and those that links lead to, files with the suffixes of images are
    taken, and whatever else begins like a DICOM file; by name, and none that is hidden. One that
    cannot be opened is taken by its suffix, so that it is told of. Raises DataError for a path that
    does not exist, a folder without images, a table that cannot be read, and an id that is asked
    for twice.
    """
    found: dict[str, Request] = {}
    for path in paths:
        for request in _of(path, options):
            known = found.setdefault(request.id, request)
            if known.images != request.images:
                raise DataError(
                    f"two studies are called '{request.id}': {_shown(known)} and {_shown(request)}"
                )
    return list(found.values())


def _of(path: Path, options: TableOptions) -> Iterator[Request]:
    if isdir(path):
        inside = images_below(path)
        if not inside:
            raise DataError(
                f"{path} holds no image: expected {', '.join(sorted(SUFFIXES))}, or DICOM files of "
                "any name"
            )
        yield from map(_single, inside)
    elif not isfile(path):
        raise DataError(f"{path} does not exist")
    elif table_suffix(path) or is_json(path):
        from rrgcore.prediction.study_table import requests_in

        yield from requests_in(path, options)
    else:
        yield _single(path)


def images_below(folder: Path) -> list[Path]:
    """List the image files below a folder by name; links to folders are followed once."""
    found: list[Path] = []
    known: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        known.add(realpath(here))
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and realpath(join(here, name)) not in known
        ]
        found += (path for name in files if _is_image(path := Path(here, name)))
    return sorted(found)


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == DIRECTORY:
        return False
    return called_like_an_image(path) or (isfile(path) and _begins_like_dicom(path))


def _begins_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(HEAD))
    except OSError:  # whoever cannot be read and has no image's name is left alone
        return False


def _single(path: Path) -> Request:
    return Request(id_of(path), (path,), ("unknown",))


def id_of(name: object) -> str:
    """Return a name as an id: what would break a line, or cannot be written, is spelt out."""
    return printable(str(name)).replace("\n", "\\n")


def _shown(request: Request) -> str:
    return ", ".join(map(str, request.images)) or "one without images"


def paths_of(paths: Sequence[str | Path]) -> list[Path]:
    """Return names as paths; `~` is the home, where no file is called so."""
    return [_at_home(Path(path)) for path in paths]


def _at_home(path: Path) -> Path:
    return path.expanduser() if path.parts[:1] == ("~",) and not exists(path) else path
