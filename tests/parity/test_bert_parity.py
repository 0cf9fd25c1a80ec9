"""`bert` with BERT's weights is BERT: its features, its head, its texts."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertLMHeadModel, BertModel

from rrg_backbones.bert import Bert
from rrg_backbones.transformer import Transformer
from rrgcore.api import AbsentTokenizer, Encoded, Generation, Tokens, Visual

PAD, CLS, SEP, MASK, START, VOCABULARY = 0, 1, 2, 3, 4, 24


class Ids:
    """A tokenizer whose words are their ids."""

    pad_id, cls_id, sep_id, mask_id = PAD, CLS, SEP, MASK

    def __len__(self):
        return VOCABULARY

    def decode(self, ids):
        return " ".join(str(id) for id in ids if id > START)

    def id_of(self, token):
        return {"[START]": START}[token]

    def encode(self, text, *, max_tokens=None):
        return [CLS, *map(int, text.split()), SEP]

    def encode_words(self, words):
        return self.encode(" ".join(words)), [None, *range(len(words)), None]

    def save(self, folder):
        folder.mkdir(exist_ok=True)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def make_config(**options) -> BertConfig:
    return BertConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 40,
            "initializer_range": 0.3,  # large enough that a wrong place of anything shows
            "pad_token_id": PAD,
            "bos_token_id": START,
            "eos_token_id": SEP,
            **options,
        }
    )


def scramble(model):
    """Give norms and biases values that tell them apart."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def make_bert(folder, config: BertConfig, **options) -> Bert:
    trunk = Transformer(
        dim=config.hidden_size,
        depth=config.num_hidden_layers,
        heads=config.num_attention_heads,
        hidden=config.intermediate_size,
        cross_layers="all" if config.add_cross_attention else "none",
    )
    bert = Bert(
        tokenizer=Ids(),
        trunk=trunk,
        vocabulary=config.vocab_size,
        max_tokens=config.max_position_embeddings,
        weights=str(folder),
        **options,
    )
    bert.load_weights()
    return bert.eval()


def make_report() -> Tokens:
    ids = torch.randint(5, VOCABULARY, (3, 12))
    mask = torch.arange(12) < torch.tensor([[12], [7], [3]])
    return Tokens(ids.masked_fill(~mask, PAD), mask)


@pytest.mark.parametrize(("dim", "depth", "heads", "hidden"), [(32, 3, 4, 48), (48, 2, 3, 192)])
@pytest.mark.parametrize("old_names", [False, True])
def test_features_are_berts(tmp_path, dim, depth, heads, hidden, old_names):
    config = make_config(
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=hidden,
    )
    theirs = scramble(BertModel(config))
    theirs.save_pretrained(tmp_path)
    if old_names:  # the first BERTs: gamma and beta, everything under bert., a pickle
        state = {
            f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): value
            for key, value in theirs.state_dict().items()
        }
        (tmp_path / "model.safetensors").unlink()
        torch.save(state, tmp_path / "pytorch_model.bin")
    ours, report = make_bert(tmp_path, config), make_report()
    expected = theirs(report.ids, attention_mask=report.mask.long()).last_hidden_state
    encoded = ours.encode_text(report)
    torch.testing.assert_close(
        encoded.tokens[report.mask], expected[report.mask], atol=1e-5, rtol=0
    )


def test_words_are_scored_as_by_berts_head(tmp_path):
    config = make_config()
    theirs = scramble(BertForMaskedLM(config))
    theirs.save_pretrained(tmp_path)
    ours, report = make_bert(tmp_path, config), make_report()
    expected = theirs(report.ids, attention_mask=report.mask.long()).logits[report.mask]
    logits = ours.token_logits(ours.encode_text(report).tokens[report.mask])
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=0)


@pytest.fixture
def decoders(tmp_path):
    config = make_config(is_decoder=True, add_cross_attention=True)
    theirs = scramble(BertLMHeadModel(config))
    theirs.save_pretrained(tmp_path)
    return make_bert(tmp_path, config), theirs


def test_the_loss_is_a_bert_decoders(decoders):
    ours, theirs = decoders
    image, report = torch.randn(3, 6, 32), make_report()
    read = report.with_first(START)
    expected = theirs(
        read.ids,
        attention_mask=read.mask.long(),
        encoder_hidden_states=image,
        labels=read.ids.masked_fill(~read.mask, -100),
    ).loss
    torch.testing.assert_close(ours(Visual(image), report).loss, expected, atol=1e-5, rtol=0)


def test_attention_is_a_bert_decoders(tmp_path):
    config = make_config(is_decoder=True, add_cross_attention=True)
    theirs = scramble(BertLMHeadModel(config))
    theirs.set_attn_implementation("eager")
    theirs.save_pretrained(tmp_path)
    ours, image = make_bert(tmp_path, config), torch.randn(3, 6, 32)
    ids = torch.randint(5, VOCABULARY, (3, 1))  # one token: causal or not is the same
    report = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    expected = theirs(ids, encoder_hidden_states=image, output_attentions=True).cross_attentions
    actual = ours.attention(report, Encoded(image, image[:, 0]))
    torch.testing.assert_close(actual, torch.stack(expected, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"beams": 1},
        {"beams": 3},
        {"beams": 4, "length_penalty": 2.0},
        {"beams": 3, "length_penalty": 0.0, "min_new_tokens": 4},
        {"beams": 3, "repetition_penalty": 1.7},
        {"beams": 3, "max_new_tokens": 3},
        {"beams": 1, "no_repeat_ngram": 2},
        {"beams": 3, "no_repeat_ngram": 2, "min_new_tokens": 8},
        {"beams": 3, "no_repeat_ngram": 1},
        {"beams": 4, "early_stopping": True, "length_penalty": 2.0},
    ],
    ids=lambda options: ", ".join(f"{key} {value}" for key, value in options.items()),
)
def test_texts_are_those_of_hugging_faces_search(decoders, options):
    ours, theirs = decoders
    generation = Generation(**{"max_new_tokens": 12, **options})
    image = torch.randn(6, 7, 32)
    greedy = generation.beams == 1
    expected = theirs.generate(
        torch.full((6, 1), START),
        attention_mask=torch.ones(6, 1, dtype=torch.long),
        encoder_hidden_states=image,
        num_beams=generation.beams,
        do_sample=False,
        use_cache=False,
        max_new_tokens=generation.max_new_tokens,
        min_new_tokens=generation.min_new_tokens or None,
        length_penalty=None if greedy else generation.length_penalty,
        repetition_penalty=generation.repetition_penalty,
        no_repeat_ngram_size=generation.no_repeat_ngram,
        early_stopping=None if greedy else generation.early_stopping,
        suppress_tokens=[PAD, CLS, MASK, START],
        pad_token_id=PAD,
        eos_token_id=SEP,
    )
    written = ours.generate(Visual(image), generation)
    for row, text in enumerate(written):
        ids = expected[row, 1:].tolist()
        ids = ids[: ids.index(SEP) + 1] if SEP in ids else ids  # the rest is filling
        assert list(text.ids) == ids
    assert len({text.ids for text in written}) > 1


def test_an_absent_tokenizer_is_enough_to_count_parameters():
    with torch.device("meta"):
        trunk = Transformer(dim=32, depth=1, heads=4, cross_layers="all")
        bert = Bert(tokenizer=AbsentTokenizer(name="bert-base-uncased", size=30_524), trunk=trunk)
    assert bert.embeddings.word.num_embeddings == 30_524
