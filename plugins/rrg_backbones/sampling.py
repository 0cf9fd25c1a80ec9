"""Texts drawn from a decoder's own distribution, a token at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rrg_backbones.beam import Hypothesis, Writer, constrain
from rrgcore.api import Generation


@torch.no_grad()
def sample_texts(
    writer: Writer,
    first: Int[Tensor, " b"],
    *,
    end: int,
    forbidden: Sequence[int],
    generation: Generation,
) -> list[Hypothesis]:
    """Draw one text after each row's first token.

    A row is drawn with random numbers that depend on the seed and on its place in the batch:
    neither on the other rows, nor on the device. The log-probabilities returned are the model's
    own, as after a search.
    """
    device = first.device
    generator = torch.Generator().manual_seed(generation.seed)
    draws = torch.rand(len(first), generation.max_new_tokens, generator=generator).to(device)
    ids = first.new_empty(len(first), 0)
    own = draws.new_empty(len(first), 0)
    texts: dict[int, Hypothesis] = {}
    alive, tokens = torch.arange(len(first), device=device), first
    for length in range(1, generation.max_new_tokens + 1):
        logprobs = writer.step(tokens).float().log_softmax(-1)
        allowed = constrain(logprobs, ids, end=end, forbidden=forbidden, generation=generation)
        likely = narrow(
            allowed,
            temperature=generation.temperature,
            top_k=generation.top_k,
            top_p=generation.top_p,
        )
        tokens = _draw(likely, draws[alive, length - 1])
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        own = torch.cat([own, logprobs.gather(1, tokens[:, None])], dim=1)
        done = tokens == end
        if length == generation.max_new_tokens:
            done = torch.ones_like(done)
        scores = own.sum(1) / length**generation.length_penalty
        for row in done.nonzero().flatten().tolist():
            texts[int(alive[row])] = Hypothesis(
                float(scores[row]), tuple(ids[row].tolist()), tuple(own[row].tolist())
            )
        if done.all():
            break
        if done.any():
            going = (~done).nonzero().flatten()
            writer.select(going)
            alive, tokens, ids, own = alive[going], tokens[going], ids[going], own[going]
    return [texts[row] for row in range(len(first))]


def narrow(
    scores: Float[Tensor, "r vocab"], *, temperature: float, top_k: int, top_p: float
) -> Float[Tensor, "r vocab"]:
    """Return logits over the temperature, with minus infinity for all but the likeliest tokens.

    `top_k` keeps tokens that tie with the k-th; `top_p`, counted among those, the token that
    reaches it.
    """
    scores = scores / temperature
    if 0 < top_k < scores.shape[1]:
        least = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if top_p < 1:
        likeliest = scores.sort(descending=True)
        chances = likeliest.values.softmax(-1)
        beyond = chances.cumsum(-1) - chances >= top_p
        beyond = torch.zeros_like(beyond).scatter(1, likeliest.indices, beyond)
        scores = scores.masked_fill(beyond, -torch.inf)
    return scores


def _draw(logits: Float[Tensor, "r vocab"], draws: Float[Tensor, " r"]) -> Int[Tensor, " r"]:
    """Turn a number from 0 to 1 into a token: the one in whose share of the whole it falls."""
    # double: no rounding lifts a draw to the whole, past the last token that may be drawn
    shares = logits.double().softmax(-1).cumsum(-1)
    reached = draws.double() * shares[:, -1]
    return torch.searchsorted(shares, reached[:, None], right=True)[:, 0]
