"""Whether a run that was begun can go on: with the same data and as many processes, and with which
packages.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rrgcore.errors import RunError
from rrgcore.folder import RunFolder
from rrgcore.versions import package_versions

DATA = ("data", "studies")
VERSIONS = ("packages", "plugins")


def check_same_data(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Raise RunError where the data are not those that the run was begun with, or the processes
    among which they are dealt out are not as many.

    `facts` are what run.json would say of a run that began now.
    """
    _check_processes(folder, facts["processes"])
    if changes := _changes(folder, facts, DATA):
        raise RunError(
            f"{folder.path} was begun with other data: {changes}. Put them back as they were to go "
            "on with it, or start afresh: --new without --out, or --out with another folder"
        )


def _check_processes(folder: RunFolder, now: int) -> None:
    before = folder.record.get("processes")
    if before is None or before == now:  # a run of an earlier version does not say
        return
    were, are = (f"{n} process{'es' * (n != 1)}" for n in (before, now))
    how = f"by `accelerate launch --num_processes {before} …`"
    if before == 1:
        how = "without `accelerate launch`"
    raise RunError(
        f"{folder.path} was begun with {were} and cannot go on with {are}: of what is left of an "
        f"epoch some studies would be met twice and others never. Go on with it {how}, or start "
        "afresh: --new without --out, or --out with another folder"
    )


def changed_versions(folder: RunFolder, facts: Mapping[str, Any]) -> str | None:
    """Say which packages and plugins have changed since the run was begun; None where none has."""
    changes = _changes(folder, {**facts, "packages": package_versions()}, VERSIONS)
    if not changes:
        return None
    return (
        f"{folder.path} was begun with other versions: {changes}. Its numbers may differ from "
        "those of one version"
    )


def _changes(folder: RunFolder, facts: Mapping[str, Any], sections: tuple[str, ...]) -> str:
    record = folder.record
    now = json.loads(json.dumps({name: facts[name] for name in sections}))  # tuples are lists there
    return "; ".join(
        change for name in sections for change in _between(name, record.get(name), now[name])
    )


def _between(address: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*before, *now)):
            yield from _between(f"{address}.{key}", before.get(key), now.get(key))
    elif before != now:
        yield f"{address} was {_shown(before)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)
