"""The part of docs/mixing.md that says what goes with what: `python -m tests.mixing.matrix --write`
makes it anew, from the repository.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from rrgcore.plugins import discover

from .choices import LLAMA, NOTHING, SMALL, Choices, Model, write_tiny_llama
from .refusals import Reasons, Refusals

PAGE = Path(__file__).parents[2] / "docs" / "mixing.md"
BEGIN = "<!-- made by `python -m tests.mixing.matrix --write`; do not edit -->\n"
END = "<!-- end -->\n"
WORKS = "✓"


def render(refusals: Refusals) -> str:
    """Return the tables, between their marks."""
    notes = Notes()
    tables = [_models(refusals, notes), _maskings(refusals, notes), _settings(refusals, notes)]
    return "\n".join([BEGIN, *tables, notes.legend(), END])


@final
@dataclass
class Notes:
    """Reasons, each with a number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, reasons: Reasons) -> str:
        """Return what stands in a cell."""
        return ", ".join(str(self._number(reason)) for reason in reasons) or WORKS

    def legend(self) -> str:
        """Return the numbers and what they mean."""
        lines = (f"{number}. {_marked(text)}" for text, number in self.numbers.items())
        return "\n".join(["## Why not", "", *lines, ""])

    def _number(self, reason: str) -> int:
        text = reason.replace("\n", ". ")
        # what it is that lacks something, the row and the column say
        text = re.sub(r"; '\w+' is not|(?<=^masking) '\w+'", "", text)
        return self.numbers.setdefault(text, len(self.numbers) + 1)


# ---- the tables -----------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Row:
    """Models that take and refuse the same: each encoder in it with each adapter, and so on."""

    levels: tuple[tuple[str, ...], ...]
    cells: tuple[str, ...]


def _models(refusals: Refusals, notes: Notes) -> str:
    choices = refusals.choices
    found = {
        model: {task: notes.mark(reasons) for task, reasons in tasks.items()}
        for model, tasks in refusals.of_models.items()
    }
    columns = list(merge_columns(choices.tasks, list(found.values())))
    rows = [
        Row(tuple((level,) for level in model), tuple(tasks[column[0]] for column in columns))
        for model, tasks in found.items()
    ]
    header = [slot.replace("_", " ") for slot in Model._fields]
    lines = [[*(_names(levels) for levels in row.levels), *row.cells] for row in merge_rows(rows)]
    works = sum(cell == WORKS for tasks in found.values() for cell in tasks.values())
    return "\n".join(
        [
            "## Models and objectives",
            "",
            f"{len(found)} models, each trained for the report alone and for "
            f"{len(choices.tasks) - 1} tasks beside it, are {len(found) * len(choices.tasks)} "
            f"combinations, of which {works} work. A row stands for each encoder in it with each "
            "adapter in it, and so on.",
            "",
            *_table([*header, *map(_heading, columns)], lines),
        ]
    )


def _maskings(refusals: Refusals, notes: Notes) -> str:
    choices = refusals.choices
    fits = {task: () for task in choices.tasks if ", " in task}
    found = {tuple(task.split(", ")): r for task, r in (fits | refusals.of_maskings).items()}
    objectives = sorted({objective for objective, _ in found})
    maskings = sorted({masking for _, masking in found})
    lines = [
        [f"`{objective}`", *(notes.mark(found[objective, masking]) for masking in maskings)]
        for objective in objectives
    ]
    return "\n".join(
        ["## Objectives and maskings", "", *_table(["", *map(_code, maskings)], lines)]
    )


def _settings(refusals: Refusals, notes: Notes) -> str:
    lines = []
    for (slot, level), tasks in refusals.of_settings.items():
        name = refusals.choices.name_of(slot, level)
        setting = f"`{name}`{level.removeprefix(name)}"
        refused: dict[str, list[str]] = {}
        for task, reasons in tasks.items():
            if reasons:
                refused.setdefault(notes.mark(reasons), []).append(task)
        lost = "; ".join(
            f"{'everything' if len(names) == len(tasks) else _objectives(names)}: {mark}"
            for mark, names in refused.items()
        )
        lines.append([slot.replace("_", " "), setting, lost or "nothing"])
    return "\n".join(
        [
            "## What an option takes away",
            "",
            "Each in a model that otherwise takes everything.",
            "",
            *_table(["slot", "setting", "refused with it"], lines),
        ]
    )


def merge_columns(
    tasks: Iterable[str], found: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, ...]]:
    """Put the tasks of one objective together that differ nowhere but in their masking."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        column = (task.split(", ")[0], *(cells[task] for cells in found))
        alike.setdefault(column, []).append(task)
    return map(tuple, alike.values())


def merge_rows(rows: Sequence[Row]) -> list[Row]:
    """Put rows together that have the same cells and differ in one slot, until none are left."""
    merged = list(rows)
    for _ in Model._fields:  # putting one slot together may let another be
        for slot in range(len(Model._fields)):
            groups: dict[Row, list[str]] = {}
            for row in merged:
                others = (*row.levels[:slot], (), *row.levels[slot + 1 :])
                groups.setdefault(replace(row, levels=others), []).extend(row.levels[slot])
            merged = [
                replace(row, levels=(*row.levels[:slot], tuple(own), *row.levels[slot + 1 :]))
                for row, own in groups.items()
            ]
    return merged


# ---- Markdown -------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _code(name: str) -> str:
    return name if name == NOTHING else f"`{name}`"


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _heading(tasks: Sequence[str]) -> str:
    objective, *_ = tasks[0].split(", ")
    maskings = [task.split(", ")[1] for task in tasks if ", " in task]
    return f"`{objective}`" + (f" ({', '.join(maskings)})" if maskings else "")


def _objectives(tasks: Iterable[str]) -> str:
    return _names(dict.fromkeys(task.split(", ")[0] for task in tasks))


def _marked(text: str) -> str:
    """Set names, classes and options as code."""
    text = re.sub(r"'([\w.]+)'", r"`\1`", text)
    text = re.sub(r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b", r"`\1`", text)
    return re.sub(r"(?<![\w`])(\w+(?:\.\w+)+(?:=\w+)?)", r"`\1`", text)


def into_page(tables: str, page: str) -> str:
    """Return a page with these tables between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{PAGE} has no line {BEGIN}"
    assert end, f"{PAGE} has no line {END}"
    return before + tables + after


def main() -> None:
    """Print the tables, or write them into the page."""
    with TemporaryDirectory() as folder:
        os.environ[LLAMA] = str(write_tiny_llama(Path(folder)))
        plugins = discover()
        tables = render(Refusals.find(Choices(plugins.registry, SMALL), plugins))
    if "--write" in sys.argv[1:]:
        PAGE.write_text(into_page(tables, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tables)


if __name__ == "__main__":
    main()
