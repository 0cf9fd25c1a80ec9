"""What rrg_metrics offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Declare the components."""
    return [
        Component(
            "metric",
            "coco",
            "rrg_metrics.caption:CaptionMetric",
            "BLEU, METEOR, ROUGE-L and CIDEr of the MS-COCO caption tool, on Penn Treebank tokens",
        ),
    ]
