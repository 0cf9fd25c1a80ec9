"""Whether probes measure what they say: with a model that uses the image, one that does not, one that knows all."""  # noqa: E501

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rrgcore import load_recipe
from rrgcore.annotations import Labels
from rrgcore.assess import _probe
from rrgcore.data import Loader
from rrgcore.features import Features
from rrgcore.interfaces import Embeds, Matches, Reconstructs
from rrgcore.job import make_accelerator
from rrgcore.model import ReportModel
from rrgcore.plugins import Discovered
from rrgcore.probes import (
    blank_images,
    exchange_images,
    exchange_texts,
    image_gap,
    reconstruction,
)
from rrgcore.retrieval import retrieval
from rrgcore.run import Run
from rrgcore.studies import Studies
from rrgcore.study import ImageRef, Study
from rrgcore.types import Batch, Decoded, Encoded, Tokens
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture
def model(finished: Run) -> ReportModel:
    return finished.model()


@pytest.fixture
def loader(finished: Run, model: ReportModel) -> Loader:
    return Studies(finished.plan).loader(model, "train", training=False, batch_size=4)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ask(model: ReportModel, loader: Loader, **objectives: Any) -> dict[str, float]:
    return retrieval(model, loader, **objectives, rng=rng(), watcher=Watcher())


# ---- exchanging -------------------------------------------------------------------------------


def test_exchanging_changes_one_modality_and_not_the_other(loader: Loader) -> None:
    batch = next(loader.epoch())

    texts = exchange_texts(batch)
    assert torch.equal(texts.text.ids[1], batch.text.ids[0])
    assert torch.equal(texts.report.mask[0], batch.report.mask[-1])
    assert texts.images is batch.images


def test_an_exchanged_image_brings_all_that_was_derived_from_it() -> None:
    """An adapter reads the images and what is known of them; id and report stay."""
    studies = [
        Study(str(i), (ImageRef(str(i)),), ("lateral",), f"report {i}", {Labels: f"labels {i}"})
        for i in range(5)
    ]
    exchanged = exchange_images(studies, seed=0)

    assert [(s.id, s.report) for s in exchanged] == [(s.id, s.report) for s in studies]
    brought = [study.images[0].where for study in exchanged]
    assert sorted(brought) == ["0", "1", "2", "3", "4"]
    assert all(where != study.id for where, study in zip(brought, exchanged, strict=True))
    assert [study[Labels] for study in exchanged] == [f"labels {where}" for where in brought]


def test_a_blank_image_is_one_grey(loader: Loader) -> None:
    blank = blank_images(next(loader.epoch())).images

    assert blank.unique().numel() == 1


# ---- the image gap ----------------------------------------------------------------------------


class Guesses(nn.Module):
    """A decoder whose loss is how far the image's mean is from the report's first word."""

    def __init__(self, *, looks: bool) -> None:
        super().__init__()
        self.looks = looks

    def forward(self, visual: Any, report: Tokens) -> Decoded:
        seen = visual.tokens.mean((1, 2)) if self.looks else torch.zeros(len(report.ids))
        wanted = torch.arange(len(report.ids)).float()
        return Decoded((seen - wanted).abs().mean(), torch.tensor(1))


def batch_with_marks(loader: Loader) -> Batch:
    """Images whose brightness says which study they belong to."""
    batch = next(loader.epoch())
    marks = torch.arange(len(batch)).float().view(-1, 1, 1, 1, 1)
    return replace(batch, images=torch.zeros_like(batch.images) + marks)


class Brightness(nn.Module):
    def forward(self, images: Tensor) -> Encoded:
        mean = images.mean((1, 2, 3)).view(-1, 1)
        return Encoded(mean.unsqueeze(1), mean)


@pytest.mark.parametrize(("looks", "gap"), [(True, 1.5), (False, 0.0)])
def test_the_gap_is_above_zero_only_where_the_image_is_used(
    looks: bool, gap: float, model: ReportModel, loader: Loader
) -> None:
    model.parts.encoder, model.parts.decoder = Brightness(), Guesses(looks=looks)  # type: ignore[assignment]
    own = batch_with_marks(loader)
    other = replace(own, images=own.images.roll(1, 0))

    assert image_gap(model, [(own, other)]) == pytest.approx(gap)


def test_the_gap_leaves_the_model_in_its_mode(model: ReportModel, loader: Loader) -> None:
    model.train()
    image_gap(model, [(next(loader.epoch()), next(loader.epoch()))])

    assert model.training


def test_the_gap_is_of_all_tokens_however_they_are_divided(
    model: ReportModel, finished: Run
) -> None:
    studies = Studies(finished.plan)
    found = []
    for size in (7, 2):
        loader = studies.loader(model, "train", training=False, first=7, batch_size=size)
        own = list(loader.epoch())
        loader.studies = exchange_images(loader.studies, 0)
        found.append(image_gap(model, zip(own, loader.epoch(), strict=True)))

    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)
    assert found[0] != 0


@pytest.mark.parametrize(
    ("options", "sizes", "half"),
    [
        (["data.val=5", "data.batch_size=4", "stages.align.precision=bf16"], [4, 1], True),
        pytest.param(
            ["data.val=40", "evaluation.batch_size=20"], [20, 12], False, marks=pytest.mark.slow
        ),
    ],
)
def test_while_training_the_gap_is_asked_in_batches_of_the_recipe_and_in_its_precision(
    options: list[str],
    sizes: list[int],
    half: bool,
    plugins: Discovered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More studies at once than the recipe allows would not fit where it does."""
    asked: list[tuple[list[int], bool]] = []

    def ask(model: ReportModel, pairs: Any, device: Any) -> float:
        asked.append(([len(own) for own, _ in pairs], torch.is_autocast_enabled("cpu")))
        raise KeyboardInterrupt

    monkeypatch.setattr("rrgcore.training.image_gap", ask)
    alone = ["stages.generate=off", *(f"objectives.{name}=off" for name in ("mim", "mlm", "irm"))]
    session = load_recipe(TINY, overrides=[*alone, *options], plugins=plugins)
    with pytest.raises(KeyboardInterrupt):
        session.run(tmp_path / "run")

    assert asked == [(sizes, half)]


# ---- in half precision ------------------------------------------------------------------------


class Close(nn.Module, Embeds):
    """Embeds images and reports that differ by less than half precision can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = {"image": 0, "text": 0}

    def _next(self, which: str, count: int) -> Tensor:
        rows = torch.arange(self.rows[which], self.rows[which] + count)
        self.rows[which] += count
        angle = rows * 1e-2
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    def embed_image(self, image: Encoded) -> Tensor:
        return self._next("image", len(image.tokens))

    def embed_text(self, text: Encoded) -> Tensor:
        return self._next("text", len(text.tokens))


def test_what_is_near_is_told_apart_where_features_are_in_half(
    model: ReportModel, loader: Loader
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = ask(with_objectives(model, irc=Close()), loader, embeds="irc")

    assert found["recall@1 of 10, IRC"] == 1


class PaintsInHalf(nn.Module, Reconstructs):
    """Gives what numpy has no type for."""

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        return {"error": torch.full((len(features.batch),), 0.5, dtype=torch.bfloat16)}


def test_errors_in_half_precision_are_measured(model: ReportModel, loader: Loader) -> None:
    model = with_objectives(model, mim=PaintsInHalf())
    found = reconstruction(model, "mim", loader, rng=rng(), watcher=Watcher())

    assert found["error at hidden patches"] == 0.5


def test_probes_see_what_training_and_writing_see(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The precision of the stages: a recipe that fits in half need not fit in whole."""
    seen: dict[str, bool] = {}
    for name in ("retrieval", "reconstruction", "nearest_reports"):

        def noted(*given: Any, name: str = name, **options: Any) -> Any:
            seen[name] = torch.is_autocast_enabled("cpu")
            return [] if name == "nearest_reports" else {}

        monkeypatch.setattr(f"rrgcore.assess.{name}", noted)
    plan = replace(
        finished.plan,
        stages={n: replace(s, precision="bf16") for n, s in finished.plan.stages.items()},
    )
    _probe(
        plan,
        finished.model(),
        Studies(plan),
        finished.folder,
        make_accelerator(plan),
        Watcher(),
        "test",
    )

    assert seen == {"retrieval": True, "reconstruction": True, "nearest_reports": True}


# ---- retrieval --------------------------------------------------------------------------------


class Oracle(nn.Module, Embeds):
    """Knows which study a batch's rows are: embeds image and report as the same unit vector."""

    def __init__(self, *, good: bool) -> None:
        super().__init__()
        self.good = good
        self.rows = {"image": 0, "text": 0}

    def _next(self, which: str, count: int) -> Tensor:
        start = self.rows[which]
        self.rows[which] += count
        rows = torch.arange(start, start + count)
        if which == "text" and not self.good:
            rows = (rows + 1) % 10
        return torch.eye(10)[rows]

    def embed_image(self, image: Encoded) -> Tensor:
        return self._next("image", len(image.tokens))

    def embed_text(self, text: Encoded) -> Tensor:
        return self._next("text", len(text.tokens))


class Matcher(nn.Module, Matches):
    """Prefers the study's own report, which it recognises by its image's tokens."""

    def __init__(self, pairs: Mapping[tuple[float, ...], tuple[int, ...]]) -> None:
        super().__init__()
        self.pairs = pairs

    def match(self, tokens: Tokens, image: Encoded) -> Tensor:
        wanted = [self.pairs[key(row)] for row in image.pooled]
        ids = [tuple(r[m].tolist()) for r, m in zip(tokens.ids, tokens.mask, strict=True)]
        return torch.tensor([float(a == b) for a, b in zip(wanted, ids, strict=True)])


class Indifferent(nn.Module, Matches):
    """All reports belong to all images."""

    def match(self, tokens: Tokens, image: Encoded) -> Tensor:
        return torch.zeros(len(tokens.ids))


def key(row: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in row.tolist())


def with_objectives(model: ReportModel, **objectives: nn.Module) -> ReportModel:
    model.objectives = nn.ModuleDict(objectives)
    return model


def test_a_model_that_knows_the_right_report_finds_it(model: ReportModel, loader: Loader) -> None:
    found = ask(with_objectives(model, irc=Oracle(good=True)), loader, embeds="irc")

    assert found == {"recall@1 of 10, IRC": 1.0, "chance": 0.1}


def test_a_model_that_prefers_the_wrong_report_finds_none(
    model: ReportModel, loader: Loader
) -> None:
    found = ask(with_objectives(model, irc=Oracle(good=False)), loader, embeds="irc")

    assert found["recall@1 of 10, IRC"] == 0.0


def test_matching_ranks_the_best_of_the_embedding_again(model: ReportModel, loader: Loader) -> None:
    pairs = {}
    with torch.no_grad():
        for batch in loader.epoch():
            image = Features(model.eval().parts, batch).image
            for row, ids, mask in zip(image.pooled, batch.text.ids, batch.text.mask, strict=True):
                pairs[key(row)] = tuple(ids[mask].tolist())
    objectives = {"irc": Oracle(good=False), "irm": Matcher(pairs)}
    model = with_objectives(model, **objectives)
    found = ask(model, loader, embeds="irc", matches=["irm"])

    assert found["recall@1 of 10, IRC"] == 0.0
    assert found["recall@1 of 10, IRC, then IRM"] == 1.0
    assert ask(model, loader, matches=["irm"]) == {"recall@1 of 10, IRM": 1.0, "chance": 0.1}


def test_the_objective_that_is_asked_embeds_and_the_figure_has_its_name(
    model: ReportModel, loader: Loader
) -> None:
    model = with_objectives(model, irc=Oracle(good=True), other=Oracle(good=False))

    assert ask(model, loader, embeds="other") == {"recall@1 of 10, OTHER": 0.0, "chance": 0.1}


def test_a_matcher_alone_is_asked_for_one_report_of_sixteen(
    model: ReportModel, loader: Loader
) -> None:
    """One that has no preference finds it by chance."""
    loader.studies = [
        replace(study, id=f"{study.id}-{i}", report=f"case {i} of {study.id} .")
        for i in range(2)
        for study in loader.studies
    ]

    found = ask(with_objectives(model, irm=Indifferent()), loader, matches=["irm"])

    assert found == {"recall@1 of 16, IRM": 1 / 16, "chance": 1 / 16}


def test_only_the_studies_that_were_drawn_are_embedded(
    model: ReportModel, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrgcore.retrieval.CANDIDATES", 2)
    monkeypatch.setattr("rrgcore.retrieval.QUERIES", 4)
    oracle = Oracle(good=True)
    ask(with_objectives(model, irc=oracle), loader, embeds="irc")

    assert oracle.rows == {"image": oracle.rows["text"], "text": oracle.rows["text"]}
    assert 2 <= oracle.rows["text"] <= 4


def test_a_verbatim_equal_report_counts_as_found(model: ReportModel, loader: Loader) -> None:
    loader.studies = [replace(study, report="the same .") for study in loader.studies]
    found = ask(with_objectives(model, irc=Oracle(good=False)), loader, embeds="irc")

    assert found["recall@1 of 10, IRC"] == 1.0


CONTRAST = "objectives={%s: {name: irc, space: {ref: joint}, queue: 4}}"


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (
            [CONTRAST % "other"],
            {
                "irc": ["stage", "recall@1 of 4, IRC", "recall@1 of 4, IRC, then IRM", "chance"],
                "other": [
                    "stage", "recall@1 of 4, OTHER", "recall@1 of 4, OTHER, then IRM", "chance"
                ],
            },
        ),
        (
            ["objectives.irc=off", "objectives.irm={space: off}", "model.shared.joint=off"],
            {"irm": ["stage", "recall@1 of 4, IRM", "chance"]},
        ),
    ],
    ids=["two contrasts", "a matcher alone"],
)  # fmt: skip
def test_every_objective_that_can_be_asked_is_probed_by_its_name(
    overrides: list[str], keys: dict[str, list[str]], plugins: Discovered, tmp_path: Path
) -> None:
    few = ["objectives.mim=off", "objectives.mlm=off", "evaluation.probes=true"]
    session = load_recipe(TINY, variants=["short"], overrides=[*few, *overrides], plugins=plugins)
    probes = session.run(tmp_path / "run").scores["probes"]

    assert {name: list(found) for name, found in probes.items()} == keys


# ---- reconstruction ---------------------------------------------------------------------------


class Paints(nn.Module, Reconstructs):
    """Its error is 1 with the own report and `other` with another's."""

    def __init__(self, own: list[tuple[int, ...]], other: float) -> None:
        super().__init__()
        self.own, self.other, self.at = own, other, 0

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        ids = [tuple(row[m].tolist()) for row, m in
               zip(features.batch.text.ids, features.batch.text.mask, strict=True)]  # fmt: skip
        right = all(one in self.own for one in ids[:1]) and ids[0] == self.own[self.at]
        if not right:
            self.at += len(ids)
        return {"error": torch.full((len(ids),), 1.0 if right else self.other)}


def firsts(loader: Loader) -> list[tuple[int, ...]]:
    return [
        tuple(row[mask].tolist())
        for batch in loader.epoch()
        for row, mask in zip(batch.text.ids, batch.text.mask, strict=True)
    ]


@pytest.mark.parametrize(("other", "gain"), [(3.0, 2.0), (1.0, 0.0)])
def test_the_gain_is_by_how_much_another_report_is_worse(
    other: float, gain: float, model: ReportModel, loader: Loader
) -> None:
    model = with_objectives(model, mim=Paints(firsts(loader), other))
    found = reconstruction(model, "mim", loader, rng=rng(), watcher=Watcher())

    assert found["error at hidden patches"] == 1.0
    assert found["with another's report"] == other
    assert (found["gain"].value, found["gain"].low, found["gain"].high) == (gain, gain, gain)


class SinglesOut(nn.Module, Reconstructs):
    """Has key patches in every other study, or in none; a hundred times worse elsewhere."""

    def __init__(self, *, some: bool) -> None:
        super().__init__()
        self.some = some

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        count = len(features.batch)
        error = torch.full((count,), 100.0)
        keyed = torch.arange(count) % 2 == 0 if self.some else torch.zeros(count, dtype=torch.bool)
        return {"error": error, "key_error": torch.where(keyed, 1.0, torch.nan)}


@pytest.mark.parametrize(
    ("some", "name", "error"),
    [(True, "error at key patches", 1.0), (False, "error at hidden patches", 100.0)],
)
def test_a_study_without_key_patches_does_not_count_unless_there_are_none_at_all(
    some: bool, name: str, error: float, model: ReportModel, loader: Loader
) -> None:
    model = with_objectives(model, mim=SinglesOut(some=some))
    found = reconstruction(model, "mim", loader, rng=rng(), watcher=Watcher())

    assert list(found) == [name, "with another's report", "gain"]
    assert (found[name], found["gain"].value, found["gain"].high) == (error, 0.0, 0.0)


class Names(nn.Module, Reconstructs):
    """Asked for one word a study, 0 nine times of ten; right with an image, always 0 without."""

    def reconstruct(self, features: Features, prepared: Any) -> Mapping[str, Tensor]:
        count = len(features.batch)
        study = torch.arange(count)
        expected = torch.tensor([int(id.endswith("5")) for id in features.batch.ids])
        blank = features.batch.images.unique().numel() == 1
        guessed = torch.zeros_like(expected) if blank else expected
        return {"error": torch.zeros(count), "study": study, "expected": expected,
                "guessed": guessed}  # fmt: skip


def test_words_are_judged_by_balanced_accuracy_with_the_image_and_with_a_blank_one(
    model: ReportModel, loader: Loader
) -> None:
    """Always saying the frequent word is half right, not nine tenths."""
    found = reconstruction(
        with_objectives(model, mlm=Names()), "mlm", loader, rng=rng(), watcher=Watcher()
    )

    assert found["balanced accuracy"].value == 1.0
    assert found["with a blank image"].value == 0.5
    assert found["gain"].value == 0.5
    assert found["gain"].low <= 0.5 <= found["gain"].high
