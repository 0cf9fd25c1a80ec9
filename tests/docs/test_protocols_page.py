"""The page on protocols says what the code does."""

from collections.abc import Iterable

import pytest

from rrg_metrics.caption import CaptionProtocol
from rrgcore.plugins import Discovered
from rrgcore.signatures import options_of

from ..metrics.test_protocols_real import CONSTANT, ON_VALIDATION
from .pages import DOCS, code, read, rows, section, value

PAGE = DOCS / "protocols.md"


@pytest.fixture
def protocols(plugins: Discovered) -> dict[str, type]:
    """The captioning protocols there are, by name."""
    metrics = {
        name: plugins.registry.get("metric", name) for name in plugins.registry.names("metric")
    }
    return {name: cls for name, cls in metrics.items() if issubclass(cls, CaptionProtocol)}


def names_in(cells: Iterable[str]) -> list[str]:
    return [name for cell in cells for name in code(cell)]


def test_every_protocol_is_described(protocols: dict[str, type]) -> None:
    table = rows(
        read(PAGE), "protocol", "whose", "reads", "BLEU-1 to 4", "METEOR", "ROUGE-L", "CIDEr"
    )
    assert sorted(names_in(row[0] for row in table)) == sorted(protocols)
    for name in protocols:
        assert f"**`{name}`.**" in section(PAGE, "## Step by step")


def test_the_options_are_the_code_s(protocols: dict[str, type]) -> None:
    table = rows(section(PAGE, "## Options"), "option", "of", "default", "meaning")
    written: dict[str, dict[str, object]] = {name: {} for name in protocols}
    for option, of, default, _ in table:
        named = code(of)
        for name in set(protocols) - set(named) if of.startswith("all but") else named:
            written[name][code(option)[0]] = value(code(default)[0])
    for name, cls in protocols.items():
        found = {key: option.default for key, option in options_of(cls).items()}
        assert written[name] == found, name


def test_the_sentence_and_its_scores_are_those_the_tests_hold() -> None:
    text = section(PAGE, "## One sentence under all protocols")
    assert f"> {CONSTANT}" in text
    table = rows(text, "protocol", "BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr")
    assert {
        code(name)[0]: tuple(float(cell) if cell else None for cell in cells)
        for name, *cells in table
    } == ON_VALIDATION
