"""What a user is told: problems with an address, a line and the nearest thing that exists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
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
    """A study, image, report or annotation that is missing or unreadable."""


@final
class WeightsError(UserError):
    """Pretrained weights or a tokenizer that are absent, or do not fit the module they are meant for."""


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
        place = ", ".join(
            part
            for part in (
                self.file or "",
                f"line {self.line}" if self.line is not None else "",
            )
            if part
        )
        head = f"  {self.address} ({place})" if place else f"  {self.address}"
        body = "\n".join(f"    {line}" for line in self.text.splitlines())
        return f"{head}\n{body}"


@final
class RecipeError(UserError):
    """Everything that is wrong with a recipe, collected."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        assert problems, "a RecipeError needs at least one problem"
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n\n".join([f"{source}: {count}", *map(str, problems)]))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or nothing."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
