"""The words by which MIMIC-CXR's own section tools know a heading (MIT-LCP/mimic-cxr, `txt/`)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "preamble": ("preamble",),
    "impression": (
        "impression",
        "conclusion",
        "findings and impression",
        "findings/impression",
        "ndication",
        "impresson",
        "imprression",
        "imoression",
        "impressoin",
        "imprssion",
        "impresion",
        "imperssion",
        "mpression",
        "impession",
        "findings/ impression",
    ),
    "comparison": (
        "comparison",
        "comparisons",
        "reference exam",
        "comparison exam",
        "comparison film",
        "comparision",
        "comparsion",
        "comparrison",
        "comparisions",
    ),
    "indication": (
        "indication",
        "reason for examination",
        "reason for exam",
        "clinical indication",
        "idication",
    ),
    "findings": (
        "findings",
        "chest, two views",
        "finding",
        "findins",
        "findindgs",
        "findgings",
        "findngs",
        "findnings",
        "finidngs",
        "reference findings",
    ),
    "examination": (
        "examination",
        "exam",
        "type of examination",
    ),
    "technique": ("technique",),
    "history": (
        "history",
        "clinical history",
        "clinical information",
        "patient history",
        "pfi",
    ),
    "notification": ("notification",),
    "recommendations": (
        "recommendation(s)",
        "recommendations",
        "recommendation",
    ),
    "addendum": ("addendum",),
    "date": ("date",),
    "comment": ("comment",),
    "wet read": (
        "wet read",
        "wetread",
    ),
}

SECTION_OF: Final[Mapping[str, str]] = MappingProxyType(
    {spelling: section for section, spellings in _SPELLINGS.items() for spelling in spellings}
)
"""58 headings, in lower case, to the section that each begins. "ndication" begins an impression
there: a slip, kept.
"""

MAIN_SECTIONS: Final = ("impression", "findings", "history", "comparison", "addendum")
"""Any other heading that contains one of these begins it; the first in this order."""

FINDINGS_WORDS: Final = (
    "chest",
    "portable",
    "pa and lateral",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "frontal view",
    "pa view",
    "ap view",
    "one view",
    "lateral view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
    "pa and lat",
)
"""And one that contains none of those but one of these, a view or a technique, begins findings."""
