"""What flows between components."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch

from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.types import Batch, Encoded, MaskedText, Tokens, move, pad_sequences

STUDY = Study("s1", (ImageRef("s1/0.png"),), ("frontal",), "the heart is normal .")


def tokens(*rows: list[int]) -> Tokens:
    ids = pad_sequences(rows, 0)
    return Tokens(ids, ids != 0)


def batch(report: Tokens, text: Tokens, **prepared: object) -> Batch:
    return Batch(
        ids=tuple(f"s{i}" for i in range(len(report.ids))),
        images=torch.zeros(len(report.ids), 1, 3, 4, 4),
        present=torch.ones(len(report.ids), 1, dtype=torch.bool),
        report=report,
        text=text,
        prepared=prepared,
    )


def test_an_annotation_is_looked_up_by_its_class() -> None:
    labels = Labels({"Edema": 1})
    assert STUDY.annotated({Labels: labels})[Labels] is labels


def test_annotating_a_study_leaves_the_one_it_was_made_from() -> None:
    first, second = Labels({"Edema": 1}), Labels({"Edema": 0})
    study = STUDY.annotated({Labels: first})
    assert study.annotated({Labels: second})[Labels] is second
    assert study[Labels] is first
    assert not STUDY.annotations


def test_a_missing_annotation_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        STUDY[Labels]


@pytest.mark.parametrize("cls", [Study, Tokens, MaskedText, Batch, Encoded])
def test_what_flows_cannot_be_changed_on_its_way(cls: type) -> None:
    assert dataclasses.fields(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(cls)


def test_another_first_token_leaves_the_text_as_it_was() -> None:
    text = tokens([2, 5, 3], [2, 3])
    matched = text.with_first(9)
    assert matched.ids.tolist() == [[9, 5, 3], [9, 3, 0]]
    assert text.ids[:, 0].tolist() == [2, 2]
    assert matched.mask is text.mask


def test_rows_can_be_selected_more_than_once() -> None:
    text = tokens([2, 5, 3], [2, 3])[torch.tensor([1, 1, 0])]
    assert text.ids.tolist() == [[2, 3, 0], [2, 3, 0], [2, 5, 3]]
    assert text.mask.tolist() == [[True, True, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize("masked", [True, False])
def test_selecting_rows_of_features_takes_everything_along(masked: bool) -> None:
    mask = torch.tensor([[True, True], [True, False]]) if masked else None
    encoded = Encoded(torch.arange(8.0).view(2, 2, 2), torch.arange(4.0).view(2, 2), mask)
    swapped = encoded[torch.tensor([1, 0])]
    assert swapped.tokens.tolist() == [[[4, 5], [6, 7]], [[0, 1], [2, 3]]]
    assert swapped.pooled.tolist() == [[2, 3], [0, 1]]
    assert swapped.mask is None if mask is None else swapped.mask.tolist() == mask.flip(0).tolist()


def test_a_batch_counts_its_studies() -> None:
    assert len(batch(tokens([2, 3], [2, 3]), tokens([2, 3], [2, 3]))) == 2


def test_a_batch_moves_with_everything_that_was_prepared() -> None:
    report = tokens([2, 3])
    masked = MaskedText(report.ids, report.mask, report.ids)
    moved = batch(report, tokens([2, 3]), mlm=masked, mim=[torch.ones(1)]).to("meta")
    assert moved.images.is_meta
    assert moved.present.is_meta
    assert moved.report.ids.is_meta
    assert moved.text.mask.is_meta
    assert moved.prepared["mlm"].labels.is_meta
    assert moved.prepared["mim"][0].is_meta
    assert moved.ids == ("s0",)


def test_a_text_that_is_the_report_stays_so_when_it_moves() -> None:
    report = tokens([2, 3])
    moved = batch(report, report).to("meta")
    assert moved.text is moved.report
    apart = batch(report, tokens([2, 3])).to("meta")
    assert apart.text is not apart.report


def test_moving_keeps_the_shape_of_what_holds_the_tensors() -> None:
    class Both(NamedTuple):
        mask: torch.Tensor
        words: list[str]

    array = np.zeros(2)
    held = {"a": (torch.ones(1), "x"), "b": Both(torch.ones(1), ["y"]), "c": array, "d": Labels}
    moved = move(held, "meta")
    assert moved["a"][0].is_meta
    assert moved["a"][1] == "x"
    assert isinstance(moved["b"], Both)
    assert moved["b"].mask.is_meta
    assert moved["b"].words == ["y"]
    assert moved["c"] is array
    assert moved["d"] is Labels


@pytest.mark.parametrize(
    ("rows", "padded"),
    [
        ([[1, 2, 3], [4]], [[1, 2, 3], [4, 0, 0]]),
        ([[1]], [[1]]),
        ([[], [5]], [[0], [5]]),
    ],
)
def test_rows_of_unequal_length_are_padded_at_the_end(
    rows: list[list[int]], padded: list[list[int]]
) -> None:
    found = pad_sequences(rows, 0)
    assert found.tolist() == padded
    assert found.dtype == torch.long


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_padding_nothing_still_has_two_axes(rows: list[list[int]]) -> None:
    assert pad_sequences(rows, 0).shape == (len(rows), 0)


@pytest.mark.parametrize("value", ["x", [1], 0.5, 2])
def test_labels_that_are_none_of_the_four_values_are_refused(value: object) -> None:
    with pytest.raises(DataError, match="are none of 1, 0, -1 and null"):
        Labels.from_json({"Edema": value})
