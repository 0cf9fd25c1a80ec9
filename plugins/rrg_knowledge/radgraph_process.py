"""Another interpreter that runs `radgraph`, and what is said when it does not."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from rrgcore.errors import DataError

_SCRIPT: Final = Path(__file__).with_name("radgraph_worker.py")
_HOW: Final = (
    "The package radgraph does not live with the transformers that rrg uses. Give it an "
    "environment of its own:\n"
    "    python3 -m venv ~/radgraph && ~/radgraph/bin/pip install radgraph 'transformers<5'\n"
    "and name its interpreter: python: ~/radgraph/bin/python"
)
_LINES: Final = 12
"""Of what it wrote on stderr, the last so many are shown."""


def find_interpreter(python: str) -> str:
    """Return the path of an interpreter; raises DataError unless there is one to run."""
    path = Path(python).expanduser()
    if path.is_dir():
        raise DataError(f"`python: {python}` is a folder; name the interpreter in it.\n{_HOW}")
    found = shutil.which(str(path))
    if found is None:
        raise DataError(f"there is no interpreter to run at `python: {python}`.\n{_HOW}")
    return found


@final
class RadGraphProcess:
    """`radgraph` in another process, for as long as a `with` lasts.

    Raises DataError where it does not start, and where it says nothing or nonsense.
    """

    def __init__(self, *, python: str, model_type: str, cuda: int | None) -> None:
        self._python = find_interpreter(python)
        self._wanted = {"model_type": model_type, "cuda": cuda}

    def __enter__(self) -> "RadGraphProcess":
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [self._python, str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._errors.close()
            raise DataError(f"{self._python} cannot be run: {error}.\n{_HOW}") from error
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "it was opened as a pipe"
        assert stdout is not None, "it was opened as a pipe"
        self._stdin, self._stdout = stdin, stdout
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._stdin, self._stdout):
            with suppress(BrokenPipeError):  # it died with a line unread, which was told already
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def ask(self, reports: Sequence[str]) -> list[Any]:
        """Return the document of each report, None for one of which radgraph makes nothing."""
        said = self._say(list(reports), "read reports")
        if "failed" in said:
            raise DataError(f"radgraph failed on a report: {said['failed']}{self._complaints()}")
        documents = said.get("documents")
        if not isinstance(documents, list) or len(documents) != len(reports):
            raise self._nonsense(json.dumps(said), f"the documents of {len(reports)} reports")
        return documents

    def _start(self) -> None:
        said = self._say(self._wanted, "start")
        if "absent" in said:
            raise DataError(f"{self._python} has no package radgraph ({said['absent']}).\n{_HOW}")
        if "broken" in said:
            raise DataError(
                f"radgraph does not load in {self._python}: {said['broken']}"
                f"{self._complaints()}\nIt needs transformers before 5, and its weights "
                "(StanfordAIMI/RRG_scorers) and BERT from the hub, or in its caches.\n"
                f"{_HOW}"
            )
        if "ready" not in said:
            raise self._nonsense(json.dumps(said), "that it is ready")

    def _say(self, line: Any, what: str) -> dict[str, Any]:
        """Write a line, and read the answer."""
        with suppress(BrokenPipeError):  # what it said before it died tells more
            self._stdin.write(json.dumps(line) + "\n")
            self._stdin.flush()
        answer = self._stdout.readline()
        if not answer:
            raise DataError(self._death(what))
        try:
            said = json.loads(answer)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise self._nonsense(answer, "a line of JSON")
        return said

    def _death(self, what: str) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"{self._python} stopped answering when it was to {what}{self._complaints()}"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        memory = " (9 is often the system's, for want of memory)" if code == -9 else ""
        return f"{self._python} {how}{memory} when it was to {what}{self._complaints()}"

    def _nonsense(self, answer: str, expected: str) -> DataError:
        shown = answer.strip()[:80]
        return DataError(
            f"{self._python} said '{shown}'; expected {expected}{self._complaints()}\n"
            "Is it an interpreter of Python, with a release of radgraph like 0.1.18?"
        )

    def _complaints(self) -> str:
        """Return the end of what it wrote on stderr."""
        # not by seek and read: the process writes where this file stands, and may be writing now
        handle = self._errors.fileno()
        said = os.pread(handle, os.fstat(handle).st_size, 0)
        lines = said.decode("utf-8", "replace").strip().splitlines()
        if not lines:
            return ""
        return "\nIts last words:\n" + "\n".join(f"    {line}" for line in lines[-_LINES:])
