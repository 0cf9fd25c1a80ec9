"""What commands say of a data set that they have written."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgcore.sources.building import Built
from rrgcore.sources.record import LEFT_OUT, SHOWN


def summary(
    folder: Path, studies: Mapping[str, int], images: int, annotations: Sequence[str]
) -> str:
    """Say in a line what is in a data set."""
    by_split = ", ".join(f"{count:,} {split}" for split, count in studies.items())
    return (
        f"{folder}: {_count(sum(studies.values()), 'studies')} ({by_split}), "
        f"{_count(images, 'images')}, annotations: {', '.join(annotations) or 'none'}"
    )


def in_a_recipe(folder: Path, cleaning: str) -> str:
    """Return the overrides with which a recipe reads it."""
    root = shlex.quote(f"data.root={folder}")
    return f"data.name=r2gen {root} data.cleaning={cleaning}"


def built_json(built: Built, source: str, folder: Path, cleaning: str) -> dict[str, Any]:
    """Return the same as an object; every name is in `left_out.jsonl`."""
    from rrgcore.sources.record import counts_of

    return {
        "folder": str(folder),
        "source": source,
        **counts_of(built.written, built.ledger),
        "overrides": in_a_recipe(folder, cleaning),
    }


def tell_built(built: Built, source: str, folder: Path) -> Iterator[str]:
    """Say what was found, written and left out, in lines."""
    written, ledger = built.written, built.ledger
    if ledger.found:
        yield f"{source}: {', '.join(_count(n, what) for what, n in ledger.found.items())}"
    total = sum(written.studies.values())
    kinds = [
        slug if count == total else f"{slug} (of {_count(count, 'studies')})"
        for slug, count in written.annotations.items()
    ]
    yield summary(folder, written.studies, written.images, kinds)
    yield from _told_by_reason("left out by the selection", ledger.left_out)
    yield from _told_by_reason("missing", ledger.missing)
    yield f"bad, and skipped: {len(ledger.bad):,}" if ledger.bad else "bad: nothing"
    for name, problem in ledger.bad[:SHOWN]:
        yield f"  {name}: {problem}"
    if len(ledger.bad) > SHOWN:
        yield f"  and {len(ledger.bad) - SHOWN:,} more"
    if ledger.left_out or ledger.missing or ledger.bad:
        yield f"Each is named in {folder / LEFT_OUT}"


def _told_by_reason(title: str, lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"{title}:" if lists else f"{title}: nothing"
    by_count = sorted(lists.items(), key=lambda item: -len(item[1]))
    for reason, names in by_count[:SHOWN]:
        first = f"the first: {names[0]}" if len(names) > 1 else names[0]
        yield f"  {len(names):,}: {reason} ({first})"
    if rest := by_count[SHOWN:]:
        yield f"  {sum(len(names) for _, names in rest):,}: for other reasons"


def _count(number: int, things: str) -> str:
    """Count things whose name is in the plural: 1 study, 2 studies."""
    if number == 1:
        things = f"{things[:-3]}y" if things.endswith("ies") else things.removesuffix("s")
    return f"{number:,} {things}"
