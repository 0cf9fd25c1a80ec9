"""The selection of combinations: all pairs, few rows, no chance."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from .covering import cover_pairs, pairs_of

SWITCHES = list(product("ab", repeat=5))


def pairs(rows):
    return {pair for row in rows for pair in pairs_of(row)}


def test_two_factors_take_every_row():
    rows = list(product("ab", "cde"))
    assert sorted(cover_pairs(rows)) == rows


def test_five_switches_take_a_quarter_of_the_rows():
    chosen = cover_pairs(SWITCHES)
    assert pairs(chosen) == pairs(SWITCHES)
    assert len(chosen) <= len(SWITCHES) / 4


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_every_pair_that_meets_somewhere_meets_in_the_selection(sizes, random):
    everything = list(product(*(map(str, range(size)) for size in sizes)))
    allowed = [row for row in everything if random.random() < 0.7]
    chosen = cover_pairs(allowed)
    assert set(chosen) <= set(allowed)
    assert pairs(chosen) == pairs(allowed)


def test_the_selection_is_the_same_every_time():
    assert cover_pairs(SWITCHES) == cover_pairs(list(SWITCHES))


def test_what_has_met_already_needs_no_row():
    first = cover_pairs(SWITCHES)
    assert cover_pairs(SWITCHES, met=pairs(first)) == []
    assert len(cover_pairs(SWITCHES, met=pairs(first[:3]))) < len(first)
