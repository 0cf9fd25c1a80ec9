"""What this plugin offers; imports no torch, so that components are listed in a blink."""

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> list[Component]:
    """Offer KIA's objectives, joint space, knowledge-guided maskings and mining of the atlas."""
    return [
        Component(
            "objective",
            "mim",
            "rrg_kia.mim:MaskedImageModeling",
            "reconstruct masked patches with the report's help",
        ),
        Component(
            "objective",
            "mlm",
            "rrg_kia.mlm:MaskedLanguageModeling",
            "name masked words with the images' help",
        ),
        Component(
            "objective",
            "irc",
            "rrg_kia.irc:ImageReportContrast",
            "contrast images and reports against a momentum queue",
        ),
        Component(
            "objective",
            "irm",
            "rrg_kia.irm:ImageReportMatching",
            "tell matching pairs from hard negatives",
        ),
        Component(
            "part",
            "projections",
            "rrg_kia.projections:Projections",
            "one linear map a modality into a joint space",
        ),
        Component(
            "masking",
            "anatomy",
            "rrg_kia.anatomy:AnatomyMasking",
            "hide the patches of the landmarks a report mentions",
        ),
        Component(
            "masking",
            "graph",
            "rrg_kia.graph:GraphMasking",
            "hide the observations or the anatomy of each sentence",
        ),
        Component(
            "masking",
            "label",
            "rrg_kia.label:LabelMasking",
            "ask for 14 observations: present or absent",
        ),
        Component(
            "annotator",
            "atlas",
            "rrg_kia.atlas_annotator:AtlasAnnotator",
            "key patches of each landmark, mined from the boxes of training images",
        ),
    ]
