"""Beam search over a decoder that keeps its own cache."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rrgcore.api import Generation


class Writer(ABC):
    """A decoder in the course of writing: rows of text, each a token longer at every step."""

    @abstractmethod
    def step(self, tokens: Int[Tensor, " r"]) -> Float[Tensor, "r vocab"]:
        """Append a token to each row and return the logits of the next one."""

    @abstractmethod
    def select(self, rows: Int[Tensor, " s"]) -> None:
        """Keep these rows, in this order."""


@final
@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text that is finished; the end token is part of it unless the search ran out of length."""

    score: float
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@torch.no_grad()
def beam_search(
    writer: Writer,
    first: Int[Tensor, " b"],
    *,
    end: int,
    forbidden: Sequence[int],
    generation: Generation,
) -> list[Hypothesis]:
    """Write the likeliest text after each row's first token; one beam is greedy search.

    Semantics are those of Hugging Face's beam search: 2k candidates a step, of which those that end
    and are among the best k are finished; a study is done when k are finished and the best that is
    still being written, scored as if it ended now, is no better than the worst of them (which
    `early_stopping` does not wait for). The log-probabilities returned are the model's own: not
    penalised, over its whole vocabulary.
    """
    device = first.device
    finished = [Finished(most=generation.beams) for _ in first]
    alive = list(range(len(first)))
    beams = Beams(
        totals=torch.zeros(len(first), 1, device=device),
        ids=torch.zeros(len(first), 1, 0, dtype=torch.long, device=device),
        logprobs=torch.zeros(len(first), 1, 0, device=device),
    )
    tokens = first
    for length in range(1, generation.max_new_tokens + 1):
        logprobs = writer.step(tokens).float().log_softmax(-1)
        written = beams.ids.flatten(0, 1)
        allowed = constrain(logprobs, written, end=end, forbidden=forbidden, generation=generation)
        candidates, parents = beams.extend(logprobs, allowed, count=2 * generation.beams)
        ended = candidates.ids[..., -1] == end
        scale = length**generation.length_penalty
        last = length == generation.max_new_tokens
        complete = torch.ones_like(ended) if last else ended
        for row, rank in complete[:, : generation.beams].nonzero().tolist():
            finished[alive[row]].add(candidates.hypothesis(row, rank, scale))
        running = replace(candidates, totals=candidates.totals.masked_fill(ended, -torch.inf))
        order = running.totals.argsort(dim=1, descending=True, stable=True)[:, : generation.beams]
        beams, parents = running.gather(order), parents.gather(1, order)
        hopes = (beams.totals[:, 0] / scale).tolist()
        if generation.early_stopping:
            hopes = [-torch.inf] * len(hopes)
        going = [row for row, hope in enumerate(hopes) if not finished[alive[row]].beat(hope)]
        if last or not going:
            break
        if len(going) < len(alive):
            beams, parents = beams[torch.tensor(going)], parents[torch.tensor(going)]
            alive = [alive[row] for row in going]
        rows = parents.flatten()
        if len(rows) != len(tokens) or not torch.equal(
            rows, torch.arange(len(rows), device=device)
        ):
            writer.select(rows)
        tokens = beams.ids[..., -1].flatten()
    return [texts.best for texts in finished]


def constrain(
    logprobs: Float[Tensor, "r vocab"],
    written: Int[Tensor, "r t"],
    *,
    end: int,
    forbidden: Sequence[int],
    generation: Generation,
) -> Float[Tensor, "r vocab"]:
    """Return what each row may go on with: minus infinity where it may not.

    The repetition penalty multiplies the log-probability of tokens that were written already. A row
    whose every continuation would repeat an n-gram ends, however short it is.
    """
    allowed = _penalise(logprobs, written, generation.repetition_penalty)
    allowed[:, forbidden] = -torch.inf
    if written.shape[1] < generation.min_new_tokens:
        allowed[:, end] = -torch.inf
    if 0 < generation.no_repeat_ngram <= written.shape[1]:
        _forbid_repeats(allowed, written, generation.no_repeat_ngram)
        stuck = allowed.amax(1) == -torch.inf
        allowed[stuck, end] = logprobs[stuck, end]
    return allowed


@final
class Finished:
    """The best texts of a study that are finished, so many at the most."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._texts: list[Hypothesis] = []

    def add(self, text: Hypothesis) -> None:
        """Keep a text if it is among the best."""
        self._texts = sorted([*self._texts, text], key=lambda text: -text.score)[: self.most]

    def beat(self, hope: float) -> bool:
        """Whether there are enough texts and none is worse than what may still come."""
        return len(self._texts) == self.most and self._texts[-1].score >= hope

    @property
    def best(self) -> Hypothesis:
        """The best of them."""
        return self._texts[0]


@final
@dataclass(frozen=True, slots=True)
class Beams:
    """What is being written: so many beams for each study that is not done."""

    totals: Float[Tensor, "b k"]
    ids: Int[Tensor, "b k t"]
    logprobs: Float[Tensor, "b k t"]

    def extend(
        self, logprobs: Float[Tensor, "r vocab"], allowed: Float[Tensor, "r vocab"], *, count: int
    ) -> tuple["Beams", Int[Tensor, "b j"]]:
        """Return each study's best continuations, best first, and the row each one continues."""
        studies, width = self.totals.shape
        vocabulary = logprobs.shape[1]
        totals = (self.totals.reshape(-1, 1) + allowed).reshape(studies, -1)
        best = totals.topk(min(count, totals.shape[1]), dim=1)
        beam, token = best.indices // vocabulary, best.indices % vocabulary
        rows = beam + width * torch.arange(studies, device=beam.device)[:, None]
        longer = self.gather(beam)
        return Beams(
            totals=best.values,
            ids=torch.cat([longer.ids, token[..., None]], dim=2),
            logprobs=torch.cat([longer.logprobs, logprobs[rows, token][..., None]], dim=2),
        ), rows

    def gather(self, order: Int[Tensor, "b j"]) -> "Beams":
        """Choose beams of each study."""
        study = torch.arange(len(order), device=order.device)[:, None]
        return Beams(self.totals[study, order], self.ids[study, order], self.logprobs[study, order])

    def __getitem__(self, studies: Tensor) -> "Beams":
        return Beams(self.totals[studies], self.ids[studies], self.logprobs[studies])

    def hypothesis(self, study: int, beam: int, scale: float) -> Hypothesis:
        """Take one of them as finished, its total divided by `scale`."""
        return Hypothesis(
            score=float(self.totals[study, beam] / scale),
            ids=tuple(self.ids[study, beam].tolist()),
            logprobs=tuple(self.logprobs[study, beam].tolist()),
        )


def _penalise(
    logprobs: Float[Tensor, "r vocab"], written: Int[Tensor, "r t"], penalty: float
) -> Float[Tensor, "r vocab"]:
    if penalty == 1.0:
        return logprobs.clone()
    return logprobs.scatter(1, written, logprobs.gather(1, written) * penalty)


def _forbid_repeats(
    allowed: Float[Tensor, "r vocab"], written: Int[Tensor, "r t"], size: int
) -> None:
    """Forbid, in place, the last token of each n-gram that begins as the text now ends."""
    grams = written.unfold(1, size, 1)
    begun = written[:, written.shape[1] - size + 1 :]
    rows, places = (grams[..., :-1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
    allowed[rows, grams[rows, places, -1]] = -torch.inf
