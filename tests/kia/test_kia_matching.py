"""Image-report matching, and how its negatives are drawn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rrg_kia.irm import MATCH, Draws, ImageReportMatching, draw_rows, negative_weights
from rrg_kia.projections import Projections
from rrgcore.api import Features, UserError, WordTokenizer

from .fakes import TinyEncoder, TinyText, make_batch, make_parts, make_rngs, make_study

REPORTS = ["the heart is large .", "no effusion .", "lungs are clear ."]


def make_setting(reports=REPORTS, *, space=True, seed=0):
    """Return irm bound to parts, features of a batch, and what prepare() drew for it."""
    studies = [make_study(str(i), report) for i, report in enumerate(reports)]
    tokenizer = WordTokenizer.of_texts(reports, special=[MATCH])
    irm = ImageReportMatching(
        text_dim=6,
        tokenizer=tokenizer,
        space=Projections(image_dim=6, text_dim=6, dim=4) if space else None,
    )
    parts = make_parts(TinyEncoder(), TinyText(tokenizer))
    irm.bind(parts)
    draws = irm.prepare(studies, make_rngs(len(studies), seed))
    return irm, Features(parts, make_batch(studies, tokenizer)), draws


def test_three_pairs_a_study_and_a_start_near_ln_2():
    irm, features, draws = make_setting()
    torch.nn.init.zeros_(irm.head.weight)
    torch.nn.init.zeros_(irm.head.bias)
    output = irm(features, draws)
    assert output.count == 9
    assert output.loss.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("space", [True, False])
def test_no_negative_is_the_pair_itself_or_one_of_the_same_words(space):
    reports = [*REPORTS, REPORTS[0]]
    for seed in range(20):
        irm, features, draws = make_setting(reports, space=space, seed=seed)
        images, texts, labels = irm._pairs(features, draws)
        for image, text, label in zip(images, texts, labels, strict=True):
            assert (reports[image] == reports[text]) == bool(label)
        assert labels.tolist() == [1] * 4 + [0] * 8
        assert (images == texts)[:4].all()
        assert images[8:].tolist() == texts[4:8].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("reports", [["no effusion ."], ["no effusion ."] * 3])
def test_without_any_negative_the_matching_pairs_remain(reports):
    irm, features, draws = make_setting(reports)
    output = irm(features, draws)
    assert output.count == len(reports)
    assert output.loss.isfinite()


def test_a_space_is_used_without_gradients():
    irm, features, draws = make_setting()
    irm(features, draws).loss.backward()
    assert irm.space.image.weight.grad is None
    assert irm.head.weight.grad.abs().sum() > 0
    assert features.parts.encoder.embed.weight.grad.abs().sum() > 0


def test_the_more_alike_the_likelier_a_negative():
    similarity = torch.tensor([[9.0, 3.0, 0.0]]).expand(3, 3)
    weights = negative_weights(similarity, torch.eye(3, dtype=torch.bool))
    assert weights.diagonal().tolist() == [0, 0, 0]
    assert weights[0, 1] > 10 * weights[0, 2] > 0


def test_draws_follow_the_weights():
    weights = torch.tensor([[1.0, 0.0, 3.0]]).expand(4000, 3)
    drawn = draw_rows(weights, (torch.arange(4000) + 0.5) / 4000)
    assert torch.bincount(drawn, minlength=3).tolist() == [1000, 0, 3000]


@given(
    st.lists(st.sampled_from([0.0, 1e-4, 0.3, 1.0]), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.25, 0.5, 1 - 2**-24, 1.0]),
)
def test_a_column_without_weight_is_never_drawn(weights, uniform):
    drawn = draw_rows(torch.tensor([weights]), torch.tensor([uniform]))
    assert weights[drawn.item()] > 0 or not any(weights)


def test_without_a_space_any_other_row_is_as_likely():
    irm, features, _ = make_setting(space=False)
    drawn = []
    for seed in range(300):
        draws = make_setting(space=False, seed=seed)[2]
        drawn.append(irm._pairs(features, draws)[0][3:6])
    counts = torch.bincount(torch.stack(drawn)[:, 0], minlength=3)
    assert counts[0] == 0
    assert counts[1:].min() > 110


def test_negatives_are_the_same_whenever_the_draws_are():
    irm, features, draws = make_setting()
    again = Draws(draws.reports, draws.uniform.clone())
    for a, b in zip(irm._pairs(features, draws), irm._pairs(features, again), strict=True):
        assert torch.equal(a, b)


def test_match_says_what_the_loss_asks_for():
    irm, features, draws = make_setting()
    optimizer = torch.optim.Adam([*irm.parameters(), *features.parts.parameters()], lr=0.05)
    for _ in range(200):
        output = irm(Features(features.parts, features.batch), draws)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert output.logs["accuracy"] == 1
    seen = Features(features.parts, features.batch)
    images, texts, labels = irm._pairs(seen, draws)
    odds = irm.match(seen.batch.text[texts], seen.image[images])
    assert ((odds > 0) == labels.bool()).all()


def test_the_match_token_stands_in_for_cls():
    irm, features, draws = make_setting()
    assert irm.special_tokens == (MATCH,)
    text = features.batch.text
    assert (text.with_first(irm.match_id).ids[:, 1:] == text.ids[:, 1:]).all()
    before = irm(features, draws).loss.item()
    with torch.no_grad():
        features.parts.decoder.embed.weight[irm.match_id] += 1
    assert irm(Features(features.parts, features.batch), draws).loss.item() != before


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    tokenizer = WordTokenizer.of_texts(REPORTS, special=[MATCH])
    with pytest.raises(UserError, match=f"irm's temperature is {temperature}; expected a number"):
        ImageReportMatching(text_dim=6, tokenizer=tokenizer, temperature=temperature)
