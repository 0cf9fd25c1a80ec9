"""Realism, measured: a network finds each finding, and not once its boxes are painted over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from rrgcore.auroc import auroc

from .anatomy import Box
from .case import CATALOGUE, Finding
from .landmarks import finding_boxes
from .patient import Patient, sample_patient
from .render import render_frontal
from .sample import sample_findings

OBSERVATIONS = tuple(CATALOGUE)


@dataclass(frozen=True, slots=True)
class Readings:
    """How well the network tells studies with an observation from studies without it."""

    auroc: float
    painted: float
    """The same after painting; 0.5 is chance."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Phantoms whose observations are independent of each other."""

    patients: tuple[Patient, ...]
    findings: tuple[tuple[Finding, ...], ...]
    images: UInt8[np.ndarray, "m h w"]

    def has(self, observation: str) -> Bool[np.ndarray, " m"]:
        """Which of them have an observation, certain or not."""
        return np.array([any(f.observation == observation for f in fs) for fs in self.findings])


def make_cohort(rng: np.random.Generator, *, count: int, size: int) -> Cohort:
    """Draw phantoms with independent findings."""
    patients, findings, images = [], [], []
    for _ in range(count):
        patients.append(sample_patient(rng))
        findings.append(sample_findings(rng, independent=True))
        images.append(render_frontal(patients[-1], findings[-1], size, rng))
    return Cohort(tuple(patients), tuple(findings), np.stack(images))


def paint_over(image: UInt8[np.ndarray, "h w"], boxes: Sequence[Box]) -> UInt8[np.ndarray, "h w"]:
    """Cover boxes with their surroundings.

    A covered pixel is the mean of the nearest free pixels left, right, above and below, weighted by
    one over their distance.
    """
    size = image.shape[0]
    covered = np.zeros(image.shape, dtype=bool)
    for box in boxes:
        x1, y1, x2, y2 = (round(edge * size) for edge in box)
        covered[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    for axis in (0, 1):
        at = np.arange(size).reshape((-1, 1) if axis == 0 else (1, -1))
        before = np.maximum.accumulate(np.where(covered, -1, at), axis=axis)
        after = np.where(covered, size, at)
        after = np.flip(np.minimum.accumulate(np.flip(after, axis), axis=axis), axis)
        for source in (before, after):
            known = (source >= 0) & (source < size)
            value = np.take_along_axis(image, np.clip(source, 0, size - 1), axis=axis)
            share = known / np.maximum(np.abs(source - at), 1)
            total, weight = total + share * value, weight + share
    assert weight[covered].all(), (
        "boxes that cover a whole row and column leave nothing to paint with"
    )
    painted = np.rint(total / np.maximum(weight, 1e-9)).astype(np.uint8)
    return np.where(covered, painted, image)


def paint_cohort(
    cohort: Cohort, observation: str, rng: np.random.Generator
) -> UInt8[np.ndarray, "m h w"]:
    """The pictures with one observation painted over.

    Studies without it get the boxes that a finding of a study with it would have in this patient,
    so that the paint gives nothing away.
    """
    seen = [f for fs in cohort.findings for f in fs if f.observation == observation]
    painted = []
    for patient, findings, image in zip(
        cohort.patients, cohort.findings, cohort.images, strict=True
    ):
        own = tuple(f for f in findings if f.observation == observation)
        chosen = own or (seen[int(rng.integers(len(seen)))],)
        boxes = [box for found in finding_boxes(patient, chosen) for box in found]
        painted.append(paint_over(image, boxes))
    return np.stack(painted)


def measure(
    *, train: int = 5000, test: int = 1500, size: int = 112, epochs: int = 9, seed: int = 0
) -> dict[str, Readings]:
    """Train a small network on phantoms and read it on others, plain and painted over.

    With the defaults about five minutes on two cores.
    """
    known = make_cohort(np.random.default_rng([seed, 0]), count=train, size=size)
    new = make_cohort(np.random.default_rng([seed, 1]), count=test, size=size)
    model = _train(known, epochs, seed)
    rng = np.random.default_rng([seed, 2])
    plain = _scores(model, new.images)
    readings = {}
    for i, observation in enumerate(OBSERVATIONS):
        truth = new.has(observation)
        covered = _scores(model, paint_cohort(new, observation, rng))
        readings[observation] = Readings(auroc(plain[:, i], truth), auroc(covered[:, i], truth))
    return readings


def _block(wide: int, out: int, stride: int, kernel: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(wide, out, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU()]


class _Residual(nn.Module):
    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_block(dim, dim, 1), *_block(dim, dim, 1)[:2])

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        return torch.relu(x + self.body(x))


class _Reader(nn.Module):
    """One score an observation, from the largest and the mean response of each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 20, 2, 5),
            *_block(20, 40, 2),
            *_block(40, 64, 2),
            _Residual(dim=64),
            *_block(64, 96, 2),
            _Residual(dim=96),
        )
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(192, len(OBSERVATIONS)))

    def forward(self, images: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b o"]:
        x = self.body(images)
        return self.head(torch.cat([x.amax(dim=(2, 3)), x.mean(dim=(2, 3))], dim=1))


def _to_tensor(images: UInt8[np.ndarray, "m h w"]) -> Float[Tensor, "m 1 h w"]:
    return (torch.from_numpy(images).float() / 255.0 - 0.45).div(0.25).unsqueeze(1)


def _train(cohort: Cohort, epochs: int, seed: int, batch: int = 50) -> nn.Module:
    torch.manual_seed(seed)
    model = _Reader()
    truth = np.stack([cohort.has(observation) for observation in OBSERVATIONS], axis=1)
    images, labels = torch.from_numpy(cohort.images), torch.from_numpy(truth).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=steps, pct_start=0.2
    )
    order = np.random.default_rng([seed, 3])
    for _ in range(epochs):
        for rows in order.permutation(len(images))[: len(images) // batch * batch].reshape(
            -1, batch
        ):
            shift = tuple(int(v) for v in order.integers(-3, 4, 2))
            x = torch.roll(_to_tensor(images[rows].numpy()), shift, dims=(2, 3))
            loss = nn.functional.binary_cross_entropy_with_logits(model(x), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def _scores(model: nn.Module, images: UInt8[np.ndarray, "m h w"]) -> Float[np.ndarray, "m o"]:
    return torch.cat([model(_to_tensor(part)) for part in np.array_split(images, 15)]).numpy()
