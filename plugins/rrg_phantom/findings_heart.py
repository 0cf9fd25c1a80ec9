"""A large heart, a wide mediastinum."""

import numpy as np

from .anatomy import HEART_TOP, heart_edges, mediastinum_edges
from .canvas import Canvas
from .case import Finding
from .marks import Patch, body_box, strength
from .patient import Patient
from .trunk import heart_depth, mediastinum_depth

RATIOS = {"small": 0.56, "moderate": 0.62, "large": 0.70}
WIDENING = {"small": 0.03, "large": 0.052}


def heart_ratio(patient: Patient, findings: tuple[Finding, ...]) -> float:
    """The cardiothoracic ratio, with the largest Cardiomegaly among the findings."""
    ratio = patient.heart_ratio
    for finding in findings:
        if finding.observation == "Cardiomegaly":
            grown = RATIOS[finding.severity or "moderate"] - patient.heart_ratio
            ratio = max(ratio, patient.heart_ratio + max(grown, 0.08) * strength(finding))
    return ratio


def mediastinum_widening(patient: Patient, findings: tuple[Finding, ...]) -> float:
    """How much the great vessels are wider on each side."""
    return max(
        (
            WIDENING[finding.severity or "small"] * strength(finding)
            for finding in findings
            if finding.observation == "Enlarged Cardiomediastinum"
        ),
        default=0.0,
    )


def large_heart(patient: Patient, finding: Finding, rng: np.random.Generator) -> tuple[Patch, ...]:
    """The whole silhouette grows, to the left most."""
    ratio = heart_ratio(patient, (finding,))
    top, bottom = patient.level(HEART_TOP), patient.level(1.14)
    right, left = heart_edges(patient, np.linspace(top, bottom, 60), ratio)
    box = body_box(patient, right.min() - 0.012, top, left.max() + 0.012, bottom)

    def paint(canvas: Canvas) -> None:
        np.maximum(canvas.heart, heart_depth(canvas, patient, ratio), out=canvas.heart)

    return (Patch(box, paint),)


def wide_mediastinum(
    patient: Patient, finding: Finding, rng: np.random.Generator
) -> tuple[Patch, ...]:
    """The great vessels bulge to both sides above the heart."""
    widen = mediastinum_widening(patient, (finding,))
    top, bottom = patient.level(-0.05), patient.level(0.6)
    right, left = mediastinum_edges(patient, np.linspace(top, bottom, 60), widen)
    box = body_box(patient, right.min() - 0.012, top, left.max() + 0.012, bottom)

    def paint(canvas: Canvas) -> None:
        wide = mediastinum_depth(canvas, patient, widen)
        np.maximum(canvas.mediastinum, wide, out=canvas.mediastinum)

    return (Patch(box, paint),)
