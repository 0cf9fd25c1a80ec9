"""Whether two run folders hold the same, byte for byte, however they came about."""

import json
from pathlib import Path
from typing import Any

from rrgcore.card import CARD

TIMES = ("timing.jsonl",)
"""What may differ: how long it took."""
LOCK = ".lock"
"""What may be left: of a run that was killed when it was finished already."""


def differences(one: Path, other: Path) -> list[str]:
    """Name the files that only one of them has, or that do not hold the same in both."""
    files, others = _files(one), _files(other)
    found = sorted(files ^ others)
    found += [name for name in sorted(files & others) if not _same(one / name, other / name)]
    return found


def _files(folder: Path) -> set[str]:
    """Name every file, hidden ones too: nothing is to be left of a write that was killed."""
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    return files - {LOCK}


def _same(one: Path, other: Path) -> bool:
    if one.name in TIMES:
        return True
    if one.name == "run.json":
        return _of_the_run(one) == _of_the_run(other)
    if one.name == CARD:
        return _of_the_card(one) == _of_the_card(other)
    return one.read_bytes() == other.read_bytes()


def _of_the_run(path: Path) -> dict[str, Any]:
    """Return what run.json says, but for the hour, and the commit of a checkout that moves on."""
    record: dict[str, Any] = json.loads(path.read_text())
    return {key: value for key, value in record.items() if key not in ("started", "commit")}


def _of_the_card(path: Path) -> list[str]:
    """Return the lines of a card, but for those that tell the hour and the commit."""
    changing = ("- Begun: ", "- Commit of rrg: ")
    return [line for line in path.read_text().splitlines() if not line.startswith(changing)]
