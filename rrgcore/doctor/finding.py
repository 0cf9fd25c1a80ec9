"""One line of what was found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, final

State = Literal["ok", "missing", "broken"]


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `missing` is what one can do without, `broken` what not."""

    part: str
    state: State
    text: str
    remedy: str = ""
    """What to do about it, or what it would be good for."""

    def to_json(self) -> dict[str, Any]:
        """Return it as an object."""
        return asdict(self)
