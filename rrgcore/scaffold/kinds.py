"""The kinds of component that a new plugin can begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new plugin of one kind begins with."""

    thing: str
    """What its component is called, unless the user says."""
    suffix: str
    """Of the class's name."""
    summary: str
    """For `rrg list`."""
    use: str
    """How another recipe has it."""
    extends: bool = True
    """Whether its recipe is KIA's with a change; else it stands alone."""

    @property
    def faster(self) -> tuple[str, ...]:
        """Overrides with which a test of its recipe takes seconds."""
        metrics = ("r2gen", "clinical", "findings") if self.extends else ()
        return tuple(f"evaluation.metrics.{name}=off" for name in metrics)


BEGINNINGS: Mapping[str, Beginning] = {
    "adapter": Beginning(
        "gate",
        "Adapter",
        "turn tokens down that say nothing, then project",
        "`rrg run kia_graph model.adapter=my_idea.a_thing`.",
    ),
    "objective": Beginning(
        "pairs",
        "Objective",
        "ask of every image and report of a batch whether they belong together",
        '`rrg run kia_graph "objectives.my_idea={name: my_idea.a_thing}"`.',
    ),
    "masking": Beginning(
        "spans",
        "Masking",
        "hide whole stretches of words",
        "`rrg run kia_graph objectives.mlm.masking=my_idea.a_thing`.",
    ),
    "encoder": Beginning(
        "mixer",
        "Encoder",
        "mix neighbouring patches by convolutions",
        "`model: {encoder: {name: my_idea.a_thing}}`; of the objectives of KIA, `mim` needs an\n"
        "encoder that reads text too.",
        extends=False,
    ),
    "metric": Beginning(
        "overlap",
        "Metric",
        "words that a report shares with its reference",
        '`rrg run kia_graph "evaluation.metrics.my_idea={name: my_idea.a_thing}"`, or of\n'
        "anybody's reports: `rrg score mine.jsonl references.json --protocol my_idea.a_thing`.",
    ),
    "annotator": Beginning(
        "keywords",
        "Annotator",
        "observations by keywords of the report",
        '`rrg run kia_label "data.annotations.labels={name: my_idea.a_thing}"`.',
    ),
    "dataset": Beginning(
        "squares",
        "Dataset",
        "bright squares and where they are",
        "`data: {name: my_idea.a_thing}`; and `rrg data check my_idea.a_thing` describes it.",
        extends=False,
    ),
}
"""By kind, in the order in which they are offered."""
