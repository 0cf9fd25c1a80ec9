"""The papers' pages: each equation is in the file, and at the line, that they name."""

from pathlib import Path
from runpy import run_path

import pytest

from .pages import DOCS, name_of, read, rows

PAPERS = sorted((DOCS / "papers").glob("*.md"))
LINES = run_path(str(DOCS / "papers" / "lines.py"))


@pytest.mark.parametrize("page", PAPERS, ids=name_of)
def test_every_row_names_a_file_and_what_is_at_the_line(page: Path) -> None:
    table = rows(read(page), "in the paper", "what", "file and line")
    assert len(table) > 10
    for place, _, cell in table:
        found = LINES["LINK"].findall(cell)
        assert found, place
        assert LINES["LINK"].sub("", cell).strip("; ") == "", f"{place}: more than links"


@pytest.mark.parametrize("page", PAPERS, ids=name_of)
def test_lines_are_those_of_today(page: Path) -> None:
    assert LINES["updated"](read(page)) == read(page), "run `python docs/papers/lines.py`"


def test_a_line_moves_with_what_stands_there() -> None:
    old = "[`rrg_kia/mim.py:1`](../../plugins/rrg_kia/mim.py#L1) `MaskedImageModeling`"
    line = LINES["line_of"](DOCS.parent / "plugins/rrg_kia/mim.py", "MaskedImageModeling")
    assert line > 1
    assert LINES["updated"](old) == old.replace(":1`", f":{line}`").replace("#L1)", f"#L{line})")


def test_what_is_not_there_is_told_by_name() -> None:
    with pytest.raises(LookupError, match=r"mim.py has no MaskedImageModeling.paints"):
        LINES["updated"]("[`rrg_kia/mim.py`]() `MaskedImageModeling.paints`")
