"""The papers' figures: every digit of their text, and what is said beside them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rrg_metrics.published import KIA, CmEAA
from rrgcore.scoring.published import Published, PublishedTable

TABLES = {
    "CmEAA": ["Table 1 iu_xray", "Table 1 mimic_cxr", "Table 2 iu_xray", "Table 3 iu_xray"],
    "KIA": ["Table 1 iu_xray", "Table 1 mimic_cxr", "Table 2 mimic_cxr"],
}
CAPTION = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L")
CLINICAL = ("P (as printed)", "R (as printed)", "F1 (as printed)")
CHANGE = "mean change against (b), % (as printed)"
PRINTED = re.compile(r"[-+]?\d*\.\d+%?")

Rows = Mapping[str, Mapping[str, float]]


def rows_of(table: PublishedTable) -> Rows:
    return {row.system: row.values for row in table.rows}


def printed(text: str, header: str, columns: Sequence[str], *, first: int, skip: int = 1) -> Rows:
    """Parse the table under a header line: cells between tabs, the name in column `first`.

    A system that comes again, in the part of another data set, has an apostrophe.
    """
    block = text[text.index(header) :].split("\n\n")[0].splitlines()[skip:]
    rows: dict[str, dict[str, float]] = {}
    for line in block:
        cells = line.split("\t")
        name = re.sub(r" \(.*\d{4}\w?\)|\.$", "", cells[first]).replace("R ₂ Gen", "R2Gen")
        values = {
            column: float(cell.strip().rstrip("%"))
            for column, cell in zip(columns, cells[-len(columns) :], strict=True)
            if PRINTED.fullmatch(cell.strip())
        }
        rows[name + "'" * (name in rows)] = values
    return rows


def both(first: PublishedTable, second: PublishedTable, **names: str) -> Rows:
    """Put two parts of a table together, as `printed` reads it."""
    found = {names.get(name, name): values for name, values in rows_of(first).items()}
    for name, values in rows_of(second).items():
        name = names.get(name, name)
        found[name + "'" * (name in found)] = values
    return found


@pytest.fixture
def papers(shared: Path) -> Path:
    return shared / "papers"


def test_cmeaa_s_tables_are_the_paper_s(papers: Path) -> None:
    text = (papers / "cmeaa.txt").read_text(encoding="utf-8")
    iu, mimic, ablation, widths = CmEAA().tables()
    columns = [*CAPTION, *CLINICAL]
    lines = printed_with_gaps(text, "Dataset\tModel\tNLG", columns)
    assert both(iu, mimic, CmEAA="Ours") == lines
    columns = ["BLEU-1", "BLEU-4", "ROUGE-L"]
    found = printed(text, "Model\tCFE", columns, first=0, skip=2)
    assert [*rows_of(ablation).values()] == [*found.values()]
    assert [name[:3] for name in rows_of(ablation)] == list(found)
    found = printed(text, "k\tBL-1", [*columns, CHANGE], first=0)
    assert rows_of(widths) == {f"k = {k}": values for k, values in found.items()}


def printed_with_gaps(text: str, header: str, columns: Sequence[str]) -> Rows:
    """The same for Table 1 of CmEAA, where some dashes of the last columns run together."""
    block = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    rows: dict[str, dict[str, float]] = {}
    for line in block:
        name, *cells = line.split("\t")[1:]
        values = {
            column: float(cell)
            for column, cell in zip(columns, cells, strict=False)
            if PRINTED.fullmatch(cell)
        }
        rows[name + "'" * (name in rows)] = values
    return rows


def test_kia_s_tables_are_the_paper_s(papers: Path) -> None:
    text = (papers / "kia.txt").read_text(encoding="utf-8")
    iu, mimic, clinical = KIA().tables()
    found = printed(text, "Dataset\tMethods", [*CAPTION, "METEOR", "CIDEr"], first=1)
    assert both(iu, mimic) == found
    assert rows_of(clinical) == printed(text, "Methods\tPrecision", CLINICAL, first=0)


def test_every_number_that_the_tables_print_is_there(papers: Path) -> None:
    """Counted apart from columns, so that a misread column hides no number."""
    for published, file, headers in (
        (CmEAA(), "cmeaa.txt", ("Dataset\tModel\tNLG", "Model\tCFE", "k\tBL-1")),
        (KIA(), "kia.txt", ("Dataset\tMethods", "Methods\tPrecision")),
    ):
        text = (papers / file).read_text(encoding="utf-8")
        blocks = "\n".join(text[text.index(each) :].split("\n\n")[0] for each in headers)
        numbers = [float(each.rstrip("%")) for each in PRINTED.findall(blocks)]
        ours = [v for t in published.tables() for row in t.rows for v in row.values.values()]
        assert ours == numbers


@pytest.mark.parametrize("published", [CmEAA(), KIA()])
def test_each_table_says_what_it_is(published: Published) -> None:
    tables = published.tables()
    (paper,) = {table.paper for table in tables}
    assert [f"{table.table} {table.dataset}" for table in tables] == TABLES[paper]
    assert all(table.split == "test" and table.protocol for table in tables)
    for table in tables:
        assert any(row.own for row in table.rows)
        assert all("F1" not in row.values for row in table.rows)


def test_own_rows_are_told_from_quoted_ones() -> None:
    own = [[row.system for row in table.rows if row.own] for table in KIA().tables()]
    assert own == [["KIA (Label)", "KIA (Graph)"]] * 2 + [
        ["KIA w/o MIM", "KIA w/o MLM", "KIA (ours)"]
    ]
    assert [row.system for row in CmEAA().tables()[1].rows if row.own] == ["CmEAA"]


def test_only_their_own_f1_is_the_harmonic_mean_of_p_and_r() -> None:
    """What the remarks say, checked."""
    for table in (CmEAA().tables()[1], KIA().tables()[2]):
        for row in table.rows:
            if "F1 (as printed)" in row.values:
                p, r, f1 = (row.values[name] for name in CLINICAL)
                # 0.0007 is what rounding P and R to three digits can do
                assert (abs(2 * p * r / (p + r) - f1) < 0.0012) == row.own, row.system
