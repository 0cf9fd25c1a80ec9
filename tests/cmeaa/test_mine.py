"""MINE: the bound, its shifts, its memory, and what it finds of known information."""

from collections import Counter
from math import log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg_cmeaa.adapter import CmEAA
from rrg_cmeaa.bound import donsker_varadhan
from rrg_cmeaa.mine import MutualInformation, make_shifts
from rrg_cmeaa.nmia import NMIA
from rrgcore.api import Encoded, Features, UserError
from rrgcore.model import ReportModel
from rrgcore.testing import make_batch, make_parts, make_rngs, make_studies, make_study

from .fakes import NO_WORDS, features_of

K, TEXT = 3, 5


def make_mine(**options):
    mine = MutualInformation(**{"text_dim": TEXT, "alignment_dim": K, **options})
    for critic in mine.critics:  # one that has learned something
        for parameter in critic.parameters():
            torch.nn.init.normal_(parameter)
    return mine


def make_features(rows=4, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(rows, 2, TEXT, generator=generator)
    alignment = torch.randn(rows, K, generator=generator)
    return features_of(alignment, Encoded(tokens, tokens[:, 0]))


# ---- what is known ----------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_it_approaches_the_information_of_gaussians_from_below(rho):
    """I(X; Z) = −½ log(1 − ρ²), on pairs that the critic has not seen.

    What the perfect critic, the log ratio of the densities, finds in those very pairs is the most
    that another one can expect to find there.
    """
    truth, steps, shift = -0.5 * log(1 - rho**2), 200, torch.tensor(1)
    mine = MutualInformation(text_dim=1, alignment_dim=1, hidden=16)
    (critic,) = mine.critics
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def pairs(count):
        x, noise = torch.randn(2, count, 1)
        return x, rho * x + sqrt(1 - rho**2) * noise

    def ratio(x, z):
        quadratic = rho**2 * (x**2 + z**2) - 2 * rho * x * z
        return (truth - quadratic / (2 * (1 - rho**2)))[:, 0]

    def found(critic):
        with torch.no_grad():
            return float(donsker_varadhan(*mine.scores(critic, *unseen, shift)))

    unseen = pairs(20_000)
    perfect, path = found(ratio), [found(critic)]
    for step in range(steps):
        optimizer.zero_grad()
        (-donsker_varadhan(*mine.scores(critic, *pairs(512), shift))).backward()
        optimizer.step()
        schedule.step()
        if step == 20 or step == steps - 1:
            path.append(found(critic))
    assert perfect == pytest.approx(truth, rel=0.05)
    assert abs(path[0]) < 1e-3
    assert path == sorted(path)
    assert 0.96 * perfect < path[-1] < perfect


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8))
def test_pairs_in_both_places_never_give_more_than_nothing(scores):
    t = torch.tensor(scores, dtype=torch.float64)
    assert donsker_varadhan(t, t) <= 1e-9
    assert donsker_varadhan(t[:1].expand(5), t[:1].expand(5)).abs() < 1e-9


def test_at_first_it_finds_no_information():
    mine = MutualInformation(text_dim=TEXT, alignment_dim=K)
    assert mine(make_features(), torch.zeros(4, 2)).loss.abs() < 1e-3


# ---- shifts -----------------------------------------------------------------------------------


@given(st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_a_shift_leaves_no_study_in_its_place(rows, seed):
    draws = torch.rand(rows, 2, generator=torch.Generator().manual_seed(seed))
    shifts = make_shifts(draws)
    assert ((shifts >= 1) & (shifts <= rows - 1)).all()
    assert torch.equal(shifts, make_shifts(draws.flip(0)))


def test_every_shift_is_as_likely():
    counts = Counter(int(make_shifts(torch.rand(5, 2))[0]) for _ in range(2000))
    assert sorted(counts) == [1, 2, 3, 4]
    assert all(400 < count < 600 for count in counts.values())


def test_two_studies_are_exchanged():
    mine = make_mine()
    x, z = torch.randn(2, 2, K)
    (critic,) = mine.critics
    joint, marginal = mine.scores(critic, x, z, make_shifts(torch.rand(2, 2))[0])
    torch.testing.assert_close(joint, critic(x, z))
    torch.testing.assert_close(marginal, critic(x, z.flip(0)))


def test_both_bounds_shift_alike_unless_told_otherwise():
    draws = torch.tensor([[0.0, 0.9]] + 3 * [[0.0, 0.0]])
    assert make_shifts(draws).tolist() == [1, 3]
    alike, apart = make_mine(), make_mine(same_shift=False)
    apart.load_state_dict(alike.state_dict())
    one, two = (mine(make_features(), draws).logs for mine in (alike, apart))
    assert one["image"] == two["image"]
    assert one["text"] != two["text"]


def test_the_two_bounds_may_have_a_critic_each():
    mine = make_mine(share_critic=False)
    mine(make_features(), torch.zeros(4, 2)).loss.backward()
    assert [bool(c.layers[0].weight.grad.any()) for c in mine.critics] == [True, True]


# ---- who learns -------------------------------------------------------------------------------


def test_the_loss_teaches_w1_the_encoder_and_the_text_but_neither_w2_nor_b2():
    parts = make_parts()
    adapter = CmEAA(
        image_dim=parts.encoder.dim,
        visual_dim=parts.decoder.dim,
        tokenizer=NO_WORDS,
        align=NMIA(image_dim=parts.encoder.dim, k=K),
    )
    parts = make_parts(encoder=parts.encoder, decoder=parts.decoder, adapter=adapter)
    mine = make_mine(text_dim=parts.text_encoder.text_dim)
    batch = make_batch(make_studies(), prepares={"objectives.mine": mine})
    ReportModel(parts=parts, objectives={"mine": mine})(batch, {"mine": 1.0}).total.backward()
    assert adapter.align.reduce.weight.grad.any()
    assert adapter.align.expand.weight.grad is None
    assert adapter.align.expand.bias.grad is None
    assert parts.encoder.embed.weight.grad.any()
    assert parts.decoder.embed.weight.grad.any()
    assert adapter.generator.weight.grad is None

    parts.zero_grad()
    detached = make_mine(text_dim=parts.text_encoder.text_dim, detach=True)
    draws = batch.prepared["objectives.mine"]
    detached(Features(parts, batch), draws).loss.backward()
    assert parts.decoder.embed.weight.grad is None
    assert detached.project.weight.grad.any()


def test_a_report_is_the_mean_of_its_tokens_or_the_encoder_s_summary():
    tokens = torch.randn(2, 3, TEXT)
    text = Encoded(tokens, tokens[:, 0], torch.tensor([[True, True, False], [True] * 3]))
    mean = make_mine().summary(text)
    torch.testing.assert_close(mean[0], tokens[0, :2].mean(0))
    torch.testing.assert_close(make_mine(text="pooled").summary(text), tokens[:, 0])


# ---- one study, and the past ------------------------------------------------------------------


def test_one_study_teaches_nothing_and_does_not_count():
    mine = make_mine(ema_rate=0.01)
    output = mine(make_features(1), torch.zeros(1, 2))
    output.loss.backward()
    assert output.loss == 0
    assert output.count == 0
    assert not any(p.grad.any() for p in mine.parameters())
    mine.after_step()
    assert not mine.log_ema.any()


def test_one_study_is_contrasted_with_the_past():
    mine = make_mine(past=3)
    first, second = make_features(1, seed=1), make_features(1, seed=2)
    assert mine(first, torch.zeros(1, 2)).count == 0
    mine.after_step()
    assert mine.seen == 1, "there was nothing to compare it with, but now it is the past"
    output = mine(second, torch.zeros(1, 2))
    assert output.count == 1
    assert output.loss != 0
    c, r = second.visual.alignment, mine.project(mine.summary(second.text))
    joint, marginal = mine.scores(mine.critics[0], c, c + r, torch.tensor(1))
    torch.testing.assert_close(output.logs["image"], donsker_varadhan(joint, marginal).detach())
    kept = first.visual.alignment + mine.project(mine.summary(first.text))
    torch.testing.assert_close(marginal, mine.critics[0](c, kept))


def test_the_past_is_a_ring_of_the_newest_and_is_kept_in_training_only():
    mine, draws = make_mine(past=3), torch.zeros(2, 2)
    seen = []
    for seed in range(3):
        features = make_features(2, seed=seed)
        mine(features, draws)
        mine.after_step()
        z = features.visual.alignment + mine.project(mine.summary(features.text))
        seen += list(z.detach())
    torch.testing.assert_close(mine.past_z, torch.stack([seen[3], seen[4], seen[5]]))
    mine.eval()(make_features(2), draws)
    mine.after_step()
    assert mine.seen == 6
    restored = make_mine(past=3)
    restored.load_state_dict(mine.state_dict())
    assert torch.equal(restored.past_z, mine.past_z)


# ---- stability --------------------------------------------------------------------------------


def test_a_clipped_critic_stays_within_bounds():
    x, z = 1e3 * torch.randn(2, 4, K)
    shift = torch.tensor(1)
    wild = make_mine()
    tame = make_mine(clip=20.0)
    tame.load_state_dict(wild.state_dict())
    assert max(t.abs().max() for t in wild.scores(wild.critics[0], x, z, shift)) > 20
    assert max(t.abs().max() for t in tame.scores(tame.critics[0], x, z, shift)) == 20


def test_everything_is_float32_under_bf16():
    mine = make_mine(ema_rate=0.01)
    features = make_features()
    features.__dict__["visual"] = features_of(
        features.visual.alignment.bfloat16(), features.text
    ).visual
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = mine(features, torch.zeros(4, 2))
    assert output.loss.dtype == torch.float32
    output.loss.backward()
    mine.after_step()
    assert mine.log_ema.dtype == torch.float32


def test_a_critic_far_out_does_not_overflow_the_corrected_gradient():
    mine = make_mine(ema_rate=0.01)
    with torch.no_grad():
        mine.critics[0].layers[4].bias.fill_(1e4)
    output = mine(make_features(), torch.zeros(4, 2))
    output.loss.backward()
    assert output.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in mine.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alignment_dim": None}, r"set model\.adapter\.align=nmia, or leave mine out"),
        ({"ema_rate": 1.0}, "ema_rate is 1.0; expected a number between 0 and 1"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"past": -1}, "past is -1"),
        ({"hidden": 0}, "a critic of 0 hidden units"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        make_mine(**options)


def test_what_is_drawn_for_a_study_does_not_depend_on_its_place():
    studies = [make_study("a"), make_study("b")]
    mine = make_mine()
    drawn = mine.prepare(studies, make_rngs(studies))
    turned = mine.prepare(studies[::-1], make_rngs(studies[::-1]))
    assert torch.equal(drawn, turned.flip(0))
