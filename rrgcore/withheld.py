"""What an export must not hold: training studies one by one, and paths of this machine."""

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rrgcore.errors import RunError
from rrgcore.folder import ARTEFACTS, RunFolder
from rrgcore.json_text import parse_json
from rrgcore.plan import Plan
from rrgcore.portable import Portable, header_of

BY_CHANCE: Final = 0.01
"""The share of training ids that may be found in a file of something else: short numbers are."""
LONG: Final = 100_000
"""A number in JSON from which on it may be an id."""
_MIMIC: Final = re.compile(r"s(\d+)")


def refuse_training_data(run: RunFolder, plan: Plan, root: Path) -> None:
    """Raise RunError where an export holds training studies one by one: their reports or labels,
    which the model reads when it predicts.

    Components say so themselves (`keeps_studies`); files of others are looked through for ids.
    """
    found = [
        f"{block.address} ({block.name})"
        for block in plan.components()
        if getattr(block.cls, "keeps_studies", False)
    ]
    if not found:
        found = list(_name_studies(run, root))
    if found:
        raise RunError(
            "training studies are held one by one (reports, or labels, by id) by "
            f"{', '.join(found)}, which this model reads when it predicts. If the data's terms let "
            "you pass them on, say so: --training-data"
        )


def refuse_paths(run: RunFolder, root: Path, portable: Portable) -> None:
    """Raise RunError where a path of this machine is left in a text, or beside tensors."""
    known = {*portable.seen, str(run.path.resolve()), os.getcwd()}
    names = [each.encode() for each in known if len(each) > 5]
    for path in (*_texts(root), *root.rglob("*.safetensors")):
        text = path.read_bytes() if path.suffix != ".safetensors" else header_of(path)
        if left := [name for name in names if name in text]:
            raise RunError(
                f"{path.relative_to(root)} names {left[0].decode()}, a path of this machine, and "
                "cannot be exported so"
            )


def _name_studies(run: RunFolder, root: Path) -> Iterator[str]:
    """Iterate over the artefacts that name more training studies than chance would."""
    ids = set(run.training.ids) if run.training else set()
    most = max(2.0, BY_CHANCE * len(ids))
    asked = ids | {match[1] for id in ids if (match := _MIMIC.fullmatch(id))}
    for path in _texts(root / ARTEFACTS):
        there: set[str] = set()
        for word in _words(path):
            if word in asked:
                there.add(word)
        if len(there) > most:
            yield path.relative_to(root).as_posix()


def _words(path: Path) -> Iterator[str]:
    """Iterate over what may be an id in a file: texts of JSON, cells of a table, else what stands
    between quotes, commas and white space.
    """
    data = path.read_bytes()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return
        suffixes.pop()
    text = data.decode("utf-8", errors="replace")
    kind = suffixes[-1] if suffixes else ""
    if kind in (".csv", ".tsv"):
        try:
            for row in csv.reader(io.StringIO(text), delimiter="\t" if kind == ".tsv" else ","):
                yield from (cell.strip() for cell in row)
            return
        except csv.Error:  # cells longer than any table's
            pass
    if kind in (".json", ".jsonl"):
        try:
            for part in [text] if kind == ".json" else text.split("\n"):
                yield from _said(parse_json(part)) if part.strip() else ()
            return
        except ValueError:  # called like JSON, and is not
            pass
    yield from re.split(r"[\s'\",:;\[\]{}]+", text)


def _said(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _said(item)
    elif isinstance(value, list):
        for item in value:
            yield from _said(item)
    elif isinstance(value, str) or (isinstance(value, int) and value >= LONG):
        yield str(value).strip()


def _texts(folder: Path) -> Iterator[Path]:
    """Iterate over the files that hold text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".safetensors", ".npy", ".npz"):
            yield path
