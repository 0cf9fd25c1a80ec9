"""Mutual information of image and report, estimated by a critic and maximised."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator
from torch import Tensor, nn

from rrg_cmeaa.bound import corrected, donsker_varadhan, follow, log_mean_exp
from rrg_cmeaa.numbers import masked_mean
from rrgcore.api import (
    AlignmentObjective,
    Batch,
    Encoded,
    Features,
    ObjectiveOutput,
    OffersAlignment,
    Prepares,
    Study,
    TextEncoder,
    UserError,
    full_precision,
    gather_rows,
    rows_before,
)


@final
class MutualInformation(AlignmentObjective, Prepares[Float[Tensor, "b 2"]]):
    """L_NMI = −(I(C_x; Z_xy) + I(R_y; Z_xy)), I(X; Z) ≥ mean T(X, Z) − log mean e^T(X, Z̄).

    C_x is the adapter's alignment of the image, R_y a linear map of the report to the same space,
    Z_xy = C_x + R_y; T is a critic, trained with them, and Z̄ is Z in the order of other studies: a
    cyclic shift by a random amount that leaves none in its place. Everything here is float32. The
    value is always the bound's; a batch of one study has no Z̄, its loss is 0. Z̄ is drawn from the
    batch of all processes together. λ (C14) is this objective's weight, 0.1 in our recipes.

    Where the paper is silent (docs/papers/cmeaa.md):
    `text` (C9): the `mean` of the text encoder's tokens, which are the embeddings of the report
    where a language model is the text encoder; or its own summary (`pooled`).
    `detach` (C12): L_NMI does not teach the text encoder; `detach` of nmia is the image's half.
    `share_critic`, `hidden` (C13): one T for both bounds, k wide inside, or one each.
    `same_shift`: both bounds draw Z̄ by one shift, or each by its own.
    `ema_rate`: with a rate (0.01) the gradient is divided by a moving average of mean e^T̄.
    `clip`: T stays within ±clip; a critic beyond 20 has left what a batch can estimate.
    `past`: so many Z of earlier batches are paired with every X too, which a batch of one needs.

    CmEAA, eq. 11, 12 and 16, algorithm 1; Belghazi et al., 2018.
    """

    requires: ClassVar[Mapping[str, type]] = {
        "adapter": OffersAlignment,
        "text_encoder": TextEncoder,
    }

    log_ema: Float[Tensor, " 2"]
    past_z: Float[Tensor, "past k"]
    seen: Int[Tensor, ""]

    def __init__(
        self,
        *,
        text_dim: int,
        alignment_dim: int | None = None,
        text: Literal["mean", "pooled"] = "mean",
        detach: bool = False,
        share_critic: bool = True,
        hidden: int | None = None,
        same_shift: bool = True,
        ema_rate: float | None = None,
        clip: float | None = None,
        past: int = 0,
    ) -> None:
        super().__init__()
        if alignment_dim is None:
            raise UserError(
                "mine compares reports with the adapter's alignment of the image, and this adapter "
                "offers none: set model.adapter.align=nmia, or leave mine out (objectives.mine=off)"
            )
        if ema_rate is not None and not 0 < ema_rate < 1:
            raise UserError(f"mine's ema_rate is {ema_rate}; expected a number between 0 and 1")
        if clip is not None and not clip > 0:
            raise UserError(f"mine's clip is {clip}; expected a number above 0, such as 20")
        if past < 0:
            raise UserError(f"mine's past is {past}; expected a number of studies, or 0 for none")
        self.text = text
        self.detach = detach
        self.same_shift = same_shift
        self.ema_rate = ema_rate
        self.clip = clip
        self.past = past
        self.project = nn.Linear(text_dim, alignment_dim)
        width = alignment_dim if hidden is None else hidden
        self.critics = nn.ModuleList(
            Critic(dim=alignment_dim, hidden=width) for _ in range(1 if share_critic else 2)
        )
        self.register_buffer("log_ema", torch.zeros(2))
        self.register_buffer("past_z", torch.zeros(past, alignment_dim))
        self.register_buffer("seen", torch.tensor(0))
        self._means: list[Tensor] = []
        self._z: list[Tensor] = []

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> Float[Tensor, "b 2"]:
        """Draw two numbers a study, of which the batch's two shifts are made."""
        drawn = np.stack([rng.random(2, dtype=np.float32) for rng in rngs])
        return torch.from_numpy(drawn)

    def forward(
        self, features: Features, prepared: Float[Tensor, "b 2"] | None = None
    ) -> ObjectiveOutput:
        """Return the loss, a mean over the studies of the batch; the two bounds are in the logs."""
        assert prepared is not None, "mine needs the numbers that its prepare() drew"
        alignment = features.visual.alignment
        assert alignment is not None, "an adapter that offers an alignment has it in its Visual"
        with torch.autocast(alignment.device.type, enabled=False):
            c, r = full_precision(alignment), self.project(self.summary(features.text))
            return self._maximise(c, r, prepared)

    def count(self, batch: Batch, prepared: Float[Tensor, "b 2"] | None = None) -> int:
        """Count the studies, which are none where there is nothing to shift them against."""
        return self._items(batch.present)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the averages and keep what was seen since the last step."""
        for means in self._means:
            assert self.ema_rate is not None, "means are kept for the average alone"
            self.log_ema.copy_(follow(self.log_ema, means, rate=self.ema_rate))
        for z in self._z:
            newest = z[-self.past :]
            at = (self.seen + torch.arange(len(newest), device=z.device)) % self.past
            self.past_z[at] = newest.to(self.past_z)
            self.seen += len(newest)
        self._means.clear()
        self._z.clear()

    def summary(self, text: Encoded) -> Float[Tensor, "b e"]:
        """Return one vector a report, before it is brought to the space."""
        if self.text == "pooled":
            found = full_precision(text.pooled)
        else:
            found = masked_mean(full_precision(text.tokens), text.mask)
        return found.detach() if self.detach else found

    def scores(
        self,
        critic: Callable[[Tensor, Tensor], Tensor],
        x: Float[Tensor, "b k"],
        z: Float[Tensor, "b k"],
        shift: Int[Tensor, ""],
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " m"]]:
        """Return T of the pairs, and T̄ of what is paired by a shift, and with the past; the latter
        from all processes, since the bound takes the logarithm of their mean.
        """
        joint, every_z = critic(x, z), gather_rows(z)
        others = []
        if len(every_z) > 1:
            own = rows_before(z) + torch.arange(len(z), device=z.device)
            others.append(critic(x, every_z[(own + shift) % len(every_z)]))
        if len(past := self._kept()):
            every = critic(x[:, None].expand(-1, len(past), -1), past.expand(len(x), -1, -1))
            others.append(every.flatten())
        marginal = gather_rows(torch.cat(others)) if others else joint[:0]
        if self.clip is not None:
            joint, marginal = (t.clamp(-self.clip, self.clip) for t in (joint, marginal))
        return joint, marginal

    def _maximise(
        self, c: Float[Tensor, "b k"], r: Float[Tensor, "b k"], draws: Float[Tensor, "b 2"]
    ) -> ObjectiveOutput:
        z = c + r
        learning = self.training and torch.is_grad_enabled()
        if learning and self.past:
            self._z.append(gather_rows(z.detach()))
        shifts = make_shifts(gather_rows(draws))
        scored = [
            self.scores(
                self.critics[i % len(self.critics)], x, z, shifts[0 if self.same_shift else i]
            )
            for i, x in enumerate((c, r))
        ]
        count = torch.tensor(self._items(z), device=z.device)
        if not len(scored[0][1]):  # one study, and nothing kept: a gradient of 0 for everything
            nothing = torch.stack([joint.sum() for joint, _ in scored]).sum() * 0
            return ObjectiveOutput(nothing, count)
        bounds = torch.stack([donsker_varadhan(*pair) for pair in scored])
        loss = -bounds.sum()
        if learning and self.ema_rate is not None:
            means = torch.stack([log_mean_exp(marginal) for _, marginal in scored]).detach()
            self._means.append(means)
            averages = follow(self.log_ema, means, rate=self.ema_rate)
            other = -torch.stack(
                [corrected(*pair, ema) for pair, ema in zip(scored, averages, strict=True)]
            ).sum()
            loss = loss.detach() + other - other.detach()
        bounds = bounds.detach()
        largest = torch.cat([torch.cat(pair) for pair in scored]).detach().abs().max()
        logs = {"image": bounds[0], "text": bounds[1], "critic": largest}
        return ObjectiveOutput(loss, count, logs)

    def _items(self, rows: Tensor) -> int:
        alone = len(gather_rows(rows)) < 2 and not len(self._kept())
        return 0 if alone else len(rows)

    def _kept(self) -> Float[Tensor, "kept k"]:
        """Return the Z of earlier batches."""
        if not self.past:
            return self.past_z
        return self.past_z[: min(int(self.seen), self.past)]


@final
class Critic(nn.Module):
    """T_θ(x, z) = W₃ ELU(W₂ ELU(W₁ [x; z])), weights from N(0, 0.02²), biases 0 (C13)."""

    def __init__(self, *, dim: int, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise UserError(f"a critic of {hidden} hidden units; expected a width above 0")
        self.layers = nn.Sequential(
            nn.Linear(2 * dim, hidden),
            nn.ELU(),
            nn.Linear(hidden, hidden),
            nn.ELU(),
            nn.Linear(hidden, 1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "*b k"], z: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
        """Score pairs."""
        return self.layers(torch.cat([x, z], dim=-1)).squeeze(-1)


def make_shifts(draws: Float[Tensor, "b 2"]) -> Int[Tensor, " 2"]:
    """Return two numbers from 1 to b − 1, uniform if one of each study's draws is: no row stays.

    The fraction of a sum of uniform numbers is uniform, and does not depend on their order.
    """
    fraction = draws.sum(0) % 1
    return 1 + (fraction * (len(draws) - 1)).long()
