"""What every recipe needs."""

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> list[Component]:
    """Return simple adapters, the report objective, random masking."""
    return [
        Component(
            "adapter",
            "identity",
            "rrg_basics.adapters:IdentityAdapter",
            "the encoder's tokens as they are",
        ),
        Component(
            "adapter",
            "linear",
            "rrg_basics.adapters:LinearAdapter",
            "one projection to the decoder's width",
        ),
        Component(
            "objective",
            "report",
            "rrg_basics.report:ReportGeneration",
            "write the report, word by word",
        ),
        Component(
            "masking",
            "random_patches",
            "rrg_basics.random_masking:RandomPatches",
            "hide patches at random",
        ),
        Component(
            "masking",
            "random_words",
            "rrg_basics.random_masking:RandomWords",
            "hide words at random, as BERT does",
        ),
    ]
