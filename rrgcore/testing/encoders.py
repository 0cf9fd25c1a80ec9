"""The contract of an encoder of images."""

from typing import Any, get_args

import torch
from einops import repeat
from torch import Tensor

from rrgcore.features import Views, encode_views
from rrgcore.interfaces import ImageGivenText, VisualEncoder
from rrgcore.testing.modules import (
    Gradients,
    alike,
    check_builds_on_meta,
    check_copies,
    check_declared_modules,
    check_mask,
    check_repeats,
    check_state,
    check_tensor,
    shape,
)
from rrgcore.testing.subject import Subject
from rrgcore.types import Encoded

MOST_PATCHES = 16
"""So many patches are painted over to see which token answers."""


def check_encoder(s: Subject) -> None:
    """Check what is advertised, the shapes, that patches come last, and that everything learns."""
    check_builds_on_meta(s)
    encoder: VisualEncoder = s.build()
    _check_advertised(s, encoder)
    size = s.wired("image_size")
    images = torch.randn(3, 3, size, size)

    def run(encoder: Any) -> Any:
        return encoder(images)

    with torch.no_grad(), s.trying(f"forward of images {shape(images)}"):
        encoded = encoder.eval()(images)
    _check_encoded(s, encoder, encoded, len(images), "forward")
    check_repeats(s, encoder, run, "forward")
    _check_rows_apart(s, encoder, images)
    _check_views(s, encoder, images)
    _check_patches_last(s, encoder, images[:1])

    gradients = Gradients(s, encoder.train())
    with s.trying("forward in training"):
        encoded = encoder(images)
    gradients.follow("forward", encoded)
    reads_text = s.can(encoder, ImageGivenText)
    if reads_text:
        _check_given_text(s, encoder, images, gradients)
    if not s.lacks_some(encoder, ImageGivenText):
        gradients.check_all_reached("forward and encode_given_text" if reads_text else "forward")

    check_state(s, encoder, s.build(seed=1), run, "forward")
    check_copies(s, encoder, run, "forward")
    check_declared_modules(s, encoder)


def _check_advertised(s: Subject, encoder: VisualEncoder) -> None:
    for name, wanted in (
        ("dim", "the width of its tokens"),
        ("grid", "patches down and across"),
        ("mean", "the pixel statistics that its weights want"),
        ("std", "the pixel statistics that its weights want"),
    ):
        s.expect(hasattr(encoder, name), f"sets no `{name}` in its constructor: {wanted}")
    grid = encoder.grid
    s.expect(
        isinstance(encoder.dim, int) and encoder.dim > 0,
        f"`dim` is {encoder.dim!r}; expected a positive int",
    )
    s.expect(
        isinstance(grid, tuple) and len(grid) == 2 and all(isinstance(n, int) for n in grid),
        f"`grid` is {grid!r}; expected (patches down, patches across)",
    )
    for name in ("mean", "std"):
        value = getattr(encoder, name)
        s.expect(
            isinstance(value, tuple) and len(value) == 3,
            f"`{name}` is {value!r}; expected a tuple of three floats, one a channel",
        )
    s.expect(min(encoder.std) > 0, f"`std` is {encoder.std!r}; pixels are divided by it")


def _check_encoded(s: Subject, encoder: VisualEncoder, encoded: Any, rows: int, what: str) -> None:
    s.expect(
        isinstance(encoded, Encoded),
        f"{what} returns a {type(encoded).__name__}; expected an Encoded",
    )
    s.expect(
        encoded.tokens.ndim == 3, f"{what}: tokens are {shape(encoded.tokens)}; expected [b n d]"
    )
    width = encoded.tokens.shape[-1]
    s.expect(
        width == encoder.dim,
        f"{what}: tokens are {width} wide, but `dim` says {encoder.dim}; adapters are sized by it",
    )
    count, patches = encoded.tokens.shape[1], encoder.grid[0] * encoder.grid[1]
    s.expect(
        count >= patches,
        f"{what}: {count} tokens, but `grid` says {encoder.grid[0]} × {encoder.grid[1]} patches",
    )
    check_tensor(s, encoded.tokens, (rows, count, encoder.dim), f"{what}: tokens")
    check_tensor(s, encoded.pooled, (rows, encoder.dim), f"{what}: pooled")
    if encoded.mask is not None:
        check_mask(s, encoded.mask, (rows, count), f"{what}: mask")


def _check_rows_apart(s: Subject, encoder: VisualEncoder, images: Tensor) -> None:
    encoder.eval()
    with torch.no_grad():
        together, alone = encoder(images), encoder(images[:1])
    s.expect(
        alike([together.tokens[:1], together.pooled[:1]], [alone.tokens, alone.pooled]),
        "an image is encoded otherwise beside other images, in eval",
    )


@torch.no_grad()
def _check_views(s: Subject, encoder: VisualEncoder, images: Tensor) -> None:
    """Fuse two views of one study and one of another: the latter must read as it does alone."""
    alone = encoder(images[2:])
    one = alone.tokens[0] if alone.mask is None else alone.tokens[0, alone.mask[0]]
    present = torch.tensor([[True, True], [True, False]])
    pairs = torch.stack([images[:2], images[[2, 2]]])
    for views in get_args(Views):
        with s.trying(f"fusing two views by {views}"):
            fused = encode_views(encoder, pairs, present, views)
        beside = fused.tokens[1] if fused.mask is None else fused.tokens[1, fused.mask[1]]
        s.expect(
            alike([beside, fused.pooled[1:]], [one, alone.pooled]),
            f"an image is read otherwise beside a study of two views ({views}): its tokens, or "
            "which of them its mask calls real, depend on the other images of the batch",
        )


@torch.no_grad()
def _check_patches_last(s: Subject, encoder: VisualEncoder, image: Tensor) -> None:
    """Paint over a patch at a time: the token in its place must be the one that moves most."""
    rows, columns = encoder.grid
    height, width = image.shape[-2] // rows, image.shape[-1] // columns
    patches = torch.linspace(0, rows * columns - 1, min(rows * columns, MOST_PATCHES)).long()
    if len(patches) < 2:
        return
    painted = repeat(image, "1 c h w -> p c h w", p=len(patches)).clone()
    for number, patch in enumerate(patches.tolist()):
        top, left = patch // columns * height, patch % columns * width
        spot = painted[number, :, top : top + height, left : left + width]
        spot.copy_(torch.randn_like(spot))
    moved = (encoder(painted).tokens - encoder(image).tokens).norm(dim=-1)[:, -rows * columns :]
    right = (moved.argmax(1) == patches).float().mean()
    s.expect(
        float(right) > 0.5,
        f"painting over a patch moves the token in its place most for only {float(right):.0%} of "
        "the patches. Patch tokens come last, row by row, after any [CLS]: maskings and pictures "
        "address them so",
    )


def _check_given_text(s: Subject, encoder: Any, images: Tensor, gradients: Gradients) -> None:
    patches = encoder.grid[0] * encoder.grid[1]
    mask = torch.arange(patches).expand(len(images), -1) % 2 == 0
    width = s.options.get("text_dim", encoder.dim)
    tokens = torch.randn(len(images), 5, width, requires_grad=True)
    text = Encoded(tokens, tokens[:, 0], torch.arange(5).expand(len(images), -1) < 4)
    with s.trying(f"encode_given_text with a text {shape(tokens)}"):
        encoded = encoder.encode_given_text(images, mask, text)
    _check_encoded(s, encoder, encoded, len(images), "encode_given_text")
    gradients.follow("encode_given_text", encoded, inputs=[tokens])

    encoder.eval()
    height, width = (side // n for side, n in zip(images.shape[-2:], encoder.grid, strict=True))
    hidden = mask.view(-1, 1, *encoder.grid)
    hidden = hidden.repeat_interleave(height, 2).repeat_interleave(width, 3)
    painted = images.clone()
    painted[..., : hidden.shape[2], : hidden.shape[3]][hidden.expand(-1, 3, -1, -1)] = 5.0
    other = tokens.detach().clone()
    other[:, 4] = 9.0
    with torch.no_grad():
        one = encoder.encode_given_text(images, mask, text)
        two = encoder.encode_given_text(painted, mask, text)
        three = encoder.encode_given_text(images, mask, Encoded(other, other[:, 0], text.mask))
    s.expect(
        alike(one, two),
        "encode_given_text sees what is behind the mask: other pixels in masked patches change its "
        "result, so that a masked image could be copied instead of understood",
    )
    s.expect(
        alike(one.tokens, three.tokens),
        "encode_given_text reads text tokens that text.mask says are padding",
    )
