"""Training studies varied: text and annotations go with the images, whatever the order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import UInt8
from torch import Tensor, nn

from rrgcore import Component, hookimpl, load_recipe
from rrgcore.annotations import Box, Boxes, Entity, Labels, NGrams, RadGraph
from rrgcore.assembled import check_assembled
from rrgcore.augment import Change, draw_change, mirror, tell_never_mirrored, why_not_mirrored
from rrgcore.chest import View
from rrgcore.data import Collator, ImageCache, Loader, study_rng
from rrgcore.errors import RecipeError
from rrgcore.interfaces import Adapter, Prepares
from rrgcore.plugins import GROUP, Discovered, discover
from rrgcore.session import Session
from rrgcore.settings import AugmentSettings
from rrgcore.studies import Studies
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.testing import make_study
from rrgcore.tokenizers import Tokenizers
from rrgcore.tokens import WordTokenizer
from rrgcore.types import Batch, Encoded, Visual
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"
REPORT = "small left pleural effusion . right-sided picc ."
EVERYTHING = AugmentSettings(
    flip=0.5,
    rotate=8.0,
    shift=0.05,
    scale=0.1,
    brightness=0.1,
    contrast=0.2,
    gamma=0.3,
    noise=0.02,
)
STILL = Change(
    mirrored=False,
    matrix=None,
    brightness=0.0,
    contrast=1.0,
    gamma=1.0,
    noise=0.0,
    noise_seed=0,
)


class Ramps(Dataset):
    """Images that are no mirror images of themselves; each number has another one."""

    def studies(self, split: str) -> Sequence[Study]:
        return []

    def open(self, image: ImageRef) -> np.ndarray:
        return np.random.default_rng(len(image.where)).integers(256, size=(16, 16), dtype=np.uint8)


class Told(Prepares[list[Study]]):
    """What a component is given to prepare from."""

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> list[Study]:
        return list(studies)


TOKENIZER = WordTokenizer.of_texts([REPORT, "small right pleural effusion . left-sided picc ."])


def make_collator(augment: AugmentSettings | None, *, seed: int = 0) -> Collator:
    return Collator(
        images=ImageCache(Ramps(), size=16),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        report_tokenizer=TOKENIZER,
        max_report_tokens=20,
        prepares={"objectives.mim": Told()},
        seed=seed,
        augment=augment,
    )


def make_loader(augment: AugmentSettings | None, count: int = 12, **options: Any) -> Loader:
    studies = [make_study(f"s{number}", report=REPORT) for number in range(count)]
    return Loader(
        studies,
        make_collator(augment),
        **({"batch_size": 4, "training": True} | options),
    )


def by_study(batches: list[Batch]) -> dict[str, tuple[bytes, list[int], bool]]:
    """What a batch says of each study: pixels, report, whether it is mirrored."""
    return {
        id: (
            batch.images[row].numpy().tobytes(),
            batch.report.ids[row].tolist(),
            batch.prepared["objectives.mim"][row].mirrored,
        )
        for batch in batches
        for row, id in enumerate(batch.ids)
    }


def greys(batch: Batch) -> np.ndarray:
    return (batch.images[:, :, 0] * 255).round().numpy().astype(np.uint8)


# ---- a flip ----------------------------------------------------------------------------------


def test_a_mirrored_study_is_flipped_and_says_the_other_side():
    study = make_study(report=REPORT)
    plain = make_collator(None)([study])
    flipped = make_collator(AugmentSettings(flip=1.0))([study])

    assert (greys(flipped) == greys(plain)[..., ::-1]).all()
    assert TOKENIZER.decode(flipped.report.ids[0].tolist()) == (
        "small right pleural effusion . left-sided picc ."
    )
    assert flipped.text is flipped.report
    assert flipped.prepared["objectives.mim"][0].mirrored


@pytest.mark.parametrize(
    ("views", "turned"),
    [
        (("frontal", "lateral"), (True, False)),
        (("unknown", "unknown"), (True, True)),
        (("lateral", "frontal"), (False, True)),
        (("lateral",), (False,)),
    ],
)
def test_all_views_are_flipped_but_laterals(views: Sequence[View], turned: Sequence[bool]):
    study = make_study(report=REPORT, views=views)
    plain = greys(make_collator(None)([study]))[0]
    batch = make_collator(AugmentSettings(flip=1.0))([study])

    for before, after, flips in zip(plain, greys(batch)[0], turned, strict=True):
        assert (after == (before[:, ::-1] if flips else before)).all()
    assert batch.prepared["objectives.mim"][0].mirrored == any(turned)


def test_annotations_follow_the_text_and_the_image():
    annotations = {
        RadGraph: RadGraph(
            ("left", "-", "sided", "effusion"),
            {"1": Entity("left - sided", "ANAT-DP", 0, 2, (("located_at", "2"),))},
        ),
        Labels: Labels({"Pleural Effusion": 1}),
        NGrams: NGrams({"Pleural Effusion_True": ("left effusion", "right middle lobe")}),
        Boxes: Boxes(
            (
                (Box("left lung", 0.5, 0.1, 0.75, 0.8), Box("right atrium", 0.25, 0.5, 0.5, 0.6)),
                (Box("left hemidiaphragm", 0.25, 0.5, 0.5, 0.6),),
            )
        ),
    }
    study = make_study(
        report="left-sided effusion", views=("frontal", "lateral"), annotations=annotations
    )

    found = mirror(study)

    assert found[RadGraph].words == ("right", "-", "sided", "effusion")
    assert found[RadGraph].entities["1"] == Entity(
        "right - sided", "ANAT-DP", 0, 2, (("located_at", "2"),)
    )
    assert found[Labels] is study[Labels]
    assert found[NGrams].values == {
        "Pleural Effusion_True": ("right effusion", "right middle lobe")
    }
    assert found[Boxes].images == (
        (Box("right lung", 0.25, 0.1, 0.5, 0.8), Box("right atrium", 0.5, 0.5, 0.75, 0.6)),
        (Box("right hemidiaphragm", 0.25, 0.5, 0.5, 0.6),),
    )
    assert mirror(found) == study


def test_an_annotation_that_cannot_be_mirrored_does_not_go_along():
    study = make_study(annotations={str: "left", Labels: Labels({})})
    assert list(mirror(study).annotations) == [Labels]


def test_a_study_is_mirrored_as_often_as_asked():
    study, always = make_study(report=REPORT), AugmentSettings(flip=0.3)
    drawn = [draw_change(always, study, study_rng(0, n, "s", "augment")) for n in range(2000)]
    assert np.mean([each.mirrored for each in drawn]) == pytest.approx(0.3, abs=0.03)


UNTRUE = [
    make_study("a", report="right middle lobe infiltrate ."),
    make_study("b", report="lingular scar ."),
    make_study("c", report="tube left in place ."),
    make_study("d", report="normal .", views=("lateral",)),
]


@pytest.mark.parametrize("study", UNTRUE, ids=lambda study: study.report)
def test_what_would_be_untrue_mirrored_is_never_flipped(study: Study):
    collate = make_collator(AugmentSettings(flip=1.0))
    assert why_not_mirrored(study) is not None
    for epoch in range(5):
        assert not collate([study], epoch=epoch).prepared["objectives.mim"][0].mirrored


def test_studies_that_are_never_flipped_are_counted_with_the_reasons():
    assert tell_never_mirrored([*UNTRUE, make_study(report=REPORT)]) == (
        "4 of 5 training studies are never flipped: 2 name what lies on one side only (as in "
        "'right middle'); 1 have a word that may mean no side (as in 'tube left in'); 1 have "
        "lateral images alone"
    )
    assert tell_never_mirrored([make_study(report=REPORT)]) is None


# ---- geometry --------------------------------------------------------------------------------


def bright(image: np.ndarray) -> tuple[float, float, float, float]:
    """Where an image is bright, as fractions: left, top, right, bottom."""
    rows, columns = (np.flatnonzero(image.max(axis) > 127) for axis in (1, 0))
    height, width = image.shape
    return (
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000),
    st.floats(0.25, 0.4),
    st.floats(0.3, 0.4),
    st.floats(0.1, 0.3),
    st.floats(0.1, 0.3),
)
def test_boxes_move_with_what_is_in_them(seed: int, x: float, y: float, w: float, h: float):
    size = 200
    corners = [round(value * size) for value in (x, y, x + w, y + h)]
    image = np.zeros((size, size), dtype=np.uint8)
    image[corners[1] : corners[3], corners[0] : corners[2]] = 255
    box = Box("left lung", *(value / size for value in corners))
    study = make_study(report=REPORT, annotations={Boxes: Boxes(((box,),))})
    augment = AugmentSettings(flip=0.5, rotate=10.0, shift=0.05, scale=0.1)

    change = draw_change(augment, study, np.random.default_rng(seed))
    found = change.study(study)[Boxes].images[0][0]

    where = bright(change.image(image, study, 0))
    # a corner of a rotated square holds less than half a pixel's light for a while
    assert (found.x1, found.y1, found.x2, found.y2) == pytest.approx(where, abs=0.025)
    assert found.name == ("right lung" if change.mirrored else "left lung")


def test_what_comes_in_from_outside_is_black_and_what_leaves_is_gone():
    shifted = replace(STILL, matrix=((1.0, 0.0, 0.5), (0.0, 1.0, 0.0)))
    white = np.full((8, 8), 255, dtype=np.uint8)
    assert (shifted.image(white, make_study(), 0) == np.array([0] * 4 + [255] * 4)).all()

    boxes = Boxes(((Box("a", 0.6, 0.2, 0.9, 0.4), Box("b", 0.25, 0.2, 0.75, 0.4)),))
    moved = shifted.study(make_study(annotations={Boxes: boxes}))
    assert moved[Boxes].images == ((Box("b", 0.75, 0.2, 1.0, 0.4),),)


def test_an_image_that_is_resampled_in_place_stays_as_it_is():
    image = Ramps().open(ImageRef("x"))
    still = replace(STILL, matrix=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert (still.image(image, make_study(), 0) == image).all()


def test_a_turn_is_clockwise_about_the_centre():
    image = np.zeros((9, 9), dtype=np.uint8)
    image[0, 4] = 255
    quarter = replace(STILL, matrix=((0.0, -1.0, 1.0), (1.0, 0.0, 0.0)))
    assert np.argwhere(quarter.image(image, make_study(), 0) == 255).tolist() == [[4, 8]]
    drawn = draw_change(AugmentSettings(rotate=45.0), make_study(), np.random.default_rng(2))
    assert drawn.matrix is not None
    (a, b, c), (d, e, f) = drawn.matrix
    assert (a, b) == pytest.approx((e, -d))
    assert a * a + b * b == pytest.approx(1)
    assert (a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f) == pytest.approx((0.5, 0.5))


def test_all_images_of_a_study_are_moved_alike():
    study = make_study(views=("frontal", "lateral", "unknown"))
    change = draw_change(replace(EVERYTHING, noise=0.0, flip=0.0), study, np.random.default_rng(3))
    image = Ramps().open(ImageRef("x"))
    first, *others = (change.image(image, study, number) for number in range(3))
    assert (first != image).any()
    assert all((other == first).all() for other in others)


# ---- greys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "greys"),
    [
        ({"brightness": 0.2}, [51, 51, 153, 255]),
        ({"brightness": -0.2}, [0, 0, 51, 204]),
        ({"contrast": 0.5}, [45, 45, 96, 172]),  # the mean is 89.25
        ({"contrast": 2.0}, [0, 0, 115, 255]),
        ({"gamma": 2.0}, [0, 0, 41, 255]),
        ({"gamma": 0.5}, [0, 0, 161, 255]),
    ],
)
def test_greys_change_as_the_settings_say(change: dict[str, float], greys: list[int]):
    image = np.array([[0, 0], [102, 255]], dtype=np.uint8)
    found = replace(STILL, **change).image(image, make_study(), 0)
    assert found.ravel().tolist() == greys
    assert found.dtype == np.uint8


def test_noise_has_the_deviation_that_is_asked_for_and_differs_by_image():
    study, grey = make_study(views=("frontal", "lateral")), np.full((128, 128), 128, dtype=np.uint8)
    noisy = replace(STILL, noise=0.05, noise_seed=7)
    first, second = (noisy.image(grey, study, number).astype(float) for number in range(2))
    assert first.std() == pytest.approx(0.05 * 255, rel=0.03)
    assert first.mean() == pytest.approx(128, abs=0.5)
    assert (first != second).mean() > 0.9


def test_a_cached_image_is_not_touched():
    collate = make_collator(replace(EVERYTHING, flip=1.0))
    study = make_study(report=REPORT)
    before = collate.images[study.images[0]].copy()
    collate([study])
    assert (collate.images[study.images[0]] == before).all()


# ---- what it depends on ----------------------------------------------------------------------


def test_without_augmentation_batches_are_what_they_were():
    plain, off = make_loader(None), make_loader(AugmentSettings())
    for one, other in zip(plain.epoch(1), off.epoch(1), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.report.ids, other.report.ids)
        assert one.prepared == other.prepared


def test_a_study_is_varied_the_same_in_any_batch_on_any_rank_by_any_thread():
    whole = by_study(list(make_loader(EVERYTHING).epoch(3)))
    assert len({mirrored for _, _, mirrored in whole.values()}) == 2
    for options in ({"batch_size": 5}, {"batch_size": 1}, {"workers": 3}):
        assert by_study(list(make_loader(EVERYTHING, **options).epoch(3))) == whole
    ranks = [make_loader(EVERYTHING, rank=rank, world=2).epoch(3) for rank in range(2)]
    assert by_study([batch for rank in ranks for batch in rank]) == whole


def test_an_epoch_that_is_gone_on_with_is_varied_as_it_would_have_been():
    whole, rest = (list(make_loader(EVERYTHING).epoch(2, skip=skip)) for skip in (0, 1))
    assert by_study(rest) == by_study(whole[1:])


def test_each_epoch_and_seed_varies_anew():
    loader = make_loader(EVERYTHING)
    first, second = (by_study(list(loader.epoch(number))) for number in range(2))
    assert all(first[id] != second[id] for id in first)
    loader.collate = make_collator(EVERYTHING, seed=1)
    other = by_study(list(loader.epoch(0)))
    assert all(first[id] != other[id] for id in first)


def test_masks_are_drawn_as_without_it():
    class Noise(Prepares[list[float]]):
        def prepare(self, studies: Sequence[Study], rngs: Sequence[Any]) -> list[float]:
            return [float(rng.random()) for rng in rngs]

    found = []
    for augment in (None, EVERYTHING):
        collate = make_collator(augment)
        collate.prepares = {"objectives.mim": Noise()}
        found.append(collate([make_study(report=REPORT)]).prepared)
    assert found[0] == found[1]


def test_one_setting_does_not_move_the_draws_of_another():
    study = make_study(report=REPORT)
    alone = AugmentSettings(flip=0.5, brightness=0.1)
    for epoch in range(20):
        few, many = (
            draw_change(each, study, study_rng(0, epoch, "s", "augment"))
            for each in (alone, EVERYTHING)
        )
        assert (few.mirrored, few.brightness) == (many.mirrored, many.brightness)


def test_draws_are_the_same_on_every_machine():
    change = draw_change(EVERYTHING, make_study(report=REPORT), study_rng(1, 5, "s", "augment"))
    assert change.mirrored
    assert change.brightness == pytest.approx(-0.05322521906934566)
    assert change.noise_seed == 1902210141820155572


# ---- settings and runs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"flip": 1.5}, "`flip` is 1.5; expected 0 to 1"),
        ({"rotate": 90.0}, "`rotate` is 90.0; expected 0 to 45"),
        ({"shift": -0.1}, "`shift` is -0.1; expected 0 to 0.25"),
        ({"noise": float("nan")}, "`noise` is nan; expected 0 to 0.25"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, float], said: str):
    with pytest.raises(ValueError, match=said):
        AugmentSettings(**setting)


@final
@dataclass(frozen=True, slots=True)
class Gaze:
    """Somebody's own annotation, which knows nothing of augmentation."""

    slug: ClassVar[str] = "gaze"

    x: float

    @classmethod
    def from_json(cls, data: Any) -> "Gaze":
        return cls(float(data))

    def to_json(self) -> Any:
        return self.x


class OneSided(Dataset):
    """Phantom-like studies; training ones name one side only."""

    def studies(self, split: str) -> Sequence[Study]:
        reports = {"train": ["left effusion .", "lingular scar ."]}.get(split, ["left effusion ."])
        return [
            make_study(f"{split}-{number}", report=reports[number % len(reports)])
            for number in range(6)
        ]

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        return Ramps().open(image)

    def knows_from_images(self, kind: type) -> bool:
        return True

    def annotation(self, study: Study, kind: type) -> Any:
        return Gaze(0.5) if kind is Gaze else None


class ReadsGaze(Adapter, Prepares[Tensor]):
    """Adds where somebody looked."""

    reads = (Gaze,)

    def __init__(self, *, image_dim: int, visual_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(image_dim, visual_dim)

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> Tensor:
        return Tensor([[study[Gaze].x] for study in studies])

    def forward(self, image: Encoded, prepared: Any = None) -> Visual:
        return Visual(self.project(image.tokens) + prepared[..., None], image.mask)


@hookimpl
def rrg_components() -> list[Component]:
    """Make this file a plugin."""
    return [
        Component("dataset", "one_sided", f"{__name__}:OneSided", "training reports of one side"),
        Component("adapter", "reads_gaze", f"{__name__}:ReadsGaze", "a reader of gazes"),
    ]


@pytest.fixture(scope="module")
def found() -> Discovered:
    return discover(points=[*entry_points(group=GROUP), EntryPoint("sided", __name__, GROUP)])


def session(found: Discovered, *overrides: str) -> Session:
    data = "data={name: one_sided, image_size: 32, batch_size: 2}"
    return load_recipe(
        TINY, variants=["short"], overrides=[data, "objectives.mim=off", *overrides], plugins=found
    )


class Listens(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_only_training_is_augmented(found: Discovered):
    of = session(found, "data.augment.flip=1", "data.augment.rotate=5")
    studies = Studies(of.plan)
    model = check_assembled(of.plan, Tokenizers(of.plan, lambda: studies.reports("train")))

    for role, training in (("train", True), ("train", False), ("val", False), ("test", False)):
        loader = studies.loader(model, role, training=training)
        assert (loader.collate.augment is not None) == training


def test_a_recipe_that_asks_for_none_has_none(found: Discovered):
    of = session(found, "data.augment.flip=0")
    studies = Studies(of.plan)
    model = check_assembled(of.plan, Tokenizers(of.plan, lambda: studies.reports("train")))
    assert studies.loader(model, "train", training=True).collate.augment is None


@pytest.mark.parametrize(("flip", "known"), [(0.0, False), (0.5, True)])
def test_the_words_of_both_sides_are_in_the_vocabulary(flip: float, known: bool, found: Discovered):
    plan = session(found, f"data.augment.flip={flip}").plan
    tokenizer = Tokenizers(plan, lambda: Studies(plan).reports("train"))("words")
    left, right, unknown = (tokenizer.encode(word)[1] for word in ("left", "right", "[UNK]"))
    assert left != unknown
    assert (right != unknown) == known


@pytest.mark.parametrize(
    ("setting", "method", "remedy"),
    [
        ("flip=0.5", "mirrored", "data.augment.flip=0"),
        ("shift=0.1", "moved", "data.augment.rotate=0 data.augment.shift=0 data.augment.scale=0"),
    ],
)
def test_annotations_that_would_not_follow_are_refused(
    setting: str, method: str, remedy: str, found: Discovered, tmp_path: Path
):
    ready = session(found, f"data.augment.{setting}", "model.adapter=reads_gaze")
    said = (
        f"adapter reads Gaze, and Gaze annotations have no method `{method}`, so they would not "
        "follow their image. Give the class one (rrgcore.annotations.Annotation says what it "
        f"returns), or set {remedy}.\nTo do without it: model.adapter=… (rrg list adapters)"
    )

    for refuse in (ready.check, lambda: ready.run(tmp_path / "run")):
        with pytest.raises(RecipeError) as refused:
            refuse()
        assert [problem.text for problem in refused.value.problems] == [said]
        assert refused.value.problems[0].address == "data.augment"
    assert not (tmp_path / "run").exists()


def test_a_run_trains_on_mirrored_studies_and_says_once_what_it_passes_over(
    found: Discovered, tmp_path: Path
):
    watcher = Listens()
    ready = session(found, "data.augment.flip=1", "data.augment.rotate=5")

    run = ready.run(tmp_path / "run", watcher=watcher)

    assert [note for note in watcher.notes if "never flipped" in note] == [
        "3 of 6 training studies are never flipped: 3 name what lies on one side only (as in "
        "'lingular')"
    ]
    assert len(run.predictions) == 6
