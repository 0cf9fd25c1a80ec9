"""Masked image and language modelling."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrg_kia.anatomy import AnatomyMasking
from rrg_kia.graph import GraphMasking
from rrg_kia.label import LabelMasking
from rrg_kia.mim import MaskedImageModeling, PatchMasks
from rrg_kia.mlm import MaskedLanguageModeling
from rrgcore.api import Features, Labels, RadGraph, UserError, WordTokenizer

from .fakes import TinyEncoder, TinyText, make_batch, make_parts, make_rngs, make_study

STUDIES = [
    make_study("a", "the heart is large .", ("frontal", "lateral"), labels=Labels({})),
    make_study("b", "no effusion .", labels=Labels({"Edema": 1})),
]


def make_tokenizer():
    return WordTokenizer.of_texts(
        [study.report for study in STUDIES], extra=LabelMasking.words, special=["[MATCH]"]
    )


def make_mim(**options):
    return MaskedImageModeling(
        masking=AnatomyMasking(**options), image_dim=6, grid=(2, 2), image_size=4
    )


def make_features(batch=None):
    tokenizer = make_tokenizer()
    parts = make_parts(TinyEncoder(), TinyText(tokenizer))
    return Features(parts, make_batch(STUDIES, tokenizer) if batch is None else batch)


def test_mim_masks_every_image_and_no_absent_one():
    masks = make_mim(p_total=1.0, p_key=1.0).prepare(STUDIES, make_rngs(2))
    assert masks.mask.all(-1).tolist() == [[True, True], [True, False]]
    assert not masks.mask[1, 1].any()
    assert masks.key.any(-1).tolist() == [[True, False], [False, False]]


def test_mim_masks_of_a_study_do_not_depend_on_its_batch():
    mim = make_mim()
    together = mim.prepare(STUDIES, make_rngs(2))
    alone = mim.prepare(STUDIES[1:], make_rngs(2)[1:])
    assert (together.mask[1, 0] == alone.mask[0, 0]).all()


def test_mim_is_zero_and_has_gradients_where_nothing_is_hidden():
    mim, features = make_mim(), make_features()
    nothing = torch.zeros(2, 2, 4, dtype=torch.bool)
    output = mim(features, PatchMasks(nothing, nothing))
    output.loss.backward()
    assert output.loss == 0
    assert output.count == 0
    assert (mim.head.weight.grad == 0).all()


def test_mim_ignores_a_mask_on_an_absent_view():
    mim, features = make_mim(), make_features()
    mask = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask[0, 0, 0] = True
    absent = mask.clone()
    absent[1, 1] = True
    outputs = [mim(features, PatchMasks(m, torch.zeros_like(m))) for m in (mask, absent)]
    assert outputs[0].loss == outputs[1].loss
    assert outputs[1].count == 1


def test_mim_trains_the_encoder_the_text_encoder_and_its_head():
    mim, features = make_mim(), make_features()
    mim(features, mim.prepare(STUDIES, make_rngs(2))).loss.backward()
    parts = features.parts
    for weight in (mim.head.weight, parts.encoder.cross.weight, parts.decoder.embed.weight):
        assert weight.grad.abs().sum() > 0


def test_a_reconstruction_is_scored_at_hidden_patches_and_at_hidden_key_patches():
    mim, features = make_mim(), make_features()
    mask, key = torch.zeros(2, 2, 2, 4, dtype=torch.bool)
    mask[:, 0, :3] = True
    key[0, 0, 2:] = True
    found = mim.reconstruct(features, PatchMasks(mask, key))
    batch = features.batch
    wrong = (found["image"] - batch.images).abs()  # zero at what is seen
    patches = wrong.unfold(3, 2, 2).unfold(4, 2, 2).mean((2, 5, 6)).flatten(2)  # [b v n]
    assert patches[0, 0, 3] == 0
    torch.testing.assert_close(found["error"], patches[:, 0, :3].mean(1))
    torch.testing.assert_close(found["key_error"][0], patches[0, 0, 2])
    assert found["key_error"][1].isnan()


def test_another_report_paints_another_image():
    mim, features = make_mim(), make_features()
    masks = mim.prepare(STUDIES, make_rngs(2))
    swapped = replace(features.batch, text=features.batch.text[torch.tensor([1, 0])])
    other = Features(features.parts, swapped)
    assert not torch.equal(
        mim.reconstruct(features, masks)["image"], mim.reconstruct(other, masks)["image"]
    )


def make_mlm(masking, tokenizer=None, cut=100):
    return MaskedLanguageModeling(
        masking=masking, tokenizer=tokenizer or make_tokenizer(), max_report_tokens=cut
    )


def test_mlm_and_mim_read_what_their_maskings_read():
    assert make_mlm(LabelMasking()).annotations_read() == (Labels,)
    assert make_mlm(GraphMasking()).annotations_read() == (RadGraph,)
    assert make_mim().annotations_read() == ()


def test_mlm_pads_texts_with_nothing_to_ask():
    graphs = [RadGraph(tuple(study.report.split()), {}) for study in STUDIES]
    studies = [s.annotated({RadGraph: g}) for s, g in zip(STUDIES, graphs, strict=True)]
    mlm = make_mlm(GraphMasking())
    text = mlm.prepare(studies, make_rngs(2))
    assert text.ids.shape == (2, 7)
    assert text.mask.sum(1).tolist() == [7, 5]
    assert (text.ids[1, 5:] == mlm.tokenizer.pad_id).all()
    assert (text.labels[1, 5:] == -100).all()


def test_mlm_cuts_its_text_as_the_report_is_cut():
    assert make_mlm(LabelMasking(), cut=12).prepare(STUDIES, make_rngs(2)).ids.shape == (2, 12)


def test_mlm_starts_near_the_logarithm_of_the_vocabulary_and_learns():
    mlm, features = make_mlm(LabelMasking()), make_features()
    parts, text = features.parts, mlm.prepare(STUDIES, make_rngs(2))
    with torch.no_grad():
        parts.decoder.embed.weight.mul_(0.1)
    optimizer = torch.optim.Adam(parts.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        output = mlm(Features(parts, features.batch), text)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[0] == pytest.approx(np.log(len(mlm.tokenizer)), rel=0.1)
    assert losses[-1] < losses[0] / 3
    assert output.count == 28
    assert output.logs["accuracy"] > 0.9


def test_what_mlm_guesses_is_listed_token_by_token():
    mlm, features = make_mlm(LabelMasking()), make_features()
    text = mlm.prepare(STUDIES, make_rngs(2))
    found = mlm.reconstruct(features, text)
    assert found["study"].tolist() == [0] * 14 + [1] * 14
    said = mlm.tokenizer.decode(found["expected"].tolist()).split()
    assert said.count("present") == 1
    assert found["guessed"].shape == (28,)
    torch.testing.assert_close(found["error"].mean(), mlm(features, text).loss.detach())


def test_losses_are_computed_in_float32_under_mixed_precision():
    mim, mlm, features = make_mim(), make_mlm(LabelMasking()), make_features()
    masks, text = mim.prepare(STUDIES, make_rngs(2)), mlm.prepare(STUDIES, make_rngs(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mim(features, masks).loss.dtype == torch.float32
        assert mlm(features, text).loss.dtype == torch.float32


def test_mim_refuses_patches_that_do_not_divide_the_image():
    with pytest.raises(UserError, match=r"4 pixels does not divide into the encoder's 3 × 3 patch"):
        MaskedImageModeling(masking=AnatomyMasking(), image_dim=6, grid=(3, 3), image_size=4)
