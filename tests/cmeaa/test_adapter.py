"""The adapter and its two halves: switches, masks, n-grams, widths, precision."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rrg_cmeaa.adapter import CmEAA
from rrg_cmeaa.cfe import CFE
from rrg_cmeaa.ngrams import NGramChoice
from rrg_cmeaa.nmia import NMIA
from rrgcore.api import Encoded, NGrams, OffersAlignment, UserError, WordTokenizer
from rrgcore.interfaces import Lacks, check_capability
from rrgcore.testing import make_parts, make_rngs, make_study

from .fakes import Table

DIM, WIDTH, TOKEN = 8, 12, 6
WORDS = WordTokenizer(words=["small", "left", "effusion", "no", "edema", "large", "heart", "is"])
RANKED = {
    "Edema_False": ("no edema", "edema"),
    "Pleural Effusion_True": ("small left effusion", "effusion", "no edema"),
}


def make_cfe(dim=DIM, **options):
    return CFE(**{"image_dim": dim, "token_dim": TOKEN, "heads": 2, **options})


def make_adapter(*, enhance="cfe", align="nmia", bind=True, **options):
    """Make one whose RepAdapters have learned something, with a decoder that embeds tokens."""
    adapter = CmEAA(
        image_dim=DIM,
        visual_dim=WIDTH,
        tokenizer=WORDS,
        enhance=make_cfe() if enhance == "cfe" else enhance,
        align=NMIA(image_dim=DIM, k=3) if align == "nmia" else align,
        **options,
    )
    for part in (adapter.f_d, adapter.f_u):
        nn.init.normal_(part.up.weight)
    if bind:
        adapter.bind(make_parts(decoder=Table(torch.randn(len(WORDS), TOKEN), WORDS)))
    return adapter.eval()


def make_image(rows=2, tokens=5, mask=None):
    x = torch.randn(rows, tokens, DIM)
    return Encoded(x, x.mean(1), mask)


def ngrams_of(adapter, *ranked):
    studies = [
        make_study(str(i), annotations={NGrams: NGrams(values)}) for i, values in enumerate(ranked)
    ]
    return adapter.prepare(studies, make_rngs(studies))


def phrases_of(ranked, **options):
    choice = NGramChoice(
        **{"tokenizer": WORDS, "observations": "all", "top": 30, "most": 256, **options}
    )
    return choice.phrases(ranked)


# ---- the sum of eq. 4 -------------------------------------------------------------------------


def test_untrained_adapters_change_nothing_and_the_weights_are_near_one_half():
    adapter = CmEAA(
        image_dim=DIM, visual_dim=WIDTH, tokenizer=WORDS, align=NMIA(image_dim=DIM, k=3)
    )
    image = make_image(rows=50)
    assert torch.equal(adapter.f_d(image.tokens), image.tokens)
    assert torch.equal(adapter.f_u(image.tokens), image.tokens)
    weights = adapter.weigh(image)
    assert weights.shape == (50, 1, 2)
    assert not weights.requires_grad
    assert ((weights > 0.4) & (weights < 0.6)).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(50, 1))


def test_without_cfe_the_first_term_is_what_would_have_been_enhanced():
    adapter, image = make_adapter(enhance=None), make_image()
    w, x = adapter.weigh(image), image.tokens
    fused = w[..., :1] * adapter.f_d(x) + w[..., 1:] * adapter.f_u(x)
    fused = fused + adapter.align(adapter.f_u(x))[0]
    expected = adapter.norm(adapter.project(fused))
    torch.testing.assert_close(adapter(image, None).tokens, expected)
    assert adapter.annotations_read() == ()
    assert ngrams_of(adapter, {}) is None


def test_without_nmia_no_alignment_is_offered():
    adapter = make_adapter(align=None)
    visual = adapter(make_image(), ngrams_of(adapter, RANKED, {}))
    assert visual.alignment is None
    assert adapter.alignment_dim is None
    with pytest.raises(Lacks, match=r"offers no alignment: set model\.adapter\.align=nmia"):
        check_capability(adapter, OffersAlignment)
    check_capability(make_adapter(), OffersAlignment)


def test_with_neither_it_is_no_cmeaa():
    with pytest.raises(UserError, match="Row a, without either, is adapter 'linear'"):
        make_adapter(enhance=None, align=None)


def test_both_adapters_go_down_by_one_projection_unless_told_otherwise():
    adapter = make_adapter()
    assert adapter.f_d.down is adapter.f_u.down
    apart = make_adapter(share_down=False)
    assert apart.f_d.down is not apart.f_u.down


@pytest.mark.parametrize(("weighting", "pairs"), [("image", 1), ("pooled", 1), ("token", 5)])
def test_weights_are_of_an_image_or_of_a_token(weighting, pairs):
    adapter, image = make_adapter(weighting=weighting), make_image()
    assert adapter.weigh(image).shape == (2, pairs, 2)
    other = replace(image, pooled=image.pooled + 1)
    changed = not torch.equal(adapter.weigh(image), adapter.weigh(other))
    assert changed == (weighting == "pooled")


def test_a_low_temperature_decides():
    image = make_image()
    sharp = make_adapter(temperature=1e-4).weigh(image)
    torch.testing.assert_close(sharp.amax(-1), torch.ones(2, 1))
    with pytest.raises(UserError, match=r"temperature is 0\.0"):
        make_adapter(temperature=0.0)


def test_at_the_width_of_the_language_model_everything_is_made_for_it():
    enhance = make_cfe(dim=DIM)
    adapter = make_adapter(enhance=enhance, fusion_space="llm")
    assert enhance.dim == adapter.align.dim == adapter.f_d.down.in_features == WIDTH
    visual = adapter(make_image(), ngrams_of(adapter, RANKED, {}))
    assert visual.tokens.shape == (2, 5, WIDTH)
    assert visual.alignment.shape == (2, 3)
    enhance.resize(TOKEN)
    assert isinstance(enhance.project, nn.Identity)


def test_a_part_of_another_width_is_refused():
    with pytest.raises(UserError, match="a part of cmeaa is 16 wide, and it fuses at 8"):
        make_adapter(enhance=make_cfe(dim=16))


# ---- masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", ["image", "token"])
@pytest.mark.parametrize("space", ["encoder", "llm"])
def test_absent_tokens_are_read_by_nobody(weighting, space):
    adapter = make_adapter(weighting=weighting, fusion_space=space)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    image, ngrams = make_image(mask=mask), ngrams_of(adapter, RANKED, RANKED)
    short = replace(image, tokens=image.tokens[:, :3], mask=None)
    long, cut = adapter(image, ngrams), adapter(short, ngrams)
    torch.testing.assert_close(long.tokens[1, :3], cut.tokens[1])
    torch.testing.assert_close(long.alignment[1], cut.alignment[1])
    assert torch.equal(long.mask, mask)


def test_padding_with_n_grams_of_other_studies_changes_nothing():
    adapter, image = make_adapter(), make_image()
    both = adapter(image, ngrams_of(adapter, RANKED, {"Edema_True": ("large edema",)}))
    alone = Encoded(image.tokens[1:], image.pooled[1:])
    single = adapter(alone, ngrams_of(adapter, {"Edema_True": ("large edema",)}))
    torch.testing.assert_close(both.tokens[1:], single.tokens)


@pytest.mark.parametrize("embedding", ["mean", "tokens"])
def test_a_study_without_n_grams_reads_one_learned_vector(embedding):
    cfe = make_cfe(embedding=embedding)
    adapter = make_adapter(enhance=cfe)
    e, mask = cfe.embed(ngrams_of(adapter, RANKED, {}, {"Edema_True": ()}))
    assert mask.sum(1)[1:].tolist() == [1, 1]
    for row in (1, 2):
        torch.testing.assert_close(e[row][mask[row]], cfe.nothing[None])
    visual = adapter(make_image(1), ngrams_of(adapter, {}))
    assert visual.tokens.isfinite().all()
    visual.tokens.square().sum().backward()
    assert cfe.nothing.grad.any()


# ---- n-grams ----------------------------------------------------------------------------------


def test_the_order_of_n_grams_does_not_matter():
    adapter, image = make_adapter(), make_image(1)
    turned = {key: tuple(reversed(values)) for key, values in reversed(RANKED.items())}
    one, two = (adapter(image, ngrams_of(adapter, ranked)) for ranked in (RANKED, turned))
    torch.testing.assert_close(one.tokens, two.tokens)
    other = adapter(image, ngrams_of(adapter, {"Edema_True": ("large edema",)}))
    assert not torch.allclose(one.tokens, other.tokens, atol=1e-4)


def test_a_study_s_n_grams_are_the_first_of_each_observation_once():
    assert phrases_of(RANKED) == ["no edema", "edema", "small left effusion", "effusion"]
    assert phrases_of(RANKED, top=1) == ["no edema", "small left effusion"]
    assert phrases_of(RANKED, most=3) == ["no edema", "edema", "small left effusion"]
    assert phrases_of(RANKED, observations="positive") == [
        *("small left effusion", "effusion", "no edema")
    ]
    assert phrases_of({"Edema_True": ("", "edema")}) == ["edema"]


def test_an_n_gram_is_tokenised_without_a_frame_and_once_a_batch():
    prepared = ngrams_of(make_adapter(), RANKED, {"Edema_True": ("edema", "no edema")})
    found = {
        WORDS.decode(ids[real].tolist())
        for ids, real in zip(prepared.ids, prepared.real, strict=True)
    }
    assert found == {"", "no edema", "edema", "small left effusion", "effusion"}
    assert len(prepared.ids) == 5
    assert WORDS.cls_id not in prepared.ids
    texts = [
        [WORDS.decode(prepared.ids[i][prepared.real[i]].tolist()) for i in row if i]
        for row in prepared.index
    ]
    assert texts == [phrases_of(RANKED), ["edema", "no edema"]]


def test_the_mean_of_an_n_gram_s_tokens_stands_for_it():
    cfe = make_cfe()
    adapter = make_adapter(enhance=cfe)
    table = cfe._decoder.module.rows
    e, mask = cfe.embed(ngrams_of(adapter, {"Edema_False": ("no edema",)}))
    mean = (table[WORDS.id_of("no")] + table[WORDS.id_of("edema")]) / 2
    torch.testing.assert_close(e[0], cfe.project(mean)[None])
    assert mask.tolist() == [[True]]


def test_all_tokens_of_the_n_grams_may_stand_for_themselves():
    cfe = make_cfe(embedding="tokens")
    adapter = make_adapter(enhance=cfe)
    e, mask = cfe.embed(ngrams_of(adapter, {"Edema_False": ("no edema", "effusion")}))
    table = cfe._decoder.module.rows
    words = [table[WORDS.id_of(word)] for word in ("no", "edema", "effusion")]
    torch.testing.assert_close(e[0][mask[0]], cfe.project(torch.stack(words)))


def test_the_decoder_s_table_learns_nothing_from_cfe():
    cfe = make_cfe()
    adapter = make_adapter(enhance=cfe)
    adapter(make_image(), ngrams_of(adapter, RANKED, {})).tokens.sum().backward()
    assert cfe._decoder.module.rows.grad is None
    assert cfe.project.weight.grad.any()
    assert all("rows" not in name for name in adapter.state_dict())


def test_attending_after_self_attention_is_another_reading():
    cfe, image = make_cfe(), make_image()
    e = torch.randn(2, 3, DIM)
    before = cfe.eval()(image.tokens, e)
    cfe.concatenate = "after"
    assert not torch.allclose(before, cfe(image.tokens, e))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 3}, "cfe's 3 heads do not divide 8"),
        ({"top": 0}, "cfe's top is 0"),
        ({"ngrams": 0}, "its ngrams 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        make_cfe(**options)


# ---- NMIA -------------------------------------------------------------------------------------


def test_every_token_gets_the_same_global_image():
    nmia = NMIA(image_dim=DIM, k=3)
    tokens, aligned = nmia(make_image().tokens)
    assert tokens.shape == (2, 5, DIM)
    assert torch.equal(tokens, tokens[:, :1].expand(-1, 5, -1))
    torch.testing.assert_close(nmia.expand(aligned), tokens[:, 0])


def test_pooling_before_or_after_is_the_same():
    nmia = NMIA(image_dim=DIM, k=3).double()
    x = torch.randn(2, 5, DIM, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    before, _ = nmia(x, mask)
    nmia.pool = "after"
    torch.testing.assert_close(nmia(x, mask)[0], before, rtol=1e-12, atol=1e-12)


def test_detached_the_alignment_teaches_w1_alone():
    nmia = NMIA(image_dim=DIM, k=3, detach=True)
    x = make_image().tokens.requires_grad_()
    tokens, aligned = nmia(x)
    aligned.sum().backward()
    assert x.grad is None
    assert nmia.reduce.weight.grad.any()
    tokens.sum().backward()
    assert x.grad.any()


def test_unshared_the_alignment_has_a_layer_of_its_own():
    nmia = NMIA(image_dim=DIM, k=3, share=False)
    tokens, aligned = nmia(make_image().tokens)
    aligned.sum().backward()
    assert nmia.reduce.weight.grad is None
    assert nmia.align.weight.grad.any()
    assert not torch.allclose(nmia.expand(aligned), tokens[:, 0])
    assert nmia.k == 3
    with pytest.raises(UserError, match="nmia's k is 0"):
        NMIA(image_dim=DIM, k=0)


# ---- precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 7])
def test_it_works_under_bf16_with_weights_in_float32(tokens):
    adapter, image = make_adapter().train(), make_image(3, tokens)
    ngrams = ngrams_of(adapter, RANKED, {}, {"Edema_True": ("edema",)})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        visual = adapter(image, ngrams)
        assert adapter.weigh(image).dtype == torch.float32
    assert visual.tokens.isfinite().all()
    (visual.tokens.float().square().sum() + visual.alignment.float().sum()).backward()
    assert all(p.grad.isfinite().all() for p in adapter.parameters())


# ---- what it shows -----------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", ["mean", "tokens"])
@pytest.mark.parametrize("fusion_space", ["encoder", "llm"])
def test_what_was_taken_in_adds_up_and_is_spelled(embedding, fusion_space):
    adapter = make_adapter(enhance=make_cfe(embedding=embedding), fusion_space=fusion_space)
    image, ngrams = make_image(), ngrams_of(adapter, RANKED, {})
    taken = adapter.taken_in(image, ngrams)
    torch.testing.assert_close(taken.weights, adapter.weigh(image))
    assert taken.phrases == (("no edema", "edema", "small left effusion", "effusion"), ("",) * 4)
    assert taken.attention.shape == (2, 2, 5, 4)
    torch.testing.assert_close(taken.attention[0].sum(-1), torch.ones(2, 5))
    assert not taken.attention[1].any()  # the learned vector stood in
    # an n-gram that is read is one that the result depends on
    changed = adapter.taken_in(make_image(), ngrams_of(adapter, RANKED, {})).attention
    assert not torch.equal(taken.attention, changed)


def test_without_cfe_nothing_is_read():
    taken = make_adapter(enhance=None).taken_in(make_image(), None)
    assert taken.attention is None
    assert taken.phrases == ((), ())
    assert taken.terms == ("ŵ₀: f_d(X)", "ŵ₁: f_u(X)")
