"""What a run says of the machine it ran on, taken out of it: absolute paths, and studies' ids."""

import json
import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Final, final

from rrgcore.errors import RunError
from rrgcore.files import write_json
from rrgcore.json_text import parse_json
from rrgcore.provenance import Provenance

WEIGHTS: Final = "RRG_WEIGHTS"
"""The environment variable that names the folder of weights which an export does not hold."""
PATHS: Final = frozenset(
    {"about", "by", "_name_or_path", "name_or_path", "vocab_file", "tokenizer_file", "merges_file"}
)
"""Keys of files that libraries and annotators write, whose texts may hold paths."""
LARGEST_HEADER: Final = 100_000_000
"""Bytes; safetensors' own limit."""

_PATH = re.compile(
    r"(?<![\w.:/\\])(?:~[\w-]*|[A-Za-z]:)?[/\\](?:[^\s'\",:;\[\]{}()/\\]+[/\\])*"
    r"[^\s'\",:;\[\]{}()/\\]+"
)


_END = r"(?![^\s'\",:;\[\]{}()/\\])"
_OVERRIDE = re.compile(r"([\w.+-]+=)(.+)")


@final
class Portable:
    """Writes paths of this machine as ones that mean the same on another: `./` and their last name.

    The same path always becomes the same, and two never become one. Weights that a checkpoint needs
    beside it are looked for in the folder that RRG_WEIGHTS names.
    """

    def __init__(self, needed: Sequence[str] = ()) -> None:
        self.needed = frozenset(needed)
        self.seen: dict[str, str] = {}
        """What became of each path."""

    def path(self, name: str) -> str:
        """Return a name, or where it is an absolute path another one."""
        if not is_absolute(name.removeprefix("run:")):
            return name
        if name.startswith("run:"):
            run, at, checkpoint = name.removeprefix("run:").rpartition("@")
            if not at or checkpoint.count("/") != 1:  # not of another run's: STAGE/last
                run, at, checkpoint = name.removeprefix("run:"), "", ""
            return f"run:{self.path(run)}{at}{checkpoint}"
        if name not in self.seen:
            last = re.split(r"[/\\]", name.rstrip("/\\"))[-1] or "root"
            found, count = f"./{last}", 1
            while found in self.seen.values():
                count += 1
                found = f"./{last}-{count}"
            self.seen[name] = found
        return self.seen[name]

    def shown(self, name: str) -> str:
        """Return a name as people may read it."""
        return self.path(name).removeprefix("./")

    def weights(self, name: str) -> str:
        """Return a name of weights, to be found by RRG_WEIGHTS where they are a path and needed."""
        found = self.path(name)
        return f"${{{WEIGHTS}}}/{found[2:]}" if name in self.needed and found != name else found

    def text(self, text: str) -> str:
        """Return a text with the absolute paths in it written so: those that were met before, with
        what lies below them; the value of an override; else what looks like one.

        A path with a space in it is found whole only where it was met before.
        """
        said = _OVERRIDE.fullmatch(text)
        if said is not None and is_absolute(said[2]):
            return f"{said[1]}{self.path(said[2])}"
        known = "|".join(map(re.escape, sorted(self.seen, key=len, reverse=True)))
        inside = rf"(?:{known})(?:[/\\][^'\",:;\[\]{{}}()\n]*)?{_END}|" if known else ""
        pattern = inside + _PATH.pattern
        return re.sub(pattern, lambda match: self._replaced(match[0]), text)

    def _replaced(self, found: str) -> str:
        path = found.rstrip()
        return f"{self.path(path)}{found[len(path) :]}"

    def recipe(self, values: Any, key: str = "") -> Any:
        """Return a recipe's values; a text that is no path, such as a prompt, stays as it is."""
        if isinstance(values, Mapping):
            return {name: self.recipe(value, str(name)) for name, value in values.items()}
        if isinstance(values, list):
            return [self.recipe(value, key) for value in values]
        if not isinstance(values, str) or key == "about":
            return values
        return self.weights(values) if key == "weights" else self.path(values)

    def record(self, value: Any) -> Any:
        """Return a JSON value with every text, and every key, made portable."""
        if isinstance(value, Mapping):
            return {self.path(str(key)): self.record(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.record(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def found(self, value: Any, key: str = "") -> Any:
        """Return what an annotator or library wrote, its remarks made portable, and the ids of the
        studies that it was learned from replaced by their hashes.
        """
        if isinstance(value, Mapping):
            same = {name: self.found(item, str(name)) for name, item in value.items()}
            return {**same, "ids": hidden_ids(value["ids"])} if _tells_studies(value) else same
        if isinstance(value, list):
            return [self.found(item, key) for item in value]
        return self.text(value) if isinstance(value, str) and key in PATHS else value

    def rewrite(self, path: Path) -> None:
        """Make a JSON file portable in its place; a file that need not change is left as it is."""
        value = parse_json(path.read_text(encoding="utf-8"))
        if (new := self.found(value)) != value:
            write_json(path, new)

    def rewrite_header(self, path: Path) -> None:
        """Make the words beside the tensors of a safetensors file portable; raises RunError."""
        with path.open("rb") as file:
            header = _header(file, path)
            words = header.get("__metadata__", {})
            new = {key: self._words(text) for key, text in words.items()}
            if new == words:
                return
            data = json.dumps({**header, "__metadata__": new}).encode()
            data += b" " * (-len(data) % 8)
            beside = path.with_name(f".{path.name}.writing")
            with beside.open("wb") as copy:
                copy.write(struct.pack("<Q", len(data)) + data)
                while piece := file.read(1 << 24):
                    copy.write(piece)
        os.replace(beside, path)

    def _words(self, text: str) -> str:
        try:
            value = parse_json(text)
        except ValueError:
            return self.text(text)
        return json.dumps(self.recipe(value))


def is_absolute(name: str) -> bool:
    """Whether a name is a path from the root of a file system, or from somebody's home."""
    if len(name) < 2 or "\n" in name:
        return False
    anchored = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).drive)
    return anchored or name.startswith(("~", "\\"))


def hidden_ids(ids: Sequence[str]) -> list[str]:
    """Return the hashes of studies' ids, sorted: a run that is held against them still finds its
    own studies.
    """
    return sorted(Provenance.hidden(id) for id in ids)


def _tells_studies(value: Mapping[str, Any]) -> bool:
    ids = value.get("ids")
    return "hash" in value and isinstance(ids, list) and all(isinstance(id, str) for id in ids)


def header_of(path: Path) -> bytes:
    """Return what a safetensors file says of its tensors; raises RunError."""
    with path.open("rb") as file:
        return json.dumps(_header(file, path)).encode()


def _header(file: IO[bytes], path: Path) -> dict[str, Any]:
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER:
            raise ValueError(f"a header of {length:,} bytes")
        found = parse_json(file.read(length))
        if not isinstance(found, dict):
            raise ValueError("its header is no JSON object")
    except (struct.error, ValueError) as error:
        raise RunError(f"{path} is damaged ({error})") from error
    return found
