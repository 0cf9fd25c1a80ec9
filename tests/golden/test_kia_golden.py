"""KIA's equations as numbers, through the classes that training uses."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import log
from typing import Any, final

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertTokenizer

from rrg_kia.anatomy import AnatomyMasking, mask_probabilities
from rrg_kia.atlas import clip_boxes, coverage, rank_patches
from rrg_kia.graph import GraphMasking
from rrg_kia.irc import ImageReportContrast
from rrg_kia.irm import ImageReportMatching, negative_weights
from rrg_kia.label import LabelMasking, label_words
from rrg_kia.mim import MaskedImageModeling, PatchMasks
from rrg_kia.mlm import MaskedLanguageModeling
from rrg_kia.projections import Projections
from rrgcore.api import (
    AlignmentObjective,
    EmaTwin,
    Features,
    Labels,
    MaskedText,
    ObjectiveOutput,
    RadGraph,
    WordTokenizer,
)
from rrgcore.chest import ORDERS
from rrgcore.model import ReportModel
from rrgcore.optim import Schedule
from rrgcore.settings import ScheduleSettings
from rrgcore.tokens import PretrainedTokenizer

from ..kia.fakes import (
    TableEncoder,
    TableText,
    TinyEncoder,
    blank_batch,
    make_parts,
    make_rngs,
    make_study,
)

Golden = Callable[[str], Any]
near = {"rtol": 0, "atol": 1e-9}


def number(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: torch.Tensor, expected: Any) -> None:
    assert_close(actual.detach(), number(expected), **near)


def identity(width: int) -> nn.Linear:
    head = nn.Linear(width, width).double()
    nn.init.eye_(head.weight)
    nn.init.zeros_(head.bias)
    return head


# ---- eq. 2 and 3 --------------------------------------------------------------------------


def test_mask_probabilities(golden: Golden) -> None:
    cases = golden("kia_mask_prob")["cases"]
    assert cases
    for case in cases:
        for policy in ("keep_total", "keep_key"):
            expected = case if case["feasible"] else case[policy]
            patches, keys = case["N"], case["N_key"]
            p_key, p_other = mask_probabilities(
                patches, keys, p_key=case["p_key"], p_total=case["p_total"], policy=policy
            )
            assert p_key == pytest.approx(expected["p_key_used"], abs=1e-9)
            if expected["p_other_used"] is not None:
                assert p_other == pytest.approx(expected["p_other_used"], abs=1e-9)
            masked = keys * p_key + (patches - keys) * p_other
            wanted = expected.get("expected_masked", patches * case["p_total"])
            assert masked == pytest.approx(wanted, abs=1e-9)


def test_key_patches_of_a_landmark(golden: Golden) -> None:
    case = golden("kia_key_patches")
    grid = (case["grid"], case["grid"])
    expected = case["expected"]
    boxes, kept = clip_boxes(
        np.array(case["boxes_xyxy_pixels"], float), np.array(case["image_sizes_wh"], float)
    )
    assert kept.all()
    np.testing.assert_allclose(boxes, expected["normalised"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(boxes.mean(0), expected["mean_box"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        coverage(boxes, grid), np.ravel(expected["coverage_mean"]), rtol=0, atol=1e-9
    )
    ranked = rank_patches(boxes, grid)
    assert ranked.tolist() == expected["ranking"]
    top = next(value for key, value in expected.items() if key.startswith("top"))
    assert sorted(ranked[: len(top)].tolist()) == top


def test_boxes_at_the_edge(golden: Golden) -> None:
    case = golden("kia_key_patches")["edge_boxes"]
    boxes = np.array(case["boxes"], float)
    clipped, kept = clip_boxes(boxes, np.tile(np.array(case["image_wh"], float), (len(boxes), 1)))
    np.testing.assert_allclose(clipped, case["clipped_normalised"], rtol=0, atol=1e-9)
    assert kept.tolist() == case["keep"]


# ---- eq. 4 --------------------------------------------------------------------------------


def paint(case: Any, tokens: torch.Tensor, head: nn.Linear) -> tuple[Any, ...]:
    images = number(case["inputs"]["image"])
    mask = torch.tensor(case["inputs"]["patch_mask_1_is_masked"]).bool()
    grid = (mask.shape[1], mask.shape[2])
    mim = MaskedImageModeling(
        masking=AnatomyMasking(),
        image_dim=tokens.shape[-1],
        grid=grid,
        image_size=images.shape[-1],
    ).double()
    assert mim.head.weight.shape == head.weight.shape
    mim.head = head
    batch = replace(blank_batch(len(images)), images=images[:, None])
    parts = make_parts(
        TableEncoder(tokens=tokens), TableText(pooled=torch.zeros(len(images), 1).double())
    )
    flat = mask.flatten(1)[:, None]
    return mim, Features(parts, batch), PatchMasks(flat, torch.zeros_like(flat))


def test_mim_loss(golden: Golden) -> None:
    case = golden("kia_mim")
    reconstruction, patch = number(case["inputs"]["reconstruction"]), case["inputs"]["patch_size"]
    # each token holds what is to be painted: colour, row, column
    tokens = nn.functional.unfold(reconstruction, patch, stride=patch).mT.contiguous()
    mim, features, masks = paint(case, tokens, identity(tokens.shape[-1]))
    output = mim(features, masks)
    close(output.loss, case["expected"]["simmim_loss"])
    assert output.count == masks.mask.sum()
    nothing = PatchMasks(torch.zeros_like(masks.mask), masks.key)
    close(mim(features, nothing).loss, case["expected"]["no_masked_patch_loss"])


def test_mim_decoder(golden: Golden) -> None:
    case = golden("kia_mim")
    decoder = case["decoder_case"]
    tokens, weight = number(decoder["tokens_z_BxNxC"]), number(decoder["decoder_weight"])
    head = nn.Linear(weight.shape[1], weight.shape[0]).double()
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(number(decoder["decoder_bias"]))
    mim, features, masks = paint(case, tokens, head)
    close(mim.head(tokens), decoder["decoded_tokens"])
    close(mim.paint(mim.head(tokens)), decoder["image"])
    close(mim(features, masks).loss, decoder["loss_vs_inputs_image"])
    everything = PatchMasks(torch.ones_like(masks.mask), masks.key)
    close(mim.reconstruct(features, everything)["image"][:, 0], decoder["image"])


# ---- eq. 5 and 9 --------------------------------------------------------------------------


def test_mlm_loss(golden: Golden) -> None:
    case = golden("kia_text_losses")["eq5"]
    logits, targets = number(case["logits"]), torch.tensor(case["target_ids"])
    masked = torch.tensor(case["masked"]).bool()
    text = TableText(tokens=logits)
    mlm = MaskedLanguageModeling(
        masking=LabelMasking(),
        tokenizer=text.tokenizer,
        max_report_tokens=logits.shape[1],
    )
    features = Features(make_parts(TinyEncoder().double(), text), blank_batch(len(logits), size=4))
    prepared = MaskedText(targets, torch.ones_like(masked), targets.masked_fill(~masked, -100))
    output = mlm(features, prepared)
    close(output.loss, case["expected"]["mean_over_masked_tokens"])
    assert output.count == masked.sum()
    per_report = mlm.reconstruct(features, prepared)["error"]
    close(per_report.mean(), case["expected"]["mean_of_per_report_means"])
    nothing = MaskedText(targets, prepared.mask, torch.full_like(targets, -100))
    assert mlm(features, nothing).loss == 0


@final
class Constant(AlignmentObjective):
    """Costs the same whatever it sees."""

    def __init__(self, *, loss: float) -> None:
        super().__init__()
        self.loss = number(loss)

    def forward(self, features: Features, prepared: Any = None) -> ObjectiveOutput:
        return ObjectiveOutput(self.loss, torch.tensor(1))


def test_weighted_sum(golden: Golden) -> None:
    case = golden("kia_text_losses")["eq9"]
    losses = case["components_MIM_MLM_IRC_IRM_RG"]
    parts = make_parts(TinyEncoder(), TableText(pooled=torch.zeros(1, 1)))
    objectives = {str(i): Constant(loss=loss) for i, loss in enumerate(losses)}
    weights = {str(i): float(weight) for i, weight in enumerate(case["lambda_1to5"])}
    model = ReportModel(parts=parts, objectives=objectives)
    close(model(blank_batch(1), weights).total, case["expected"])


# ---- graph and label masking --------------------------------------------------------------


def masked_positions(masking: Any, study: Any, tokenizer: Any, draws: int = 200) -> set[Any]:
    """Return every set of hidden positions that some draw gives."""
    texts = [masking.mask_text(study, tokenizer, rng, max_tokens=100) for rng in make_rngs(draws)]
    for text in texts:
        hidden = text.labels != -100
        assert (text.ids[hidden] == tokenizer.mask_id).all()
        assert (text.ids[~hidden] != tokenizer.mask_id).all()
    return {tuple((text.labels != -100).nonzero()[:, 0].tolist()) for text in texts}


@pytest.mark.parametrize(
    ("entities", "suffix"), [("all", "all_entities"), ("located_at", "located_at_only")]
)
def test_graph_masking(golden: Golden, entities: Any, suffix: str) -> None:
    case = golden("kia_masking")["graph"]
    study = make_study(report=case["radgraph"]["text"], graph=RadGraph.from_json(case["radgraph"]))
    masking = GraphMasking(entities=entities)
    sentences: dict[int, list[Any]] = {}
    for kind in ("OBS", "ANAT"):
        for side in case[f"mask_{kind}_{suffix}"]:
            sentences.setdefault(side["sentence"], []).append(side)

    words = WordTokenizer.of_texts([study.report])
    assert masked_positions(masking, study, words) == {
        tuple(sorted(ix + 1 for side in choice for ix in side["word_ix"]))
        for choice in product(*sentences.values())
    }
    pieces = PretrainedTokenizer(
        backend=BertTokenizer(
            vocab={
                token: i
                for i, token in enumerate(
                    dict.fromkeys(["[PAD]", "[UNK]", "[MASK]", *case["wordpieces"]])
                )
            }
        )
    )
    ids, word_ids = pieces.encode_words(study.report.split())
    assert pieces.backend.convert_ids_to_tokens(ids) == case["wordpieces"]
    assert word_ids == case["word_ids"]
    assert masked_positions(masking, study, pieces) == {
        tuple(sorted(ix for side in choice for ix in side["wordpiece_ix"]))
        for choice in product(*sentences.values())
    }


def test_label_report(golden: Golden) -> None:
    case = golden("kia_masking")["label"]
    assert list(ORDERS["alphabetical"]) == case["order"]
    values = case["values (missing = blank)"]
    for uncertain in ("absent", "present"):
        words = label_words(values, uncertain=uncertain)
        text = " ".join(words).replace(" ,", ",").replace(" .", ".")
        assert text == case[f"report_uncertain_{uncertain}"]
        study = make_study(labels=Labels(values))
        tokenizer = WordTokenizer(words=LabelMasking.words)
        masked = LabelMasking(uncertain=uncertain).mask_text(
            study, tokenizer, make_rngs(1)[0], max_tokens=100
        )
        asked = masked.labels != -100
        assert asked.sum() == case["n_masked_words"]
        assert torch.where(asked, masked.labels, masked.ids).tolist() == [
            tokenizer.cls_id,
            *map(tokenizer.id_of, words),
            tokenizer.sep_id,
        ]


# ---- eq. 6 --------------------------------------------------------------------------------


def contrast(case: Any, **options: Any) -> tuple[ImageReportContrast, Any]:
    """Build irc, its twin and its queues as a golden case has them."""
    given = {k: number(v) for k, v in case["inputs"].items() if isinstance(v, list)}
    dim, queue = given["image_queue_DxK"].shape
    space = Projections(image_dim=dim, text_dim=dim, dim=dim).double()
    space.image, space.text = identity(dim), identity(dim)
    irc = ImageReportContrast(
        space=space, queue=queue, temperature=case["inputs"]["tau"], **options
    ).double()
    parts = make_parts(
        TableEncoder(pooled=given["image_feat"]), TableText(pooled=given["report_feat"])
    )
    irc.bind(parts)
    with torch.no_grad():
        irc.log_tau.fill_(log(case["inputs"]["tau"]))  # once more, in float64
        irc.twin["encoder"].pooled.copy_(given["image_feat_momentum"])
        irc.twin["text_encoder"].pooled.copy_(given["report_feat_momentum"])
        irc.image_queue.copy_(given["image_queue_DxK"])
        irc.text_queue.copy_(given["report_queue_DxK"])
        irc.pointer.fill_(case["inputs"]["queue_ptr"])
    return irc, Features(parts, blank_batch(len(given["image_feat"])))


def test_irc_loss_and_queue(golden: Golden) -> None:
    case = golden("kia_irc")
    irc, features = contrast(case)
    reports = torch.arange(len(features.batch))
    close(irc(features, reports).loss, case["expected"]["L_IRC"])
    irc.after_step()
    close(irc.image_queue, case["expected"]["image_queue_after_enqueue_wraparound"])
    close(irc.text_queue, case["expected"]["report_queue_after_enqueue_wraparound"])
    assert irc.pointer == case["expected"]["queue_ptr_after"]


def test_irc_similarities(golden: Golden) -> None:
    case = golden("kia_irc")
    irc, features = contrast(case)
    given = {k: number(v) for k, v in case["inputs"].items() if isinstance(v, list)}
    image, text = irc.embed_image(features.image), irc.embed_text(features.text)
    to_text = irc.similarity(image, given["report_feat_momentum"], irc.text_queue)
    to_image = irc.similarity(text, given["image_feat_momentum"], irc.image_queue)
    close(to_text, case["expected"]["sim_i2r"])
    close(to_image, case["expected"]["sim_r2i"])
    own = torch.arange(len(image))
    close(nn.functional.cross_entropy(to_text, own), case["expected"]["loss_i2r"])
    close(nn.functional.cross_entropy(to_image, own), case["expected"]["loss_r2i"])


def test_irc_leaves_duplicates_out(golden: Golden) -> None:
    case = golden("kia_irc")
    irc, features = contrast(case)
    excluded = torch.tensor(case["duplicates"]["excluded_mask_BxB+K"])
    reports = torch.arange(excluded.shape[1])
    for row, column in excluded.nonzero().tolist():
        reports[column] = reports[row]
    rows = len(features.batch)
    irc.queue_reports.copy_(reports[rows:])
    close(irc(features, reports[:rows]).loss, case["duplicates"]["L_IRC"])


def test_irc_temperature(golden: Golden) -> None:
    case = golden("kia_irc")
    irc, _ = contrast(case)
    expected = case["temperature"]
    default = ImageReportContrast(space=irc.space).tau
    assert float(default.detach()) == pytest.approx(expected["init"])
    for start, end in zip((-99.0, 99.0), expected["clamp"], strict=True):
        with torch.no_grad():
            irc.log_tau.fill_(start)
        irc.after_step()
        close(irc.tau, end)


def test_momentum_update(golden: Golden) -> None:
    case = golden("kia_irc")["momentum_update"]
    weight = number(case["param_m"])
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
    twin = EmaTwin({"linear": linear}, momentum=case["m"])
    with torch.no_grad():
        linear.weight.copy_(number(case["param"]))
    twin.update()
    close(twin["linear"].weight, case["param_m_new"])


# ---- eq. 7 --------------------------------------------------------------------------------


def test_irm_loss(golden: Golden) -> None:
    case = golden("kia_irm")
    logits, rows = number(case["inputs"]["logits"]), case["inputs"]["B"]
    text = TableText(tokens=logits[:, None])
    irm = ImageReportMatching(text_dim=2, tokenizer=text.tokenizer).double()
    irm.head = identity(2)
    parts = make_parts(TinyEncoder().double(), text)
    irm.bind(parts)
    features = Features(parts, blank_batch(rows, size=4))
    studies = [make_study(str(i), f"report {i}") for i in range(rows)]
    output = irm(features, irm.prepare(studies, make_rngs(rows)))
    close(output.loss, case["expected"]["cross_entropy_mean (ALBEF/BLIP)"])
    assert output.count == len(case["inputs"]["labels"])
    right = (logits.argmax(1) == torch.tensor(case["inputs"]["labels"])).float().mean()
    assert output.logs["accuracy"] == right


def test_irm_hard_negatives(golden: Golden) -> None:
    case = golden("kia_irc")
    given = {k: number(v) for k, v in case["inputs"].items() if isinstance(v, list)}
    rows, dim = given["image_feat"].shape
    space = Projections(image_dim=dim, text_dim=dim, dim=dim).double()
    space.image, space.text = identity(dim), identity(dim)
    own = torch.eye(rows, dtype=torch.bool)

    def weights(image: str, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        parts = make_parts(TableEncoder(pooled=given[image]), TableText(pooled=given[text]))
        irm = ImageReportMatching(
            text_dim=dim,
            tokenizer=parts.decoder.tokenizer,
            space=space,
            temperature=case["inputs"]["tau"],
        ).double()
        similarity, _ = irm.similarity(Features(parts, blank_batch(rows)))
        return negative_weights(similarity, own), negative_weights(similarity.mT, own)

    expected = case["expected"]
    report_for_image, _ = weights("image_feat", "report_feat_momentum")
    _, image_for_report = weights("image_feat_momentum", "report_feat")
    close(report_for_image, expected["hard_negative_weights_report_for_image_blip"])
    close(image_for_report, expected["hard_negative_weights_image_for_report_blip"])


# ---- training -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decay", "decoupled", "key"),
    [
        ("weight_decay", True, "torch_decoupled (recommended)"),
        ("weight_decay", False, "torch_coupled_L2"),
        (None, True, "torch_no_decay"),
    ],
)
def test_radam(golden: Golden, decay: str | None, decoupled: bool, key: str) -> None:
    case = golden("radam_schedule")
    weight = nn.Parameter(number(case["start"]))
    optimizer = torch.optim.RAdam(
        [weight],
        lr=case["lr"],
        betas=tuple(case["betas"]),
        eps=case["eps"],
        weight_decay=case[decay] if decay else 0.0,
        decoupled_weight_decay=decoupled,
    )
    path = []
    for gradient in case["gradients"]:
        weight.grad = number(gradient)
        optimizer.step()
        path.append(weight.item())
    assert path == pytest.approx(case["expected"][key], abs=1e-9)


def test_learning_rate_decay(golden: Golden) -> None:
    """Forty epochs of stage one, then stage two under an optimizer of its own."""
    values = {int(k): v for k, v in golden("radam_schedule")["kia_lr"]["values"].items()}
    settings = ScheduleSettings(name="ExponentialLR", options={"gamma": values[1] / values[0]})
    rates: list[float] = []
    before: Schedule | None = None
    for epochs in (40, 5):
        optimizer = torch.optim.RAdam([nn.Parameter(torch.zeros(1))], lr=values[0])
        schedule = Schedule(settings, optimizer, warmup=0)
        if before is not None:
            schedule.continue_from(before.state_dict())
        for _ in range(epochs):
            schedule.before_step()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
            schedule.after_epoch()
        before = schedule
    assert {epoch: rates[epoch] for epoch in values} == pytest.approx(values, rel=1e-9)
