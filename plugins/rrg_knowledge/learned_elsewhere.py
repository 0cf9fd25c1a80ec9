"""Whether something that was made elsewhere says which studies it was learned from."""

import json
from pathlib import Path

from rrgcore.errors import DataError
from rrgcore.provenance import Provenance


def read_provenance(path: Path) -> Provenance | None:
    """Read a record; None where there is none. Raises DataError for a damaged one."""
    if not path.is_file():
        return None
    try:
        return Provenance.from_json(json.loads(path.read_text(encoding="utf-8")))
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
