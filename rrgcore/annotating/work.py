"""A folder in which work is done until it is finished, and gone on with after it was stopped."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rrgcore.disk import refusal
from rrgcore.errors import UserError
from rrgcore.files import lock_file, read_json, write_json

BEGUN, LOCK = ".begun.json", ".lock"
LINES = "lines.jsonl"
"""The file of annotations, as far as it is written."""
LEARNT = "learned"
"""The folder of what annotators learned, and answered to those who read them."""


def work_folder(target: Path) -> Path:
    """Return where the work is until it is finished."""
    whole = target.expanduser().resolve()
    return whole.with_name(f"{whole.name}.partial")


@contextmanager
def kept_work(target: Path, identity: Mapping[str, Any], *, anew: bool) -> Iterator[Path]:
    """Make or go on with the folder in which the work is done, and keep others out of it.

    What was begun otherwise is thrown away where work may begin `anew`.
    """
    folder = work_folder(target)
    is_new = not folder.parent.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error}); name another place") from error
    with (folder / LOCK).open("w") as file:
        if not lock_file(file):
            raise UserError(f"{folder} is in use: another rrg works in it")
        if (folder / BEGUN).is_file() and (differ := _differ(folder, identity)):
            if not anew:
                raise UserError(
                    f"{folder} is of work that was begun otherwise ({', '.join(differ)}). Finish "
                    "it as it was begun, or begin anew: --force"
                )
            (folder / LINES).unlink(missing_ok=True)
            shutil.rmtree(folder / LEARNT, ignore_errors=True)
        write_json(folder / BEGUN, identity)
        try:
            yield folder
        except BaseException as error:
            lines = folder / LINES
            if not (folder / LEARNT).is_dir() and not (lines.is_file() and lines.stat().st_size):
                shutil.rmtree(folder, ignore_errors=True)  # nothing to go on with
                if is_new:
                    folder.parent.rmdir()
            if (refused := refusal(error, folder)) is not None:
                raise refused from error
            raise


def _differ(folder: Path, identity: Mapping[str, Any]) -> list[str]:
    begun = read_json(folder / BEGUN)
    return [k for k in dict.fromkeys((*begun, *identity)) if begun.get(k) != identity.get(k)]


def lines_there(path: Path, ids: Sequence[str]) -> list[Any]:
    """Return the values of the lines that an earlier time wrote whole; cut off what follows."""
    if not path.is_file():
        return []
    values: list[Any] = []
    end = 0
    with path.open("rb") as file:
        for line, id in zip(file, ids, strict=False):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or entry["id"] != id:
                break
            values.append(entry["value"])
            end = file.tell()
    with path.open("r+b") as file:
        file.truncate(end)
    return values
