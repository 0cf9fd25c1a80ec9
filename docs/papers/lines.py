"""Brings the lines that the papers' pages name up to date: `python docs/papers/lines.py`."""

import ast
import re
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parents[1]
LINK: Final = re.compile(r"\[`([\w/]+\.py)(?::\d+)?`\]\([^)]*\) `([\w.]+)`")
"""A file, and what is to be found in it: a class, a function, or a method as `Class.method`."""


def line_of(file: Path, name: str) -> int:
    """Return where a class, function or method begins."""
    found: ast.AST = ast.parse(file.read_text(encoding="utf-8"))
    for word in name.split("."):
        named = (each for each in ast.iter_child_nodes(found) if getattr(each, "name", "") == word)
        found = next(named, found)
        if getattr(found, "name", "") != word:
            raise LookupError(f"{file.relative_to(REPOSITORY)} has no {name}")
    assert isinstance(found, ast.ClassDef | ast.FunctionDef), "what has a name has a line"
    return found.lineno


def updated(page: str) -> str:
    """Return a page whose links name the lines of today."""

    def link(match: re.Match[str]) -> str:
        path, name = match.groups()
        folder = "" if path.startswith("rrgcore/") else "plugins/"
        line = line_of(REPOSITORY / folder / path, name)
        return f"[`{path}:{line}`](../../{folder}{path}#L{line}) `{name}`"

    return LINK.sub(link, page)


if __name__ == "__main__":
    for file in HERE.glob("*.md"):
        file.write_text(updated(file.read_text(encoding="utf-8")), encoding="utf-8")
