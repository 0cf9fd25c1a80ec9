"""Valid inputs made odd: strategies for trees of values, for text, and for bytes.

Each begins with something that is read today and changes a little of it, since noise is refused at
the first character and tries nothing behind it.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from io import StringIO
from typing import Any, Final

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

ODD: Final[Sequence[Any]] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.0, 1.5, 1e-30),
    *(2**31, -(2**31), 2**63, 2**64 + 1, 10**30, 10**400, 1e308),
    *(math.nan, math.inf, -math.inf),
    *("", " ", ".", "..", "/", "0", "1", "-1", "nan", "off", "null", "true", "[]", "{}", "a.b"),
    *("name", "ref", "weights", "p", "$HOME/x", "${NOT_SET_ANYWHERE}", "$", "../../x", "~nobody/x"),
    *("a=b", "x: y", "é", "肺", "🫁", "a\u0301", "\u202e", "\x07", "\0", "a\nb", "\r", "\x85"),
    *("\ud800", "\udfff x", "a" * 3000, "no effusion . " * 400, "\ufeff", "1e400", "٣"),
    *([], {}, [[]], [None], [0], ["a"], [1, "a", None], [[1, 2], [3]], {"": 0}, {"name": None}),
    *({"name": "x"}, {"ref": "x"}, {"ref": ["x"]}, {"name": {"name": "x"}}, {"a": {"b": {"c": 1}}}),
)
"""Values of every type, and of each the ones that code forgets."""


def deep(levels: int, *, mapping: bool) -> Any:
    """Return lists or mappings in one another."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if mapping else [value]
    return value


def odd_values() -> st.SearchStrategy[Any]:
    """Return a value that hardly fits anywhere."""
    nested = st.builds(lambda n, m: deep(n, mapping=m), st.sampled_from([3, 60]), st.booleans())
    return st.one_of(
        st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=12), nested
    ).map(deepcopy)


@st.composite
def edited(
    draw: Draw, tree: Any, *, words: Sequence[str] = (), donors: Sequence[Any] = (), most: int = 3
) -> Any:
    """Return a copy of a tree of mappings, lists and scalars after one edit or a few.

    `words` are keys and names that mean something, `donors` trees of which parts may be put in.
    """
    holder = [deepcopy(tree)]
    for _ in range(draw(st.integers(1, most))):
        _edit(draw, holder, words, donors)
    return holder[0]


def _edit(draw: Draw, holder: list[Any], words: Sequence[str], donors: Sequence[Any]) -> None:
    places = list(_places(holder))
    within, key = draw(st.sampled_from(places))
    value = within[key]
    kinds = ["replace", "replace", "delete", "swap", "wrap", "double", "donate"]
    kinds += ["rename", "rename"] if isinstance(within, dict) else []
    kinds += ["insert", "insert", "empty"] if isinstance(value, dict | list) else []
    kinds += ["count"] if isinstance(value, int | float) and not isinstance(value, bool) else []
    kinds += ["spell"] if isinstance(value, str) else []
    names = st.sampled_from([*words, "name", "ref"]) | st.text(max_size=8)
    match draw(st.sampled_from(kinds)):
        case "replace":
            within[key] = draw(odd_values() | names)
        case "delete" if within is not holder:
            del within[key]
        case "swap":
            other, at = draw(st.sampled_from(places))
            # a copy each: one put into the other would have no end
            within[key], other[at] = deepcopy(other[at]), deepcopy(value)
        case "donate":
            source = draw(st.sampled_from([holder[0], *donors]))
            there, at = draw(st.sampled_from(list(_places([source]))))
            within[key] = deepcopy(there[at])
        case "wrap":
            wraps = [[value], [value, value], {"name": value}, {"a": value}]
            within[key] = deepcopy(draw(st.sampled_from(wraps)))
        case "double":
            if isinstance(within, list) and within is not holder:
                within.insert(key, deepcopy(value))
            elif isinstance(within, dict):
                within[draw(names)] = deepcopy(value)
        case "rename":
            del within[key]
            within[draw(names)] = value
        case "insert":
            if isinstance(value, dict):
                value[draw(names)] = draw(odd_values())
            else:
                value.insert(draw(st.integers(0, len(value))), draw(odd_values()))
        case "empty":
            value.clear()
        case "count":
            within[key] = draw(
                st.sampled_from([-value, value + 1, value - 1, value // 2, repr(value)])
            )
        case "spell":
            cut = draw(st.integers(0, len(value)))
            within[key] = value[:cut] + draw(st.text(max_size=3)) + value[cut:]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Iterate over every container and key below a value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


# ---- bytes and text -------------------------------------------------------------------------

EXTREMES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
TEXT_TOKENS: Final[Sequence[bytes]] = (
    *(b"\t", b"\0", b"\r", b"\r\n", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0"),
    *(b'"', b"'", b"\\", b"\\ud800", b",", b";", b":", b": ", b"{", b"}", b"[", b"]", b"#", b" "),
    *("\x85".encode(), "\u2028".encode(), b"NaN", b"1e999", b"9" * 5000, b"-", b"\x1a", b"\x0c"),
)
"""What breaks readers of text."""


@st.composite
def damaged(
    draw: Draw,
    data: bytes,
    *,
    others: Sequence[bytes] = (),
    tokens: Sequence[bytes] = (),
    most: int = 4,
) -> bytes:
    """Return bytes after one piece of damage or a few: flips, cuts, numbers at their limits,
    pieces twice or gone, tokens put in, heads and tails of `others`.
    """
    for _ in range(draw(st.integers(1, most))):
        data = _damage(draw, data, others, tokens)
    return data


def _damage(draw: Draw, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    size = len(data)
    # what is behind the beginning of a file is mostly one long stretch of the same
    at = draw(st.integers(0, size) | st.integers(0, min(size, 400)))
    end = min(size, at + draw(st.sampled_from([1, 2, 4, 16, 200])))
    kinds = ["flip", "byte", "extreme", "cut", "drop", "twice", "zero", "insert"]
    kinds += ["splice"] if others else []
    kinds += ["token", "token", "many", "lines"] if tokens else []
    match draw(st.sampled_from(kinds)):
        case "flip":
            return (
                data[:at]
                + bytes(b ^ (1 << draw(st.integers(0, 7))) for b in data[at : at + 1])
                + data[at + 1 :]
            )
        case "byte":
            return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        case "extreme":
            width = draw(st.sampled_from([1, 2, 4]))
            number = draw(st.sampled_from(EXTREMES)) % 256**width
            order = draw(st.sampled_from(["big", "little"]))
            return data[:at] + number.to_bytes(width, order) + data[at + width :]
        case "cut":
            return data[:at]
        case "drop":
            return data[:at] + data[end:]
        case "twice":
            return data[:end] + data[at:]
        case "zero":
            return data[:at] + bytes(end - at) + data[end:]
        case "insert":
            return data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at:]
        case "splice":
            other = draw(st.sampled_from(others))
            return data[:at] + other[draw(st.integers(0, len(other))) :]
        case "token":
            return data[:at] + draw(st.sampled_from(tokens)) + data[at:]
        case "many":
            token = draw(st.sampled_from([t for t in tokens if len(t) < 40]))
            return data[:at] + token * draw(st.sampled_from([2, 30, 3000])) + data[at:]
        case "lines":
            lines = data.split(b"\n")
            first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            lines[first], lines[second] = lines[second], lines[first]
            lines.insert(first, lines[second])
            return b"\n".join(lines)
    raise AssertionError("every kind of damage is done")


# ---- writing trees --------------------------------------------------------------------------


def as_json(tree: Any) -> str:
    """Write a tree as JSON as Python does: NaN bare, halves of pairs as escapes."""
    # numbers of more digits than Python writes, which it reads neither
    return json.dumps(tree, default=str, ensure_ascii=True)


def as_json_lines(rows: Sequence[Any]) -> str:
    """Write JSON a line."""
    return "".join(f"{as_json(row)}\n" for row in rows)


def as_yaml(value: Any, indent: int = 0, off: object = None) -> str:
    """Write a tree as a recipe would be: mappings as blocks, everything else on its line."""
    if isinstance(value, Mapping) and value:
        pad = " " * indent
        lines = []
        for key, child in value.items():
            below = as_yaml(child, indent + 2, off)
            gap = "\n" if isinstance(child, Mapping) and child else " "
            lines.append(f"{pad}{_word(key, off)}:{gap}{below}")
        return "\n".join(lines)
    return _flow(value, off)


def _flow(value: Any, off: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_word(key, off)}: {_flow(child, off)}" for key, child in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(child, off) for child in value) + "]"
    return _word(value, off)


def _word(value: Any, off: object) -> str:
    if off is not None and value is off:
        return "off"
    if isinstance(value, float):
        special = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}
        return special.get(repr(value), repr(value))
    if isinstance(value, str) and value.isascii() and value.replace("_", "").isalnum():
        return value if not value[:1].isdigit() and value != "off" else json.dumps(value)
    if isinstance(value, str):
        # a surrogate half cannot stand in a file but as an escape
        half = any("\ud800" <= character <= "\udfff" for character in value)
        return json.dumps(value, ensure_ascii=half)
    return json.dumps(value)


# ---- files of text ----------------------------------------------------------------------------


class Drawn(bytes):
    """A file's bytes, and whether they are as they were: those must be read."""

    whole = False


@st.composite
def text_files(
    draw: Draw,
    tree: Any,
    write: Callable[[Any], str] = as_json,
    *,
    words: Sequence[str] = (),
) -> Drawn:
    """Return the bytes of a file that holds a tree: as it is, edited, or damaged as a text."""
    whole = write(tree).encode()
    how = draw(st.sampled_from(["as it is", *["edited"] * 9, *["damaged"] * 9]))
    if how == "edited":
        return Drawn(write(draw(edited(tree, words=words))).encode())
    if how == "damaged":
        return Drawn(draw(damaged(whole, others=[whole, b"[]", b"{}"], tokens=TEXT_TOKENS)))
    found = Drawn(whole)
    found.whole = True
    return found


CELLS: Final[Sequence[str]] = (
    *("", " ", "nan", "NaN", "None", "inf", "-inf", "1e999", "1", "0", "-1", "1.0", "0.5", "2"),
    *("1,5", "٣", "²", "1_0", "0x1", "true", '"', "a\nb", "é"),
)
"""What stands in a table and is hardly a number."""


def as_csv(rows: Any, delimiter: str = ",") -> str:
    """Write rows as CSV, whatever they have become."""
    held = StringIO()
    table = (
        [row if isinstance(row, list) else [row] for row in rows] if isinstance(rows, list) else []
    )
    # no surrogate halves: a file holds none
    cells = [
        [str(cell)[:5000].encode("utf-8", "replace").decode() for cell in row] for row in table
    ]
    csv.writer(held, delimiter=delimiter).writerows(cells)
    return held.getvalue()
