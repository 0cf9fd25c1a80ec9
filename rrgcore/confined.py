"""Paths that a run folder names, and links that lie in it: none may lead out of it."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from rrgcore.errors import RunError


def inside(root: Path, name: object, said_by: str) -> Path:
    """Return what a file of a folder names, relative to the folder; raises RunError where that is
    no path, or one that leads out of it.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise RunError(f"{said_by} names {name!r}; expected a path inside {root}")
    path = root / name
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if absolute or not _is_within(path, root.resolve()):
        raise RunError(
            f"{said_by} names '{name}', which is outside {root}; only what is in a run folder is "
            "read. Somebody has changed it: bring the run back from a copy"
        )
    return path


def check_links(root: Path) -> None:
    """Raise RunError for a link in a folder that leads out of it."""
    whole = root.resolve()
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and not _is_within(path, whole):
                raise RunError(
                    f"{path} is a link to {os.readlink(path)}, outside {root}; only what is in a "
                    "run folder is read. Put what it leads to in its place"
                )


def _is_within(path: Path, whole: Path) -> bool:
    try:
        return path.resolve().is_relative_to(whole)
    except (OSError, RuntimeError):  # links in a circle lead nowhere
        return False
