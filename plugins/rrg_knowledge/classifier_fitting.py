"""Fitting the classifier, and how well it ranks what it has not seen."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from rrg_knowledge.classifier_network import Architecture, count_batches
from rrgcore.annotations import Labels
from rrgcore.study import Study
from rrgcore.supply import Track

Uncertain = Literal["positive", "negative", "ignored"]
SHIFT = 0.04
"""Of an image's side, at most so far each way: what is varied in training."""
WARMUP = 0.2
"""The share of the steps in which the learning rate rises; then it falls to nothing."""


def targets(
    labels: Sequence[Labels], observations: Sequence[str], uncertain: Uncertain
) -> Float[Tensor, "s o"]:
    """Return 1 or 0 for each study and observation, NaN for what is not to be learned.

    What is not mentioned is absent, as a reader of the report takes it.
    """
    doubt = {"positive": 1.0, "negative": 0.0, "ignored": float("nan")}[uncertain]
    value = {1: 1.0, 0: 0.0, -1: doubt, None: 0.0}
    return torch.tensor(
        [[value[each.values.get(name)] for name in observations] for each in labels]
    ).reshape(len(labels), len(observations))


def hold_out(studies: Sequence[Study], share: float, seed: int) -> Bool[Tensor, " s"]:
    """Choose studies to be tested on, all of a patient or none; whole patients up to the share."""
    whose = [study.subject or study.examination or study.id for study in studies]
    patients = list(dict.fromkeys(whose))
    order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(seed))
    count = Counter(whose)
    left = int(share * len(studies))
    chosen: set[str] = set()
    for i in order.tolist():
        if count[patients[i]] <= left:
            chosen.add(patients[i])
            left -= count[patients[i]]
    return torch.tensor([patient in chosen for patient in whose], dtype=torch.bool)


def fit_network(
    network: nn.Module,
    architecture: Architecture,
    read: Callable[[Sequence[int]], UInt8[Tensor, "b h w"]],
    wanted: Float[Tensor, "m o"],
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    batch_size: int,
    seed: int,
    device: str,
    track: Track,
) -> None:
    """Minimise the mean binary cross-entropy over observations, by AdamW in one cycle.

    `read` returns images by their numbers.
    """
    # convolutions of this layout take two thirds of the time on a CPU
    network.to(device=device, memory_format=torch.channels_last).train()
    batches = count_batches(len(wanted), batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    total = epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        # a rise of one step alone is one that torch divides by zero for
        optimizer,
        lr,
        total_steps=max(total, 4),
        pct_start=max(WARMUP, 2 / max(total, 4)),
    )
    rng = torch.Generator().manual_seed(seed)

    def steps() -> Iterator[Tensor]:
        for _ in range(epochs):
            yield from torch.randperm(len(wanted), generator=rng).tensor_split(batches)

    for rows in track(steps(), "fitting the classifier", total):
        images = architecture.pixels(_shift(read(rows.tolist()), rng).to(device)).contiguous(
            memory_format=torch.channels_last
        )
        target = wanted[rows].to(device)
        known = ~target.isnan()
        loss = F.binary_cross_entropy_with_logits(
            network(images), target.nan_to_num(), weight=known.float(), reduction="sum"
        )
        optimizer.zero_grad()
        (loss / known.sum().clamp(1)).backward()
        optimizer.step()
        schedule.step()
    network.to(memory_format=torch.contiguous_format).eval()


def _shift(images: UInt8[Tensor, "b h w"], rng: torch.Generator) -> UInt8[Tensor, "b h w"]:
    """Move a batch a little; what comes in at the edges is what leaves at the opposite ones."""
    most = max(1, round(SHIFT * images.shape[-1]))
    down, right = torch.randint(-most, most + 1, (2,), generator=rng).tolist()
    return images.roll((down, right), dims=(1, 2))
