"""Files that were made elsewhere: which studies they were learned from, how a run keeps them."""

import shutil
from pathlib import Path

from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance


def read_provenance(path: Path) -> Provenance | None:
    """Read a record; None where there is none. Raises DataError for a damaged one."""
    if not path.is_file():
        return None
    try:
        return Provenance.from_json(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error})") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def given_provenance(path: str | None) -> Provenance | None:
    """Read the record that a recipe names; raises DataError where it is not there."""
    if path is None:
        return None
    found = read_provenance(Path(path).expanduser())
    if found is None:
        raise DataError(f"there is no record of what was learned from at {path}")
    return found


def digest_of(path: Path) -> str:
    """Return what tells a file from others, in twelve letters."""
    return digest_of_file(path)[:12]


def keep_file(path: Path, folder: Path, name: str = "given") -> None:
    """Copy a file that was given into a run's folder, under a name of ours and with its ending."""
    shutil.copyfile(path, kept_file(path, folder, name))


def kept_file(path: Path, folder: Path, name: str = "given") -> Path:
    """Return where `keep_file` puts a file."""
    return folder / (name + "".join(path.suffixes[-2:]))
