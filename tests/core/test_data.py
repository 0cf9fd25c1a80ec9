"""Batches: what is in them, and that nothing depends on order, size, ranks or threads."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rrgcore import load_recipe
from rrgcore.annotations import Labels, NGrams, RadGraph
from rrgcore.data import (
    Collator,
    ImageCache,
    Loader,
    study_rng,
    truncated,
)
from rrgcore.errors import DataError
from rrgcore.gathering import gather_annotations
from rrgcore.interfaces import Prepares
from rrgcore.plugins import Discovered
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Annotator, Dataset
from rrgcore.tokens import WordTokenizer
from rrgcore.types import Batch


class Grey(Dataset):
    """Images of one shade each, named by it; counts how often each is opened."""

    def __init__(self, *, labels: dict[str, Labels] | None = None) -> None:
        self.opened: Counter[str] = Counter()
        self.labels = labels or {}

    def studies(self, split: str) -> Sequence[Study]:
        return []

    def open(self, image: ImageRef) -> np.ndarray:
        self.opened[image.where] += 1
        return np.full((40, 30), int(image.where), dtype=np.uint8)

    def annotation(self, study: Study, kind: type) -> Any:
        return self.labels.get(study.id) if kind is Labels else None


class Noise(Prepares[list[float]]):
    """A masking, as far as loading is concerned: a draw for each study."""

    def prepare(self, studies: Sequence[Study], rngs: Sequence[np.random.Generator]) -> list[float]:
        return [float(rng.random()) for rng in rngs]


def make_study(number: int, *, views: int = 1, report: str | None = "clear lungs .") -> Study:
    images = tuple(ImageRef(str(number + view)) for view in range(views))
    return Study(id=f"s{number}", images=images, views=("frontal",) * views, report=report)


TOKENIZER = WordTokenizer.of_texts(["clear lungs . no effusion ."])


def make_collator(dataset: Dataset | None = None, **options: Any) -> Collator:
    cache = ImageCache(dataset or Grey(), size=8)
    defaults: dict[str, Any] = {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "report_tokenizer": TOKENIZER,
        "max_report_tokens": 10,
        "prepares": {"objectives.mim": Noise()},
    }
    return Collator(images=cache, **(defaults | options))


def make_loader(count: int = 10, **options: Any) -> Loader:
    defaults: dict[str, Any] = {"batch_size": 4, "training": True}
    studies = [make_study(number) for number in range(count)]
    collate = options.pop("collate", None) or make_collator(seed=options.pop("seed", 0))
    return Loader(studies, collate, **(defaults | options))


def ids(batches: Iterable[Batch]) -> list[tuple[str, ...]]:
    return [batch.ids for batch in batches]


def draws(batches: Iterable[Batch]) -> dict[str, float]:
    return {
        study: draw
        for batch in batches
        for study, draw in zip(batch.ids, batch.prepared["objectives.mim"], strict=True)
    }


# ---- one batch -------------------------------------------------------------------------------


def test_a_batch_holds_images_tokens_and_what_components_prepared():
    batch = make_collator()([make_study(0), make_study(255)])
    assert batch.ids == ("s0", "s255")
    assert batch.images.shape == (2, 1, 3, 8, 8)
    assert torch.equal(batch.images[0], torch.full((1, 3, 8, 8), -1.0))
    torch.testing.assert_close(batch.images[1], torch.ones(1, 3, 8, 8))
    assert batch.report.ids.tolist() == [TOKENIZER.encode("clear lungs .")] * 2
    assert batch.report.mask.all()
    assert len(batch.prepared["objectives.mim"]) == 2


def test_each_channel_is_normalised_by_its_own_mean_and_std():
    collate = make_collator(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    pixel = collate([make_study(51)]).images[0, 0, :, 0, 0]  # 51 / 255 = 0.2
    torch.testing.assert_close(pixel, torch.tensor([0.1, 0.0, -0.025]))


def test_a_study_with_fewer_images_has_absent_views():
    batch = make_collator()([make_study(9, views=2), make_study(9), make_study(9, views=3)])
    assert batch.images.shape == (3, 3, 3, 8, 8)
    assert batch.present.tolist() == [[True, True, False], [True, False, False], [True] * 3]
    assert (batch.images[~batch.present] == 0).all()
    assert torch.equal(batch.images[1, 0], batch.images[2, 0])


def test_studies_of_equally_many_images_keep_their_order():
    batch = make_collator()([make_study(10, views=2), make_study(200, views=2)])
    shades = ((batch.images[:, :, 0, 0, 0] * 0.5 + 0.5) * 255).round()
    assert shades.tolist() == [[10, 11], [200, 201]]


def test_a_study_without_an_image_is_named():
    with pytest.raises(DataError, match="study 's3' has no image"):
        make_collator()([make_study(3, views=0)])


def test_an_image_that_cannot_be_read_names_its_study():
    class Torn(Grey):
        def open(self, image: ImageRef) -> np.ndarray:
            raise DataError(f"image {image.where}: is damaged")

    with pytest.raises(DataError, match=r"study 's3': image 3: is damaged"):
        make_collator(Torn())([make_study(3)])


def test_the_text_is_the_report_when_the_tokenizers_are_one():
    assert (batch := make_collator(text_tokenizer=TOKENIZER)([make_study(1)])).text is batch.report
    assert (batch := make_collator()([make_study(1)])).text is batch.report


def test_another_tokenizer_makes_another_text():
    other = WordTokenizer.of_texts(["a b clear"])
    batch = make_collator(text_tokenizer=other)([make_study(1)])
    assert batch.text.ids.tolist() == [other.encode("clear lungs .")]
    assert batch.report.ids.tolist() == [TOKENIZER.encode("clear lungs .")]


def test_shorter_reports_are_padded_and_longer_ones_cut_with_the_end_kept():
    long = make_study(1, report="clear lungs . no effusion . clear lungs . no effusion .")
    tokens = make_collator(max_report_tokens=6)([make_study(2), long]).report
    assert tokens.mask.tolist() == [[True] * 5 + [False], [True] * 6]
    assert tokens.ids[0, 5] == TOKENIZER.pad_id
    assert tokens.ids[1, 5] == TOKENIZER.sep_id


def test_a_study_to_be_predicted_has_an_empty_report():
    batch = make_collator()([make_study(1, report=None)])
    assert batch.report.ids.tolist() == [[TOKENIZER.cls_id, TOKENIZER.sep_id]]


def test_truncated_counts_reports_that_are_longer_with_their_frame():
    studies = [make_study(1), make_study(2, report="clear ."), make_study(3, report=None)]
    assert truncated(studies, TOKENIZER, 4) == 1  # [CLS] clear lungs . [SEP]
    assert truncated(studies, TOKENIZER, 5) == 0


# ---- randomness ------------------------------------------------------------------------------


def test_a_study_draws_the_same_in_any_batch():
    one = draws(make_loader(batch_size=1).epoch(3))
    many = draws(make_loader(batch_size=7).epoch(3))
    alone = draws([make_collator()([make_study(5)], epoch=3)])
    assert one == many
    assert alone["s5"] == one["s5"]


def test_draws_differ_by_study_epoch_seed_and_slot():
    states = [
        study_rng(*address).random()
        for address in [
            (0, 0, "a", "x"),
            (0, 0, "b", "x"),
            (0, 1, "a", "x"),
            (1, 0, "a", "x"),
            (0, 0, "a", "y"),
            (0, 0, "ax", ""),
        ]
    ]
    assert len(set(states)) == len(states)


def test_draws_are_the_same_on_every_machine():
    assert study_rng(1, 2, "CXR1_IM-0001", "objectives.mim").integers(1 << 30) == 295802068


# ---- loaders ---------------------------------------------------------------------------------


def test_training_shuffles_anew_each_epoch_and_the_same_for_the_same_seed():
    first, second = make_loader(seed=1), make_loader(seed=1)
    assert ids(first.epoch(0)) == ids(second.epoch(0))
    assert ids(first.epoch(0)) != ids(first.epoch(1))
    assert ids(first.epoch(0)) != ids(make_loader(seed=2).epoch(0))
    assert sorted(sum(ids(first.epoch(1)), ())) == sorted(f"s{n}" for n in range(10))


def test_evaluation_keeps_the_order():
    batches = ids(make_loader(5, batch_size=2, training=False).epoch())
    assert batches == [("s0", "s1"), ("s2", "s3"), ("s4",)]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_the_last_batch_may_be_short_or_dropped(drop_last: bool, sizes: list[int]):
    loader = make_loader(10, drop_last=drop_last)
    assert [len(batch) for batch in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


def test_skipped_batches_are_not_made_and_the_rest_is_the_same():
    dataset = Grey()
    loader = make_loader(collate=make_collator(dataset), batch_size=3)
    rest = list(loader.epoch(2, skip=2))
    assert sum(dataset.opened.values()) == 4
    whole = list(loader.epoch(2))
    assert ids(rest) == ids(whole)[2:]
    assert draws(rest) == draws(whole[2:])
    assert torch.equal(rest[0].images, whole[2].images)


def test_skipping_a_whole_epoch_leaves_nothing():
    assert list(make_loader().epoch(0, skip=3)) == []


def test_ranks_share_an_epoch_equally_in_training():
    ranks = [make_loader(11, batch_size=2, rank=rank, world=3) for rank in range(3)]
    shares = [ids(rank.epoch(4)) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(share) for share in shares] == [2, 2, 2]
    seen = [study for share in shares for batch in share for study in batch]
    assert len(seen) == len(set(seen)) == 9


def test_the_ranks_of_a_step_hold_what_one_process_would():
    together = ids(make_loader(12, batch_size=4).epoch(1))
    ranks = [ids(make_loader(12, batch_size=2, rank=r, world=2).epoch(1)) for r in range(2)]
    assert [set(a + b) for a, b in zip(*ranks, strict=True)] == [set(batch) for batch in together]


def test_ranks_share_an_evaluation_without_loss_or_repetition():
    loaders = [make_loader(7, batch_size=2, training=False, rank=r, world=3) for r in range(3)]
    seen = [study for loader in loaders for batch in ids(loader.epoch()) for study in batch]
    assert sorted(seen) == [f"s{n}" for n in range(7)]
    assert [len(loader) for loader in loaders] == [2, 1, 1]


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(DataError, match=r"3 studies to train on make no batch; .* at least 4"):
        make_loader(3, drop_last=True)


def test_threads_make_the_same_batches():
    plain, threaded = make_loader(23), make_loader(23, workers=3)
    for one, other in zip(plain.epoch(1), threaded.epoch(1), strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)
        assert one.prepared == other.prepared


def test_what_goes_wrong_in_a_thread_reaches_the_caller():
    studies = [make_study(1), make_study(2, views=0)]
    loader = Loader(studies, make_collator(), batch_size=1, training=False, workers=2)
    with pytest.raises(DataError, match="study 's2' has no image"):
        list(loader.epoch())


def test_leaving_an_epoch_ends_its_threads():
    epoch = make_loader(40, batch_size=1, workers=2).epoch(0)
    next(epoch)
    epoch.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("rrg-loader")]


# ---- images ----------------------------------------------------------------------------------


def test_an_image_is_opened_once():
    dataset = Grey()
    cache = ImageCache(dataset, size=8)
    assert cache[ImageRef("7")] is cache[ImageRef("7")]
    assert cache[ImageRef("7")].shape == (8, 8)
    assert dataset.opened == {"7": 1}


def test_beyond_its_budget_images_are_read_again():
    dataset = Grey()
    cache = ImageCache(dataset, size=8, max_bytes=2 * 8 * 8)
    for _ in range(3):
        for shade in ("1", "2", "3"):
            assert cache[ImageRef(shade)][0, 0] == int(shade)
    assert dataset.opened == {"1": 1, "2": 1, "3": 3}


# ---- annotations -----------------------------------------------------------------------------


class Rules(Annotator):
    """Labels from the words of a report."""

    writes = Labels

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        for study in studies:
            yield Labels({"Edema": int("edema" in (study.report or ""))})


class Phrases(Annotator):
    """N-grams from labels."""

    writes = NGrams
    reads = (Labels,)

    def annotate(self, studies: Iterable[Study]) -> Iterator[NGrams]:
        for study in studies:
            yield NGrams({name: ("phrase",) for name in study[Labels].values})


class Circular(Annotator):
    """Labels from n-grams."""

    writes = Labels
    reads = (NGrams,)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        return iter(())


class Lazy(Annotator):
    """One annotation, however many studies."""

    writes = Labels

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        yield Labels({})


STUDIES = [make_study(1, report="edema ."), make_study(2, report="clear .")]


def test_the_data_itself_annotates_where_the_recipe_names_nobody():
    dataset = Grey(labels={"s1": Labels({"Edema": 1}), "s2": Labels({"Edema": 0})})
    gathered = gather_annotations(dataset, STUDIES, [Labels])
    assert [study[Labels].values["Edema"] for study in gathered] == [1, 0]


def test_an_annotator_that_the_recipe_names_comes_first():
    dataset = Grey(labels={"s1": Labels({"Edema": -1}), "s2": Labels({"Edema": -1})})
    gathered = gather_annotations(dataset, STUDIES, [Labels], {Labels: Rules()})
    assert [study[Labels].values["Edema"] for study in gathered] == [1, 0]


def test_an_annotator_gets_what_it_reads_even_if_no_component_reads_it():
    annotators = {NGrams: Phrases(), Labels: Rules()}
    gathered = gather_annotations(Grey(), STUDIES, [NGrams], annotators)
    assert gathered[0][NGrams].values == {"Edema": ("phrase",)}


def test_what_a_study_carries_already_is_kept():
    carried = [STUDIES[0].annotated({Labels: Labels({"Edema": -1})})]
    assert gather_annotations(Grey(), carried, [Labels])[0][Labels].values["Edema"] == -1


def test_a_missing_annotation_names_the_study_and_the_sidecar():
    dataset = Grey(labels={"s1": Labels({})})
    studies = [*STUDIES, make_study(3), make_study(4)]
    with pytest.raises(DataError) as error:
        gather_annotations(dataset, studies, [Labels])
    assert str(error.value) == (
        "study 's2' and 2 more of 4 has no labels annotation (Labels), which a component of this "
        "recipe reads.\nEither name an annotator that makes it, under data.annotations.labels, or "
        'write it beside the data: annotations/labels.jsonl, a line {"id": "s2", "value": …} for '
        "each study"
    )


def test_a_missing_annotation_comes_with_the_way_around_that_the_recipe_has(plugins: Discovered):
    plan = load_recipe("kia_graph", variants=["tiny"], plugins=plugins).plan
    advice = {RadGraph: plan.without("objectives.mlm", RadGraph)}
    with pytest.raises(DataError) as error:
        gather_annotations(Grey(), STUDIES, [RadGraph], advice=advice)
    assert str(error.value).splitlines()[2] == (
        "objectives.mlm.masking=… (rrg list maskings), or objectives.mlm=off"
    )


def test_what_annotators_build_on_is_gathered_where_they_are_not_asked():
    dataset = Grey(labels={"s1": Labels({"Edema": 1}), "s2": Labels({"Edema": 0})})
    gathered = gather_annotations(dataset, STUDIES, [NGrams], {NGrams: Phrases()}, make=False)
    assert [list(study.annotations) for study in gathered] == [[Labels], [Labels]]
    with pytest.raises(DataError, match="study 's1' and 1 more of 2 has no labels annotation"):
        gather_annotations(Grey(), STUDIES, [NGrams], {NGrams: Phrases()}, make=False)


def test_annotators_that_wait_for_each_other_are_refused():
    with pytest.raises(DataError, match="labels needs ngrams needs labels"):
        gather_annotations(Grey(), STUDIES, [Labels], {Labels: Circular(), NGrams: Phrases()})


def test_an_annotator_that_loses_studies_is_caught():
    with pytest.raises(AssertionError, match="Lazy made 1 annotations of 2 studies"):
        gather_annotations(Grey(), STUDIES, [Labels], {Labels: Lazy()})
