"""The contract of what encodes texts: usually a decoder, alone and with images."""

from typing import Any

import torch
from torch import Tensor

from rrgcore.interfaces import Attends, EmbedsTokens, TextEncoder, TextGivenImage
from rrgcore.testing.modules import (
    Gradients,
    alike,
    check_copies,
    check_repeats,
    check_state,
    check_tensor,
)
from rrgcore.testing.subject import Subject
from rrgcore.types import Encoded, Tokens

IMAGE_TOKENS = 7


def check_text_encoder(s: Subject, encoder: Any, tokens: Tokens, gradients: Gradients) -> list[str]:
    """Check the capabilities of an instance but those that it lacks; returns what was used."""
    uses = []
    if s.can(encoder, TextEncoder):
        _check_alone(s, encoder, tokens, gradients)
        uses.append("encode_text")
    if s.can(encoder, TextGivenImage):
        _check_given_image(s, encoder, tokens, gradients)
        uses += ["encode_text_given", "token_logits"]
    if s.can(encoder, EmbedsTokens):
        with s.trying("embed_tokens"):
            embedded = encoder.embed_tokens(tokens.ids)
        check_tensor(s, embedded, (*tokens.ids.shape, encoder.token_dim), "embed_tokens' result")
    if s.can(encoder, Attends):
        _check_attention(s, encoder, tokens)
    return uses


def _check_alone(s: Subject, encoder: Any, tokens: Tokens, gradients: Gradients) -> None:
    s.expect(
        isinstance(getattr(encoder, "text_dim", None), int),
        "is a TextEncoder but sets no `text_dim` in its constructor",
    )
    encoder.train()
    with s.trying("encode_text"):
        encoded = encoder.encode_text(tokens)
    _check_encoded(s, encoder, encoded, tokens, "encode_text")
    gradients.follow("encode_text", encoded)

    def run(encoder: Any) -> Any:
        return _real(encoder.encode_text(tokens))

    check_repeats(s, encoder, run, "encode_text")
    check_state(s, encoder, s.build(seed=1), run, "encode_text")
    check_copies(s, encoder, run, "encode_text")
    with torch.no_grad():
        padded = encoder.encode_text(_padded(tokens))
    s.expect(
        alike(
            _real(encoder.eval().encode_text(tokens)),
            _real(Encoded(padded.tokens[:, :-2], padded.pooled, tokens.mask)),
        ),
        "encode_text reads padding: with two more tokens that tokens.mask leaves out, its result "
        "is another",
    )


def _check_given_image(s: Subject, encoder: Any, tokens: Tokens, gradients: Gradients) -> None:
    image, width = _image(s, encoder, len(tokens.ids)), encoder.text_dim
    encoder.train()
    with s.trying(f"encode_text_given with an image of width {image.tokens.shape[-1]}"):
        encoded = encoder.encode_text_given(tokens, image)
    _check_encoded(s, encoder, encoded, tokens, "encode_text_given")
    hidden = encoded.tokens[tokens.mask]
    with s.trying(f"token_logits of {len(hidden)} tokens of width {width}"):
        logits = encoder.token_logits(hidden)
    words = len(encoder.tokenizer)
    s.expect(
        logits.ndim == 2 and logits.shape[1] >= words,
        f"token_logits returns {tuple(logits.shape)}; expected a row a token, and a column for "
        f"each of the tokenizer's {words} words",
    )
    check_tensor(s, logits, (len(hidden), logits.shape[1]), "token_logits' result")
    gradients.follow("encode_text_given", [encoded, logits], inputs=[image.tokens])
    assert image.mask is not None, "made with one"
    absent = ~image.mask[..., None]
    other = Encoded(
        image.tokens.detach().masked_fill(absent, 7.0), image.pooled.detach(), image.mask
    )
    encoder.eval()
    with torch.no_grad():
        one, two = (encoder.encode_text_given(tokens, seen) for seen in (image, other))
    s.expect(
        alike(_real(one), _real(two)),
        "encode_text_given reads image tokens that image.mask says are absent",
    )


def _check_attention(s: Subject, encoder: Any, tokens: Tokens) -> None:
    image = _image(s, encoder, len(tokens.ids))
    with torch.no_grad(), s.trying("attention"):
        weights = encoder.eval().attention(tokens, image)
    rows, length = tokens.ids.shape
    s.expect(
        weights.ndim == 5
        and weights.shape[0] == rows
        and weights.shape[3:] == (length, IMAGE_TOKENS),
        f"attention returns {tuple(weights.shape)}; expected [b l heads t n]",
    )
    sums = weights.sum(-1).movedim(3, 1)[tokens.mask]
    s.expect(
        alike([sums], [torch.ones_like(sums)]), "the attention of a token does not sum to 1 over n"
    )


def _check_encoded(s: Subject, encoder: Any, encoded: Any, tokens: Tokens, what: str) -> None:
    s.expect(
        isinstance(encoded, Encoded),
        f"{what} returns a {type(encoded).__name__}; expected an Encoded",
    )
    rows, length = tokens.ids.shape
    check_tensor(s, encoded.tokens, (rows, length, encoder.text_dim), f"{what}: tokens")
    check_tensor(s, encoded.pooled, (rows, encoder.text_dim), f"{what}: pooled")


def _real(encoded: Encoded) -> list[Tensor]:
    """Return what may be read of it: real tokens, and the summary."""
    real = encoded.tokens if encoded.mask is None else encoded.tokens[encoded.mask]
    return [real, encoded.pooled]


def _padded(tokens: Tokens) -> Tokens:
    """Return the texts with two more tokens that are not real, and are words."""
    more = tokens.ids[:, 1:2].expand(-1, 2)
    return Tokens(
        torch.cat([tokens.ids, more], dim=1),
        torch.cat([tokens.mask, torch.zeros_like(more, dtype=torch.bool)], dim=1),
    )


def _image(s: Subject, encoder: Any, rows: int) -> Encoded:
    width = s.options.get("image_dim", encoder.dim)
    tokens = torch.randn(rows, IMAGE_TOKENS, width, requires_grad=True)
    mask = torch.ones(rows, IMAGE_TOKENS, dtype=torch.bool)
    mask[-1, 4:] = False
    return Encoded(tokens, tokens[:, 0], mask)
