"""What rrg_phantom offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Declare the components."""
    return [
        Component(
            "dataset",
            "phantom",
            "rrg_phantom.dataset:PhantomDataset",
            "drawn chest radiographs with reports and exact annotations; no files, no network",
        ),
        Component(
            "metric",
            "phantom_findings",
            "rrg_phantom.metric:PhantomFindings",
            "finding F1 of phantom reports, parsed back through their grammar",
        ),
    ]
