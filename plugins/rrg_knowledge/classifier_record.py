"""What is written beside a saved classifier, and where one is; read without torch."""

from pathlib import Path
from typing import Any, Final

from rrgcore.annotations import Probabilities
from rrgcore.errors import DataError
from rrgcore.json_text import parse_json

ABOUT: Final = "classifier.json"


def find_saved(path: Path) -> Path:
    """Return where a classifier is saved: the folder itself, or the artefacts of a run."""
    for folder in (path, path / "artefacts" / Probabilities.slug):
        if (folder / ABOUT).is_file():
            return folder
    raise DataError(
        f"no classifier is saved in {path} (it has no {ABOUT}); expected the folder "
        f"artefacts/{Probabilities.slug} of a run that fitted one, or the run"
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is known of a saved classifier; raises DataError."""
    try:
        found: dict[str, Any] = parse_json((folder / ABOUT).read_text(encoding="utf-8"))
        missing = {"architecture", "observations", "learned_from"} - found.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{folder / ABOUT} is damaged ({error})") from error
    if missing:
        raise DataError(f"{folder / ABOUT} is damaged: it does not say {', '.join(missing)}")
    return found
