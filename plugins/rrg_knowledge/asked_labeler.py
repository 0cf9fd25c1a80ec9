"""The labeler of reports that another annotator asks."""

from rrg_knowledge.rules import RulesLabeler
from rrgcore.annotations import Labels
from rrgcore.supply import Annotator, learns


def labeler_or_rules(labeler: Annotator | None) -> Annotator:
    """Return the labeler, or `rules`; raises ValueError for one that does not read reports."""
    if labeler is None:
        return RulesLabeler()
    name = type(labeler).__name__
    if labeler.writes is not Labels:
        raise ValueError(f"`labeler`: {name} writes {labeler.writes.__name__}; expected Labels")
    if labeler.reads or not labeler.from_report:
        raise ValueError(f"`labeler`: {name} does not label reports; expected one such as `rules`")
    if learns(labeler):
        raise ValueError(
            f"`labeler`: {name} has to learn first, and nobody would save what it learned; "
            "expected one that is ready, such as `rules`"
        )
    return labeler
