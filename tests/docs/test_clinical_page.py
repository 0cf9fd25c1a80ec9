"""The page on clinical efficacy says what the code does."""

import pytest

from rrg_knowledge.chexbert import CheXbertLabeler
from rrg_knowledge.label_table import IDS, REPORTS, LabelTable
from rrg_metrics.clinical import HEADLINE, ClinicalMetric
from rrg_metrics.clinical_f1 import COMPETITION, policies
from rrgcore.signatures import options_of

from .pages import DOCS, code, read, rows, section, value

PAGE = DOCS / "clinical.md"


@pytest.mark.parametrize(
    ("heading", "cls"),
    [
        ("## Definitions", ClinicalMetric),
        ("### chexbert", CheXbertLabeler),
        ("### label_table", LabelTable),
    ],
)
def test_the_options_are_the_code_s(heading: str, cls: type) -> None:
    table = rows(section(PAGE, heading), "option", "default", "meaning")
    options = options_of(cls)
    assert [code(name)[0] for name, _, _ in table] == list(options)
    for name, default, _ in table:
        option = options[code(name)[0]]
        if option.required:
            assert not default
        else:
            found = value(code(default)[0])
            assert (tuple(found) if isinstance(found, list) else found) == option.default


def test_the_name_that_is_explained_and_the_number_of_names_are_right() -> None:
    names = {str(policy) for policy in policies()}
    assert "F1 (14, micro, uncertain positive)" in names
    assert f"All {len(names)} numbers are stored" in read(PAGE)


def test_each_convention_in_use_that_has_a_name_is_shown() -> None:
    shown = {str(policy).partition(" ")[2] for policy in HEADLINE}
    table = rows(section(PAGE, "## Whose number is which"), "whose", "name here")
    for whose in ("R2Gen, and who uses its `compute_ce.py`", "PromptMRG", "RGRG"):
        (cell,) = (cell for name, cell in table if name == whose)
        assert set(code(cell)) & shown, whose


def test_the_five_and_the_columns_are_listed_as_they_are() -> None:
    text = read(PAGE)
    assert ", ".join(COMPETITION) in text
    own = section(PAGE, "### label_table").lower()
    assert [name for name in (*IDS, *REPORTS) if f"`{name}`" not in own] == []
