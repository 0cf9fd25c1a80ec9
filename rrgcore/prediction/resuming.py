"""Which studies still need a report, where some have one already."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rrgcore.digest import digest_of_file
from rrgcore.errors import RunError
from rrgcore.prediction.inputs import Request
from rrgcore.prediction.output import AGAIN, Row

SHOWN: Final = 5
"""Studies that an error names."""


def still_to_write(
    requests: Iterable[Request], rows: Mapping[str, Row], path: Path
) -> list[Request]:
    """Return the requests that have no row in a file, and those whose row is an error: a file that
    was half copied may be whole now.

    Raises RunError where a report is of other images than those that are called so now, or of
    fewer: it would be taken for theirs. Images that are gone since are not asked for again.
    """
    waiting, others = [], []
    for request in requests:
        row = rows.get(request.id)
        if row is None or row.error is not None:
            waiting.append(request)
        elif (now := _digests(request)) is not None and now != row.digests:
            others.append(request.id)
    if others:
        named = ", ".join(f"'{id}'" for id in others[:SHOWN])
        more = f" and {len(others) - SHOWN:,} more" if len(others) > SHOWN else ""
        raise RunError(
            f"{path} has reports of other images under these names: {named}{more}. The files were "
            f"replaced, or others have their names. {AGAIN}"
        )
    return waiting


def _digests(request: Request) -> tuple[str, ...] | None:
    """Return the digests of a request's files; None where one cannot be read any more."""
    try:
        return tuple(digest_of_file(path) for path in request.images)
    except (OSError, ValueError):
        return None
