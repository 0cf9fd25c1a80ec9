"""Which findings a phantom patient has."""

import numpy as np

from .case import CATALOGUE, Finding

UNCERTAIN = 0.12
INDEPENDENT = 0.25
"""How often each observation occurs when all are drawn independently."""

SIDED_DEVICES = ("pacemaker", "central venous catheter", "chest tube")

SCENARIOS: tuple[tuple[float, dict[str, float]], ...] = (
    (  # heart failure
        0.3,
        {
            "Cardiomegaly": 0.85,
            "Edema": 0.75,
            "Pleural Effusion": 0.75,
            "Enlarged Cardiomediastinum": 0.3,
            "Atelectasis": 0.3,
            "Support Devices": 0.3,
        },
    ),
    (  # infection
        0.28,
        {
            "Pneumonia": 0.75,
            "Consolidation": 0.5,
            "Lung Opacity": 0.5,
            "Pleural Effusion": 0.4,
            "Atelectasis": 0.3,
        },
    ),
    (  # intensive care and after operations
        0.24,
        {
            "Support Devices": 0.9,
            "Atelectasis": 0.6,
            "Pleural Effusion": 0.5,
            "Edema": 0.4,
            "Enlarged Cardiomediastinum": 0.25,
            "Pneumothorax": 0.25,
            "Consolidation": 0.2,
            "Lung Opacity": 0.2,
        },
    ),
    (  # tumours and old scars
        0.12,
        {
            "Lung Lesion": 0.9,
            "Pleural Other": 0.35,
            "Atelectasis": 0.35,
            "Enlarged Cardiomediastinum": 0.3,
            "Pleural Effusion": 0.3,
            "Cardiomegaly": 0.2,
        },
    ),
    (  # injury
        0.06,
        {
            "Fracture": 0.85,
            "Pneumothorax": 0.5,
            "Lung Opacity": 0.4,
            "Pleural Effusion": 0.3,
            "Enlarged Cardiomediastinum": 0.2,
        },
    ),
)
"""Why people are examined: a weight, and what is then likely; the rest is `BACKGROUND`.

As in hospitals, effusions, devices, atelectasis and large hearts are common, and fractures, scars
of the pleura and pneumothoraces are not.
"""

BACKGROUND = 0.03


def sample_findings(
    rng: np.random.Generator, *, normal: float = 0.12, independent: bool = False
) -> tuple[Finding, ...]:
    """Draw the findings of one study, in the catalogue's order; at most one of each observation.

    `normal` is the share of studies without any. With `independent`, every observation is drawn on
    its own at one rate, so that none tells of another, and `normal` is not used.
    """
    if independent:
        present = [name for name in CATALOGUE if rng.random() < INDEPENDENT]
        return tuple(_describe(rng, name) for name in present)
    if rng.random() < normal:
        return ()
    weights = np.array([weight for weight, _ in SCENARIOS])
    _, likely = SCENARIOS[int(rng.choice(len(SCENARIOS), p=weights / weights.sum()))]
    present = []
    while not present:
        present = [name for name in CATALOGUE if rng.random() < likely.get(name, BACKGROUND)]
    return _together([_describe(rng, name) for name in present], rng)


def _pick(rng: np.random.Generator, values: tuple):
    return values[int(rng.integers(len(values)))] if values else None


def _pick_first(rng: np.random.Generator, kinds: tuple[str, ...]) -> str | None:
    """Draw one, each half as often again as the one after it."""
    weights = 1.5 ** -np.arange(len(kinds))
    return str(rng.choice(kinds, p=weights / weights.sum())) if kinds else None


def _describe(rng: np.random.Generator, observation: str) -> Finding:
    options = CATALOGUE[observation]
    kind = _pick_first(rng, options.kinds)
    side = _pick(rng, options.sides)
    if observation == "Support Devices" and kind not in SIDED_DEVICES:
        side = None
    return Finding(
        observation,
        side=side,
        zone=_pick(rng, options.zones),
        severity=_pick(rng, options.severities),
        kind=kind,
        certain=not (options.may_be_uncertain and rng.random() < UNCERTAIN),
    )


def _together(findings: list[Finding], rng: np.random.Generator) -> tuple[Finding, ...]:
    """Let what one illness causes lie on one side, as the consolidation of a pneumonia does."""
    leader = next((f.side for f in findings if f.observation in ("Pneumonia", "Fracture")), None)
    if leader is None:
        return tuple(findings)
    follows = ("Lung Opacity", "Consolidation", "Pneumothorax", "Pleural Effusion")
    return tuple(
        Finding(f.observation, leader, f.zone, f.severity, f.kind, f.certain)
        if f.observation in follows and rng.random() < 0.6
        else f
        for f in findings
    )
