"""What rrg_metrics offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Declare the components."""
    return [
        Component(
            "metric",
            "clinical",
            "rrg_metrics.clinical:ClinicalMetric",
            "clinical efficacy: P, R and F1 of 14 or 5 observations, the policy in each name",
        ),
        Component(
            "metric",
            "coco",
            "rrg_metrics.coco:Coco",
            "BLEU, METEOR, ROUGE-L and CIDEr of the MS-COCO caption tool, on Penn Treebank tokens",
        ),
        Component(
            "metric",
            "cxrmate",
            "rrg_metrics.coco:Cxrmate",
            "CXRMate's: as coco, but BLEU and METEOR are the means of the reports' own",
        ),
        Component(
            "metric",
            "r2gen",
            "rrg_metrics.r2gen:R2Gen",
            "R2Gen's: cleaned text, cut, rare words <unk>; the same four kinds of scores",
        ),
        Component(
            "metric",
            "r2gen-full",
            "rrg_metrics.r2gen:R2GenFull",
            "R2Gen's cleaning without its cut and without <unk>",
        ),
        Component(
            "metric",
            "raw",
            "rrg_metrics.as_written:Raw",
            "RGRG's and MLRG's: reports as they are, full stops apart, case kept",
        ),
        Component(
            "metric",
            "radeval",
            "rrg_metrics.as_written:RadEval",
            "RadEval's and ViLMedic's: white space, case kept, ROUGE-L of stems",
        ),
        Component(
            "metric",
            "13a",
            "rrg_metrics.as_written:Lower13a",
            "Hugging Face evaluate's BLEU: 13a tokens, lower case; ROUGE-L of stems",
        ),
        Component(
            "published",
            "cmeaa",
            "rrg_metrics.published:CmEAA",
            "CmEAA's Tables 1 to 3, with the baselines it quotes",
        ),
        Component(
            "published",
            "kia",
            "rrg_metrics.published:KIA",
            "KIA's Tables 1 and 2, with the baselines it quotes",
        ),
    ]
