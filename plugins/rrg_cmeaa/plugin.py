"""What this plugin offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Return the parts of CmEAA; nothing is imported until one is named."""
    return [
        Component(
            "adapter",
            "cmeaa",
            "rrg_cmeaa.adapter:CmEAA",
            "observations enhance visual tokens, a global alignment is added (CmEAA, eq. 4)",
        ),
        Component(
            "part",
            "repadapter",
            "rrg_cmeaa.repadapter:RepAdapter",
            "a bottleneck beside the identity that merges into the next linear layer (CmEAA, §2.1)",
        ),
        Component(
            "part",
            "cfe",
            "rrg_cmeaa.cfe:CFE",
            "visual tokens read the n-grams of the observations (CmEAA, eq. 7-10)",
        ),
        Component(
            "part",
            "nmia",
            "rrg_cmeaa.nmia:NMIA",
            "the image in a low-dimensional space, and back beside every token (CmEAA, eq. 13-15)",
        ),
        Component(
            "objective",
            "mine",
            "rrg_cmeaa.mine:MutualInformation",
            "maximise the mutual information of image, text and their sum (CmEAA, algorithm 1)",
        ),
    ]
