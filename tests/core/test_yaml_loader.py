"""YAML's traps, one by one."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgcore.yaml_loader import OFF, dump_yaml, plain, read_yaml


def read(text: str) -> Any:
    node, problems = read_yaml(text, file="r.yaml")
    assert not problems, "\n".join(map(str, problems))
    assert node is not None
    return plain(node)


def complaints(text: str) -> str:
    _, problems = read_yaml(text, file="r.yaml")
    return "\n".join(f"{p.address} {p.line}: {p.text}" for p in problems)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("0", 0),
        ("-3", -3),
        ("+3", 3),
        ("16_384", 16384),
        ("0600", "0600"),
        ("007", "007"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("0b11", "0b11"),
        ("12:30:45", "12:30:45"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31 12:00:00", "2024-01-31 12:00:00"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("No", "No"),
        ("ON", "ON"),
        ("off", OFF),
        ("Off", OFF),
        ("OFF", OFF),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("nan", "nan"),
        ("inf", "inf"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("1_", "1_"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("$RRG_DATA/iu_xray", "$RRG_DATA/iu_xray"),
        ("${RRG_DATA}/iu_xray", "${RRG_DATA}/iu_xray"),
        ("run:runs/kia", "run:runs/kia"),
        ("~/data", "~/data"),
        ("[0.9, 0.999]", [0.9, 0.999]),
        ("{}", {}),
    ],
)
def test_a_bare_word_is_what_it_looks_like(written: str, meant: Any) -> None:
    found = read(f"key: {written}")["key"]
    assert found == meant
    assert type(found) is type(meant)


def test_pyyaml_itself_reads_these_words_otherwise() -> None:
    theirs = yaml.safe_load("{a: 1e-4, b: off, c: 0600, d: 12:30:45, e: no, e: yes}")
    assert theirs == {"a": "1e-4", "b": False, "c": 384, "d": 45045, "e": True}


@pytest.mark.parametrize("word", ["off", "1e-4", "null", "true", "12", "~", ""])
def test_a_quoted_word_is_a_string(word: str) -> None:
    assert read(f"key: '{word}'") == {"key": word}
    assert read(f'key: "{word}"') == {"key": word}


def test_a_folded_text_stays_a_string() -> None:
    assert read("about: >\n  off\n") == {"about": "off\n"}


def test_nan_is_a_number() -> None:
    assert math.isnan(read("key: .nan")["key"])


def test_every_entry_knows_its_line() -> None:
    node, _ = read_yaml("a: 1\n\nb:\n  c: [1,\n    2]\n  d: >\n    x\n  e: 3\n", file="r.yaml")
    assert node is not None
    b = node.mapping["b"]
    assert b.origin.line == 3
    assert [b.mapping[key].origin.line for key in "cde"] == [4, 6, 8]


def test_keys_that_yaml_would_turn_into_something_else_are_strings() -> None:
    assert read("{on: 1, no: 2, 'off': 3, 12:30: 4, '1': 5}") == {
        "on": 1,
        "no": 2,
        "off": 3,
        "12:30": 4,
        "1": 5,
    }


def test_a_key_that_is_said_twice_is_refused_with_both_lines() -> None:
    assert complaints("a:\n  b: 1\n  c: 2\n  b: 3\n") == (
        "a.b 4: said twice: first in line 2; keep one of the two"
    )


@pytest.mark.parametrize("key", ["1", "1e-4", "true", "null"])
def test_a_key_that_is_no_string_is_refused(key: str) -> None:
    assert complaints(f"{key}: x") == (
        f"{key} 1: a key must be a string, got {key}. Write '{key}' in quotes"
    )


def test_a_list_cannot_be_a_key() -> None:
    assert complaints("? [a, b]\n: 1") == " 1: a key must be a string, got a list or a mapping"


def test_an_entry_left_empty_asks_for_a_value() -> None:
    assert complaints("objectives:\n  irm:\n  report: {}\n") == (
        "objectives.irm 2: left empty: write {} for its defaults, off to take it away, "
        "or null for an option's None"
    )


def test_an_item_left_empty_is_told_by_its_index() -> None:
    assert complaints("a:\n- 1\n-\n").startswith("a[1] 3: left empty")


def test_a_missing_space_after_a_colon_is_recognised() -> None:
    assert complaints("irc: {space:projections}") == (
        "irc.space:projections 1: expected a space after ':' in 'space:projections'"
    )


def test_off_takes_no_part_of_a_list_away() -> None:
    expected = " 1: a list is one value: off cannot take a part of it away; quote 'off'"
    assert complaints("a: [b, off]") == "a[1]" + expected
    assert complaints("a: [{b: off}]") == "a[0]" + expected
    assert read("a: ['off']") == {"a": ["off"]}


@pytest.mark.parametrize(
    "text", ["a: &x {b: 1}\nc: *x", "a: &x 1", "&k a: 1", "a: *unknown", "<<: {a: 1}", "a: [&x 1]"]
)
def test_anchors_aliases_and_merge_keys_are_refused(text: str) -> None:
    assert "anchors (&), aliases (*) and merge keys (<<) are not read" in complaints(text)
    assert "{ref: key}" in complaints(text)


@pytest.mark.parametrize("text", ["a: !!str 5", "a: !!python/name:os.system x", "a: !x {b: 1}"])
def test_tags_are_refused(text: str) -> None:
    assert complaints(text) == "a 1: tags (!) are not read; quote a value to make it a string"


def test_all_problems_come_at_once() -> None:
    text = "a:\nb: 1\nb: 2\n3: x\nc: &x 1\n"
    assert [line.split()[0] for line in complaints(text).splitlines()[:4]] == ["a", "b", "3", "c"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n\tb: 1", 2, "found a tab: YAML is indented with spaces"),
        ("about: KIA: graph", 1, "found a ':' that does not fit in: about: KIA: graph"),
        ("a: 1\n  b: 2", 2, "found a ':' that does not fit in: b: 2"),
        ("a: 1\nb: [1, 2", 2, "expected ',' or ']', but got the end"),
        ("a: {b: 1", 1, "expected ',' or '}', but got the end"),
        ("a: {b: 1}}", 1, "expected the next key, but found '}'"),
        ("a: 1\nb: 'x\nc: 2", 3, "a quotation mark is never closed (it begins in line 2)"),
        ("a: @x", 1, "found character '@' that cannot begin a value: put the value in quotes"),
        ("a: [b, , c]", 1, "expected a value, but found ','"),
        ("a: 1\nb\nc: 2", 3, "expected 'key: value'"),
        ("a:\n  - 1\n b: 2", 3, "the indentation does not fit the block around it"),
        ("- a\nb: 1", 2, "the indentation does not fit the block around it"),
        ("a: {root: ${X}/y}", 1, "Put a value with ${…} in quotes"),
        ("a: 1\nb: \x00", 2, "the character '\\x00' is not allowed in YAML"),
        ('a: "x\\y"', 1, "found unknown escape character 'y'"),
        ("[a]=b", 1, "there is more here than one value: [a]=b"),
        ("a: 1\n---\nb: 2", 2, "a second document ('---'); expected one a file"),
        ("", 1, "there is nothing here"),
        ("# only a comment\n", 1, "there is nothing here"),
    ],
)
def test_a_syntax_error_says_where_and_what(text: str, line: int, said: str) -> None:
    _, (problem,) = read_yaml(text, file="r.yaml")
    assert problem.line == line
    assert said in problem.text


def test_a_syntax_error_reads_well_on_the_screen() -> None:
    _, (problem,) = read_yaml("about: KIA: graph", file="r.yaml")
    assert str(problem) == (
        "  r.yaml, line 1\n"
        "    found a ':' that does not fit in: about: KIA: graph\n"
        "    Put a value that holds ': ' in quotes, or mend the indentation"
    )


def test_text_without_lines_is_told_by_its_address_only() -> None:
    _, (problem,) = read_yaml("{a: }", file="command line", address="x.y", numbered=False)
    assert str(problem).splitlines()[0] == "  x.y.a (command line)"


# ---- writing --------------------------------------------------------------------------------

WRITABLE = st.characters(codec="utf-8", exclude_characters="\0")  # a recipe holds no others
keys = st.text(WRITABLE, min_size=1, max_size=8) | st.sampled_from(
    ["off", "on", "1", "null", "a-b", "x y"]
)
TRICKY = """
off|Off|1e-4|null|~|yes|0600|12:30:45|2024-01-31|=|1_000|.inf|.nan|+.5|#|{}|[|&a|*a|!a|@|%|'|.|$X
"""
words = st.sampled_from(
    [*TRICKY.strip().split("|"), "", " ", "x: y", "a #b", "- a", "? a", "tab\t"]
) | st.sampled_from(["two\nlines", "two\nlines\n", "\n", " \n x"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(WRITABLE, max_size=12)
    | words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_is_read_back_the_same(found: dict[str, Any]) -> None:
    again = read(dump_yaml(found))
    assert repr(again) == repr(found), "1, 1.0 and true are three things"


def test_other_readers_of_yaml_are_not_misled() -> None:
    tricky = {"a": "off", "b": "no", "c": "0600", "d": "12:30:45", "e": "1e-4", "f": 1e-5}
    assert yaml.safe_load(dump_yaml(tricky)) == tricky


def test_a_value_that_occurs_twice_is_written_twice() -> None:
    betas = [0.9, 0.999]
    assert dump_yaml({"a": betas, "b": betas}) == "a: [0.9, 0.999]\nb: [0.9, 0.999]\n"


def test_what_is_written_reads_as_a_person_would_write_it() -> None:
    recipe = {
        "about": "two\nlines\n",
        "model": {"adapter": "identity", "encoder": {"name": "vit", "trunk": {"dim": 128}}},
        "objectives": {"report": {}},
    }
    assert dump_yaml(recipe) == (
        "about: |\n"
        "  two\n"
        "  lines\n"
        "model:\n"
        "  adapter: identity\n"
        "  encoder:\n"
        "    name: vit\n"
        "    trunk: {dim: 128}\n"
        "objectives:\n"
        "  report: {}\n"
    )
