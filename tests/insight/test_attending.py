"""Attention laid on patches: every word's map sums to one, and lies where it should."""

import numpy as np
import pytest
import torch

from rrgcore.features import Features
from rrgcore.insight.attending import (
    Heads,
    attend_reading,
    attend_writing,
    check_attends_writing,
    place,
    words_of_tokens,
)
from rrgcore.interfaces import Adapter, Lacks
from rrgcore.model import ReportModel
from rrgcore.testing import make_batch, make_parts, make_studies
from rrgcore.types import Generation, Visual


def make_model(**options):
    torch.manual_seed(0)
    return ReportModel(parts=make_parts(**options), objectives={}).eval()


class Pooling(Adapter):
    """One token of all."""

    def forward(self, image, prepared=None):
        return Visual(image.tokens.mean(1, keepdim=True))


@pytest.fixture(params=["concat", "mean"])
def model(request):
    return make_model(views=request.param)


def written(model, batch):
    return [each.ids for each in model.generate(batch, Generation(beams=1, max_new_tokens=6))]


@pytest.mark.parametrize("step", ["writes", "reads"])
def test_every_word_of_a_written_report_has_a_map_that_sums_to_one(model, step):
    batch = make_batch(make_studies())
    for row, attended in enumerate(attend_writing(model, batch, written(model, batch), step=step)):
        maps = attended.maps()
        views = batch.present.shape[1]
        assert maps.shape == (len(attended.words), views, *model.parts.encoder.grid)
        np.testing.assert_allclose(maps.sum((1, 2, 3)), 1, atol=1e-5)
        assert not maps[:, ~batch.present[row].numpy()].any()
        assert (attended.share() <= 1 + 1e-5).all()


def test_every_word_that_is_read_has_a_map_that_sums_to_one(model):
    batch = make_batch(make_studies())
    for attended in attend_reading(model, batch, batch.text):
        np.testing.assert_allclose(attended.maps().sum((1, 2, 3)), 1, atol=1e-5)


def test_tokens_that_are_asked_for_alone_are_those_of_the_text():
    model = make_model()
    batch = make_batch(make_studies())
    whole = attend_reading(model, batch, batch.text)[0]
    alone = attend_reading(model, batch, batch.text, [[[2]]] * len(batch))[0]
    np.testing.assert_allclose(alone.maps()[0], whole.maps()[1])  # token 0 is [CLS]


def test_a_word_is_asked_at_the_step_that_wrote_it_or_at_the_next():
    model = make_model()
    batch = make_batch(make_studies())
    reports = written(model, batch)
    writes = attend_writing(model, batch, reports)[0]
    reads = attend_writing(model, batch, reports, step="reads")[0]
    np.testing.assert_allclose(writes.maps()[1:], reads.maps()[:-1], atol=1e-6)


def test_weights_are_laid_row_by_row_on_the_last_tokens():
    model = make_model(grid=(2, 4))
    batch = make_batch(make_studies())
    views = batch.present.shape[1]
    count = Features(model.parts, batch).image.tokens.shape[1]
    weights = torch.zeros(len(batch), 1, 1, 1, count)
    weights[..., -8 + 5] = 1  # the last view's patch in row 1, column 1
    placed = place(weights, model, batch)
    assert placed.shape == (len(batch), 1, 1, 1, views, 2, 4)
    there = batch.present[:, -1].float()
    torch.testing.assert_close(placed[:, 0, 0, 0, -1, 1, 1], there)
    assert placed.sum() == there.sum()


def test_chosen_layers_and_heads_alone_are_averaged():
    model = make_model()
    batch = make_batch(make_studies())
    attended = attend_writing(model, batch, written(model, batch))[0]
    first = attended.weights[0, 0]
    total = first.sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(attended.maps(Heads((0,), (0,))), first / total, atol=1e-6)
    assert str(Heads((0,), (1, 2))) == "layer 0, head 1, 2"
    assert str(Heads()) == "all layers and heads"


def test_an_adapter_that_does_not_keep_places_is_refused():
    model = make_model(adapter=Pooling())
    with pytest.raises(Lacks, match="KeepsPlaces"):
        check_attends_writing(model)


def test_more_or_fewer_tokens_than_patches_are_refused():
    model = make_model()
    batch = make_batch(make_studies())
    with pytest.raises(Lacks, match="which are not the 4 × 4 patches"):
        place(torch.zeros(len(batch), 1, 1, 1, 7), model, batch)


class Pieces:
    """Writes word pieces with a mark, and nothing for what is special."""

    pieces = ("[CLS]", "▁pneumo", "thorax", "▁.", "▁no", "ne")

    def decode(self, ids):
        return "".join(self.pieces[id] for id in ids if id).replace("▁", " ").strip()


def test_pieces_are_merged_to_the_words_that_they_spell():
    words, tokens = words_of_tokens(Pieces().decode, [0, 4, 1, 2, 3, 4, 5, 0])
    assert words == ("no", "pneumothorax", ".", "none")
    assert tokens == [[1], [2, 3], [4], [5, 6]]
