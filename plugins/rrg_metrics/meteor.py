"""METEOR 1.5 by its own program, all systems of a scoring in one Java process."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

from rrgcore.errors import UserError

_REMEDY = "install a Java runtime, e.g. apt-get install default-jre, then rrg evaluate RUN"

Segment = tuple[str, Sequence[str]]
"""A hypothesis and its references, as tokens between single spaces."""


_OPTIONS = ("-Xmx2G", "-Dfile.encoding=UTF-8")
_ARGUMENTS = ("-", "-", "-stdio", "-l", "en", "-norm")


@final
class MeteorError(UserError):
    """METEOR's program could not be run to its end."""


@final
@dataclass(frozen=True, slots=True)
class Meteor:
    """METEOR of one system."""

    corpus: float
    """From the sums of all segments' statistics: not the mean of the segments."""
    segments: tuple[float, ...]


def meteor_corpus(systems: Sequence[Sequence[Segment]]) -> list[Meteor]:
    """Score several systems in one Java process, whose start costs more than a corpus does.

    `meteor-1.5.jar -l en -norm`, as coco-caption calls it (Denkowski and Lavie, 2014). Raises
    MeteorError, with what Java said, when there is no Java or the program ends early.
    """
    with _program() as ask:
        statistics: dict[str, str] = {}
        found = []
        for system in systems:
            lines = [_score_line(segment) for segment in system]
            for line in lines:
                if line not in statistics:
                    statistics[line] = ask(line, 1)[0]
            answers = ask(
                " ||| ".join(["EVAL", *(statistics[line] for line in lines)]), len(lines) + 1
            )
            *segments, corpus = (_number(answer) for answer in answers)
            found.append(Meteor(corpus, tuple(segments)))
        return found


def _number(answer: str) -> float:
    try:
        return float(answer)
    except ValueError as error:
        raise MeteorError(f"METEOR's program answered {answer!r} instead of a number") from error


def _score_line(segment: Segment) -> str:
    hypothesis, references = segment
    return " ||| ".join(["SCORE", *map(_clean, references), _clean(hypothesis)])


def _clean(text: str) -> str:
    """Keep a text from being read as the protocol: a bar is a field, a line break a command."""
    return " ".join(text.replace("|||", " ").split())


@contextmanager
def _program() -> Iterator["_Ask"]:
    java = shutil.which("java")
    if java is None:
        raise MeteorError(f"METEOR needs Java, and no `java` is on the PATH; {_REMEDY}")
    # errors go to a file: nobody reads while the program runs, and a full pipe would stop it
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [java, *_OPTIONS, "-jar", str(_jar()), *_ARGUMENTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "LC_ALL": "C"},  # elsewhere a decimal is written with a comma
        )
        try:
            yield _Ask(process, said)
        finally:
            process.kill()
            process.communicate()


@final
class _Ask:
    """Sends the program a line and reads so many lines of answer."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._process = process
        self._said = said

    def __call__(self, line: str, answers: int) -> list[str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "the program was started with a pipe to it"
        assert stdout is not None, "the program was started with a pipe from it"
        try:
            stdin.write(f"{line}\n".encode())
            stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        found = [stdout.readline().decode().strip() for _ in range(answers)]
        if not all(found):
            raise self._ended()
        return found

    def _ended(self) -> MeteorError:
        try:
            status = f"status {self._process.wait(timeout=5)}"
        except subprocess.TimeoutExpired:
            status = "no status yet"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()[-10:]
        lines = "\n".join(f"  {line}" for line in said) or "  nothing"
        return MeteorError(
            f"METEOR's Java program stopped answering ({status}). It said:\n{lines}\n"
            "Run `java -version` to see whether Java itself starts; METEOR asks it for 2 GB."
        )


def _jar() -> Path:
    from pycocoevalcap.meteor import meteor

    return Path(meteor.__file__).with_name(meteor.METEOR_JAR)
