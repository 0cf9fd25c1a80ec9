"""The contract of an adapter."""

from dataclasses import replace
from typing import Any

import torch

from rrgcore.features import Features
from rrgcore.interfaces import Adapter, KeepsPlaces, OffersAlignment, Prepares
from rrgcore.testing.modules import (
    Gradients,
    alike,
    check_builds_on_meta,
    check_mask,
    check_repeats,
    check_state,
    check_tensor,
    shape,
)
from rrgcore.testing.prepares import check_prepares
from rrgcore.testing.subject import Subject
from rrgcore.types import Encoded, Visual


def check_adapter(s: Subject) -> None:
    """Check the width, the mask, the alignment, and that gradients pass through to the encoder."""
    check_builds_on_meta(s)
    adapter = _build(s)
    prepares = {}
    if isinstance(adapter, Prepares):
        s = check_prepares(s, adapter)
        prepares = {"adapter": adapter}
    batch = s.batch(prepares)
    prepared = batch.prepared.get("adapter")
    with torch.no_grad():
        seen = Features(s.parts, batch).image

    def run(adapter: Any) -> Any:
        return adapter(seen, prepared)

    adapter.train()
    image = replace(seen, tokens=seen.tokens.requires_grad_(), pooled=seen.pooled.requires_grad_())
    gradients = Gradients(s, adapter)
    with s.trying(f"forward of an image {shape(image.tokens)}"):
        visual = adapter(image, prepared)
    _check_visual(s, adapter, visual, len(batch))
    gradients.follow("forward", visual, inputs=[image.tokens, image.pooled])
    gradients.check_all_reached("forward")

    seen = Encoded(seen.tokens.detach(), seen.pooled.detach(), seen.mask)
    with torch.no_grad(), s.trying("forward of an image without a mask"):
        visual = adapter(replace(seen, mask=None), prepared)
    _check_visual(s, adapter, visual, len(batch))
    check_repeats(s, adapter, run, "forward")
    _check_absent_tokens(s, adapter, seen, prepared)
    if isinstance(adapter, KeepsPlaces):
        _check_places(s, adapter, seen, prepared)
    check_state(s, adapter, _build(s, seed=1), run, "forward")


def _build(s: Subject, *, seed: int = 0) -> Adapter:
    adapter: Adapter = s.build(seed=seed)
    with s.trying("bind"):
        adapter.bind(s.parts)
    return adapter


def _check_visual(s: Subject, adapter: Adapter, visual: Any, rows: int) -> None:
    s.expect(
        isinstance(visual, Visual), f"forward returns a {type(visual).__name__}; expected a Visual"
    )
    s.expect(visual.tokens.ndim == 3, f"visual tokens are {shape(visual.tokens)}; expected [b n e]")
    dim, width, count = s.wired("visual_dim"), visual.tokens.shape[-1], visual.tokens.shape[1]
    s.expect(
        width == dim,
        f"visual tokens are {width} wide, but the decoder reads {dim} (`visual_dim`)",
    )
    check_tensor(s, visual.tokens, (rows, count, dim), "visual tokens")
    if visual.mask is not None:
        check_mask(s, visual.mask, (rows, count), "the visual mask")
    offered = adapter.alignment_dim if isinstance(adapter, OffersAlignment) else None
    if offered is not None:
        s.expect(
            visual.alignment is not None,
            f"`alignment_dim` is {offered}, but its Visual carries no alignment",
        )
        check_tensor(s, visual.alignment, (rows, offered), "the alignment")
    else:
        s.expect(
            visual.alignment is None,
            "its Visual carries an alignment: inherit OffersAlignment and set `alignment_dim`, so "
            "that objectives can rely on it",
        )


def _check_absent_tokens(s: Subject, adapter: Adapter, image: Encoded, prepared: Any) -> None:
    """Change what stands where no view is: nothing that the decoder reads may change."""
    if image.mask is None:
        return
    absent = ~image.mask[..., None]
    other = replace(image, tokens=torch.where(absent, 7.0, image.tokens))
    with torch.no_grad():
        one, two = adapter(image, prepared), adapter(other, prepared)
    real = one.mask if one.mask is not None else torch.ones(one.tokens.shape[:2], dtype=torch.bool)
    s.expect(
        alike(
            [one.tokens[real], one.mask, one.alignment], [two.tokens[real], two.mask, two.alignment]
        ),
        "tokens of an absent view (image.mask is False there) change what the decoder reads: weigh "
        "by image.mask, and say in Visual.mask which tokens are real",
    )


def _check_places(s: Subject, adapter: Adapter, image: Encoded, prepared: Any) -> None:
    """Exchange two image tokens: the same two visual tokens must change most."""
    order = torch.arange(image.tokens.shape[1])
    order[[1, 2]] = order[[2, 1]]
    mask = None if image.mask is None else image.mask[:, order]
    other = replace(image, tokens=image.tokens[:, order], mask=mask)
    with torch.no_grad():
        one, two = adapter(image, prepared).tokens, adapter(other, prepared).tokens
    s.expect(
        one.shape[1] == len(order),
        f"says that it keeps places (KeepsPlaces), and makes {one.shape[1]} visual tokens of "
        f"{len(order)}",
    )
    changed = (one - two).norm(dim=-1)[0]
    s.expect(
        sorted(changed.topk(2).indices.tolist()) == [1, 2],
        "says that it keeps places (KeepsPlaces), but where two image tokens are exchanged other "
        "visual tokens than these two change most",
    )
