"""The contract of a masking: a study and a generator in, a mask out, and nothing else touched."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from rrgcore.interfaces import ImageMasking, MaskingStrategy, TextMasking
from rrgcore.testing.subject import Subject
from rrgcore.types import MaskedText

GRIDS = ((4, 4), (7, 5))
LENGTHS = (24, 8)


def check_masking(s: Subject) -> None:
    """Check shapes and types, that the generator decides all, and that no call leaves a trace."""
    masking = s.build()
    s = s.reading(masking.reads)
    s.expect(
        not isinstance(masking, nn.Module), "is a module; a masking has no parameters and no device"
    )
    s.expect(
        isinstance(masking, (ImageMasking, TextMasking)),
        "is neither an ImageMasking nor a TextMasking",
    )
    before = deepcopy([study.annotations for study in s.studies])
    if isinstance(masking, ImageMasking):
        _check_image_masking(s, masking)
    if isinstance(masking, TextMasking):
        _check_text_masking(s, masking)
    s.expect(
        before == [study.annotations for study in s.studies],
        "changes the annotations of a study; they are shared by all who read them",
    )


def _check_image_masking(s: Subject, masking: ImageMasking) -> None:
    for grid in GRIDS:
        patches = grid[0] * grid[1]

        def draw(masking: Any, s: Subject, grid: tuple[int, int] = grid) -> list[Any]:
            return [
                masking.mask_image(study, image, grid, rng)
                for study, rng in zip(s.studies, s.rngs(), strict=True)
                for image in range(len(study.images))
            ]

        for mask in _drawn(s, masking, draw, "mask_image"):
            _check_patches(s, mask, patches, f"mask_image on a grid of {grid[0]} × {grid[1]}")
        with s.trying("key_patches"):
            keys = [
                [masking.key_patches(study, image, grid) for _ in range(2)]
                for study in s.studies
                for image in range(len(study.images))
            ]
        for one, two in keys:
            _check_patches(s, one, patches, "key_patches")
            s.expect(np.array_equal(one, two), "key_patches answers differently the second time")


def _check_patches(s: Subject, mask: Any, patches: int, what: str) -> None:
    s.expect(
        isinstance(mask, np.ndarray) and mask.dtype == np.bool_,
        f"{what} returns {_kind_of(mask)}; expected a numpy array of bool",
    )
    s.expect(
        mask.shape == (patches,),
        f"{what} returns shape {mask.shape}; expected ({patches},), a flag a patch, row by row",
    )


def _check_text_masking(s: Subject, masking: TextMasking) -> None:
    tokenizer = s.wired("tokenizer")
    for longest in LENGTHS:

        def draw(masking: Any, s: Subject, longest: int = longest) -> list[Any]:
            return [
                masking.mask_text(study, tokenizer, rng, max_tokens=longest)
                for study, rng in zip(s.studies, s.rngs(), strict=True)
            ]

        for text in _drawn(s, masking, draw, f"mask_text with max_tokens={longest}"):
            _check_text(s, text, longest, len(tokenizer))


def _check_text(s: Subject, text: Any, longest: int, words: int) -> None:
    s.expect(
        isinstance(text, MaskedText),
        f"mask_text returns a {type(text).__name__}; expected a MaskedText",
    )
    length = len(text.ids)
    for name, dtype in (("ids", torch.long), ("mask", torch.bool), ("labels", torch.long)):
        value = getattr(text, name)
        s.expect(
            value.dtype is dtype and value.shape == (length,),
            f"mask_text's {name} are {value.dtype} of shape {tuple(value.shape)}; expected {dtype} "
            f"of shape ({length},), without a batch axis",
        )
    s.expect(length <= longest, f"mask_text returns {length} tokens, with max_tokens={longest}")
    asked = text.labels[text.labels != -100]
    for name, ids in (("ids", text.ids), ("labels", asked)):
        s.expect(
            bool(((ids >= 0) & (ids < words)).all()),
            f"mask_text's {name} hold what is no token; labels are -100 where nothing is asked",
        )
    s.expect(
        bool(text.mask[text.labels != -100].all()),
        "mask_text asks for a token that mask leaves out",
    )


def _drawn(s: Subject, masking: MaskingStrategy, draw: Any, what: str) -> list[Any]:
    """Draw for every study; refuses what does not depend on study and generator alone."""
    with s.keeping_global_randomness(what), s.trying(what):
        first, second = draw(masking, s), draw(masking, s)
    s.expect(_same(first, second), f"{what} gives something else for the same study and generator")
    backwards = replace(s, studies=list(reversed(s.studies)))
    with s.trying(what):
        fresh, other = draw(s.build(), s), draw(s.build(), backwards)
    s.expect(
        _same(first, fresh) and _same(sorted(map(_key, first)), sorted(map(_key, other))),
        f"{what} depends on the studies that were masked before: keep no state of a study",
    )
    return list(first)


def _same(one: list[Any], other: list[Any]) -> bool:
    return list(map(_key, one)) == list(map(_key, other))


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.tolist())
    if isinstance(value, MaskedText):
        return ("text", value.ids.tolist(), value.mask.tolist(), value.labels.tolist())
    return value


def _kind_of(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return f"a {type(value).__name__}" + (f" of {dtype}" if dtype is not None else "")
