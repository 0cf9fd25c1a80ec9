"""A batch seen through the model: what is computed, how often, and who may learn from it."""

from collections import Counter
from typing import final

import pytest
import torch
from torch import Tensor, nn

from rrgcore.features import Features, Parts, encode_views
from rrgcore.interfaces import Adapter, Decoder, ImageGivenText, TextGivenImage, VisualEncoder
from rrgcore.model import ReportModel
from rrgcore.tokens import WordTokenizer
from rrgcore.types import Batch, Decoded, Encoded, Generated, Generation, Tokens, Visual

DIM = 4
CALLS: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    CALLS.clear()


@final
class Pixels(VisualEncoder, ImageGivenText):
    """[CLS] and four patches; [CLS] is the sum of the image, a patch its own brightness."""

    dim = DIM
    grid = (2, 2)
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Encoded:
        CALLS["encoder"] += 1
        patches = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((1, 4, 5)).flatten(1) * self.scale
        pooled = images.sum((1, 2, 3))[:, None].expand(-1, DIM)
        patches = patches[..., None].expand(-1, -1, DIM)
        return Encoded(torch.cat([pooled[:, None], patches], 1), pooled)

    def encode_given_text(self, images: Tensor, patch_mask: Tensor, text: Encoded) -> Encoded:
        CALLS["encoder given text"] += 1
        encoded = self(images)
        patches = encoded.tokens[:, 1:].masked_fill(patch_mask[..., None], 0)
        patches = patches + text.pooled[:, None]
        return Encoded(torch.cat([encoded.tokens[:, :1], patches], 1), encoded.pooled)


@final
class Through(Adapter):
    """Hands the image on; counts, and shows what was prepared for it."""

    def forward(self, image: Encoded, prepared: object = None) -> Visual:
        CALLS["adapter"] += 1
        self.prepared = prepared
        return Visual(image.tokens, image.mask)


@final
class Words(Decoder, TextGivenImage):
    """Embeds words; reads images by adding their mean."""

    dim = text_dim = DIM
    tokenizer = WordTokenizer(words=["heart"])

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, DIM)

    def encode_text(self, tokens: Tokens) -> Encoded:
        CALLS["text encoder"] += 1
        embedded = self.embedding(tokens.ids)
        return Encoded(embedded, embedded[:, 0], tokens.mask)

    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        CALLS["text encoder given image"] += 1
        embedded = self.embedding(tokens.ids) + image.pooled[:, None]
        return Encoded(embedded, embedded[:, 0], tokens.mask)

    def token_logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embedding.weight.T

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        CALLS["decoder"] += 1
        return Decoded(visual.tokens.mean() + self.embedding(report.ids).mean(), report.mask.sum())

    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        return [Generated("heart", (5,), (0.0,)) for _ in visual.tokens]


def parts(views: str = "concat", text_encoder: Words | None = None) -> Parts:
    return Parts(
        encoder=Pixels(),
        adapter=Through(),
        decoder=Words(),
        text_encoder=text_encoder,
        views=views,  # type: ignore[arg-type]
    )


def batch(present: list[list[bool]], **prepared: object) -> Batch:
    """Studies whose image v of study b has the brightness 10·b + v + 1 everywhere."""
    shape = torch.tensor(present)
    brightness = 10 * torch.arange(len(shape))[:, None] + torch.arange(shape.shape[1]) + 1.0
    images = brightness[:, :, None, None, None].expand(-1, -1, 3, 4, 4).clone()
    report = Tokens(torch.tensor([[2, 5, 3]] * len(shape)), torch.ones(len(shape), 3).bool())
    ids = tuple(f"s{i}" for i in range(len(shape)))
    return Batch(ids, images, shape, report, report, prepared)


TWO_VIEWS = [[True, True], [True, False]]


def test_each_feature_is_computed_once_however_often_it_is_read() -> None:
    features = Features(parts(), batch(TWO_VIEWS))
    for _ in range(2):
        assert features.image.pooled is features.image.pooled
        assert features.visual.tokens is features.visual.tokens
        assert features.text.pooled is features.text.pooled
        assert features.decoded is features.decoded
    assert CALLS == {"encoder": 1, "adapter": 1, "text encoder": 1, "decoder": 1}


def test_nothing_is_computed_that_nobody_reads() -> None:
    features = Features(parts(), batch(TWO_VIEWS))
    assert not CALLS
    assert features.decoded.count == 6
    assert CALLS == {"encoder": 1, "adapter": 1, "decoder": 1}


def test_two_batches_share_nothing() -> None:
    found = parts()
    first, second = Features(found, batch([[True]])), Features(found, batch([[True], [True]]))
    assert len(first.image.pooled) == 1
    assert len(second.image.pooled) == 2


def test_a_reader_without_gradients_does_not_spoil_what_the_next_one_reads() -> None:
    features = Features(parts(), batch(TWO_VIEWS))
    with torch.no_grad():
        for value in (features.image.tokens, features.visual.tokens, features.text.tokens):
            assert value.requires_grad
        assert features.decoded.loss.requires_grad
    features.decoded.loss.backward()
    assert features.parts.encoder.scale.grad is not None


def test_features_made_without_gradients_have_none() -> None:
    with torch.no_grad():
        features = Features(parts(), batch(TWO_VIEWS))
    assert not features.image.tokens.requires_grad
    assert not features.text.tokens.requires_grad


def test_the_adapter_gets_what_was_prepared_for_it() -> None:
    found = parts()
    Features(found, batch([[True]], adapter="ngrams", mim="mask")).visual  # noqa: B018
    assert found.adapter.prepared == "ngrams"


# ---- views ----------------------------------------------------------------------------------


def test_one_view_a_study_is_encoded_as_it_is() -> None:
    encoded = encode_views(Pixels(), *_images(batch([[True], [True]])), views="concat")
    assert encoded.tokens.shape == (2, 5, DIM)
    assert encoded.mask is None


def test_concatenated_views_stand_side_by_side_and_absent_ones_are_masked() -> None:
    encoded = encode_views(Pixels(), *_images(batch(TWO_VIEWS)), views="concat")
    assert encoded.tokens.shape == (2, 10, DIM)
    assert encoded.tokens[0, :, 0].tolist() == [48, 1, 1, 1, 1, 96, 2, 2, 2, 2]
    assert encoded.tokens[1, :, 0].tolist() == [528, 11, 11, 11, 11, 0, 0, 0, 0, 0]
    assert encoded.mask is not None
    assert encoded.mask.tolist() == [[True] * 10, [True] * 5 + [False] * 5]


def test_averaged_views_are_averages_over_those_that_are_there() -> None:
    encoded = encode_views(Pixels(), *_images(batch(TWO_VIEWS)), views="mean")
    assert encoded.tokens[:, :, 0].tolist() == [[72, 1.5, 1.5, 1.5, 1.5], [528, 11, 11, 11, 11]]
    assert encoded.mask is None


@final
class Sees(VisualEncoder):
    """Like Pixels, but an image whose brightness is odd has its last two patches masked."""

    dim, grid, mean, std = DIM, (2, 2), (0.0,) * 3, (1.0,) * 3

    def __init__(self) -> None:
        super().__init__()
        self.pixels = Pixels()

    def forward(self, images: Tensor) -> Encoded:
        encoded = self.pixels(images)
        mask = torch.ones(encoded.tokens.shape[:2], dtype=torch.bool)
        mask[images[:, 0, 0, 0] % 2 == 1, -2:] = False
        return Encoded(encoded.tokens, encoded.pooled, mask)


def test_an_encoder_s_own_mask_holds_beside_a_study_of_two_views() -> None:
    fused = encode_views(Sees(), *_images(batch(TWO_VIEWS)), views="concat")
    one, two, absent = [True] * 3 + [False] * 2, [True] * 5, [False] * 5
    assert fused.mask is not None
    assert fused.mask.tolist() == [one + two, one + absent]


def test_a_masked_token_takes_no_part_in_an_average_over_views() -> None:
    fused = encode_views(Sees(), *_images(batch(TWO_VIEWS)), views="mean")
    assert fused.tokens[:, :, 0].tolist() == [[72, 1.5, 1.5, 2, 2], [528, 11, 11, 0, 0]]
    assert fused.mask is not None
    assert fused.mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]


@pytest.mark.parametrize("views", ["concat", "mean"])
def test_the_summary_of_a_study_is_the_average_of_its_views(views: str) -> None:
    encoded = encode_views(Pixels(), *_images(batch(TWO_VIEWS)), views=views)  # type: ignore[arg-type]
    assert encoded.pooled[:, 0].tolist() == [72, 528]


@pytest.mark.parametrize("views", ["concat", "mean"])
def test_a_study_alone_is_seen_as_it_is_in_company(views: str) -> None:
    together = parts(views).encode_images(*_images(batch(TWO_VIEWS)))
    alone = parts(views).encode_images(*_images(batch([[True, True]])))
    assert torch.equal(together.tokens[:1], alone.tokens)
    assert torch.equal(together.pooled[:1], alone.pooled)


def test_an_absent_view_is_never_encoded() -> None:
    studies = batch(TWO_VIEWS)
    studies.images[1, 1] = torch.nan
    for views in ("concat", "mean"):
        encoded = parts(views).encode_images(studies.images, studies.present)
        assert encoded.tokens.isfinite().all()
        assert encoded.pooled.isfinite().all()


def test_gradients_reach_every_image_that_is_there() -> None:
    studies = batch(TWO_VIEWS)
    studies.images.requires_grad_()
    parts().encode_images(studies.images, studies.present).pooled.sum().backward()
    assert studies.images.grad is not None
    assert studies.images.grad.abs().sum((2, 3, 4)).bool().tolist() == TWO_VIEWS


# ---- across modalities ----------------------------------------------------------------------


def test_masked_images_read_the_report_of_their_own_study() -> None:
    found = parts()
    studies = batch(TWO_VIEWS)
    with torch.no_grad():
        found.decoder.embedding.weight.copy_(torch.arange(8.0)[:, None].expand(-1, DIM))
    studies.text.ids[1, 0] = 7
    mask = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask[0, 1, 2] = True
    patches = Features(found, studies).image_given_text(mask)
    assert patches.shape == (2, 2, 4, DIM), "patches only, no [CLS]"
    assert patches[0, :, :, 0].tolist() == [[3, 3, 3, 3], [4, 4, 2, 4]]
    assert patches[1, :, :, 0].tolist() == [[18, 18, 18, 18], [0, 0, 0, 0]]
    assert CALLS["text encoder"] == 1


def test_texts_read_their_own_images_or_those_of_other_rows() -> None:
    studies = batch([[True], [True]])
    features = Features(parts(), studies)
    own = features.text_given_image(studies.text)
    other = features.text_given_image(studies.text, torch.tensor([1, 0]))
    difference = features.image.pooled.flip(0) - features.image.pooled
    assert torch.allclose(other.tokens - own.tokens, difference[:, None].expand(-1, 3, -1))
    assert CALLS["encoder"] == 1, "other rows are taken from what was encoded already"


def test_words_are_scored_at_gathered_positions() -> None:
    features = Features(parts(), batch([[True]]))
    assert features.token_logits(torch.zeros(3, DIM)).shape == (3, 8)


def test_the_decoder_encodes_texts_unless_there_is_a_text_encoder() -> None:
    together, apart = parts(), parts(text_encoder=Words())
    assert together.text_encoder is together.decoder
    assert apart.text_encoder is not apart.decoder
    assert not apart.decoder_encodes_text


def test_a_decoder_that_encodes_texts_is_held_once() -> None:
    names = [name for name, _ in parts().named_parameters()]
    assert sorted(names) == ["decoder.embedding.weight", "encoder.scale"]
    assert "text_encoder.embedding.weight" in parts(text_encoder=Words()).state_dict()


def test_generating_needs_neither_gradients_nor_the_text_encoder() -> None:
    model = ReportModel(parts=parts(), objectives={})
    (generated,) = model.generate(batch([[True]]), Generation())
    assert generated.text == "heart"
    assert CALLS == {"encoder": 1, "adapter": 1}


def _images(studies: Batch) -> tuple[Tensor, Tensor]:
    return studies.images, studies.present
