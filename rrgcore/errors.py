"""What a user is told: problems with an address, a line and the nearest thing that exists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from textwrap import indent
from typing import final


class UserError(Exception):
    """Something the user can mend; commands print it without a traceback and exit with 2."""


@final
class RegistryError(UserError):
    """A component that cannot be registered or found."""


@final
class PluginError(UserError):
    """A plugin that cannot be loaded."""


@final
class DataError(UserError):
    """A study, image, report or annotation that is missing or unreadable.

    One that tells of several things at once has each of them in `problems`, and in `rest` what can
    be used without them, if anything.
    """

    def __init__(self, text: str, *, problems: Sequence[str] = (), rest: object = None) -> None:
        super().__init__(text)
        self.problems = tuple(problems)
        self.rest = rest


@final
class WeightsError(UserError):
    """Pretrained weights or a tokenizer that are absent, or do not fit their module."""


@final
class RunError(UserError):
    """A run folder that is not what was asked for."""


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a recipe, and where."""

    address: str
    text: str
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line is not None else None
        place = ", ".join(part for part in (self.file, line) if part)
        head = f"{self.address} ({place})" if self.address and place else self.address or place
        body = indent(self.text, "    ")
        return f"  {head}\n{body}" if head else body


@final
class RecipeError(UserError):
    """Everything that is wrong with a recipe, collected."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        assert problems, "a RecipeError needs at least one problem"
        self.source = source
        # the header names the source: a problem in it needs the line only
        self.problems = tuple(
            replace(problem, file=None) if problem.file == source else problem
            for problem in problems
        )
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n\n".join([f"{source}: {count}", *map(str, self.problems)]))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or nothing."""
    spelt = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(str(name).casefold(), spelt, n=1, cutoff=0.6)
    return f" Did you mean '{spelt[near[0]]}'?" if near else ""


def a(noun: str) -> str:
    """Return a noun with its article: a decoder, an encoder."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
