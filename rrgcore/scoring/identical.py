"""Who wrote the very same reports as another: a change that changed nothing, or a file twice."""

from collections.abc import Mapping, Sequence


def identical(written: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return who wrote word for word what another did, in groups; texts are in one order."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, texts in written.items():
        groups.setdefault(tuple(" ".join(text.split()) for text in texts), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def told(group: Sequence[str]) -> str:
    """Say of a group that what it wrote is the same."""
    *others, last = group
    return f"{', '.join(others)} and {last} wrote the very same reports"
