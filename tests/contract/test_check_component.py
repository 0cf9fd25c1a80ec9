"""What check_component tells the author of a component that breaks a promise.

Each class here breaks one promise; where it inherits from a fake, it keeps all the others.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rrgcore.api import (
    Adapter,
    AlignmentObjective,
    Annotator,
    CrossModal,
    Decoded,
    Encoded,
    Features,
    Generation,
    ImageMasking,
    ImageRef,
    JointSpace,
    Labels,
    MaskedText,
    Metric,
    ObjectiveOutput,
    Pair,
    Prepares,
    RadGraph,
    Scores,
    Study,
    TextMasking,
    Tokenizer,
    Tokens,
    Visual,
)
from rrgcore.errors import DataError, RegistryError
from rrgcore.plugins import Discovered
from rrgcore.registry import Component, Registry
from rrgcore.testing import (
    FakeAdapter,
    FakeDataset,
    FakeDecoder,
    FakeEncoder,
    FakeImageMasking,
    FakeJointSpace,
    FakeTextMasking,
    FakeTrunk,
    check_component,
    make_batch,
    make_parts,
    make_studies,
    make_study,
)


def check(kind: str, cls: type, **options: Any) -> None:
    registry = Registry()
    registry.add(
        Component(kind, "mine", f"{__name__}:{cls.__name__}", "one promise"), plugin="mine"
    )
    check_component(kind, "mine", plugins=Discovered(registry), **options)


def refusal(kind: str, cls: type, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check(kind, cls, **options)
    return str(caught.value)


# ---- components that keep every promise -----------------------------------------------------


class Mean(Annotator):
    """Says of every study what the first one that it learned from had."""

    writes = Labels
    reads = (Labels,)

    def fit(self, studies: Iterable[Study]) -> None:
        self.known = next(iter(studies))[Labels]

    def save(self, folder: Path) -> None:
        (folder / "known.json").write_text(json.dumps(self.known.to_json()))

    def load(self, folder: Path) -> None:
        self.known = Labels.from_json(json.loads((folder / "known.json").read_text()))

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for _ in studies:
            yield self.known


class Exact(Metric):
    """The share of predictions that are the reference, word for word."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        right = sum(pair.prediction == pair.reference for pair in pairs)
        return Scores({"exact": right / len(pairs)}, "verbatim")


class Own(FakeDataset):
    """The sample studies."""

    def __init__(self) -> None:
        super().__init__(studies=make_studies())


class Nothing(AlignmentObjective, Prepares[Tensor]):
    """A loss that pulls the summaries of image and report together."""

    def __init__(self, *, masking: TextMasking) -> None:
        super().__init__()
        self.masking = masking
        self.head = nn.Linear(12, 20)

    def annotations_read(self) -> tuple[type, ...]:
        return self.masking.reads

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Any]) -> Tensor:
        return torch.tensor([rng.random() for rng in rngs])

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        distance = self.head(features.image.pooled) - features.text.pooled
        return ObjectiveOutput(distance.square().mean(), torch.tensor(len(prepared)))


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("encoder", FakeEncoder),
        ("adapter", FakeAdapter),
        ("decoder", FakeDecoder),
        ("part", FakeTrunk),
        ("part", FakeJointSpace),
        ("masking", FakeImageMasking),
        ("masking", FakeTextMasking),
        ("annotator", Mean),
        ("metric", Exact),
        ("dataset", Own),
        ("objective", Nothing),
    ],
)
def test_a_component_that_keeps_every_promise_passes(
    kind: str, cls: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), cls.__name__, cls)
    sizes = {FakeDecoder: {"image_dim": 16}, FakeEncoder: {"text_dim": 20}}
    check(kind, cls, **sizes.get(cls, {}))


# ---- what any component promises ------------------------------------------------------------


class Positional(Adapter):
    """Options by position."""

    def __init__(self, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens), image.mask)


class Untyped(Adapter):
    """An option of which nobody knows what it may be."""

    def __init__(self, *, stride) -> None:
        super().__init__()

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(image.tokens)


class Undocumented(FakeAdapter):
    pass


class WrongDefault(FakeAdapter):
    """A default that a recipe could not write."""

    def __init__(self, *, image_dim: int, visual_dim: int, stride: int = 0.5) -> None:  # type: ignore[assignment]
        super().__init__(image_dim=image_dim, visual_dim=visual_dim)


class Unfinished(Adapter):
    """It has no forward."""


class NeedsValues(FakeAdapter):
    """It looks at values in its constructor."""

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__(image_dim=image_dim, visual_dim=visual_dim)
        self.scale = float(self.project.weight.norm())


class Required(FakeAdapter):
    """An option without a default."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()


class Critic(FakeAdapter):
    """A nested component of which there is no fake."""

    def __init__(self, *, critic: Metric) -> None:
        super().__init__()


class Stumbles(FakeAdapter):
    """It raises."""

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        raise RuntimeError("shapes do not match")


def test_options_are_keyword_only() -> None:
    assert "argument 'image_dim' must be keyword-only" in refusal("adapter", Positional)


def test_options_are_typed() -> None:
    assert "argument 'stride' has no type annotation" in refusal("adapter", Untyped)


def test_a_class_has_a_docstring() -> None:
    assert refusal("adapter", Undocumented).startswith(
        "adapter 'mine': Undocumented has no docstring"
    )


def test_a_default_is_of_its_option_s_type() -> None:
    assert "the default of option 'stride': expected int, got 0.5" in refusal(
        "adapter", WrongDefault
    )


def test_an_abstract_class_is_refused_with_what_it_lacks() -> None:
    assert refusal("adapter", Unfinished).endswith("it defines no forward")


def test_a_constructor_works_where_nothing_is_allocated() -> None:
    assert "building it on the meta device" in refusal("adapter", NeedsValues)


def test_a_required_option_is_asked_for() -> None:
    assert "needs the option 'stride' (int): give a small value, check_component(…, stride=…)" in (
        refusal("adapter", Required)
    )


def test_an_unknown_option_gets_the_nearest() -> None:
    message = refusal("adapter", Required, strid=2)
    assert "has no option 'strid'. Did you mean 'stride'? Options: stride" in message


def test_an_option_of_the_wrong_type_is_refused_as_in_a_recipe() -> None:
    assert "option 'stride': expected int, got 'two'" in refusal("adapter", Required, stride="two")


def test_a_nested_component_without_a_fake_is_asked_for() -> None:
    assert "there is no fake Metric for 'critic'" in refusal("adapter", Critic)


def test_what_a_component_raises_is_kept_as_the_cause() -> None:
    with pytest.raises(AssertionError, match=r"forward of an image .* RuntimeError") as caught:
        check("adapter", Stumbles)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_summary_is_one_line() -> None:
    registry = Registry()
    registry.add(Component("adapter", "mine", f"{__name__}:Stumbles", ""), plugin="mine")
    with pytest.raises(AssertionError, match="its summary is ''"):
        check_component("adapter", "mine", plugins=Discovered(registry))


def test_a_name_that_nobody_offers_is_the_test_s_mistake() -> None:
    with pytest.raises(RegistryError, match="no adapter called 'pool'"):
        check_component("adapter", "pool", plugins=Discovered(Registry()))


def test_the_global_random_state_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    check("masking", FakeImageMasking)
    assert torch.equal(before, torch.get_rng_state())


# ---- encoders -------------------------------------------------------------------------------


class LiesAboutDim(FakeEncoder):
    """`dim` is not the width of its tokens."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=24)
        self.dim = 24


class LiesAboutGrid(FakeEncoder):
    """`grid` promises more patches than there are."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)
        self.grid = (8, 8)


class MasksByItsNeighbours(FakeEncoder):
    """Its mask spares only the first token, unless a batch has two images."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def forward(self, images: Tensor) -> Encoded:
        encoded = super().forward(images)
        mask = torch.ones(encoded.tokens.shape[:2], dtype=torch.bool)
        mask[:, 1:] = len(images) != 1
        return Encoded(encoded.tokens, encoded.pooled, mask)


class ClassTokenLast(FakeEncoder):
    """[CLS] comes last."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def forward(self, images: Tensor) -> Encoded:
        encoded = super().forward(images)
        return Encoded(encoded.tokens.roll(-1, 1), encoded.pooled)


class ColumnByColumn(FakeEncoder):
    """Patches go down, then across."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def _patches(self, images: Tensor) -> Tensor:
        return self.embed(images).mT.flatten(2).mT


class Peeks(FakeEncoder):
    """A masked patch shines through."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def encode_given_text(self, images: Tensor, patch_mask: Tensor, text: Encoded) -> Encoded:
        hidden = super().encode_given_text(images, patch_mask, text)
        return Encoded(hidden.tokens + 0.1 * self(images).tokens, hidden.pooled)


class ReadsPadding(FakeEncoder):
    """Every token of a text counts."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def encode_given_text(self, images: Tensor, patch_mask: Tensor, text: Encoded) -> Encoded:
        return super().encode_given_text(images, patch_mask, Encoded(text.tokens, text.pooled))


class HasAnUnusedLayer(FakeEncoder):
    """A layer that nothing runs."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)
        self.head = nn.Linear(3, 3)


class DropsAlways(FakeEncoder):
    """Dropout in eval too."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def forward(self, images: Tensor) -> Encoded:
        tokens = nn.functional.dropout(super().forward(images).tokens, training=True)
        return Encoded(tokens, tokens[:, 0])


class LooksAtTheBatch(FakeEncoder):
    """An image is seen relative to its neighbours."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def forward(self, images: Tensor) -> Encoded:
        return super().forward(images - images.mean(0))


class LendsAStrangersModule(FakeEncoder, CrossModal):
    """What it calls cross-modal is not part of it."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)

    def cross_modal(self) -> Iterable[nn.Module]:
        return [nn.Linear(1, 1)]


class Forgets(FakeEncoder):
    """A random tensor that is no buffer."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__(image_size=image_size, text_dim=12)
        self.offset = torch.randn(12)

    def forward(self, images: Tensor) -> Encoded:
        encoded = super().forward(images)
        return Encoded(encoded.tokens + self.offset, encoded.pooled)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (LiesAboutDim, "forward: tokens are 12 wide, but `dim` says 24"),
        (LiesAboutGrid, "forward: 17 tokens, but `grid` says 8 × 8 patches"),
        (ClassTokenLast, "Patch tokens come last, row by row"),
        (ColumnByColumn, "Patch tokens come last, row by row"),
        (Peeks, "encode_given_text sees what is behind the mask"),
        (ReadsPadding, "encode_given_text reads text tokens that text.mask says are padding"),
        (HasAnUnusedLayer, "leave these parameters without a gradient: head.bias, head.weight"),
        (DropsAlways, "forward gives another result the second time, in eval"),
        (LooksAtTheBatch, "an image is encoded otherwise beside other images"),
        (MasksByItsNeighbours, "read otherwise beside a study of two views (concat): its tokens"),
        (LendsAStrangersModule, "cross_modal() returns a module that is not its own"),
        (Forgets, "forward gives another result after a round trip through state_dict"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    message = refusal("encoder", cls)
    assert message.startswith("encoder 'mine': ")
    assert sentence in message


# ---- adapters -------------------------------------------------------------------------------


class TooWide(FakeAdapter):
    """Twice the width that the decoder reads."""

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__(image_dim=image_dim, visual_dim=2 * visual_dim, alignment_dim=None)


class AveragesAbsentViews(Adapter):
    """The mean of all tokens, real or not."""

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens.mean(1, keepdim=True)))


class AlignsInSecret(Adapter):
    """An alignment without the capability."""

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens), image.mask, image.pooled)


class Detaches(FakeAdapter):
    """The encoder behind it learns nothing."""

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return super().forward(Encoded(image.tokens.detach(), image.pooled.detach(), image.mask))


class DrawsForTheBatch(FakeAdapter, Prepares[Tensor]):
    """The first study's generator serves all."""

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Any]) -> Tensor:
        return torch.from_numpy(rngs[0].random(len(studies)))


class ReadsWithoutSaying(FakeAdapter, Prepares[int]):
    """It looks up an annotation that it does not declare."""

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Any]) -> int:
        return sum(len(study[RadGraph].entities) for study in studies)


class ReadsMoreThanItSays(ReadsWithoutSaying):
    """It answers for itself, so that nobody would ask for `reads`."""

    def annotations_read(self) -> tuple[type, ...]:
        return (Labels,)


class SaysItTwice(ReadsMoreThanItSays):
    """It declares the annotation where nobody asks for it."""

    reads = (RadGraph,)


class Pools(FakeAdapter):
    """One token is left, and a promise that each keeps its place."""

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        visual = super().forward(image)
        return Visual(visual.tokens[:, :1], None, visual.alignment)


class TurnsAround(FakeAdapter):
    """Tokens come out in the reverse order, and a promise that each keeps its place."""

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        visual = super().forward(image)
        mask = None if visual.mask is None else visual.mask.flip(1)
        return Visual(visual.tokens.flip(1), mask, visual.alignment)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Pools, "says that it keeps places (KeepsPlaces), and makes 1 visual tokens of"),
        (TurnsAround, "other visual tokens than these two change most"),
        (TooWide, "visual tokens are 32 wide, but the decoder reads 16 (`visual_dim`)"),
        (AveragesAbsentViews, "tokens of an absent view (image.mask is False there) change"),
        (AlignsInSecret, "its Visual carries an alignment: inherit OffersAlignment"),
        (Detaches, "forward sends no gradient back to its input"),
        (DrawsForTheBatch, "prepare returns something else for a study in another place"),
        (ReadsWithoutSaying, "which is not declared; write `reads = (RadGraph,)`"),
        (ReadsMoreThanItSays, "which is not declared; add it in annotations_read()"),
        (SaysItTwice, "it reads RadGraph, which annotations_read() leaves out: studies would come"),
    ],
)
def test_an_adapter_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("adapter", cls)


# ---- decoders -------------------------------------------------------------------------------


class SeesTheFuture(FakeDecoder):
    """No causal mask."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        hidden = self.trunk(
            self.embed(report.ids), mask=report.mask, context=visual.tokens,
            context_mask=visual.mask,
        )[:, :-1]  # fmt: skip
        real = report.mask[:, 1:]
        logits = self.token_logits(hidden[real])
        return Decoded(nn.functional.cross_entropy(logits, report.ids[:, 1:][real]), real.sum())


class AveragesStudies(FakeDecoder):
    """A mean over studies, counted as tokens."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        def alone(row: int) -> Decoded:
            mask = None if visual.mask is None else visual.mask[[row]]
            return super(AveragesStudies, self).forward(
                Visual(visual.tokens[[row]], mask), report[torch.tensor([row])]
            )

        rows = [alone(row) for row in range(len(report.ids))]
        loss = torch.stack([row.loss for row in rows]).mean()
        return Decoded(loss, sum(row.count for row in rows))


class CountsPadding(FakeDecoder):
    """Every position counts."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        decoded = super().forward(visual, report)
        return Decoded(decoded.loss, torch.tensor(report.ids.numel()))


class LosesARow(FakeDecoder):
    """One text too few."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def generate(self, visual: Visual, generation: Generation) -> list[Any]:
        return super().generate(visual, generation)[1:]


class Samples(FakeDecoder):
    """It begins with a word drawn from the global state."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def generate(self, visual: Visual, generation: Generation) -> list[Any]:
        noise = torch.randn_like(visual.tokens)
        return super().generate(Visual(50 * noise, visual.mask), generation)


class SamplesUnseeded(FakeDecoder):
    """Where it is asked to sample, the global state decides."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def generate(self, visual: Visual, generation: Generation) -> list[Any]:
        noise = 50 * torch.randn_like(visual.tokens) if generation.sample else 0
        return super().generate(Visual(visual.tokens + noise, visual.mask), generation)


class ReadsAbsentTokens(FakeDecoder):
    """A view that is not there is read all the same."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        return super().forward(Visual(visual.tokens), report)


class EncodesPadding(FakeDecoder):
    """A text's summary is the mean of its tokens, padding included."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def encode_text(self, tokens: Tokens) -> Encoded:
        encoded = super().encode_text(tokens)
        return Encoded(encoded.tokens, encoded.tokens.mean(1), encoded.mask)


class Looks(FakeDecoder):
    """What it says of its attention is changed by `change`."""

    def __init__(self, *, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer=tokenizer, image_dim=16)

    def writing_attention(self, visual: Visual, report: Tokens) -> Tensor:
        return self.change(super().writing_attention(visual, report), visual, report)


class LooksTooMuch(Looks):
    """A step's weights sum to two."""

    def change(self, weights: Tensor, visual: Visual, report: Tokens) -> Tensor:
        return 2 * weights


class LooksOnceMore(Looks):
    """There is a step for the first token too."""

    def change(self, weights: Tensor, visual: Visual, report: Tokens) -> Tensor:
        return torch.cat([weights, weights[:, :, :, :1]], dim=3)


class LooksAtAbsentTokens(Looks):
    """Every token gets the same."""

    def change(self, weights: Tensor, visual: Visual, report: Tokens) -> Tensor:
        return torch.full_like(weights, 1 / weights.shape[-1])


class LooksAtTheLastStep(Looks):
    """A step's weights are those of the last one."""

    def change(self, weights: Tensor, visual: Visual, report: Tokens) -> Tensor:
        return weights[:, :, :, -1:].expand_as(weights)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (LooksTooMuch, "or a step whose weights sum to more than 1"),
        (LooksOnceMore, "expected [b l heads s n], a step for each of"),
        (LooksAtAbsentTokens, "looks at what visual.mask says is absent"),
        (LooksAtTheLastStep, "depends on tokens that are written later"),
        (SeesTheFuture, "Does forward see the words that it is to name (no causal mask)"),
        (AveragesStudies, "the loss is a mean over real tokens"),
        (CountsPadding, "expected the number of tokens that the loss is a mean over"),
        (LosesARow, "generate returns 3 texts for 4 rows"),
        (Samples, "generate writes something else the second time"),
        (SamplesUnseeded, "of your own, seeded with `generation.seed`"),
        (ReadsAbsentTokens, "forward reads visual tokens that visual.mask says are absent"),
        (EncodesPadding, "encode_text reads padding"),
    ],
)
def test_a_decoder_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("decoder", cls)


# ---- objectives -----------------------------------------------------------------------------


class TeachesNothing(AlignmentObjective):
    """A head on detached features."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 1)

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        loss = self.head(features.image.pooled.detach()).square().mean()
        return ObjectiveOutput(loss, torch.tensor(len(features.batch)))


class LogsItsGraph(AlignmentObjective):
    """A log that keeps the graph alive."""

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        loss = features.decoded.loss
        return ObjectiveOutput(loss, torch.tensor(len(features.batch)), {"half": loss / 2})


class CountsNothing(AlignmentObjective):
    """A count of zero."""

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, torch.tensor(0))


class MeansOverWords(AlignmentObjective):
    """A mean over words that says it is one over studies."""

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, features.decoded.count)


class Explodes(AlignmentObjective):
    """An infinite loss."""

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss / 0, torch.tensor(len(features.batch)))


class WantsAnUnknownSlot(AlignmentObjective):
    """A slot that no model has."""

    requires: ClassVar[Mapping[str, type]] = {"critic": Adapter}

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, torch.tensor(len(features.batch)))


class KeepsCount(AlignmentObjective):
    """Counts its calls where no checkpoint finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def get_extra_state(self) -> int:
        return self.calls

    def set_extra_state(self, state: int) -> None:
        self.calls = state

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, torch.tensor(len(features.batch)))


class Special:
    """A capability that no fake has."""


class WantsASpecialAdapter(AlignmentObjective):
    """It requires what fakes cannot do."""

    requires: ClassVar[Mapping[str, type]] = {"adapter": Special}

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, torch.tensor(len(features.batch)))


class SpecialAdapter(FakeAdapter, Special):
    """An adapter that is special."""


class ForgetsWhatItsMaskingReads(AlignmentObjective, Prepares[int]):
    """Studies would come without the annotations of its masking."""

    def __init__(self, *, masking: TextMasking) -> None:
        super().__init__()
        self.masking = masking

    def prepare(self, studies: Sequence[Study], rngs: Sequence[Any]) -> int:
        return len(studies)

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(features.decoded.loss, torch.tensor(len(features.batch)))


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (TeachesNothing, "teaches the model nothing"),
        (LogsItsGraph, "the log 'half' carries a gradient"),
        (CountsNothing, "the count is 0"),
        (MeansOverWords, "return there what the loss is a mean over"),
        (Explodes, "the loss is not finite"),
        (WantsAnUnknownSlot, "`requires` names the slot 'critic'; a model has encoder, adapter"),
        (
            KeepsCount,
            "KeepsCount defines get_extra_state, and a checkpoint holds tensors only: make",
        ),
        (WantsASpecialAdapter, "give parts=make_parts(adapter=…)"),
        (ForgetsWhatItsMaskingReads, "its FakeTextMasking reads Labels, which annotations_read()"),
    ],
)
def test_an_objective_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("objective", cls)


def test_an_objective_is_checked_beside_the_parts_it_requires() -> None:
    check("objective", WantsASpecialAdapter, parts=make_parts(adapter=SpecialAdapter()))


# ---- maskings -------------------------------------------------------------------------------


class Global(ImageMasking):
    """It draws from numpy's global state."""

    def mask_image(self, study: Study, image: int, grid: tuple[int, int], rng: Any) -> np.ndarray:
        return np.random.rand(grid[0] * grid[1]) < 0.5


class Clocked(ImageMasking):
    """It draws from a state of its own."""

    def mask_image(self, study: Study, image: int, grid: tuple[int, int], rng: Any) -> np.ndarray:
        return np.array([random.random() < 0.5 for _ in range(grid[0] * grid[1])])


class Square(ImageMasking):
    """A mask of two dimensions."""

    def mask_image(self, study: Study, image: int, grid: tuple[int, int], rng: Any) -> np.ndarray:
        return rng.random(grid) < 0.5


class Soft(ImageMasking):
    """Probabilities in place of a mask."""

    def mask_image(self, study: Study, image: int, grid: tuple[int, int], rng: Any) -> np.ndarray:
        return rng.random(grid[0] * grid[1])


class Remembers(ImageMasking):
    """The second study it sees is masked otherwise than the first."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def mask_image(self, study: Study, image: int, grid: tuple[int, int], rng: Any) -> np.ndarray:
        if study.id not in self.seen:
            self.seen.append(study.id)
        mask = np.zeros(grid[0] * grid[1], dtype=bool)
        mask[self.seen.index(study.id)] = True
        return mask


class Scribbles(FakeTextMasking):
    """It writes into the study."""

    def mask_text(self, study: Study, *arguments: Any, **options: Any) -> MaskedText:
        study[Labels].values["Edema"] = 1  # type: ignore[index]
        study[Labels].values["Lung Lesion"] = 1  # type: ignore[index]
        return super().mask_text(study, *arguments, **options)


class TooLong(FakeTextMasking):
    """It does not cut."""

    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Any, *, max_tokens: int
    ) -> MaskedText:
        return super().mask_text(study, tokenizer, rng, max_tokens=1000)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Global, "mask_image draws from the global random state of numpy"),
        (Clocked, "mask_image gives something else for the same study and generator"),
        (Square, "returns shape (4, 4); expected (16,), a flag a patch"),
        (Soft, "returns a ndarray of float64; expected a numpy array of bool"),
        (Remembers, "depends on the studies that were masked before"),
        (Scribbles, "changes the annotations of a study"),
        (TooLong, "with max_tokens=8"),
    ],
)
def test_a_masking_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("masking", cls)


def test_a_masking_of_unknown_annotations_is_checked_with_studies_that_have_them() -> None:
    message = refusal("masking", FakeTextMasking, studies=[make_study(annotations={})])
    assert "reads Labels, which study 'study-0' lacks: give studies=[make_study(" in message


# ---- parts ----------------------------------------------------------------------------------


class Long(JointSpace):
    """Vectors of any length."""

    def __init__(self, *, image_dim: int, text_dim: int, dim: int = 4) -> None:
        super().__init__()
        self.dim = dim
        self.image, self.text = nn.Linear(image_dim, dim), nn.Linear(text_dim, dim)

    def project_image(self, pooled: Tensor) -> Tensor:
        return self.image(pooled)

    def project_text(self, pooled: Tensor) -> Tensor:
        return self.text(pooled)


class LooksAhead(FakeTrunk):
    """`causal` is ignored."""

    def forward(self, x: Tensor, *, causal: bool = False, **options: Any) -> Tensor:
        return super().forward(x, **options)


class Deaf(FakeTrunk):
    """It reads no context, and says that it does."""

    def forward(self, x: Tensor, *, context: Any = None, **options: Any) -> Tensor:
        return super().forward(x, **options) + 0 * sum(p.sum() for p in self.parameters())


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Long, "expected unit length"),
        (LooksAhead, "a causal forward looks ahead"),
        (Deaf, "forward ignores its context"),
    ],
)
def test_a_part_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("part", cls)


# ---- data sets, metrics, annotators ---------------------------------------------------------


class Twice(FakeDataset):
    """The same study two times."""

    def __init__(self) -> None:
        super().__init__(studies=make_studies()[:1] * 2)


class Coloured(Own):
    """Images of three channels."""

    def open(self, image: ImageRef) -> np.ndarray:
        return np.zeros((8, 8, 3), dtype=np.uint8)


class Unwritable(Own):
    """A fingerprint that is no JSON."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"when": object()}


class Anonymous(Own):
    """No fingerprint at all."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {}


class Viewless(FakeDataset):
    """An image without a view."""

    def __init__(self) -> None:
        super().__init__(studies=[Study("a", (ImageRef("a/0"),), (), "normal .")])


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Twice, "lists study 'study-0' twice"),
        (Coloured, "open returns a ndarray of uint8 with shape (8, 8, 3); expected grey"),
        (Unwritable, "its fingerprint cannot be written as JSON"),
        (Anonymous, "its fingerprint says nothing"),
        (Viewless, "study 'a' has 1 images and 0 views"),
    ],
)
def test_a_dataset_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("dataset", cls)


class Errors(Metric):
    """The number of wrong predictions: lower is better."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        wrong = sum(pair.prediction != pair.reference for pair in pairs)
        return Scores({"errors": float(wrong)}, "verbatim")


class Unexplained(Exact):
    """Numbers of which nobody knows what they are comparable with."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        return Scores(super().score(pairs).values, "")


class FirstCounts(Metric):
    """Only the first pair is scored."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        overlap = set(pairs[0].prediction.split()) & set(pairs[0].reference.split())
        return Scores({"overlap": float(len(overlap))}, "of the first pair")


class Hasty(Exact):
    """It computes something else in haste."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        return super().score(pairs) if not quick else Scores({"exact": 0.5}, "guessed")


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Errors, "a higher value must be better"),
        (Unexplained, "its fingerprint is empty"),
        (FirstCounts, "another order of the pairs makes 'overlap'"),
        (Hasty, "score with quick=True makes 'exact'"),
    ],
)
def test_a_metric_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("metric", cls)


class Stingy(Mean):
    """Duplicates get nothing."""

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        seen = {study.report: study[Labels] for study in studies}
        yield from seen.values()


class Mistyped(Mean):
    """It says that it writes something else."""

    def annotate(self, studies: Iterable[Study]) -> Iterator[Any]:
        yield from (study[Labels].values for study in studies)


class Aimless(Mean):
    """What it writes cannot be written."""

    writes = dict


class Contagious(Mean):
    """A study's labels depend on the one before it."""

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        before: Mapping[str, int] = {}
        for study in studies:
            before = {**before, **study[Labels].values}
            yield Labels(before)


class Forgetful(Annotator):
    """Learns, and cannot tell anybody."""

    writes = Labels

    def fit(self, studies: Sequence[Study]) -> None:
        self.count = len(studies)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for _ in studies:
            yield Labels({"Edema": int(self.count > 2)})


class Misremembering(Forgetful):
    """Saves something else than it learned."""

    def save(self, folder: Path) -> None:
        (folder / "count").write_text("0")

    def load(self, folder: Path) -> None:
        self.count = int((folder / "count").read_text())


class Peeping(Annotator):
    """Reads the report, and does not say so."""

    writes = Labels

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            if study.report is None:
                raise DataError(f"study '{study.id}' has no report")
            yield Labels({"Edema": int("edema" in study.report)})


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Forgetful, "learns (`fit`), and does not say how that is saved: define `save` and `load`"),
        (Misremembering, "annotates otherwise after `load` than before `save`"),
        (Peeping, "unless it says `from_report`"),
        (Stingy, "annotate yields 3 annotations of 4 studies"),
        (Mistyped, "annotate yields a dict; `writes` says Labels"),
        (Aimless, "expected an annotation class: slug, from_json, to_json"),
        (Contagious, "annotate yields something else for the same studies in another order"),
    ],
)
def test_an_annotator_that_breaks_a_promise_is_told_which(cls: type, sentence: str) -> None:
    assert sentence in refusal("annotator", cls)


# ---- the helpers ----------------------------------------------------------------------------


def test_the_sample_studies_disagree_where_it_matters() -> None:
    studies = make_studies()
    assert {len(study.images) for study in studies} == {1, 2}
    assert {view for study in studies for view in study.views} == {"frontal", "lateral", "unknown"}
    assert len({study.report for study in studies}) < len(studies)


def test_a_sample_s_graph_counts_its_report_s_words() -> None:
    study = make_study(report="no pleural effusion . the heart is enlarged .")
    graph = study[RadGraph]
    assert {graph.words[e.start]: e.label for e in graph.entities.values()} == {
        "pleural": "ANAT-DP",
        "effusion": "OBS-DA",
        "heart": "ANAT-DP",
        "enlarged": "OBS-DP",
    }
    assert study[Labels].values == {"Pleural Effusion": 0, "Cardiomegaly": 1}


def test_a_batch_holds_absent_views_and_padding() -> None:
    batch = make_batch()
    assert batch.images.shape == (4, 2, 3, 32, 32)
    assert not batch.present.all()
    assert not batch.report.mask.all()
