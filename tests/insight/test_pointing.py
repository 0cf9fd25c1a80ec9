"""The pointing game, by hand."""

import numpy as np
import pytest

from rrgcore.annotations import Box
from rrgcore.insight.attending import Heads
from rrgcore.insight.pointing import (
    Case,
    centre_map,
    choose,
    hit,
    inside_boxes,
    play,
    priors,
)


def box(x1, y1, x2, y2, name="Edema"):
    return Box(name, x1, y1, x2, y2)


def case(study, weights, inside, around=None, observation="Edema"):
    weights = np.asarray(weights, dtype=np.float32)
    around = weights if around is None else np.asarray(around, dtype=np.float32)
    return Case(study, observation, weights, around, np.asarray(inside, dtype=bool))


CORNER = [[1, 0], [0, 0]]
HERE, THERE = [[0.7, 0.1], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.7]]


def test_patches_lie_in_a_box_by_their_centres():
    inside = inside_boxes([box(0.0, 0.0, 0.5, 0.4)], (4, 4))
    assert inside.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_a_box_that_holds_no_centre_is_the_patch_around_its_own():
    inside = inside_boxes([box(0.30, 0.90, 0.34, 0.99)], (2, 2))
    assert inside.astype(int).tolist() == [[0, 0], [1, 0]]


def test_several_boxes_of_a_finding_are_one_target():
    inside = inside_boxes([box(0.0, 0.0, 0.4, 0.4), box(0.6, 0.6, 1.0, 1.0)], (2, 2))
    assert inside.astype(int).tolist() == [[1, 0], [0, 1]]


def test_a_maximum_hits_or_misses_and_several_share():
    inside = np.array(CORNER, dtype=bool)
    assert hit(np.array(HERE), inside) == 1
    assert hit(np.array(THERE), inside) == 0
    assert hit(np.full((2, 2), 0.25), inside) == 0.25


def test_the_centre_of_an_even_grid_is_four_patches():
    centre = centre_map((4, 6))
    assert np.argwhere(centre == centre.max()).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_the_game_on_a_map_made_by_hand():
    cases = [case("a", [[HERE]], CORNER), case("b", [[THERE]], CORNER)]
    found = play(cases, Heads(), rng=np.random.default_rng(0), elsewhere=priors(cases))
    assert (found.cases, found.studies, found.hits.value) == (2, 2, 0.5)
    assert found.area == found.centre == 0.25
    assert found.prior == 1.0
    assert found.mass == pytest.approx(0.4)
    assert found.over_area.value == 0.25
    assert found.any_word == 0.5
    assert found.over_any.value == 0
    assert found.of["Edema"]["cases"] == 2
    assert 0 <= found.hits.low <= 0.5 <= found.hits.high <= 1


def test_an_observation_that_did_not_occur_elsewhere_has_the_prior_of_all():
    elsewhere = priors([case("a", [[HERE]], CORNER)])
    rare = case("b", [[HERE]], CORNER, observation="Fracture")
    assert play([rare], Heads(), rng=np.random.default_rng(0), elsewhere=elsewhere).prior == 1.0


def test_words_that_look_where_all_words_look_are_no_better_than_any():
    cases = [case("a", [[HERE]], CORNER), case("b", [[HERE]], CORNER, around=[[THERE]])]
    found = play(cases, Heads(), rng=np.random.default_rng(0))
    assert (found.hits.value, found.any_word, found.prior) == (1.0, 0.5, None)


def test_the_best_layer_and_head_are_chosen():
    weights = [[THERE, THERE], [THERE, HERE]]
    assert choose([case("a", weights, CORNER)]) == (Heads((1,), (1,)), 1.0)
    assert choose([case("a", [[HERE, HERE]], CORNER)]) == (Heads(), 1.0)


def test_what_words_usually_look_at_is_taken_off():
    usual = {0: np.array([[THERE]]) * 0.9}
    plain = case("a", [[[[0.3, 0.0], [0.0, 0.7]]]], CORNER)
    assert hit(plain.map(Heads()), plain.inside) == 0
    beyond = plain.beyond(usual)
    assert hit(beyond.map(Heads()), beyond.inside) == 1
