"""`rules` against people's MeSH tags, on the uids that no rule was written from.

The floors are those that were set before the rules were; docs/labelers.md has the figures.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rrgcore.chest import NO_FINDING

from .mesh import GRADED, Tagged, by_rules, by_three_words, load_tagged, map_tags, score

FEWEST = 25
"""Positives, for an observation to be held to a floor of its own."""


@pytest.fixture(scope="module")
def odd(shared: Path) -> list[Tagged]:
    archive = shared / "data" / "iu_xray" / "NLMCXR_reports_trainval.tgz"
    if not archive.is_file():
        pytest.skip(f"no reports: {archive} is absent")
    return load_tagged(archive, odd=True)


@pytest.fixture(scope="module")
def labels(odd: list[Tagged]) -> list[Mapping[str, int]]:
    return [by_rules(row.text) for row in odd]


@pytest.mark.parametrize(("uncertain_is_positive", "floor"), [(True, 0.88), (False, 0.83)])
def test_pooled_f1_reaches_its_floor(
    odd: list[Tagged],
    labels: list[Mapping[str, int]],
    uncertain_is_positive: bool,
    floor: float,
) -> None:
    pooled = score(odd, labels, GRADED, uncertain_is_positive=uncertain_is_positive)

    assert pooled.f1 >= floor


@pytest.mark.parametrize("uncertain_is_positive", [True, False])
@pytest.mark.parametrize("name", GRADED)
def test_each_observation_reaches_its_floor(
    odd: list[Tagged],
    labels: list[Mapping[str, int]],
    name: str,
    uncertain_is_positive: bool,
) -> None:
    graded = score(odd, labels, [name], uncertain_is_positive=uncertain_is_positive)
    if graded.positives < FEWEST:
        pytest.skip(f"{graded.positives} positives of {name}: too few for a floor")

    assert graded.f1 >= 0.75


def test_no_finding_reaches_its_floor(odd: list[Tagged], labels: list[Mapping[str, int]]) -> None:
    assert score(odd, labels, [NO_FINDING], uncertain_is_positive=True).f1 >= 0.88


def test_it_is_better_than_three_words(odd: list[Tagged], labels: list[Mapping[str, int]]) -> None:
    crude = [by_three_words(row.text) for row in odd]
    for uncertain_is_positive in (True, False):
        ours = score(odd, labels, GRADED, uncertain_is_positive=uncertain_is_positive)
        theirs = score(odd, crude, GRADED, uncertain_is_positive=uncertain_is_positive)
        assert ours.f1 > theirs.f1


@pytest.mark.parametrize(
    ("tags", "observations"),
    [
        (["normal"], {NO_FINDING}),
        (["Opacity/lung/base/left"], {"Lung Opacity"}),
        (["Opacity/ribs/left/anterior/round"], set()),
        (["Density/lung/base/right/round"], {"Lung Opacity", "Lung Lesion"}),
        (["Density/breast"], set()),
        (["Cardiac Shadow/borderline", "Cardiac Shadow/enlarged"], {"Cardiomegaly"}),
        (["Hydropneumothorax/left"], {"Pleural Effusion", "Pneumothorax"}),
        (["Costophrenic Angle/left/blunted", "Deformity/ribs"], set()),
    ],
)
def test_tags_are_mapped_as_frozen(tags: list[str], observations: set[str]) -> None:
    assert set(map_tags(tags)) == observations
