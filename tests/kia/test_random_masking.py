"""Random masking, the plain alternative."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg_basics.random_masking import RandomPatches, RandomWords
from rrgcore.api import UserError, WordTokenizer

from .fakes import make_rngs, make_study


def test_random_patches_hides_simmim_s_30_of_49_units():
    study, rng = make_study(), np.random.default_rng(0)
    mask = RandomPatches().mask_image(study, 0, (14, 14), rng).reshape(7, 2, 7, 2)
    units = mask.all((1, 3))
    assert (units == mask.any((1, 3))).all()
    assert units.sum() == 30


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.floats(0, 1), st.integers(0, 9))
def test_random_patches_fits_any_grid(rows, columns, unit, ratio, seed):
    masking, rng = RandomPatches(ratio=ratio, unit=unit), np.random.default_rng(seed)
    mask = masking.mask_image(make_study(), 0, (rows, columns), rng)
    assert mask.shape == (rows * columns,)
    if unit == 1:
        assert mask.sum() == ceil(ratio * rows * columns)


def test_random_words_hides_80_of_100_of_what_it_asks_for():
    report = " ".join(f"w{i}" for i in range(200))
    tokenizer = WordTokenizer.of_texts([report])
    study, asked, masked, kept = make_study(report=report), 0, 0, 0
    for rng in make_rngs(200):
        text = RandomWords().mask_text(study, tokenizer, rng, max_tokens=300)
        where = text.labels != -100
        assert text.labels.where(where, text.ids).tolist() == tokenizer.encode(report)
        asked += int(where.sum())
        masked += int((text.ids[where] == tokenizer.mask_id).sum())
        kept += int((text.ids[where] == text.labels[where]).sum())
    assert asked / (200 * 200) == pytest.approx(0.15, abs=0.005)
    assert masked / asked == pytest.approx(0.8, abs=0.02)
    assert kept / asked == pytest.approx(0.1, abs=0.02)


@given(st.integers(0, 30), st.integers(2, 20), st.floats(0, 1), st.integers(0, 9))
def test_random_words_spares_the_frame_and_asks_for_something(words, cut, rate, seed):
    report = " ".join(["word"] * words)
    tokenizer = WordTokenizer.of_texts([report])
    text = RandomWords(rate=rate).mask_text(
        make_study(report=report), tokenizer, np.random.default_rng(seed), max_tokens=cut
    )
    asked = (text.labels != -100).nonzero()[:, 0].tolist()
    assert len(text.ids) == min(words + 2, cut)
    assert 0 not in asked
    assert len(text.ids) - 1 not in asked
    assert bool(asked) == (len(text.ids) > 2)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(UserError, match=r"random_words's rate is 15.0"):
        RandomWords(rate=15.0)
    with pytest.raises(UserError, match=r"random_patches's ratio is -1.0"):
        RandomPatches(ratio=-1.0)
