"""What a language model is asked about a study, and what its answer says."""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, final

from rrg_knowledge.observe import source_of_report
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.chest import OBSERVATIONS
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator, learns

PROMPT: Final = """\
You label a chest X-ray with 14 observations. You are given the radiology report that goes with it \
and, for each observation, the probability that an image classifier gives.

Decide for each observation:
- Present: the report affirms it, or does not mention it and the probability is 0.5 or more.
- Absent: the report denies it, or does not mention it and the probability is below 0.5.
- Uncertain: the report says that it is possible, or cannot be excluded.
What the report says outweighs the probability. "No Finding" is Present only where every other \
observation but Support Devices is Absent.

Probabilities:
{probabilities}

Report:
{report}

Answer with one JSON object and nothing else. Its keys are the 14 observations exactly as written \
above, all of them, and each value is "Present", "Absent" or "Uncertain".
"""

VALUES: Final = {"present": 1, "uncertain": 1, "absent": 0}
"""A.1: "we regard Present and Uncertain as Positive and Absent as Negative"."""
_PLACES: Final = ("probabilities", "report")
_SPELT: Final = {name.casefold(): name for name in OBSERVATIONS}
_LINE: Final = re.compile(
    r"^[\W_]*(?:\d+[.)]\s*)?[\W_]*(?P<name>"
    + "|".join(sorted(OBSERVATIONS, key=len, reverse=True))
    + r")\b[\W_]*(?P<said>.*?)[\W_]*$",
    re.IGNORECASE,
)
_THOUGHTS: Final = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)


@final
class Unreadable(Exception):
    """An answer that does not say one of three words of each of the 14 observations."""


@final
class Questions:
    """The prompt of a study, and labels from the answer.

    An answer that cannot be read is an error that names the study, unless `on_bad`, another
    annotator, labels such studies. Raises ValueError for a prompt without its two places, and for
    an `on_bad` that could not.
    """

    def __init__(self, *, prompt: str | None, on_bad: Annotator | None, model: str) -> None:
        self.template = PROMPT if prompt is None else prompt
        self.on_bad = on_bad
        self.model = model
        self.unreadable: set[str] = set()
        """Studies whose answer could not be read."""
        _check_template(self.template)
        if on_bad is not None:
            _check_on_bad(on_bad)

    @property
    def digest(self) -> str:
        """What tells this prompt from another."""
        return sha256(self.template.encode()).hexdigest()[:12]

    def prompt(self, study: Study) -> str:
        """Write the question about a study."""
        given = study[Probabilities].values
        known = [f"{name}: {given[name]:.2f}" for name in OBSERVATIONS if name in given]
        unknown = [f"{name}: unknown" for name in OBSERVATIONS if name not in given]
        values = {
            "probabilities": "\n".join([*known, *unknown]),
            "report": study[NearestReport].text.strip(),
        }
        # in one go: a report may hold "{report}"
        return re.sub(r"\{(probabilities|report)\}", lambda m: values[m[1]], self.template)

    def labels(self, study: Study, answer: str) -> Labels:
        """Return what an answer says; raises DataError, or asks `on_bad`."""
        try:
            said = read_answer(answer)
        except Unreadable as error:
            if self.on_bad is None:
                raise DataError(self.refusal(study, answer, error)) from error
            self.unreadable.add(study.id)
            (other,) = self.on_bad.annotate([study])
            sources = {
                name: f"{s} ({self.model}'s answer could not be read)"
                for name, s in (
                    other.sources or dict.fromkeys(other.values, type(self.on_bad).__name__)
                ).items()
            }
            return Labels(other.values, sources)
        values = {name: VALUES[word] for name, word in said.items()}
        whose = source_of_report(study)
        sources = {name: f"{self.model} ({word}), {whose}" for name, word in said.items()}
        return Labels(values, sources)

    def refusal(self, study: Study, answer: str, error: Unreadable) -> str:
        """Say what is wrong with an answer, and what to do."""
        begins = " ".join(answer.split())
        shown = begins if len(begins) <= 120 else begins[:119] + "…"
        return (
            f"study '{study.id}': the answer of {self.model} cannot be read: {error}. It is "
            f"'{shown}'. Mend the prompt, take another model, or let such studies be labelled by "
            "rule: `on_bad: observe`"
        )

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Count the answers that could not be read."""
        if not self.unreadable:
            return {}
        return {"answers that could not be read": {"studies": float(len(self.unreadable))}}


def read_answer(answer: str) -> dict[str, str]:
    """Return present, absent or uncertain for each of the 14 observations; raises Unreadable.

    The answer is a JSON object, with whatever stands around it, or a line an observation. A model's
    thoughts (`<think>`) are passed over.
    """
    text = _THOUGHTS.sub("", answer)
    said: dict[str, str] = {}
    for name, value in _json_items(text) or _lines(text):
        word = str(value).strip().strip(".").casefold()
        if word not in VALUES:
            raise Unreadable(
                f"it says '{value}' of {name}, which is not Present, Absent, Uncertain"
            )
        if said.setdefault(name, word) != word:
            raise Unreadable(f"it says both {said[name]} and {word} of {name}")
    if missing := [name for name in OBSERVATIONS if name not in said]:
        raise Unreadable(f"it says nothing of {', '.join(missing)}")
    return {name: said[name] for name in OBSERVATIONS}


def _json_items(text: str) -> list[tuple[str, Any]]:
    """List the observations of the JSON object in a text; nothing where there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return []
    try:
        pairs = json.loads(text[start : end + 1], object_pairs_hook=list)
    except ValueError as error:
        raise Unreadable(f"it is no JSON ({error})") from error
    return [(_observation(key), value) for key, value in pairs]


def _observation(key: str) -> str:
    name = _SPELT.get(" ".join(key.split()).casefold())
    if name is None:
        raise Unreadable(f"it speaks of '{key}', which is none of the 14 observations")
    return name


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield _SPELT[found["name"].casefold()], found["said"]


def _check_template(template: str) -> None:
    named = re.findall(r"\{(\w+)\}", template)
    if wrong := [name for name in named if name not in _PLACES]:
        raise ValueError(
            f"`prompt` has a place for {{{wrong[0]}}}, and nothing fills it; known are "
            "{probabilities} and {report}"
        )
    if missing := [name for name in _PLACES if name not in named]:
        raise ValueError(f"`prompt` has no place for {{{missing[0]}}}: it is asked about nothing")


def _check_on_bad(annotator: Annotator) -> None:
    name = type(annotator).__name__
    if annotator.writes is not Labels or annotator.from_report or learns(annotator):
        raise ValueError(
            f"`on_bad`: {name} cannot label a study in a model's place; expected one such as "
            "`observe`"
        )
    if other := set(annotator.reads) - {Probabilities, NearestReport}:
        raise ValueError(
            f"`on_bad`: {name} reads {other.pop().__name__}, which studies do not carry here"
        )
