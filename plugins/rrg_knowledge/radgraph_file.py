"""The annotator `radgraph_file`."""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final, Literal, final

from rrg_knowledge.radgraph_align import Punctuation, align_document, plain
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator

_SPACE: Final = re.compile(r"[ \t\r\n]*")


@final
class RadGraphFile(Annotator):
    """RadGraph's own files: PhysioNet's JSON, and what the package `radgraph` returns.

    `path` is a file or several, `.json` or `.json.gz`, each {name: document}; the labels are v1's
    or radgraph-xl's, measurements counted as the observations that they are. With `by: id` the name
    is the study's id, its examination's, or a path that ends in one: "p18/p18004941/s58821758.txt"
    is s58821758, and 58821758. With `by: text` names do not count, and a document is the study's
    whose text it is: for the package's "0", "1", ….

    The document must be of the report that the model is fed, spaces and case aside; entities are
    laid on the report's own words (`radgraph_align.py`). `punctuation: ignored` also takes one of
    the report before a rule of cleaning took its commas away. Raises DataError for a file that
    cannot be read, a study without a document or with two, and one of another text.
    """

    writes: ClassVar[type] = RadGraph
    from_report = True
    kept: ClassVar[bool] = False

    def __init__(
        self,
        *,
        path: str | list[str],
        by: Literal["id", "text"] = "id",
        punctuation: Punctuation = "same",
    ) -> None:
        given = [path] if isinstance(path, str) else path
        self.paths = [Path(each).expanduser() for each in given]
        if not self.paths:
            raise ValueError("`path` is an empty list; name RadGraph's file or files")
        self.by = by
        self.punctuation: Punctuation = punctuation
        self._known: _Documents | None = None

    def read_given(self) -> None:
        """Look for the files; raises DataError."""
        for each in self.paths:
            if not each.is_file():
                raise DataError(f"there is no file of RadGraph's at {each}")

    def annotate(self, studies: Iterable[Study]) -> Iterator[RadGraph]:
        """Yield each study's document; raises DataError naming those without one, before any."""
        asked = list(studies)
        documents = self._documents()
        found: list[_Place | None] = []
        missing: list[Study] = []
        for study in asked:
            places = [at for name in self._names(study) for at in documents.places.get(name, ())]
            if len({documents.text_at(place) for place in places}) > 1:
                shown = " and ".join(f"'{place.name}' of {place.path}" for place in places[:2])
                raise DataError(
                    f"study '{study.id}' has different documents: {shown}. Leave one of them out"
                )
            found.append(next(iter(places), None))
            if not places and plain(_report(study), self.punctuation):
                missing.append(study)
        if missing:
            raise DataError(self._absent(missing, len(asked), documents))
        for study, place in zip(asked, found, strict=True):
            report = _report(study)
            if place is None:  # an empty report needs none
                yield RadGraph(tuple(report.split()), {})
                continue
            yield align_document(
                json.loads(documents.text_at(place)),
                report,
                study=f"'{study.id}' ({place.path}, '{place.name}')",
                punctuation=self.punctuation,
            )

    def fingerprint(self) -> str:
        """Return the files' names and what tells their contents from others."""
        files = ", ".join(
            f"{path.name} (sha256 {digest})"
            for path, digest in zip(self.paths, self._documents().digests, strict=True)
        )
        return f"radgraph_file {files}"

    def _documents(self) -> "_Documents":
        if self._known is None:
            self.read_given()
            self._known = _Documents()
            for path in self.paths:
                self._known.read(path, None if self.by == "id" else self.punctuation)
        return self._known

    def _names(self, study: Study) -> list[str]:
        if self.by == "text":
            return [plain(_report(study), self.punctuation)]
        names = [study.id, *([study.examination] if study.examination else [])]
        for name in list(names):
            if name.isdecimal():
                names.append(f"s{name}")
            elif re.fullmatch(r"s\d+", name):
                names.append(name[1:])
        return names

    def _absent(self, missing: list[Study], asked: int, documents: "_Documents") -> str:
        shown = ", ".join(f"'{study.id}'" for study in missing[:3])
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        some = f"{len(missing):,} of {asked:,} studies" if len(missing) > 1 else "study"
        files = ", ".join(map(str, self.paths))
        first = next(iter(documents.names), None)
        held = f"{len(documents.names):,} documents, the first '{first}'" if first else "nothing"
        advice = "Run RadGraph on their reports as the model is fed them, or leave them out"
        if self.by == "id" and documents.names and all(map(str.isdecimal, documents.names[:3])):
            advice += (
                ". The package `radgraph` numbers its documents; with `by: text` each is found by "
                "its text"
            )
        return f"{files} has no document for {some} {shown}{more}; it has {held}. {advice}"


@final
@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a file a document is: an offset is smaller than what it stands for."""

    path: Path
    name: str
    start: int
    end: int


@final
@dataclass(slots=True)
class _Documents:
    """Files by name of document. PhysioNet's has six million entities: they are parsed when asked
    for, and until then only text.
    """

    places: dict[str, list[_Place]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    texts: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path, by_text: Punctuation | None) -> None:
        """Add a file's documents, by their names or by their texts."""
        self.texts[path], digest = _read(path)
        self.digests.append(digest)
        for name, document, start, end in _members(self.texts[path], path):
            place = _Place(path, name, start, end)
            self.names.append(name)
            if by_text is not None:
                self.places.setdefault(plain(_text(document, place), by_text), []).append(place)
                continue
            for key in {name, PurePosixPath(name).name, PurePosixPath(name).stem}:
                self.places.setdefault(key, []).append(place)

    def text_at(self, place: _Place) -> str:
        """Return a document's JSON."""
        return self.texts[place.path][place.start : place.end]


def _members(text: str, path: Path) -> Iterator[tuple[str, Any, int, int]]:
    """Yield name, value, and where the value begins and ends, of each member of an object."""
    decoder = json.JSONDecoder()

    def skip(at: int, expected: str) -> int:
        match = _SPACE.match(text, at)
        assert match is not None, "no space at all is a match"
        if not text.startswith(tuple(expected), match.end()):
            found = text[match.end() : match.end() + 20] or "its end"
            raise json.JSONDecodeError(f"expected {expected}, found {found}", text, match.end())
        return match.end()

    try:
        at = skip(0, "{") + 1
        at = skip(at, '"}')
        while not text.startswith("}", at):
            name, at = decoder.raw_decode(text, skip(at, '"'))
            start = skip(skip(at, ":") + 1, "{")
            document, at = decoder.raw_decode(text, start)
            yield name, document, start, at
            at = skip(at, ",}")
            at += text.startswith(",", at)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is no file of RadGraph's: {error.msg} (line {error.lineno}); expected "
            '{"name": {"text": …, "entities": {…}}, …}'
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"{path} is no file of RadGraph's: it is nested too deeply, or has a number of too "
            "many digits"
        ) from error


def _read(path: Path) -> tuple[str, str]:
    """Return a file's text, and what tells it from others."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig"), hashlib.sha256(data).hexdigest()[:12]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _text(document: Any, place: _Place) -> str:
    text = document.get("text") if isinstance(document, Mapping) else None
    if not isinstance(text, str):
        raise DataError(f"{place.path}: the document '{place.name}' has no text")
    return text


def _report(study: Study) -> str:
    if study.report is None:
        raise DataError(
            f"study '{study.id}' has no report, which the words of RadGraph are held against"
        )
    return study.report
