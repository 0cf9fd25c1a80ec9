"""Data from files."""

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> list[Component]:
    """Return the data sets that are read from disk, and the archives that they are built from."""
    return [
        Component(
            "dataset",
            "r2gen",
            "rrg_data.r2gen:R2GenDataset",
            "IU X-Ray, MIMIC-CXR or your own in R2Gen's layout",
        ),
        Component(
            "dataset",
            "table",
            "rrg_data.table:TableDataset",
            "A table of your own: CSV, TSV or JSONL with named columns",
        ),
        Component(
            "source",
            "iu_xray",
            "rrg_data.iu_xray:IuXraySource",
            "IU X-Ray from Open-i's reports and images",
        ),
        Component(
            "source",
            "mimic_cxr",
            "rrg_data.mimic_cxr:MimicCxrSource",
            "MIMIC-CXR from PhysioNet's reports, images and tables",
        ),
    ]
