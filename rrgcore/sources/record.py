"""What a data set was built from, how, and what was left out: `build.json`, `left_out.jsonl`."""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

from rrgcore import __version__
from rrgcore.errors import UserError
from rrgcore.files import write_json
from rrgcore.images.grey import SMALLEST_SIDE
from rrgcore.layout import Written
from rrgcore.sources.source import Ledger, Source

RECORD, LEFT_OUT = "build.json", "left_out.jsonl"
PACKAGES = ("numpy", "pillow", "pydicom")
"""Whose versions may change a pixel."""
SHOWN = 10
"""Bad things, and reasons, that are told; `left_out.jsonl` has them all."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be built; a build that was begun by another order is not gone on with."""

    source: str
    """The name of the source, and its options below, for the record."""
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int = 512
    """Pixels of an image's short side; 0 leaves images as large as they are."""
    link: bool = False
    """Whether images stay where they are, behind a symbolic link."""

    def __post_init__(self) -> None:
        if self.size and self.size < SMALLEST_SIDE:
            raise UserError(f"--size is {self.size}; expected at least {SMALLEST_SIDE}, or 0")


def identity(source: Source, order: Order) -> dict[str, Any]:
    """Return what must be the same for an interrupted build to go on, as JSON gives it back."""
    facts = {
        "source": order.source,
        "options": order.options,
        "size": order.size,
        "link": order.link,
        "archive": source.fingerprint(),
        "rrg": __version__,
    }
    return dict(json.loads(json.dumps(facts)))


def counts_of(written: Written, ledger: Ledger) -> dict[str, Any]:
    """Return how much of what was written, left out and found wrong."""
    return {
        "found": dict(ledger.found),
        "studies": dict(written.studies),
        "images": written.images,
        "annotations": dict(written.annotations),
        "left_out": {reason: len(names) for reason, names in ledger.left_out.items()},
        "missing": {what: len(names) for what, names in ledger.missing.items()},
        "bad": len(ledger.bad),
    }


def write_records(
    folder: Path, source: Source, order: Order, written: Written, ledger: Ledger
) -> None:
    """Write both files."""
    record = {
        **identity(source, order),
        **counts_of(written, ledger),
        "versions": {"python": platform.python_version(), **_versions()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / RECORD, record)
    with (folder / LEFT_OUT).open("w", encoding="utf-8") as file:
        for name, kind, reason in _left_out(ledger):
            line = {"name": name, "kind": kind, "reason": reason}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _left_out(ledger: Ledger) -> Iterator[tuple[str, str, str]]:
    for kind, lists in (("selection", ledger.left_out), ("missing", ledger.missing)):
        for reason, names in lists.items():
            for name in names:
                yield name, kind, reason
    for name, problem in ledger.bad:
        yield name, "bad", problem


def nothing_left(order: Order, ledger: Ledger) -> str:
    """Say why no study is left to write."""
    bad = [f"  bad: {name}: {problem}" for name, problem in ledger.bad[:SHOWN]]
    if len(ledger.bad) > SHOWN:
        bad.append(f"  bad: {len(ledger.bad) - SHOWN:,} more")
    counts = [
        f"  {len(names):,} {reason} (the first: {names[0]})"
        for lists in (ledger.left_out, ledger.missing)
        for reason, names in lists.items()
    ]
    found = ", ".join(f"{count:,} {what}" for what, count in ledger.found.items())
    head = f"source {order.source}: no study is left to write{f' of {found}' if found else ''}"
    return "\n".join([head, *bad, *counts])


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # pydicom is an extra
    return found
