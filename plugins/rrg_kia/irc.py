"""Image-report contrast: a study's image and report against a queue of past ones."""

from collections.abc import Mapping, Sequence
from math import log
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from rrg_kia.identity import identify_reports
from rrgcore.api import (
    AlignmentObjective,
    Batch,
    Borrowed,
    ChecksTrainingSet,
    EmaTwin,
    Embeds,
    Encoded,
    Features,
    JointSpace,
    ObjectiveOutput,
    Parts,
    Prepares,
    Study,
    TextEncoder,
    UserError,
    encode_views,
    full_precision,
    gather_rows,
    rows_before,
)

TAU_RANGE = (0.001, 0.5)
EMPTY = -1
"""The identity of a queue slot that nothing was written to."""


@final
class ImageReportContrast(
    AlignmentObjective, Embeds, Prepares[Int[Tensor, " b"]], ChecksTrainingSet
):
    """p_k^I2R(I) = exp(s(I, R_k)/τ) / Σ_k exp(s(I, R_k)/τ); L_IRC = ½ E[CE(I2R) + CE(R2I)] (KIA,
    eq. 6).

    k runs over the momentum features of the batch, that of all processes, and of a queue, as in
    ALBEF and BLIP; read
    literally, eq. 6 sums over the queue alone. Targets are one-hot. A column whose report is word
    for word the row's own, the positive aside, leaves the denominator (`exclude_duplicates`):
    normal reports repeat. Until the queue is full, random unit columns stand in it, as in ALBEF;
    `mask_unfilled` leaves them out. Without a queue (`queue: 0`) the batch alone is contrasted.

    The twin and the queue move in `after_step`. The twin that encodes a step is the one ALBEF would
    use; with gradient accumulation the queue grows once an optimizer step, by everything seen in
    it. τ is learned as ln τ, as CLIP does: τ's own gradient is 1/τ² times a similarity, and RAdam,
    whose first five steps take gradients as they are, throws τ from 0.07 to 0.22 in them at a
    learning rate of 1e-3.
    """

    requires: ClassVar[Mapping[str, type]] = {"text_encoder": TextEncoder}

    image_queue: Float[Tensor, "k queue"]
    text_queue: Float[Tensor, "k queue"]
    queue_reports: Int[Tensor, " queue"]
    pointer: Int[Tensor, ""]
    log_tau: Float[Tensor, ""]
    twin: EmaTwin

    def __init__(
        self,
        *,
        space: JointSpace,
        queue: int = 1024,
        momentum: float = 0.995,
        temperature: float = 0.07,
        learn_temperature: bool = True,
        exclude_duplicates: bool = True,
        mask_unfilled: bool = False,
    ) -> None:
        super().__init__()
        if queue < 0:
            raise UserError(
                f"irc's queue is {queue}; expected a number of studies, or 0 for none: then the "
                "batch alone is contrasted"
            )
        if not 0 <= momentum < 1:
            raise UserError(
                f"irc's momentum is {momentum}; expected at least 0, at which the twin is the "
                "model itself, and less than 1, at which it never moves"
            )
        if not TAU_RANGE[0] <= temperature <= TAU_RANGE[1]:
            raise UserError(
                f"irc's temperature is {temperature}; τ stays between "
                f"{TAU_RANGE[0]} and {TAU_RANGE[1]}"
            )
        self.space = space
        self.queue_size = queue
        self.momentum = momentum
        self.exclude_duplicates = exclude_duplicates
        self.mask_unfilled = mask_unfilled
        log_tau = torch.tensor(float(temperature)).log()
        if learn_temperature:
            self.log_tau = nn.Parameter(log_tau)
        else:
            self.register_buffer("log_tau", log_tau)
        self.register_buffer("image_queue", normalize(torch.randn(space.dim, queue), dim=0))
        self.register_buffer("text_queue", normalize(torch.randn(space.dim, queue), dim=0))
        self.register_buffer("queue_reports", torch.full((queue,), EMPTY))
        self.register_buffer("pointer", torch.tensor(0))
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def bind(self, parts: Parts) -> None:
        """Make the momentum twin of the unimodal paths and the joint space."""
        assert isinstance(parts.text_encoder, nn.Module), "a text encoder is a module"
        self._parts = Borrowed(parts)
        self.twin = EmaTwin(
            {
                "encoder": parts.encoder,
                "text_encoder": parts.text_encoder,
                "space": self.space,
            },
            momentum=self.momentum,
        )

    def check_training_size(self, count: int) -> str | None:
        """Refuse a queue in which every study would meet its own past self."""
        if self.queue_size < count:
            return None
        return (
            f"irc's queue of {self.queue_size} is not smaller than the training set of {count} "
            "studies: every study would be its own stale negative. Set its option queue to at most "
            f"{max(count // 2, 1)}"
        )

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Generator]) -> Int[Tensor, " b"]:
        """Return the identity of each study's report text."""
        return identify_reports(studies)

    def forward(
        self, features: Features, prepared: Int[Tensor, " b"] | None = None
    ) -> ObjectiveOutput:
        """Return the loss, a mean over the studies of the batch."""
        assert prepared is not None, "irc needs the report identities that its prepare() made"
        image, text = self.embed_image(features.image), self.embed_text(features.text)
        momentum = self._momentum_features(features.batch)
        image_momentum, text_momentum = (gather_rows(each) for each in momentum)
        reports, first = gather_rows(prepared), rows_before(prepared)
        own = first + torch.arange(len(image), device=image.device)
        with torch.autocast(image.device.type, enabled=False):
            to_text = self.similarity(image, text_momentum, self.text_queue)
            to_image = self.similarity(text, image_momentum, self.image_queue)
            if (excluded := self._excluded(reports, own)) is not None:
                to_text = to_text.masked_fill(excluded, -torch.inf)
                to_image = to_image.masked_fill(excluded, -torch.inf)
            loss = (cross_entropy(to_text, own) + cross_entropy(to_image, own)) / 2
        if self.training and torch.is_grad_enabled():
            self._pending.append((image_momentum, text_momentum, reports))
        right = (to_text.argmax(1) == own).float() + (to_image.argmax(1) == own).float()
        logs = {"accuracy": right.mean() / 2, "temperature": self.tau.detach()}
        return ObjectiveOutput(loss, torch.tensor(len(image), device=image.device), logs)

    @property
    def tau(self) -> Float[Tensor, ""]:
        """The temperature, between 0.001 and 0.5."""
        return self.log_tau.exp()

    @torch.no_grad()
    def after_step(self) -> None:
        """Queue what was seen since the last step, bring τ back into its range, move the twin."""
        if self._pending:
            image, text, reports = (torch.cat(rows) for rows in zip(*self._pending, strict=True))
            self._enqueue(image, text, reports)
            self._pending.clear()
        self.log_tau.clamp_(*map(log, TAU_RANGE))
        self.twin.update()

    def embed_image(self, image: Encoded) -> Float[Tensor, "b k"]:
        """Embed images at unit length."""
        return self.space.project_image(image.pooled)

    def embed_text(self, text: Encoded) -> Float[Tensor, "b k"]:
        """Embed texts at unit length."""
        return self.space.project_text(text.pooled)

    @torch.no_grad()
    def _momentum_features(self, batch: Batch) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Return the twin's embeddings of the batch's images and reports."""
        encoder, text_encoder, space = (
            self.twin[name] for name in ("encoder", "text_encoder", "space")
        )
        assert isinstance(text_encoder, TextEncoder), "the twin of a text encoder is one"
        assert isinstance(space, JointSpace), "the twin of a joint space is one"
        image = encode_views(encoder, batch.images, batch.present, self._parts.module.views)
        text = text_encoder.encode_text(batch.text)
        return space.project_image(image.pooled), space.project_text(text.pooled)

    def similarity(
        self,
        rows: Float[Tensor, "b k"],
        batch: Float[Tensor, "b k"],
        queue: Float[Tensor, "k queue"],
    ) -> Float[Tensor, "b columns"]:
        """Return s/τ of each row with the batch's columns, then the queue's."""
        columns = torch.cat([full_precision(batch).mT, queue], dim=1)
        return full_precision(rows) @ columns / self.tau

    def _excluded(
        self, reports: Int[Tensor, " m"], own: Int[Tensor, " b"]
    ) -> Bool[Tensor, "b columns"] | None:
        """Return the columns that are no negatives of one's own rows, or None where no option
        excludes any.
        """
        if not (self.exclude_duplicates or self.mask_unfilled):
            return None
        columns = torch.cat([reports, self.queue_reports])
        excluded = torch.zeros(len(own), len(columns), dtype=torch.bool, device=reports.device)
        if self.exclude_duplicates:
            excluded |= reports[own, None] == columns
            excluded[torch.arange(len(own), device=own.device), own] = False
        if self.mask_unfilled:
            excluded |= columns == EMPTY
        return excluded

    def _enqueue(
        self,
        image: Float[Tensor, "m k"],
        text: Float[Tensor, "m k"],
        reports: Int[Tensor, " m"],
    ) -> None:
        """Write rows at the pointer, wrapping around; of more rows than fit the last are kept."""
        if not self.queue_size:
            return
        count = len(reports)
        kept = torch.arange(max(count - self.queue_size, 0), count, device=reports.device)
        at = (self.pointer + kept) % self.queue_size
        self.image_queue[:, at] = image[kept].mT.to(self.image_queue.dtype)
        self.text_queue[:, at] = text[kept].mT.to(self.text_queue.dtype)
        self.queue_reports[at] = reports[kept]
        self.pointer.copy_((self.pointer + count) % self.queue_size)
