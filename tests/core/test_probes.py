"""Whether probes measure what they say: with a model that uses the image, one that does not, one that knows all."""  # noqa: E501

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rrgcore.data import Loader
from rrgcore.features import Features
from rrgcore.interfaces import Embeds, Matches, Reconstructs
from rrgcore.model import ReportModel
from rrgcore.probes import (
    blank_images,
    exchange_images,
    exchange_texts,
    image_gap,
    reconstruction,
    retrieval,
)
from rrgcore.session import Run
from rrgcore.studies import Studies
from rrgcore.types import Batch, Decoded, Encoded, Tokens
from rrgcore.watch import Watcher


@pytest.fixture
def model(finished: Run) -> ReportModel:
    return finished.model()


@pytest.fixture
def loader(finished: Run, model: ReportModel) -> Loader:
    return Studies(finished.plan).loader(model, "train", training=False, batch_size=4)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# ---- exchanging -------------------------------------------------------------------------------


def test_exchanging_changes_one_modality_and_not_the_other(loader: Loader) -> None:
    batch = next(loader.epoch())

    images = exchange_images(batch)
    assert torch.equal(images.images[1], batch.images[0])
    assert images.report is batch.report
    texts = exchange_texts(batch)
    assert torch.equal(texts.text.ids[1], batch.text.ids[0])
    assert torch.equal(texts.report.mask[0], batch.report.mask[-1])
    assert texts.images is batch.images


def test_a_blank_image_is_one_grey(loader: Loader) -> None:
    blank = blank_images(next(loader.epoch())).images

    assert blank.unique().numel() == 1


# ---- the image gap ----------------------------------------------------------------------------


class Guesses(nn.Module):
    """A decoder whose loss is how far the image's mean is from the report's first word."""

    def __init__(self, *, looks: bool) -> None:
        super().__init__()
        self.looks = looks

    def forward(self, visual: Any, report: Tokens) -> Decoded:
        seen = visual.tokens.mean((1, 2)) if self.looks else torch.zeros(len(report.ids))
        wanted = torch.arange(len(report.ids)).float()
        return Decoded((seen - wanted).abs().mean(), torch.tensor(1))


def batch_with_marks(loader: Loader) -> Batch:
    """Images whose brightness says which study they belong to."""
    from dataclasses import replace

    batch = next(loader.epoch())
    marks = torch.arange(len(batch)).float().view(-1, 1, 1, 1, 1)
    return replace(batch, images=torch.zeros_like(batch.images) + marks)


class Brightness(nn.Module):
    def forward(self, images: Tensor) -> Encoded:
        mean = images.mean((1, 2, 3)).view(-1, 1)
        return Encoded(mean.unsqueeze(1), mean)


@pytest.mark.parametrize(("looks", "gap"), [(True, 1.5), (False, 0.0)])
def test_the_gap_is_above_zero_only_where_the_image_is_used(
    looks: bool, gap: float, model: ReportModel, loader: Loader
) -> None:
    model.parts.encoder, model.parts.decoder = Brightness(), Guesses(looks=looks)  # type: ignore[assignment]
    batch = batch_with_marks(loader)

    assert image_gap(model, batch) == pytest.approx(gap)


def test_the_gap_leaves_the_model_in_its_mode(model: ReportModel, loader: Loader) -> None:
    model.train()
    image_gap(model, next(loader.epoch()))

    assert model.training


# ---- retrieval --------------------------------------------------------------------------------


class Oracle(nn.Module, Embeds):
    """Knows which study a batch's rows are: embeds image and report as the same unit vector."""

    def __init__(self, *, good: bool) -> None:
        super().__init__()
        self.good = good
        self.rows = {"image": 0, "text": 0}

    def _next(self, which: str, count: int) -> Tensor:
        start = self.rows[which]
        self.rows[which] += count
        rows = torch.arange(start, start + count)
        if which == "text" and not self.good:
            rows = (rows + 1) % 10
        return torch.eye(10)[rows]

    def embed_image(self, image: Encoded) -> Tensor:
        return self._next("image", len(image.tokens))

    def embed_text(self, text: Encoded) -> Tensor:
        return self._next("text", len(text.tokens))


class Matcher(nn.Module, Matches):
    """Prefers the study's own report, which it recognises by its image's tokens."""

    def __init__(self, pairs: Mapping[tuple[float, ...], tuple[int, ...]]) -> None:
        super().__init__()
        self.pairs = pairs

    def match(self, tokens: Tokens, image: Encoded) -> Tensor:
        wanted = [self.pairs[key(row)] for row in image.pooled]
        ids = [tuple(r[m].tolist()) for r, m in zip(tokens.ids, tokens.mask, strict=True)]
        return torch.tensor([float(a == b) for a, b in zip(wanted, ids, strict=True)])


def key(row: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in row.tolist())


def with_objectives(model: ReportModel, **objectives: nn.Module) -> ReportModel:
    model.objectives = nn.ModuleDict(objectives)
    return model


def test_a_model_that_knows_the_right_report_finds_it(model: ReportModel, loader: Loader) -> None:
    found = retrieval(
        with_objectives(model, irc=Oracle(good=True)), loader, rng=rng(), watcher=Watcher()
    )

    assert found == {"recall@1 of 10, IRC": 1.0, "chance": 0.1}


def test_a_model_that_prefers_the_wrong_report_finds_none(
    model: ReportModel, loader: Loader
) -> None:
    found = retrieval(
        with_objectives(model, irc=Oracle(good=False)), loader, rng=rng(), watcher=Watcher()
    )

    assert found["recall@1 of 10, IRC"] == 0.0


def test_matching_ranks_the_best_of_the_embedding_again(model: ReportModel, loader: Loader) -> None:
    pairs = {}
    with torch.no_grad():
        for batch in loader.epoch():
            image = Features(model.eval().parts, batch).image
            for row, ids, mask in zip(image.pooled, batch.text.ids, batch.text.mask, strict=True):
                pairs[key(row)] = tuple(ids[mask].tolist())
    objectives = {"irc": Oracle(good=False), "irm": Matcher(pairs)}
    found = retrieval(with_objectives(model, **objectives), loader, rng=rng(), watcher=Watcher())

    assert found["recall@1 of 10, IRC"] == 0.0
    assert found["recall@1 of 10, IRC, then IRM"] == 1.0


def test_a_verbatim_equal_report_counts_as_found(model: ReportModel, loader: Loader) -> None:
    from dataclasses import replace

    loader.studies = [replace(study, report="the same .") for study in loader.studies]
    found = retrieval(
        with_objectives(model, irc=Oracle(good=False)), loader, rng=rng(), watcher=Watcher()
    )

    assert found["recall@1 of 10, IRC"] == 1.0


def test_without_an_embedding_nothing_is_retrieved(model: ReportModel, loader: Loader) -> None:
    assert retrieval(with_objectives(model), loader, rng=rng(), watcher=Watcher()) == {}


# ---- reconstruction ---------------------------------------------------------------------------


class Paints(nn.Module, Reconstructs):
    """Its error is 1 with the own report and `other` with another's."""

    def __init__(self, own: list[tuple[int, ...]], other: float) -> None:
        super().__init__()
        self.own, self.other, self.at = own, other, 0

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        ids = [tuple(row[m].tolist()) for row, m in
               zip(features.batch.text.ids, features.batch.text.mask, strict=True)]  # fmt: skip
        right = all(one in self.own for one in ids[:1]) and ids[0] == self.own[self.at]
        if not right:
            self.at += len(ids)
        return {"error": torch.full((len(ids),), 1.0 if right else self.other)}


def firsts(loader: Loader) -> list[tuple[int, ...]]:
    return [
        tuple(row[mask].tolist())
        for batch in loader.epoch()
        for row, mask in zip(batch.text.ids, batch.text.mask, strict=True)
    ]


@pytest.mark.parametrize(("other", "gain"), [(3.0, 2.0), (1.0, 0.0)])
def test_the_gain_is_by_how_much_another_report_is_worse(
    other: float, gain: float, model: ReportModel, loader: Loader
) -> None:
    model = with_objectives(model, mim=Paints(firsts(loader), other))
    found = reconstruction(model, "mim", loader, rng=rng(), watcher=Watcher())

    assert found["error at key patches"] == 1.0
    assert found["with another's report"] == other
    assert (found["gain"].value, found["gain"].low, found["gain"].high) == (gain, gain, gain)


class Names(nn.Module, Reconstructs):
    """Asked for one word a study, 0 nine times of ten; right with an image, always 0 without."""

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        count = len(features.batch)
        study = torch.arange(count)
        expected = torch.tensor([int(id.endswith("5")) for id in features.batch.ids])
        blank = features.batch.images.unique().numel() == 1
        guessed = torch.zeros_like(expected) if blank else expected
        return {"error": torch.zeros(count), "study": study, "expected": expected,
                "guessed": guessed}  # fmt: skip


def test_words_are_judged_by_balanced_accuracy_with_the_image_and_with_a_blank_one(
    model: ReportModel, loader: Loader
) -> None:
    """Always saying the frequent word is half right, not nine tenths."""
    found = reconstruction(
        with_objectives(model, mlm=Names()), "mlm", loader, rng=rng(), watcher=Watcher()
    )

    assert found["balanced accuracy"].value == 1.0
    assert found["with a blank image"].value == 0.5
    assert found["gain"].value == 0.5
    assert found["gain"].low <= 0.5 <= found["gain"].high
