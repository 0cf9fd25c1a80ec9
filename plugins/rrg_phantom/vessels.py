"""The vessels of the lungs: trees that branch from the hila and thin out towards the chest wall."""

import numpy as np
from jaxtyping import Float

from .anatomy import hilum, lung_height, to_picture
from .canvas import Canvas, stamps
from .patient import Patient

Tree = Float[np.ndarray, "m 4"]
"""Points x, y, half width and strength along the vessels."""

# Directions of the first branches on the patient's left, radians; down is positive.
HEADINGS = np.array([-1.25, -0.95, -0.55, -0.1, 0.3, 0.65, 0.95, 1.25, 1.5])
CHILDREN = (3, 3, 0)
STEPS = (0.16, 0.1, 0.06)
"""Points along a branch of each generation, for each pixel of the side of the picture."""


def draw_vessels(canvas: Canvas, patient: Patient) -> None:
    """Draw a tree for each lung, as large as the lung."""
    for side in (-1, 1):
        rng = np.random.default_rng([patient.seed, 2 + side])
        tree = vessel_tree(rng, canvas.size)
        s, y = hilum(patient, side)
        tree[:, 0] = s + side * tree[:, 0] * patient.width(side) / 0.36
        tree[:, 1] = y + tree[:, 1] * lung_height(patient) / 0.45
        tree[:, :2] = to_picture(patient, tree[:, :2])
        draw_tree(canvas, tree)


def vessel_tree(rng: np.random.Generator, size: int) -> Tree:
    """The vessels of a lung around a hilum at 0, 0, in finer steps for a larger size."""
    count = len(HEADINGS)
    heading = HEADINGS + rng.uniform(-0.16, 0.16, count)
    length = np.where(HEADINGS < 0, 0.15, 0.17) * rng.uniform(0.75, 1.2, count)
    start = np.stack([rng.uniform(-0.012, 0.012, count), 0.05 * np.sin(heading)], axis=1)
    half = np.where(HEADINGS > 0.2, 0.0075, 0.0058) * rng.uniform(0.8, 1.15, count)
    strength = np.ones(count)
    out = []
    for generation, children in enumerate(CHILDREN):
        steps = max(6, int(STEPS[generation] * size))
        t = (np.arange(steps) + 1.0) / steps
        bend = rng.uniform(-0.45, 0.45, len(heading))
        angle = heading[:, None] + bend[:, None] * t
        step = length[:, None] / steps
        x = start[:, :1] + (step * np.cos(angle)).cumsum(axis=1)
        y = start[:, 1:] + (step * np.sin(angle)).cumsum(axis=1)
        thin, weak = half[:, None] * (1.0 - 0.45 * t), strength[:, None] * (1.0 - 0.4 * t)
        out.append(np.stack([x, y, thin, weak], axis=2))
        pick = np.repeat(np.arange(len(heading)), children)
        where = (rng.uniform(0.33, 1.0, len(pick)) * steps).astype(np.int64)
        turn = rng.uniform(0.25, 0.8, len(pick)) * np.where(rng.random(len(pick)) < 0.5, -1, 1)
        start = np.stack([x[pick, where], y[pick, where]], axis=1)
        heading = heading[pick] + bend[pick] * t[where] + turn
        half = thin[pick, where] * 0.72
        strength = weak[pick, where] * 0.85
        length = length[pick] * rng.uniform(0.45, 0.85, len(pick)) * (0.95 - 0.15 * generation)
    return np.concatenate([branches.reshape(-1, 4) for branches in out])


def draw_tree(canvas: Canvas, tree: Tree) -> None:
    """Let each pixel be the strongest of the vessels over it."""
    size = canvas.size
    half = tree[:, 2] * size
    drawn = np.maximum(half, 0.75)
    strength = (tree[:, 3] * half / drawn).astype(np.float32)[:, None, None]
    reach = int(np.ceil(drawn.max()))
    index, squared = stamps(tree[:, :2] * size - 0.5, reach, (size, size))
    steep = (0.62 / (drawn * drawn)).astype(np.float32)[:, None, None]
    value = strength * (1.0 - steep * squared)
    pad = reach + 1
    lines = np.zeros((size + 2 * pad, size + 2 * pad), dtype=np.float32)
    np.maximum.at(lines.reshape(-1), index.reshape(-1), value.reshape(-1))
    np.maximum(canvas.vessels, lines[pad:-pad, pad:-pad], out=canvas.vessels)
