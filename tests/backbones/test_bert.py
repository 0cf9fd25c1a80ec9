"""The text encoders and the writer: one set of embeddings, one trunk, three ways to run it."""

import pytest
import torch

from rrg_backbones.bert import Bert
from rrg_backbones.transformer import Transformer
from rrgcore.api import (
    Attends,
    Decoder,
    Encoded,
    Generation,
    TextGivenImage,
    Tokens,
    UserError,
    Visual,
    WordTokenizer,
    pad_sequences,
)
from rrgcore.interfaces import Lacks, check_capability

WORDS = ["the", "heart", "is", "enlarged", "no", "effusion", "seen", ".", "lungs", "are", "clear"]


def make_tokenizer() -> WordTokenizer:
    return WordTokenizer(words=WORDS, special=("[START]", "[MATCH]"))


def make_bert(*, norm="post", cross_layers="all", **options) -> Bert:
    trunk = Transformer(
        dim=16, depth=2, heads=4, norm=norm, cross_layers=cross_layers, context_dim=6
    )
    return Bert(**{"tokenizer": make_tokenizer(), "trunk": trunk, **options}).eval()


def make_report(bert: Bert, *texts: str) -> Tokens:
    ids = pad_sequences([bert.tokenizer.encode(text) for text in texts], bert.tokenizer.pad_id)
    return Tokens(ids, ids != bert.tokenizer.pad_id)


def make_image(*, studies=2) -> Encoded:
    tokens = torch.randn(studies, 5, 6)
    return Encoded(tokens, tokens[:, 0])


@pytest.fixture(params=["post", "pre"])
def bert(request) -> Bert:
    return make_bert(norm=request.param)


@pytest.fixture
def report(bert) -> Tokens:
    return make_report(bert, "the heart is enlarged .", "no effusion .")


def test_the_loss_is_the_mean_over_the_words_after_start(bert, report):
    visual = Visual(make_image().tokens)
    decoded = bert(visual, report)
    assert int(decoded.count) == 6 + 4  # the words and their [SEP]
    total = 0.0
    for row in range(2):
        real = report.ids[row][report.mask[row]]
        read = real.clone()
        read[0] = bert.tokenizer.id_of("[START]")
        hidden = bert.trunk(
            bert.embeddings(read[None]), context=visual.tokens[row : row + 1], causal=True
        )
        logprobs = bert.token_logits(hidden[0, :-1]).log_softmax(-1)
        total -= logprobs.gather(1, real[1:, None]).sum()
    torch.testing.assert_close(decoded.loss, total / 10)


def test_the_loss_is_eq_8_of_the_golden_logits(golden, monkeypatch):
    case = golden("kia_text_losses")["eq8"]
    bert = make_bert()
    read = torch.tensor(case["decoder_input_ids"])
    targets = torch.tensor(case["targets_-100_ignored"])
    ids = torch.cat([read[:, :1], targets.clamp(min=0)], dim=1)
    real = torch.cat([torch.ones(2, 1, dtype=torch.bool), targets != -100], dim=1)
    asked = torch.tensor(case["logits"])[:, : targets.shape[1]][targets != -100]
    monkeypatch.setattr(bert, "token_logits", lambda hidden: asked[: len(hidden)])
    decoded = bert(Visual(make_image().tokens), Tokens(ids, real))
    assert decoded.loss.item() == pytest.approx(case["expected"]["mean_over_tokens"], abs=1e-5)
    assert int(decoded.count) == 7


def test_a_report_without_a_word_costs_nothing(bert):
    nothing = Tokens(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool))
    decoded = bert(Visual(make_image().tokens), nothing)
    decoded.loss.backward()
    assert decoded.loss.item() == 0.0
    assert int(decoded.count) == 0


def test_padding_does_not_change_what_a_text_means(bert, report):
    image = make_image()
    alone = make_report(bert, "no effusion .")
    for encode, encode_alone in (
        (bert.encode_text(report), bert.encode_text(alone)),
        (
            bert.encode_text_given(report, image),
            bert.encode_text_given(alone, image[torch.tensor([1])]),
        ),
    ):
        torch.testing.assert_close(encode.tokens[1, :5], encode_alone.tokens[0])
        torch.testing.assert_close(encode.pooled, encode.tokens[:, 0])
        assert torch.equal(encode.mask, report.mask)


def test_a_text_read_with_an_image_depends_on_it(bert, report):
    first, second = (bert.encode_text_given(report, make_image()).tokens for _ in range(2))
    assert not torch.allclose(first, second)


def test_words_are_scored_by_their_own_embedding(bert):
    logits = bert.token_logits(torch.randn(3, 16))
    assert logits.shape == (3, len(bert.tokenizer))
    logits.sum().backward()
    assert bert.embeddings.word.weight.grad.abs().sum() > 0
    torch.testing.assert_close(
        bert.embed_tokens(torch.tensor([[1, 2]])), bert.embeddings.word.weight[1:3][None]
    )


def test_attention_says_where_each_word_looks(bert, report):
    attention = bert.attention(report, make_image())
    assert attention.shape == (2, 2, 4, report.ids.shape[1], 5)
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))


def test_reports_are_written_without_special_tokens(bert):
    for word in ("[PAD]", "[UNK]", "[CLS]", "[MASK]", "[START]", "[MATCH]"):
        bert.head.bias.data[bert.tokenizer.id_of(word)] = 50.0
    visual = Visual(make_image(studies=3).tokens)
    for beams in (1, 3):
        for written in bert.generate(visual, Generation(beams=beams, max_new_tokens=9)):
            assert written.text == bert.tokenizer.decode(written.ids)
            assert set(written.text.split()) <= set(WORDS)
            assert len(written.ids) == len(written.logprobs) <= 9
            assert set(written.ids) <= {bert.tokenizer.id_of(word) for word in (*WORDS, "[SEP]")}


def test_writing_with_a_cache_is_writing_without_one(bert):
    bert.embeddings.word.weight.data *= 20.0  # so that words are told apart
    visual = Visual(make_image(studies=3).tokens)
    found = bert.generate(visual, Generation(beams=1, max_new_tokens=7))
    for row, written in enumerate(found):
        ids = [bert.tokenizer.id_of("[START]")]
        for token, logprob in zip(written.ids, written.logprobs, strict=True):
            context = visual.tokens[row : row + 1]
            hidden = bert.trunk(bert.embeddings(torch.tensor([ids])), context=context, causal=True)
            logprobs = bert.token_logits(hidden[:, -1])[0].log_softmax(-1)
            allowed = logprobs.clone()
            allowed[bert._forbidden] = -torch.inf
            assert int(allowed.argmax()) == token
            assert logprobs[token].item() == pytest.approx(logprob, abs=1e-4)
            ids.append(token)


@pytest.mark.parametrize("options", [{"beams": 3}, {"beams": 1, "sample": True}])
def test_writing_twice_writes_the_same(bert, options):
    visual = Visual(make_image(studies=3).tokens)
    generation = Generation(max_new_tokens=8, min_new_tokens=3, **options)
    assert bert.generate(visual, generation) == bert.generate(visual, generation)


def test_sampled_reports_are_other_ones_and_as_long_as_there_are_positions():
    bert = make_bert(max_tokens=6)
    bert.head.bias.data[bert.tokenizer.sep_id] = -50.0
    visual = Visual(make_image(studies=3).tokens)
    drawn = [bert.generate(visual, Generation(beams=1, sample=True, seed=seed)) for seed in (0, 1)]
    assert {len(text.ids) for text in (*drawn[0], *drawn[1])} == {6}
    assert [text.ids for text in drawn[0]] != [text.ids for text in drawn[1]]


def test_a_study_is_written_the_same_in_any_batch():
    bert = make_bert()
    bert.embeddings.word.weight.data *= 20.0
    image = torch.randn(4, 5, 6)
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[2, 3:] = False
    generation = Generation(beams=3, max_new_tokens=8)
    together = bert.generate(Visual(image, mask), generation)
    for row in range(4):
        one = slice(row, row + 1)
        assert bert.generate(Visual(image[one], mask[one]), generation)[0].ids == together[row].ids


def test_a_report_is_no_longer_than_there_are_positions():
    bert = make_bert(max_tokens=6)
    bert.head.bias.data[bert.tokenizer.sep_id] = -50.0
    (written,) = bert.generate(Visual(make_image(studies=1).tokens), Generation())
    assert len(written.ids) == 6
    with pytest.raises(UserError, match="positions for 6: set max_tokens of bert"):
        bert.encode_text(make_report(bert, " ".join(WORDS)))


def test_rows_beyond_the_tokenizer_are_never_written():
    bert = make_bert(vocabulary=40)
    bert.head.bias.data[len(bert.tokenizer) :] = 50.0
    (written,) = bert.generate(Visual(make_image(studies=1).tokens), Generation(max_new_tokens=5))
    assert max(written.ids) < len(bert.tokenizer)
    assert bert.token_logits(torch.randn(1, 16)).shape == (1, 40)


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused():
    with pytest.raises(UserError, match="vocabulary 10 is too small for the tokenizer: it has 18"):
        make_bert(vocabulary=10)


def test_widths_are_the_trunks(bert):
    assert (bert.dim, bert.text_dim, bert.token_dim) == (6, 16, 16)


def test_a_trunk_that_reads_nothing_encodes_text_and_writes_none():
    bert = make_bert(cross_layers="none")
    assert bert.encode_text(make_report(bert, "no effusion .")).tokens.shape == (1, 5, 16)
    for capability in (Decoder, TextGivenImage, Attends):
        with pytest.raises(Lacks, match="reads no image: set cross_layers: all"):
            check_capability(bert, capability)


def test_a_cross_trunk_encodes_text_with_the_image_and_shares_nothing():
    cross = Transformer(dim=16, depth=1, heads=4, cross_layers="all", context_dim=6)
    bert = make_bert(cross_layers="none", cross_trunk=cross)
    check_capability(bert, TextGivenImage)
    with pytest.raises(Lacks, match="reads no image"):
        check_capability(bert, Decoder)
    report = make_report(bert, "no effusion .")
    bert.encode_text_given(report, make_image(studies=1)).tokens.sum().backward()
    assert all(parameter.grad is None for parameter in bert.trunk.parameters())
    assert all(parameter.grad is not None for parameter in cross.parameters())


def test_sizes_are_those_of_bert_base():
    with torch.device("meta"):
        trunk = Transformer(dim=768, depth=1, heads=12)
        bert = Bert(tokenizer=make_tokenizer(), trunk=trunk, vocabulary=30_522)

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(bert.embeddings) == 768 * 30_522 + 396_288
    assert count(bert.head) == 592_128 + 30_522
