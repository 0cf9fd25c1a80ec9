"""What a run was: what run.json and timing.jsonl say of it, in rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from rrgcore.folder import RunFolder

Rows = Sequence[tuple[str, str]]


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A part of the model, and how many parameters it has that none before it had."""

    name: str
    trainable: int
    frozen: int


@final
@dataclass(frozen=True, slots=True)
class Took:
    """What a stage took."""

    stage: str
    epochs: int
    minutes: float
    studies_per_s: float
    memory_mb: float


def told(record: Mapping[str, Any]) -> Rows:
    """Return what run.json says in a line each."""
    found = [(name, str(record[name])) for name in ("state", "started", "seed") if name in record]
    best = record.get("best")
    if isinstance(best, Mapping):
        score = best.get("score")
        value = f", {score:.4f} on validation" if isinstance(score, float) else ""
        found.append(("best checkpoint", f"stage {best.get('stage')}{value}"))
    for section in ("studies", "data", "packages", "plugins"):
        if isinstance(record.get(section), Mapping):
            found.append((section, ", ".join(_flat(record[section]))))
    found += [
        (name, str(record[name])) for name in ("python", "device", "commit") if record.get(name)
    ]
    return found


def parts(record: Mapping[str, Any]) -> list[Part]:
    """Return the parameters of the model by part."""
    return [
        Part(str(name), int(counts["trainable"]), int(counts["frozen"]))
        for name, counts in record.get("parameters", {}).items()
    ]


def timing(folder: RunFolder) -> list[Took]:
    """Return what each stage took."""
    of: dict[str, list[Mapping[str, Any]]] = {}
    for entry in folder.timing():
        if "studies_per_s" in entry:
            of.setdefault(str(entry["stage"]), []).append(entry)
    return [
        Took(
            stage,
            len(entries),
            sum(float(each["training_s"]) for each in entries) / 60,
            sorted(float(each["studies_per_s"]) for each in entries)[len(entries) // 2],
            max(float(each.get("memory_mb", 0)) for each in entries),
        )
        for stage, entries in of.items()
    ]


def _flat(value: Any, address: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{address}.{key}" if address else str(key))
    else:
        yield f"{address} {value}"
