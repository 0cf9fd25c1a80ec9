"""Data from files."""

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> list[Component]:
    """Return the data sets that are read from disk."""
    return [
        Component(
            "dataset",
            "r2gen",
            "rrg_data.r2gen:R2GenDataset",
            "IU X-Ray, MIMIC-CXR or your own in R2Gen's layout",
        ),
    ]
