"""METEOR 1.5: the statistics of its own Java program, and its score from their sums."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from einops import rearrange
from jaxtyping import Float

from rrgcore.errors import UserError

from .ngrams import Segment
from .paraphrases import select_paraphrases

# it runs for seconds: what optimizes for hours costs more than it brings
_FAST_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_OPTIONS = (*_FAST_START, "-Xmx2G", "-Dfile.encoding=UTF-8")
_ARGUMENTS = ("-", "-", "-stdio", "-l", "en")
_CHECK_JAVA = "Run `java -version` to see whether Java itself starts; METEOR asks it for 2 GB."
_BAR = " ||| "
# lower-case words and full stops apart: METEOR's normalization takes its time and changes nothing
_WORDS = r"[a-z0-9]+|\."
_NORMALIZED = re.compile(rf"SCORE(?: \|\|\| (?:{_WORDS})(?: (?:{_WORDS}))*)+")
_PATIENCE, _PATIENCE_PER_LINE = 120.0, 0.2
"""Seconds. A line takes a millisecond, but one word said a hundred times a tenth of a second."""
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Of words matched as they are, by stem, as synonyms and as paraphrases; `-l en` sets all these."""

Statistics = Float[np.ndarray, "*segments 23"]
"""A line of METEOR's: words of hypothesis and reference, function words of both; of each of four
kinds, content words matched in both, then function words; chunks; words matched in both."""
_CHUNKS = 20


@final
class MeteorError(UserError):
    """METEOR's program could not be run to its end."""


@final
@dataclass(frozen=True, slots=True)
class Meteor:
    """METEOR = (1 − γ·(ch/m)^β) · PR / (αP + (1 − α)R) (Denkowski and Lavie, 2014).

    P and R count matches by kind, function words at 1 − δ and others at δ; ch chunks hold the m
    matches. From sums of statistics it is the corpus's score, which is no mean of the segments'.
    """

    def __call__(self, sums: Statistics) -> Float[np.ndarray, "*segments"]:
        """Score statistics or sums of them; 0 where nothing matches."""
        lengths, function = sums[..., 0:2], sums[..., 2:4]
        matches, chunks, words = _matches(sums), sums[..., _CHUNKS], sums[..., 21:23]
        matched = _DELTA * matches[..., 0, :] + (1 - _DELTA) * matches[..., 1, :]
        weighted = (matched * _WEIGHTS[:, None]).sum(-2)
        with np.errstate(divide="ignore", invalid="ignore"):
            both = weighted / (_DELTA * (lengths - function) + (1 - _DELTA) * function)
            precision, recall = both[..., 0], both[..., 1]
            mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
            fragments = chunks / words.mean(-1)
            score = mean * (1 - _GAMMA * fragments**_BETA)
        return np.asarray(np.where(score > 0, score, 0.0))


def _matches(sums: Statistics) -> Float[np.ndarray, "*segments 4 2 2"]:
    """Return words matched, by kind, content or function word, hypothesis or reference."""
    return rearrange(sums[..., 4:20], "... (kind word side) -> ... kind word side", word=2, side=2)


def meteor_statistics(segments: Sequence[Segment]) -> Statistics:
    """Return METEOR's statistics of each segment, all in one start of its program.

    `meteor-1.5.jar -l en -norm`, as coco-caption calls it. Raises MeteorError, with what Java
    said, when there is no Java, it cannot be started, or the program ends early or not at all.
    """
    java = shutil.which("java")
    if java is None:
        raise MeteorError(
            "METEOR needs Java, and no `java` is on the PATH; install a Java runtime, e.g. "
            "apt-get install default-jre, then score again"
        )
    lines = [_score_line(segment) for segment in segments]
    # a report that many studies share is scored once
    distinct = list(dict.fromkeys(lines))
    answers = _run(java, distinct)
    found: Statistics = np.array([_numbers(answers[line]) for line in distinct])
    place = {line: i for i, line in enumerate(distinct)}
    found = found[[place[line] for line in lines]]
    # the program does not penalize a whole match for being one chunk, and adds none to a sum
    whole = (_matches(found).sum((1, 2)) == found[:, :2]).all(-1) & (found[:, _CHUNKS] == 1)
    found[whole, _CHUNKS] = 0
    return found


def _score_line(segment: Segment) -> str:
    hypothesis, references = segment
    return _BAR.join(["SCORE", *map(_clean, references), _clean(hypothesis)])


def _clean(text: str) -> str:
    """Keep a text from being read as the protocol: a bar is a field, a line break a command."""
    return " ".join(text.replace("|||", "").splitlines())


def _numbers(answer: str) -> list[float]:
    try:
        numbers = [float(word) for word in answer.split()]
    except ValueError:
        numbers = []
    if len(numbers) != 23:
        raise MeteorError(f"METEOR's program answered {answer!r} instead of its 23 statistics")
    return numbers


def _run(java: str, lines: Sequence[str]) -> dict[str, str]:
    """Return the answer to each line, of two processes side by side: most need no normalization."""
    settled = [line for line in lines if _NORMALIZED.fullmatch(line)]
    others = [line for line in lines if not _NORMALIZED.fullmatch(line)]
    jar = _jar()
    table = jar.with_name("data") / "paraphrase-en.gz"
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as processes:
        command = [java, *_OPTIONS, "-jar", str(jar), *_ARGUMENTS]
        if table.exists():
            selected = Path(folder, "paraphrases.gz")
            texts = {text for line in lines for text in line.split(_BAR)[1:]}
            selected.write_bytes(select_paraphrases(table, texts))
            command += ["-a", str(selected)]
        asked = [
            (part, processes.submit(_answers, [*command, *more], part))
            for part, more in ((settled, ()), (others, ("-norm",)))
            if part
        ]
        return {
            line: answer
            for part, answers in asked
            for line, answer in zip(part, answers.result(), strict=True)
        }


def _answers(command: Sequence[str], lines: Sequence[str]) -> list[str]:
    limit = _PATIENCE + _PATIENCE_PER_LINE * len(lines)
    try:
        ended = subprocess.run(
            command,
            input="".join(f"{line}\n" for line in lines).encode(errors="replace"),
            capture_output=True,
            check=False,
            timeout=limit,
            env={**os.environ, "LC_ALL": "C"},  # elsewhere a decimal is written with a comma
        )
    except OSError as error:
        raise MeteorError(
            f"METEOR's Java program could not be started: {command[0]}: {error.strerror}. "
            f"{_CHECK_JAVA}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MeteorError(
            f"METEOR's Java program did not answer within {limit:,.0f} s ({len(lines):,} "
            f"segments), and was stopped. {_CHECK_JAVA}"
        ) from error
    answers = ended.stdout.decode(errors="replace").splitlines()
    if ended.returncode or len(answers) != len(lines):
        raise _ended(ended, len(answers), len(lines))
    return answers


def _ended(ended: "subprocess.CompletedProcess[bytes]", answers: int, lines: int) -> MeteorError:
    code = ended.returncode
    status = f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    said = ended.stderr.decode(errors="replace").strip().splitlines()[-10:]
    quoted = "\n".join(f"  {line}" for line in said) or "  nothing"
    return MeteorError(
        f"METEOR's Java program ended after {answers:,} of {lines:,} segments ({status}). It said:"
        f"\n{quoted}\n"
        f"{_CHECK_JAVA}"
    )


def _jar() -> Path:
    from pycocoevalcap.meteor import meteor

    return Path(meteor.__file__).with_name(meteor.METEOR_JAR)
