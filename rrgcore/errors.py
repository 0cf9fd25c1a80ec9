"""What a user is told: problems with an address, a line and the nearest thing that exists."""

import copyreg
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from textwrap import indent
from typing import Any, final


class UserError(Exception):
    """Something the user can mend; commands print it without a traceback and exit with 2."""

    of_all_processes = False
    """Whether all processes of a run raise it together, so that one of them need tell it."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> Any:
        """Go to another process as it is: a class may be made of other things than its text."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


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
class WriteError(UserError):
    """What the disk refuses: it is full, read-only or failing, or has a limit.

    It says which file, why, and how much was needed and free where that is known (`problem`), what
    helps (`remedy`), and what to do `then`. Nothing is wrong with what was to be written.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str = "Put that right",
        then: str = "give the same command again",
        path: Path | None = None,
        number: int = 0,
        reason: str = "",
        needed: int | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.then = then
        self.path = path
        self.number = number
        """The system's, as in `errno`."""
        self.reason = reason
        self.needed = needed
        """Bytes."""

    def told(self, standing: str, then: str) -> "WriteError":
        """Return it with a sentence on what is kept, and what to do then."""
        return WriteError(
            f"{self.problem}. {standing}",
            remedy=self.remedy,
            then=then,
            path=self.path,
            number=self.number,
            reason=self.reason,
            needed=self.needed,
        )

    def __str__(self) -> str:
        return printable(f"{self.problem}. {self.remedy}, and {self.then}")


SHOWN = 50
"""Problems of a recipe that an error tells; the rest are counted."""


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
        address = shortened(self.address)
        head = f"{address} ({place})" if address and place else address or place
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
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        shown = [f"{source}: {count}", *map(str, self.problems[:SHOWN])]
        if len(problems) > SHOWN:
            shown.append(f"  … and {len(problems) - SHOWN:,} more")
        super().__init__("\n\n".join(shown))


def shortened(text: str, most: int = 200) -> str:
    """Return a text as an error quotes it: a value may be a page, or a book."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """Return a text in which what would break a line or steer a terminal is spelt out: control
    characters, Unicode's own line breaks, and halves of surrogate pairs, which cannot be written.
    """
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or nothing."""
    spelt = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(str(name).casefold(), spelt, n=1, cutoff=0.6)
    return f" Did you mean '{spelt[near[0]]}'?" if near else ""


def a(noun: str) -> str:
    """Return a noun with its article: a decoder, an encoder."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
