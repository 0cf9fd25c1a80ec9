"""A batch seen through the model, and the parts it is seen with."""

from functools import cached_property
from typing import Literal, cast, final

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rrgcore.interfaces import (
    Adapter,
    Decoder,
    ImageGivenText,
    Part,
    TextEncoder,
    TextGivenImage,
    VisualEncoder,
)
from rrgcore.types import Batch, Decoded, Encoded, Tokens, Visual

Views = Literal["concat", "mean"]


@final
class Parts(nn.Module):
    """The assembled components that objectives pull from, each held once."""

    def __init__(
        self,
        *,
        encoder: VisualEncoder,
        adapter: Adapter,
        decoder: Decoder,
        text_encoder: TextEncoder | None = None,
        shared: dict[str, Part] | None = None,
        views: Views = "concat",
    ) -> None:
        super().__init__()
        self.shared = nn.ModuleDict(cast(dict[str, nn.Module], shared or {}))
        self.encoder = encoder
        self.adapter = adapter
        self.decoder = decoder
        # the decoder under a second name, where it encodes text too: its own name stands first
        self.text_encoder = cast(TextEncoder, decoder) if text_encoder is None else text_encoder
        self.views = views

    @property
    def decoder_encodes_text(self) -> bool:
        """Whether the text encoder is the decoder itself."""
        return cast(object, self.text_encoder) is self.decoder

    def encode_images(
        self, images: Float[Tensor, "b v 3 h w"], present: Bool[Tensor, "b v"]
    ) -> Encoded:
        """Encode every image of a batch and fuse the views as the recipe says."""
        return encode_views(self.encoder, images, present, self.views)


def encode_views(
    encoder: nn.Module,
    images: Float[Tensor, "b v 3 h w"],
    present: Bool[Tensor, "b v"],
    views: Views,
) -> Encoded:
    """Encode each image that is present and fuse a study's views.

    "concat" puts their tokens side by side and averages the pooled features (docs/papers/kia.md,
    K20); "mean" averages both (R2GenGPT), a token over the views in which the encoder's own mask
    has it.
    """
    if images.shape[1] == 1 and bool(present.all()):
        return cast(Encoded, encoder(images[:, 0]))
    encoded: Encoded = encoder(images[present])
    tokens = _scatter(encoded.tokens, present)
    real = repeat(present, "b v -> b v n", n=tokens.shape[2])
    if encoded.mask is not None:
        real = _scatter(encoded.mask, present)
    share = present / present.sum(1, keepdim=True)
    pooled = torch.einsum("bvd,bv->bd", _scatter(encoded.pooled, present), share.to(encoded.pooled))
    if views == "mean":
        share = real / real.sum(1, keepdim=True).clamp(1)
        mean = torch.einsum("bvnd,bvn->bnd", tokens, share.to(tokens))
        return Encoded(mean, pooled, None if encoded.mask is None else real.any(1))
    return Encoded(
        rearrange(tokens, "b v n d -> b (v n) d"), pooled, rearrange(real, "b v n -> b (v n)")
    )


def _scatter(rows: Tensor, present: Bool[Tensor, "b v"]) -> Tensor:
    """Put rows back where `present` took them from, zeros elsewhere."""
    full = rows.new_zeros(*present.shape, *rows.shape[1:])
    full[present] = rows
    return full


@final
class Features:
    """One batch, seen through the model: computed on demand, at most once, then forgotten."""

    def __init__(self, parts: Parts, batch: Batch) -> None:
        self.batch = batch
        self.parts = parts
        # a reader under no_grad must not poison what others will read
        self._grad = torch.is_grad_enabled()

    @cached_property
    def image(self) -> Encoded:
        """The images' tokens, views fused."""
        with torch.set_grad_enabled(self._grad):
            return self.parts.encode_images(self.batch.images, self.batch.present)

    @cached_property
    def visual(self) -> Visual:
        """What the decoder reads of the images."""
        with torch.set_grad_enabled(self._grad):
            return cast(Visual, self.parts.adapter(self.image, self.batch.prepared.get("adapter")))

    @cached_property
    def text(self) -> Encoded:
        """The whole report, encoded alone."""
        with torch.set_grad_enabled(self._grad):
            return self.parts.text_encoder.encode_text(self.batch.text)

    @cached_property
    def decoded(self) -> Decoded:
        """The report's loss under the decoder."""
        with torch.set_grad_enabled(self._grad):
            return cast(Decoded, self.parts.decoder(self.visual, self.batch.report))

    def image_given_text(self, patch_mask: Bool[Tensor, "b v n"]) -> Float[Tensor, "b v n d"]:
        """Return patch features of masked images that read the report; zeros for an absent view."""
        encoder = cast(ImageGivenText, self.parts.encoder)
        present = self.batch.present
        study = repeat(
            torch.arange(len(present), device=present.device), "b -> b v", v=present.shape[1]
        )
        encoded = encoder.encode_given_text(
            self.batch.images[present], patch_mask[present], self.text[study[present]]
        )
        return _scatter(encoded.tokens[:, -patch_mask.shape[-1] :], present)

    def text_given_image(self, tokens: Tokens, rows: Int[Tensor, " b"] | None = None) -> Encoded:
        """Encode texts with the images, or with the images of other `rows` of the batch."""
        encoder = cast(TextGivenImage, self.parts.text_encoder)
        return encoder.encode_text_given(tokens, self.image if rows is None else self.image[rows])

    def token_logits(self, hidden: Float[Tensor, "m d"]) -> Float[Tensor, "m vocab"]:
        """Score every word at gathered positions."""
        return cast(TextGivenImage, self.parts.text_encoder).token_logits(hidden)
