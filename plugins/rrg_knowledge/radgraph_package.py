"""The annotator `radgraph_package`."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from rrg_knowledge.radgraph_align import align_document
from rrg_knowledge.radgraph_process import RadGraphProcess, find_interpreter
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator, Workbench, untracked


@final
class RadGraphPackage(Annotator):
    """RadGraph by the package `radgraph`, in an interpreter of its own.

    `python` is that interpreter: the package needs transformers before 5, and cannot share an
    environment with rrg. It reads the report as the model is fed it, cleaned, `batch_size` of them
    at a time; its entities are laid on the report's own words (`radgraph_align.py`). `model_type`
    is the package's: "radgraph" is v1, on which KIA's masking is built. `cuda` is the package's
    too: the number of a device, -1 for none, by default the first there is.

    What it read is kept in `cache`, a line a report as soon as its batch is done, so that a stopped
    run goes on where it was and the next one reads nothing twice; null keeps nothing. The file
    holds the words of the reports: it must be where they may be.

    Raises DataError where the interpreter, the package or its weights are missing, where it dies,
    and where its words are not the report's.
    """

    writes: ClassVar[type] = RadGraph
    from_report = True

    def __init__(
        self,
        *,
        python: str,
        model_type: Literal["radgraph", "radgraph-xl", "modern-radgraph-xl"] = "radgraph",
        batch_size: int = 16,
        cuda: int | None = None,
        cache: str | None = "~/.cache/rrg/radgraph.jsonl",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected a positive number")
        self.python = python
        self.reaches = f"starts the program {python}"
        self.model_type = model_type
        self.batch_size = batch_size
        self.cuda = cuda
        self.cache = None if cache is None else Path(cache).expanduser()
        self._track: Callable[[Iterable[Any], str, int], Iterator[Any]] = untracked
        self._read: dict[str, Any] | None = None

    def read_given(self) -> None:
        """Look for the interpreter; raises DataError."""
        find_interpreter(self.python)

    def equip(self, bench: Workbench) -> None:
        """Take what shows progress."""
        self._track = bench.track

    def annotate(self, studies: Iterable[Study]) -> Iterator[RadGraph]:
        """Read what no run has read before, then yield each study's."""
        asked = [(study, _report(study)) for study in studies]
        documents = self._cached()
        new = {
            key: (study, report)
            for study, report in asked
            if report.split() and (key := self._key(report)) not in documents
        }
        if new:
            self._ask(list(new.items()), documents)
        for study, report in asked:
            if not report.split():
                yield RadGraph((), {})
            else:
                document = documents[self._key(report)]
                yield align_document(document, report, study=f"'{study.id}'")

    def fingerprint(self) -> str:
        """Return the model, which the package names; its release changes nothing."""
        return f"package radgraph, model {self.model_type}"

    def _ask(self, new: Sequence[tuple[str, tuple[Study, str]]], documents: dict[str, Any]) -> None:
        batches = [new[i : i + self.batch_size] for i in range(0, len(new), self.batch_size)]
        done = 0
        title = f"RadGraph ({self.model_type})"
        process = RadGraphProcess(python=self.python, model_type=self.model_type, cuda=self.cuda)
        try:
            with process:
                for batch in self._track(batches, title, len(batches)):
                    answers = process.ask([report for _, (_, report) in batch])
                    read = {
                        key: _checked(document, study, report)
                        for (key, (study, report)), document in zip(batch, answers, strict=True)
                    }
                    self._keep(read)
                    documents |= read
                    done += len(read)
        except DataError as error:
            if not done:
                raise
            kept = f"kept in {self.cache}: run again to go on" if self.cache else "not kept"
            raise DataError(
                f"{error}\n{done:,} of {len(new):,} reports are read, {kept}"
            ) from error

    def _key(self, report: str) -> str:
        return hashlib.sha256(f"{self.model_type}\0{report}".encode()).hexdigest()[:32]

    def _cached(self) -> dict[str, Any]:
        """Read the cache once; a line that a stop cut short is taken out of it."""
        if self._read is None:
            self._read = {}
            if self.cache is not None and self.cache.is_file():
                data = self.cache.read_bytes()
                whole = data.rfind(b"\n") + 1
                if whole < len(data):
                    with self.cache.open("r+b") as file:
                        file.truncate(whole)
                for number, line in enumerate(data[:whole].splitlines(), start=1):
                    self._read |= _entry(line, self.cache, number)
        return self._read

    def _keep(self, read: dict[str, Any]) -> None:
        if self.cache is None:
            return
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"key": key, "document": read[key]}) + "\n" for key in read]
        with self.cache.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _entry(line: bytes, cache: Path, number: int) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        return {entry["key"]: entry["document"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{cache}, line {number}: is none of radgraph's ({type(error).__name__}). Delete the "
            "file, or name another: `cache`"
        ) from error


def _checked(document: Any, study: Study, report: str) -> Any:
    """Return what radgraph says of a report; raises DataError unless it is of its words."""
    if document is None:
        raise DataError(
            f"radgraph made nothing of the report of study '{study.id}': it found an error in it "
            "and went on. Leave the study out, or mend its report"
        )
    align_document(document, report, study=f"'{study.id}'")
    return document


def _report(study: Study) -> str:
    if study.report is None:
        raise DataError(f"study '{study.id}' has no report that RadGraph could read")
    return study.report
