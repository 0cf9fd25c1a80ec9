"""What stands around a component under test, in place of a model: wired values, nested fakes."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, final

from rrgcore.features import Parts
from rrgcore.interfaces import (
    EmbedsTokens,
    ImageMasking,
    JointSpace,
    OffersAlignment,
    TextMasking,
    Trunk,
)
from rrgcore.signatures import WIRING, Option
from rrgcore.testing.fake_data import FakeImageMasking, FakeTextMasking
from rrgcore.testing.fake_networks import IMAGE_SIZE, FakeJointSpace
from rrgcore.testing.fake_trunk import FakeTrunk

MAX_REPORT_TOKENS = 24
SIZES = ("image_dim", "grid", "visual_dim", "text_dim", "alignment_dim", "image_size")
"""Wired arguments that set the size of the fakes too."""

DATA = frozenset({"image_size", "max_report_tokens"})
KNOWN_EARLY: Mapping[str, Container[str]] = {
    **dict.fromkeys(("encoder", "dataset", "metric", "annotator"), DATA),
    "decoder": DATA | {"image_dim", "grid", "tokenizer"},
    "adapter": WIRING.keys() - {"alignment_dim"},
}
"""What is known by the time that a kind is built; everything, for the others."""


@final
@dataclass(frozen=True)
class Surroundings:
    """The parts beside a component, and the options that stand in for wiring."""

    kind: str
    options: Mapping[str, Any]
    parts: Parts

    def fill(self, option: Option) -> Any:
        """Return what the model, or a fake, fills an argument with; None for neither."""
        if option.is_tokenizer:
            return self.wired("tokenizer")
        if option.wired:
            return self.wired(option.name)
        if option.required and option.component is not None:
            return self._nested(option.component[1])
        return None

    def wired(self, name: str) -> Any:
        """Return what a model of these parts wires to a name; None where it has nothing.

        As in a model, an encoder is built before there is anything else to take a width from.
        """
        if name in self.options:
            return self.options[name]
        if name not in KNOWN_EARLY.get(self.kind, WIRING):
            return None
        encoder, adapter, decoder = self.parts.encoder, self.parts.adapter, self.parts.decoder
        match name:
            case "image_size":
                return IMAGE_SIZE
            case "max_report_tokens":
                return MAX_REPORT_TOKENS
            case "image_dim":
                return encoder.dim
            case "grid":
                return encoder.grid
            case "visual_dim":
                return decoder.dim
            case "text_dim":
                return self.parts.text_encoder.text_dim
            case "tokenizer":
                text = decoder if self.kind == "adapter" else self.parts.text_encoder
                return text.tokenizer
            case "token_dim":
                return decoder.token_dim if isinstance(decoder, EmbedsTokens) else None
            case "alignment_dim":
                return adapter.alignment_dim if isinstance(adapter, OffersAlignment) else None
        raise AssertionError(f"'{name}' is in the wiring table but nothing here fills it")

    def _nested(self, wanted: type) -> Any:
        """Make the fake of a class; None for a class that has none."""
        encoder, text = self.parts.encoder, self.parts.text_encoder
        fakes: Mapping[type, Callable[[], Any]] = {
            Trunk: FakeTrunk,
            JointSpace: lambda: FakeJointSpace(image_dim=encoder.dim, text_dim=text.text_dim),
            ImageMasking: FakeImageMasking,
            TextMasking: FakeTextMasking,
        }
        return fakes[wanted]() if wanted in fakes else None
