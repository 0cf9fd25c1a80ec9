"""Intervals and tests over studies: what a difference is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.scoring import Terms, mean_terms
from rrgcore.scoring.significance import SHUFFLES, difference, intervals, pooled


def ratio(rows: object) -> Terms:
    """A corpus score that is no mean of its pairs': a ratio of sums, as precision is."""
    return Terms(np.asarray(rows, dtype=float), lambda sums: sums[..., 0] / sums[..., 1])


def test_the_interval_of_a_mean_is_the_textbook_s() -> None:
    """For a mean of n values it is about value ± 1.96 sd / sqrt(n)."""
    values = np.random.default_rng(0).normal(0.3, 0.1, 900)
    found = intervals({"score": mean_terms(values)})["score"]
    half = 1.96 * values.std() / np.sqrt(900)

    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_a_corpus_score_is_computed_anew_of_every_draw() -> None:
    """One study of a hundred words outweighs nine of one word, and may be drawn or not."""
    found = intervals({"score": ratio([[100, 100], *[[0, 1]] * 9])})["score"]

    assert found.value == pytest.approx(100 / 109)
    assert found.low == 0  # a third of the draws lack the long one


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_an_interval_holds_between_the_smallest_and_the_largest(values: list[float]) -> None:
    found = intervals({"score": mean_terms(values)}, draws=50)["score"]

    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_one_study_has_no_interval() -> None:
    assert intervals({"score": mean_terms([0.5])}) == {}


def test_the_same_seed_gives_the_same_interval_however_it_is_portioned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terms = {"score": mean_terms(np.linspace(0, 1, 40))}
    whole = intervals(terms, seed=3)
    monkeypatch.setattr("rrgcore.scoring.significance._CELLS", 400)

    assert intervals(terms, seed=3) == whole


def test_scores_of_the_same_rows_share_the_draws() -> None:
    rows = np.random.default_rng(0).uniform(size=(50, 2))
    both = {
        "first": Terms(rows, lambda sums: sums[..., 0]),
        "double": Terms(rows, lambda sums: 2 * sums[..., 0]),
    }
    found = intervals(both)

    assert found["double"].low == pytest.approx(2 * found["first"].low)


# ---- between two systems -------------------------------------------------------------------------


def test_a_system_is_not_distinguishable_from_itself() -> None:
    terms = mean_terms(np.random.default_rng(0).uniform(size=200))
    found = difference(terms, terms)

    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert str(found) == "+0.000 [+0.000, +0.000], p = 1.00: not distinguishable"


def test_a_small_difference_on_every_study_is_distinguishable() -> None:
    """Paired: the studies vary far more than the systems do."""
    rng = np.random.default_rng(0)
    theirs = rng.uniform(size=100)
    ours = theirs + 0.02 + rng.normal(0, 0.005, 100)
    found = difference(mean_terms(ours), mean_terms(theirs))

    assert found.value == pytest.approx(0.02, abs=0.002)
    assert found.low > 0
    assert found.p == 1 / (SHUFFLES + 1)
    assert str(found).endswith("p = 0.0001: distinguishable")


def test_a_difference_that_noise_explains_is_not() -> None:
    rng = np.random.default_rng(1)
    theirs = rng.uniform(size=100)
    found = difference(mean_terms(theirs + rng.normal(0, 0.5, 100)), mean_terms(theirs))

    assert found.p > 0.05
    assert found.low < 0 < found.high
    assert "not distinguishable" in str(found)


def test_the_p_value_is_that_of_the_exact_test() -> None:
    """With four studies all sixteen exchanges can be listed by hand."""
    ours, theirs = np.array([0.9, 0.8, 0.7, 0.4]), np.array([0.1, 0.3, 0.5, 0.5])
    observed = abs((ours - theirs).mean())
    signs = np.array([[1 if n >> bit & 1 else -1 for bit in range(4)] for n in range(16)])
    exact = (np.abs((signs * (ours - theirs)).mean(1)) >= observed - 1e-12).mean()

    assert difference(mean_terms(ours), mean_terms(theirs)).p == pytest.approx(exact, abs=0.02)


def test_p_values_of_equal_systems_are_uniform() -> None:
    """A test at 5 % is wrong one time in twenty where there is no difference."""
    rng = np.random.default_rng(0)
    found = [
        difference(
            ratio(rng.integers(1, 9, (40, 2))),
            ratio(rng.integers(1, 9, (40, 2))),
            shuffles=200,
            draws=2,
        ).p
        for _ in range(400)
    ]

    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_other_studies_cannot_be_paired() -> None:
    with pytest.raises(AssertionError, match="the same studies in one order"):
        difference(mean_terms([1.0, 2.0]), mean_terms([1.0, 2.0, 3.0]))


# ---- several seeds -------------------------------------------------------------------------------


def draws_of(count: int, seed: int) -> Terms:
    rows = np.random.default_rng(seed).integers(1, 9, (count, 2))
    return ratio(rows)


def whole(terms: Terms) -> float:
    return float(terms.value(terms.rows.sum(0)))


def test_the_score_of_several_seeds_is_the_mean_of_theirs() -> None:
    """A ratio of sums over all seeds would be another number."""
    runs = [draws_of(30, seed) for seed in range(3)]
    (found,) = pooled([{"score": run} for run in runs]).values()

    assert whole(found) == pytest.approx(np.mean([whole(run) for run in runs]), abs=1e-12)
    assert intervals({"score": found})["score"].value == pytest.approx(whole(found), abs=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), [(1, 3), (3, 1), (2, 3), (2, 2)])
def test_the_difference_that_is_tested_is_that_of_the_means(ours: int, theirs: int) -> None:
    one = [draws_of(30, seed) for seed in range(ours)]
    other = [draws_of(30, 10 + seed) for seed in range(theirs)]
    first, second = (pooled([{"s": run} for run in runs])["s"] for runs in (one, other))
    expected = np.mean([whole(run) for run in one]) - np.mean([whole(run) for run in other])

    assert difference(first, second).value == pytest.approx(expected, abs=1e-12)


def test_scores_that_share_their_rows_still_do_when_they_are_pooled() -> None:
    """Else each of a hundred scores would be resampled by itself."""
    runs = []
    for seed in range(2):
        rows = np.random.default_rng(seed).uniform(size=(9, 2))
        first = Terms(rows, lambda sums: sums[..., 0])
        runs.append({"first": first, "second": Terms(rows, lambda sums: sums[..., 1])})
    found = pooled(runs)

    assert found["first"].rows is found["second"].rows
    assert pooled(runs[:1])["first"] is runs[0]["first"]
