"""YAML as recipes need it: no guessed types, no key twice, the line of every value.

PyYAML reads `1e-4` as a string, `no` and `off` as False, `0600` as 384, `12:30:45` as 45045, and
lets a key appear twice. Here a bare word is null, true, false, off, a decimal number or a string:

    1e-4, .5, 1_000, .inf       numbers                true, false         booleans
    yes, no, on, 12:30:45,      strings                null, ~             None
    2024-01-31, 0600, 0x1F      strings                off                 takes the entry away

Anything in quotes is a string. Anchors, aliases, merge keys and tags are refused: an alias looks
like a shared module and would be a copy.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, final

import yaml

from rrgcore.errors import Problem, shortened
from rrgcore.yaml_errors import explain


@final
class Off(Enum):
    """A bare `off`: takes the entry away."""

    OFF = "off"


OFF = Off.OFF


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was said; the command line has no lines."""

    file: str
    line: int | None


@final
@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was said: a mapping holds nodes, a list is a value like any other."""

    value: "dict[str, Node] | list[Any] | str | int | float | bool | Off | None"
    origin: Origin

    @property
    def mapping(self) -> "Mapping[str, Node]":
        """Its entries, none where it is no mapping."""
        return self.value if isinstance(self.value, dict) else {}


def read_yaml(
    text: str, *, file: str, address: str = "", numbered: bool = True
) -> tuple[Node | None, list[Problem]]:
    """Read one document; what is wrong with it comes back as problems, all at once.

    A syntax error leaves no node, nor does a text that is no recipe by its length or depth.
    `address` is prefixed to those of the problems; `numbered=False`
    is for text that has no lines, such as an override's value.
    """
    reader = _Reader(text, file, numbered)
    if len(text) > LONGEST:
        reader.complain(address, 0, f"has {len(text):,} characters, which no recipe has")
        return None, reader.problems
    try:
        return reader.document(address), reader.problems
    except yaml.YAMLError as error:
        reader.complain(address, *explain(error, text))
    except _TooDeep as error:
        reader.complain(address, *error.args)
    except (ValueError, OverflowError):  # PyYAML's own, of "\\U" and %YAML
        text = 'a number that YAML cannot read: in "\\U…" the code of no character, perhaps'
        reader.complain(address, reader.reached, text)
    return None, reader.problems


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write plain values as YAML that `read_yaml` reads back to the same values."""
    return yaml.dump(
        dict(values),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,  # the innermost mappings and lists on one line, as a person would
        width=100,
    )


def plain(node: Node) -> Any:
    """Return a node's value without the origins."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    return node.value


def shown(value: Any) -> str:
    """Write a value as a recipe would have it, for an error message; a long one shortened."""
    if isinstance(value, bool | None):
        return {None: "null", True: "true", False: "false"}[value]
    return shortened(repr(value))


def as_value(word: str) -> str | int | float | bool | Off | None:
    """Read a bare word."""
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        return int(word)
    if _FLOAT.fullmatch(word):
        return float(word)
    if _SPECIAL_FLOAT.fullmatch(word):
        return float(word.replace(".", ""))
    return word


_WORDS: Mapping[str, bool | Off | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), OFF),
}
_DIGITS = r"(?:0|[1-9][0-9]*(?:_[0-9]+)*)"
_INTEGER = re.compile(rf"[-+]?{_DIGITS}")
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

DEEPEST = 100
"""Levels of mappings and lists; a recipe has six."""
LONGEST = 1_000_000
"""Characters of a recipe; the longest of ours has 20,000."""
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""What escapes can spell between quotes, and no path or file can hold."""

_NO_SHARING = (
    "anchors (&), aliases (*) and merge keys (<<) are not read: "
    "an alias is a copy that looks shared.\n"
    "Use {ref: key} for one shared module, `extends` or a variant for a common text"
)


@final
class _TooDeep(Exception):
    """Holds the line, counted from 0, and what to say of it."""


@final
class _Reader:
    """Walks PyYAML's events, which know the line and whether a word was quoted."""

    def __init__(self, text: str, file: str, numbered: bool) -> None:
        self.problems: list[Problem] = []
        self._events = self._followed(yaml.parse(text, Loader=yaml.SafeLoader))
        self._file = file
        self._numbered = numbered
        self._depth = 0
        self.reached = 0
        """The line, counted from 0, up to which all is read."""

    def _followed(self, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        for event in events:
            self.reached = _line(event)
            yield event

    def document(self, address: str) -> Node | None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            nothing = _nothing_after(address) if address else "there is nothing here"
            self.complain(address, 0, nothing)
            return None
        event = next(self._events)
        node = self._node(event, address, _line(event))
        next(self._events)  # the end of the document
        if not isinstance(event := next(self._events), yaml.StreamEndEvent):
            self.complain(address, _line(event), "a second document ('---'); expected one a file")
        return node

    def complain(self, address: str, line: int, text: str) -> None:
        self.problems.append(
            Problem(address, text, line + 1 if self._numbered else None, self._file)
        )

    def _node(self, event: yaml.Event, address: str, line: int) -> Node:
        origin = Origin(self._file, line + 1 if self._numbered else None)
        self._check_decorations(event, address, line)
        match event:
            case yaml.MappingStartEvent():
                with self._deeper(line):
                    return Node(self._mapping(address), origin)
            case yaml.SequenceStartEvent():
                with self._deeper(line):
                    return Node(self._list(address), origin)
            case yaml.ScalarEvent(style=None, value=""):
                self.complain(address, line, _nothing_after(address))
                return Node(None, origin)
            case yaml.ScalarEvent(style=None):
                return Node(self._word(event.value, address, line), origin)
            case yaml.ScalarEvent():
                self._check_writable(event.value, address, line)
                return Node(event.value, origin)
            case _:
                return Node(None, origin)

    @contextmanager
    def _deeper(self, line: int) -> Iterator[None]:
        """Count a level; Python's own stack ends at a thousand, with an error of its own."""
        if self._depth == DEEPEST:
            raise _TooDeep(line, f"mappings and lists in one another, more than {DEEPEST} levels")
        self._depth += 1
        yield
        self._depth -= 1

    def _word(self, word: str, address: str, line: int) -> Any:
        try:
            return as_value(word)
        except ValueError:  # more digits than Python reads
            self.complain(address, line, f"a number of {len(word):,} digits, which none needs")
            return None

    def _check_writable(self, text: str, address: str, line: int) -> None:
        if (found := _UNWRITABLE.search(text)) is not None:
            self.complain(
                address, line, f"the character {found[0]!r} is not allowed in a recipe's texts"
            )

    def _check_decorations(self, event: yaml.Event, address: str, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self.complain(address, line, _NO_SHARING)
        elif getattr(event, "tag", None) is not None:
            self.complain(address, line, "tags (!) are not read; quote a value to make it a string")

    def _mapping(self, address: str) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            key = self._key(event, address, line)
            below = f"{address}.{key}" if address else key
            before = children.get(key)
            child = self._node(next(self._events), below, line)
            if before is not None:
                first = f" first in line {before.origin.line};" if self._numbered else ""
                self.complain(below, line, f"said twice:{first} keep one of the two")
                continue
            children[key] = child
        return children

    def _key(self, event: yaml.Event, address: str, line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.complain(address, line, "a key must be a string, got a list or a mapping")
            self._node(event, address, line)
            return ""
        key = str(event.value)
        below = f"{address}.{key}" if address else key
        value = self._word(key, below, line) if event.style is None else key
        self._check_writable(key, below, line)
        self._check_decorations(event, below, line)
        if key == "<<" and event.style is None:
            self.complain(below, line, _NO_SHARING)
        elif not isinstance(value, str | Off):
            self.complain(
                below, line, f"a key must be a string, got {key}. Write '{key}' in quotes"
            )
        elif not key:
            self.complain(address, line, "a key must not be empty")
        return key

    def _list(self, address: str) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            below, line = f"{address}[{len(items)}]", _line(event)
            item = plain(self._node(event, below, line))
            if _holds_off(item):
                self.complain(
                    below,
                    line,
                    "a list is one value: off cannot take a part of it away; quote 'off'",
                )
            items.append(item)
        return items


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "PyYAML marks every event"
    return event.start_mark.line


def _nothing_after(address: str) -> str:
    key = address.rpartition(".")[2]
    if ":" in key:
        return f"expected a space after ':' in '{key}'"
    return (
        "left empty: write {} for its defaults, off to take it away, or null for an option's None"
    )


def _holds_off(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_off, value.values()))
    return value is OFF


class _Dumper(yaml.SafeDumper):
    """Quotes whatever any YAML reader, ours included, would not read as the string that it is."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a list that occurs twice twice: we read no aliases."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes these line breaks bare between single quotes, and reads them back as spaces
    style = '"' if set(text) & set("\x85\u2028\u2029") else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
