"""What a report says of one observation."""

from dataclasses import dataclass

from .case import Severity, Side, Zone
from .markup import Status


@dataclass(frozen=True, slots=True)
class Statement:
    """An observation that a report states or denies; a field that it leaves open is None."""

    observation: str
    status: Status
    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None
    kind: str | None = None

    @property
    def positive(self) -> bool:
        """Whether the report calls the observation present or possible."""
        return self.status != "absent"
