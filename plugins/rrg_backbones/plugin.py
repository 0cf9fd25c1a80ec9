"""What this plugin offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Return the networks; nothing is imported until one is named."""
    return [
        Component(
            "part",
            "transformer",
            "rrg_backbones.transformer:Transformer",
            "a stack of layers that attends to a context when there is one (KIA, eq. 1)",
        ),
        Component(
            "encoder",
            "vit",
            "rrg_backbones.vit:ViT",
            "vision transformer on a trunk; masked patches may be read with a text's help (KIA)",
        ),
        Component(
            "encoder",
            "swin",
            "rrg_backbones.swin:Swin",
            "Swin Transformer from timm, Swin-B unless said: 49 tokens of 1,024 (CmEAA)",
        ),
        Component(
            "decoder",
            "bert",
            "rrg_backbones.bert:Bert",
            "BERT on a trunk: text encoder, text encoder with an image, report writer (KIA)",
        ),
        Component(
            "decoder",
            "llama2",
            "rrg_backbones.llama2:Llama2",
            "a Llama, frozen or trained, that reads images as tokens of its prompt (CmEAA)",
        ),
    ]
