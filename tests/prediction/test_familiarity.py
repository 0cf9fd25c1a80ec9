"""Whether an image is like those of training: films, and what is none."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image
from sklearn.covariance import LedoitWolf

from rrgcore.chest import View
from rrgcore.prediction.familiarity import (
    FEWEST,
    OWN_GROUP,
    Familiarity,
    fit_familiarity,
    shrunk_covariance,
)
from rrgcore.prediction.picture import BLOCKS, measure_picture

from .films import film, lateral, noise, photographs, turned

Images = Sequence[UInt8[np.ndarray, "h w"]]


def fitted(training: Mapping[View, Images], validation: Images) -> Familiarity:
    rows = {view: list(map(measure_picture, images)) for view, images in training.items()}
    found = fit_familiarity(rows, list(map(measure_picture, validation)))
    assert isinstance(found, Familiarity)
    return found


@pytest.fixture(scope="module")
def known() -> Familiarity:
    frontal = [film(number) for number in range(80)]
    return fitted({"frontal": frontal}, [film(number) for number in range(100, 150)])


@pytest.fixture(scope="module")
def films() -> Images:
    return [film(number) for number in range(200, 250)]


def share(known: Familiarity, images: Images) -> float:
    return float(np.mean([known.distance(image) > 1 for image in images]))


def test_films_of_the_same_kind_are_like_training(known: Familiarity, films: Images) -> None:
    assert share(known, films) <= 0.03


def test_noise_is_unlike_training(known: Familiarity) -> None:
    assert share(known, [noise(number) for number in range(36)]) >= 0.95


def test_photographs_are_unlike_training(known: Familiarity) -> None:
    assert share(known, photographs(24)) >= 0.95


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotated_films_are_unlike_training(
    quarters: int, known: Familiarity, films: Images
) -> None:
    assert share(known, [turned(image, quarters) for image in films[:25]]) >= 0.95


def test_films_turned_by_half_a_right_angle_are_unlike_training(
    known: Familiarity, films: Images
) -> None:
    askew = [np.asarray(Image.fromarray(image).rotate(45)) for image in films[:25]]

    assert share(known, askew) >= 0.95


def test_another_view_is_unlike_a_training_set_without_it_and_like_one_that_has_it(
    known: Familiarity, films: Images
) -> None:
    both = fitted(
        {
            "frontal": [film(number) for number in range(OWN_GROUP)],
            "lateral": [lateral(number) for number in range(OWN_GROUP)],
        },
        [*(film(n) for n in range(100, 150)), *(lateral(n) for n in range(100, 150))],
    )
    laterals = [lateral(number) for number in range(200, 225)]

    assert len(both.mean) == 2
    assert share(known, laterals) >= 0.95
    assert share(both, [*laterals, *films[:25]]) <= 0.04
    assert share(both, [turned(image, 2) for image in laterals]) >= 0.95


@pytest.mark.slow
def test_phantoms_are_told_from_noise_photographs_and_rotated_phantoms() -> None:
    from rrg_phantom.dataset import PhantomDataset

    phantoms = PhantomDataset(image_size=48, train=400, val=150, test=200)
    drawn = {
        split: [phantoms.open(study.images[0]) for study in phantoms.studies(split)]
        for split in ("train", "val", "test")
    }
    known = fitted({"frontal": drawn["train"]}, drawn["val"])

    assert share(known, drawn["test"]) <= 0.03
    assert share(known, [noise(number) for number in range(180)]) >= 0.95
    assert share(known, photographs(120)) >= 0.95
    for quarters in (1, 2, 3):
        assert share(known, [turned(image, quarters) for image in drawn["test"]]) >= 0.95


def test_it_says_what_is_strange(known: Familiarity, films: Images) -> None:
    assert known.strangest(turned(films[0], 2)) == "where it is light and dark"


def test_a_margin_that_is_a_little_brighter_than_any_of_training_is_not_strange(
    known: Familiarity, films: Images
) -> None:
    brighter = [np.maximum(film, 2) for film in films[:30]]

    assert share(known, brighter) <= 0.1


def test_too_few_images_tell_nothing() -> None:
    rows = [measure_picture(film(number)) for number in range(FEWEST)]

    assert fit_familiarity({"frontal": rows[:-1]}, rows) == (
        f"{FEWEST - 1} training images are too few to tell; {FEWEST} are enough"
    )
    assert "9 validation images" in str(fit_familiarity({"frontal": rows}, rows[:9]))


@pytest.mark.parametrize("count", [5, 40, 400])
def test_the_covariance_is_ledoit_and_wolf_s(count: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, 20)) @ rng.normal(size=(20, 20))
    rows -= rows.mean(0)

    expected = LedoitWolf(assume_centered=True).fit(rows).covariance_
    np.testing.assert_allclose(shrunk_covariance(rows), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("grey", [0, 255])
@pytest.mark.parametrize("side", [16, 300])
def test_every_picture_can_be_measured(grey: int, side: int) -> None:
    measured = measure_picture(np.full((side, side), grey, dtype=np.uint8))

    assert measured.shape == (sum(BLOCKS.values()),)
    assert np.isfinite(measured).all()
