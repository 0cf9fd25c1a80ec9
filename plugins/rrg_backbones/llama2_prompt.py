"""What a Llama reads around the image, and the tokens that it never writes."""

from contextlib import suppress

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from rrgcore.api import AbsentTokenizer, Tokenizer, UserError, Visual, WordTokenizer
from rrgcore.tokens import UNK, PretrainedTokenizer

INSTRUCTION = "Generate a comprehensive and detailed radiology report for this chest X-ray image."
"""CmEAA, appendix A.3."""

BEFORE = "Human: <Img>"


def after_image(instruction: str) -> str:
    """Return what stands between the image and the report (R2GenGPT's wrapper)."""
    return f"</Img> {instruction} \nAssistant:"


WORDS = tuple(dict.fromkeys(f"{BEFORE} {after_image(INSTRUCTION)}".split()))
"""The wrapper's words, for a vocabulary of words."""


def prompt_ids(tokenizer: Tokenizer, instruction: str) -> tuple[list[int], list[int]]:
    """Return the ids before the image, the text's beginning first, and those after it.

    The two pieces are tokenized apart, as R2GenGPT does. A tokenizer that is not at hand gives
    none: it only counts parameters.
    """
    if isinstance(tokenizer, AbsentTokenizer):
        return [], []
    before, after = (tokenizer.encode(text)[1:-1] for text in (BEFORE, after_image(instruction)))
    return [tokenizer.cls_id, *before], after


def prompt_around(
    visual: Visual, before: Float[Tensor, "t d"], after: Float[Tensor, "u d"]
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Put the prompt around images, in the prompt's type; also return which tokens are real."""
    rows, seen = visual.tokens.shape[:2]
    first, last = (repeat(piece, "t d -> b t d", b=rows) for piece in (before, after))
    whole = torch.cat([first, visual.tokens.to(before.dtype), last], dim=1)
    mask = whole.new_ones(whole.shape[:2], dtype=torch.bool)
    if visual.mask is not None:
        mask[:, len(before) : len(before) + seen] = visual.mask
    return whole, mask


def unwritten_ids(tokenizer: Tokenizer, rows: int) -> list[int]:
    """Return the ids that no report holds: special tokens but the end, the unknown word, and rows
    of the embedding that are no token.

    Not whatever decodes to nothing: to Llama's tokenizer a space may be a token.
    """
    size = len(tokenizer)
    if isinstance(tokenizer, PretrainedTokenizer):
        backend = tokenizer.backend
        added = backend.added_tokens_decoder.items()
        ids = {*backend.all_special_ids, *(id for id, token in added if token.special)}
    else:
        ids = {id for id in range(size) if not tokenizer.decode([id])}
        with suppress(KeyError):
            ids.add(tokenizer.id_of(UNK))
    ids.update(range(size, rows))
    return sorted(id for id in ids - {tokenizer.sep_id} if id < rows)


def check_tokenizer(tokenizer: Tokenizer, weights: str | None, *, rows: int) -> None:
    """Raise UserError unless texts can be read with an embedding of so many rows.

    Special tokens that other components added to one of Hugging Face's tokenizers do not count: a
    Llama never reads them, and its embedding stays as it was published.
    """
    size = len(tokenizer)
    if isinstance(tokenizer, PretrainedTokenizer):
        size = max(int(tokenizer.backend.vocab_size), tokenizer.cls_id + 1, tokenizer.sep_id + 1)
    elif weights is not None and isinstance(tokenizer, WordTokenizer):
        raise UserError(
            f"the weights '{weights}' read their own tokens, not a vocabulary of words: set "
            f"tokenizer: {weights}"
        )
    if isinstance(tokenizer, AbsentTokenizer):
        return
    if size > rows:
        more = "name the weights' own tokenizer" if weights else f"set vocabulary: {size}"
        raise UserError(f"the tokenizer has {size} tokens and llama2 {rows} rows for them: {more}")
