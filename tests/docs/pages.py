"""Reading the documents: their fenced blocks, tables and headings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrgcore.yaml_loader import plain, read_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
TOP = [README, *(REPOSITORY / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"))]
PAGES = [*TOP, *(p for p in sorted(DOCS.rglob("*.md")) if DOCS / "examples" not in p.parents)]

NOT_RUN = "<!-- not run"
"""Stands in the line before a fenced block that is no example to run, and says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None = None
    """Why it is no example to run, where it is none."""

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path) -> Iterator[Block]:
    """Iterate over all fenced blocks of a page."""
    lines = read(page).splitlines()
    start = None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = number
        elif start is not None and line == "```":
            language = lines[start].removeprefix("```").strip()
            before = lines[start - 1] if start else ""
            why = before.removeprefix(NOT_RUN) if before.startswith(NOT_RUN) else None
            yield Block(page, start + 2, language, "\n".join(lines[start + 1 : number]), why)
            start = None
    assert start is None, f"{name_of(page)}: the block of line {start} is never closed"


def blocks_of(page: Path, language: str) -> Iterator[Block]:
    """Iterate over a page's blocks of a language, those marked as not to be run left out."""
    for block in fences(page):
        if block.language == language and block.not_run is None:
            yield block


def blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page, language)]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.M | re.S)


def section(page: Path, heading: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    level = heading.split(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", read(page), re.M | re.S
    )
    assert found, f"{name_of(page)} has no heading '{heading}'"
    return found[1]


def tables(text: str) -> Iterator[tuple[Sequence[str], list[list[str]]]]:
    """Iterate over Markdown tables: their header, and their rows."""
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.M):
        header, _, *body = map(_cells, table.splitlines())
        yield header, body


def _cells(line: str) -> list[str]:
    outside_backticks = r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)"
    return [cell.strip() for cell in re.split(outside_backticks, line.strip()[1:-1])]


def rows(text: str, *header: str) -> list[list[str]]:
    """The rows of the one table with this header."""
    found = [body for head, body in tables(text) if tuple(head) == header]
    assert len(found) == 1, f"expected one table with the header {header}, found {len(found)}"
    return found[0]


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def value(text: str) -> Any:
    """A value as a recipe would have it."""
    node, problems = read_yaml(text, file="a table")
    assert not problems, problems
    assert node is not None, "an empty cell is no value"
    return plain(node)


def anchors(page: Path) -> set[str]:
    """What headings are linked by."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_of(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over commands by what is typed, those of groups (`data export`) included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command
