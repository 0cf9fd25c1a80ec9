"""The page on observation n-grams says what the code does."""

import pytest

from rrgcore.plugins import Discovered
from rrgcore.signatures import options_of

from .pages import DOCS, code, rows, section, value


@pytest.mark.parametrize("name", ["organ", "literal"])
def test_the_options_are_the_code_s(name: str, plugins: Discovered) -> None:
    table = rows(section(DOCS / "ngrams.md", "## Options"), "option", "default", "meaning")
    options = options_of(plugins.registry.get("annotator", name))
    assert {code(option)[0]: value(code(default)[0]) for option, default, _ in table} == {
        name: option.default for name, option in options.items()
    }
