"""Texts written by a language model of transformers', with its own search and cache."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from rrgcore.api import Generation, Tokens, pad_sequences


@torch.no_grad()
def write_ids(
    llm: Any,
    prefix: Float[Tensor, "b n d"],
    mask: Int[Tensor, "b n"],
    *,
    end: int,
    forbidden: Sequence[int],
    generation: Generation,
) -> list[list[int]]:
    """Return what follows each prefix, the end included.

    Everything is transformers' `generate`: the repetition penalty of a greedy or sampled text works
    on logits, that of a search on log-probabilities. Sampling draws from torch's generator, seeded
    anew and put back afterwards.
    """
    config = GenerationConfig(
        **_controls(generation),
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=list(forbidden) or None,
    )
    devices = [prefix.device] if prefix.device.type == "cuda" else []
    with warnings.catch_warnings(), torch.random.fork_rng(devices, enabled=generation.sample):
        # the penalties look at the report alone, as they should
        warnings.filterwarnings("ignore", "Passing `(repetition_penalty|no_repeat_ngram_size)`")
        if generation.sample:
            torch.manual_seed(generation.seed)
        found = llm.generate(
            inputs_embeds=prefix,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_EndWhereStuck(end)]),
        )
    return [ids[: ids.index(end) + 1] if end in ids else ids for ids in found.tolist()]


def framed(rows: Sequence[Sequence[int]], *, first: int, device: torch.device) -> Tokens:
    """Return texts that were written as tokens, behind the beginning of a text."""
    ids = pad_sequences([[first, *row] for row in rows], first)
    lengths = torch.tensor([len(row) + 1 for row in rows])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return Tokens(ids.to(device), mask.to(device))


def _controls(generation: Generation) -> dict[str, Any]:
    """Say a generation in transformers' words; what has no effect stays unsaid, or it warns."""
    said: dict[str, Any] = {
        "num_beams": generation.beams,
        "do_sample": generation.sample,
        "max_new_tokens": generation.max_new_tokens,
        "min_new_tokens": generation.min_new_tokens or None,
        "repetition_penalty": float(generation.repetition_penalty),
        "no_repeat_ngram_size": generation.no_repeat_ngram or None,
    }
    if generation.beams > 1:
        said |= {
            "length_penalty": float(generation.length_penalty),
            "early_stopping": generation.early_stopping,
        }
    if generation.sample:
        said |= {
            "temperature": float(generation.temperature),
            "top_k": generation.top_k,
            "top_p": float(generation.top_p),
        }
    return said


class _EndWhereStuck(LogitsProcessor):
    """Lets a text end that may go on with nothing, since every word would repeat an n-gram."""

    def __init__(self, end: int) -> None:
        self.end = end

    def __call__(
        self, input_ids: Int[Tensor, "r t"], scores: Float[Tensor, "r vocab"]
    ) -> Float[Tensor, "r vocab"]:
        stuck = scores.amax(-1) == -torch.inf
        scores[:, self.end] = scores[:, self.end].masked_fill(stuck, -1e4)
        return scores
