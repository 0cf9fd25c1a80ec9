"""A frozen language model that reads images: what it lets through, and what it writes."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from rrg_backbones.llama2 import Llama2
from rrg_backbones.llama2_prompt import WORDS, prompt_ids, unwritten_ids
from rrg_backbones.llama2_scoring import score_words
from rrgcore import load_recipe
from rrgcore.api import (
    Generation,
    Tokens,
    UserError,
    Visual,
    WordTokenizer,
    load_tokenizer,
)
from rrgcore.tokenizers import Tokenizers

from .tiny_llama import (
    BOS,
    EOS,
    REPORT_WORDS,
    ROWS,
    UNK,
    VOCABULARY,
    make_llama,
    make_report,
    write_llama,
)


@pytest.fixture
def folder(tmp_path):
    return write_llama(tmp_path / "llama")


@pytest.fixture
def llama(folder) -> Llama2:
    return make_llama(folder)


def make_small(**options) -> Llama2:
    """A Llama of our own sizes, with a tokenizer of words."""
    sizes = {"dim": 32, "depth": 2, "heads": 4, "hidden": 48, "max_tokens": 96, "frozen": False}
    tokenizer = WordTokenizer(words=(*REPORT_WORDS, *WORDS))
    return Llama2(**{"tokenizer": tokenizer, **sizes, **options})


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


# ---- frozen -------------------------------------------------------------------------------------


def test_a_gradient_reaches_the_images_and_no_parameter(llama):
    image = torch.randn(3, 5, 32, requires_grad=True)
    llama.train()(Visual(image), make_report(llama)).loss.backward()
    assert (image.grad.abs().sum(-1) > 0).all()
    assert all(p.grad is None and not p.requires_grad for p in llama.parameters())


def test_it_is_bit_identical_after_training_what_stands_before_it(llama):
    adapter = nn.Linear(6, 32)
    optimizer = torch.optim.AdamW([*adapter.parameters(), *llama.parameters()], lr=0.05)
    before, report, image = values(llama), make_report(llama), torch.randn(3, 5, 6)
    losses = []
    for _ in range(8):
        loss = llama.train()(Visual(adapter(image)), report).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    assert before.keys() == values(llama).keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in values(llama).items())


def test_it_stays_in_eval_and_drops_nothing_out(folder):
    llama = make_llama(folder)
    for layer in llama.llm.model.layers:
        layer.self_attn.attention_dropout = 0.5  # as a published configuration may say
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(llama)
    quiet = llama.eval()(visual, report).loss
    assert torch.equal(llama.train()(visual, report).loss, quiet)
    assert llama.training


def test_random_values_are_all_trained_unless_frozen():
    llama = make_small()
    llama.train()(Visual(torch.randn(3, 5, 32)), make_report(llama)).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in llama.parameters())
    assert not any(p.requires_grad for p in make_small(frozen=True).parameters())


# ---- the loss -----------------------------------------------------------------------------------


def test_words_are_scored_only_where_one_is_asked_for(llama, monkeypatch):
    seen = []

    def score(head, hidden, ids):
        seen.append(hidden.shape)
        return score_words(head, hidden, ids)

    monkeypatch.setattr("rrg_backbones.llama2.score_words", score)
    decoded = llama(Visual(torch.randn(3, 5, 32)), make_report(llama))
    assert seen == [(int(decoded.count), 32)]


def test_a_batch_costs_the_mean_of_its_reports_alone(llama):
    image, report = torch.randn(3, 5, 32), make_report(llama)
    together, total = llama(Visual(image), report), 0.0
    for row in range(3):
        length = int(report.mask[row].sum())
        alone = Tokens(report.ids[row : row + 1, :length], report.mask[row : row + 1, :length])
        one = llama(Visual(image[row : row + 1]), alone)
        total += float(one.loss * one.count)
    assert float(together.loss) == pytest.approx(total / int(together.count), abs=1e-5)


def test_what_padding_says_does_not_matter(llama):
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(llama)
    loss = llama(visual, report).loss
    beyond = report.ids.masked_fill(~report.mask, 10_000)  # another component's own token
    torch.testing.assert_close(llama(visual, Tokens(beyond, report.mask)).loss, loss)


def test_a_report_without_a_word_costs_nothing(llama):
    image = torch.randn(2, 5, 32, requires_grad=True)
    nothing = Tokens(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool))
    decoded = llama(Visual(image), nothing)
    decoded.loss.backward()
    assert (decoded.loss.item(), int(decoded.count)) == (0.0, 0)


@pytest.mark.parametrize("what", ["loss", "text"])
def test_an_absent_image_token_is_as_if_it_were_not_there(llama, what):
    image, generation = torch.randn(2, 6, 32), Generation(beams=2, max_new_tokens=8)
    seen = torch.tensor([1, 0, 1, 1, 0, 0]).bool().expand(2, -1)
    masked = Visual(torch.where(seen[..., None], image, 9.0), seen)
    fewer = Visual(image[:, [0, 2, 3]])
    if what == "loss":
        report = make_report(llama, "no effusion .", "lungs are clear")
        torch.testing.assert_close(llama(masked, report).loss, llama(fewer, report).loss)
    else:
        written = llama.generate(masked, generation)
        assert [t.ids for t in written] == [t.ids for t in llama.generate(fewer, generation)]


def test_more_tokens_than_positions_are_refused(llama):
    visual = Visual(torch.randn(1, 80, 32))
    with pytest.raises(UserError, match=r"images take 97 tokens and the report 3; .* raise max_"):
        llama(visual, make_report(llama, "lungs are clear"))
    with pytest.raises(UserError, match="positions for 96"):
        llama.generate(visual, Generation())
    (text,) = llama.generate(Visual(torch.randn(1, 70, 32)), Generation(min_new_tokens=30, beams=1))
    assert len(text.ids) == 96 - 87


# ---- how it is held -----------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_checkpointing_computes_layers_twice_and_gives_the_same_gradient(folder, frozen):
    gradients, calls = [], []
    for checkpoint in (False, True):
        llama = make_llama(folder, checkpoint=checkpoint, frozen=frozen).train()
        mlp = llama.llm.model.layers[0].mlp
        mlp.register_forward_pre_hook(lambda *_: calls.append(checkpoint))  # noqa: B023
        torch.manual_seed(1)
        image = torch.randn(3, 5, 32, requires_grad=True)
        llama(Visual(image), make_report(llama)).loss.backward()
        gradients.append([image.grad, *(p.grad for p in llama.parameters() if not frozen)])
    assert (calls.count(False), calls.count(True)) == (1, 2)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_that_is_checkpointed_writes_with_a_cache_while_training(folder):
    visual, generation = Visual(torch.randn(2, 5, 32)), Generation(beams=2, max_new_tokens=6)
    llama = make_llama(folder, checkpoint=True, frozen=False).train()
    written = llama.generate(visual, generation)
    assert llama.training
    assert llama.llm.model.layers[0].training
    assert written == make_llama(folder).generate(visual, generation)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_close_and_gradients_come_back_as_they_went(folder, dtype, autocast):
    image = torch.randn(3, 5, 32, requires_grad=True)
    exact, half = make_llama(folder), make_llama(folder, dtype=dtype).train()
    report = make_report(exact)
    assert {p.dtype for p in half.parameters()} == {getattr(torch, dtype)}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = half(Visual(image), report).loss
    loss.backward()
    assert loss.dtype == image.grad.dtype == torch.float32
    expected = exact(Visual(image.detach()), report).loss
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        written = half.eval().generate(Visual(image.detach()), Generation(max_new_tokens=4))
    assert all(len(text.ids) == len(text.logprobs) <= 4 for text in written)


def test_positions_are_exact_in_half_precision(folder):
    frequencies = make_llama(folder, dtype="bfloat16").llm.model.rotary_emb.inv_freq
    assert torch.equal(frequencies, make_llama(folder).llm.model.rotary_emb.inv_freq)


def test_a_trained_model_in_half_precision_is_refused():
    with pytest.raises(UserError, match="dtype: bfloat16 is too coarse for a model that learns"):
        make_small(dtype="bfloat16")


# ---- what it reads and writes -------------------------------------------------------------------


def test_the_prompt_is_the_papers(llama):
    before, after = prompt_ids(llama.tokenizer, "Describe the lungs")
    assert [VOCABULARY[id] for id in before] == ["<s>", "Human:", "<Img>"]
    assert [VOCABULARY[id] for id in after[:1] + after[-1:]] == ["</Img>", "Assistant:"]
    assert prompt_ids(llama.tokenizer, "the heart")[1] != after


def test_a_vocabulary_of_words_holds_the_prompts(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(decoder="{name: llama2, tokenizer: words, dim: 32, heads: 4}"))
    words = Tokenizers(load_recipe(recipe).plan, lambda: ["the heart is seen ."])("words")
    for ids in prompt_ids(words, "Generate a detailed radiology report"):
        assert words.id_of("[UNK]") not in ids


def test_reports_are_written_without_special_tokens_or_unknown_words():
    llama = make_small(vocabulary=60).eval()
    forbidden = unwritten_ids(llama.tokenizer, 60)
    llama.llm.lm_head.weight.data[forbidden] *= 50.0
    visual = Visual(torch.randn(4, 5, 32))
    for options in ({"beams": 1}, {"beams": 3}, {"beams": 1, "sample": True}):
        for text in llama.generate(visual, Generation(max_new_tokens=9, **options)):
            assert not set(text.ids) & set(forbidden)
            assert text.text == llama.tokenizer.decode(text.ids)


def test_a_token_that_is_a_space_may_be_written(folder):
    tokenizer = load_tokenizer(str(folder))
    tokenizer.backend.add_tokens([" "])
    assert tokenizer.decode([len(tokenizer) - 1]) == ""
    assert len(tokenizer) - 1 not in unwritten_ids(tokenizer, ROWS)
    assert unwritten_ids(tokenizer, ROWS) == [UNK, BOS, *range(len(tokenizer), ROWS)]


def test_a_text_that_may_go_on_with_nothing_ends(llama):
    options = {"no_repeat_ngram": 1, "min_new_tokens": 35, "max_new_tokens": 35}
    for beams in (1, 2):
        (text,) = llama.generate(Visual(torch.randn(1, 5, 32)), Generation(beams=beams, **options))
        assert len(set(text.ids)) == len(text.ids) == len(VOCABULARY) - 2  # each once, and the end
        assert text.ids[-1] == EOS


def test_log_probabilities_are_the_models_own_over_all_words(llama):
    visual = Visual(torch.randn(2, 5, 32))
    generation = Generation(beams=3, repetition_penalty=2.0, min_new_tokens=5, max_new_tokens=7)
    for row, text in enumerate(llama.generate(visual, generation)):
        ids = torch.tensor([[BOS, *text.ids]])
        one = Visual(visual.tokens[row : row + 1])
        loss = llama(one, Tokens(ids, torch.ones_like(ids).bool())).loss
        assert sum(text.logprobs) / len(text.ids) == pytest.approx(-float(loss), abs=1e-5)


def test_a_study_is_written_the_same_in_any_batch(llama):
    image, seen = torch.randn(4, 5, 32), torch.ones(4, 5, dtype=torch.bool)
    seen[2, 3:] = False
    generation = Generation(beams=3, max_new_tokens=8)
    together = llama.generate(Visual(image, seen), generation)
    for row in range(4):
        one = slice(row, row + 1)
        (alone,) = llama.generate(Visual(image[one], seen[one]), generation)
        assert alone.ids == together[row].ids


# ---- as a text encoder --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_text_is_its_input_embeddings_and_their_mean(folder, dtype):
    llama = make_llama(folder, dtype=dtype)
    report, table = make_report(llama), llama.llm.model.embed_tokens.weight
    encoded = llama.encode_text(report)
    assert encoded.tokens.dtype == torch.float32
    for row in range(3):
        expected = table[report.ids[row][report.mask[row]]].float()
        torch.testing.assert_close(encoded.tokens[row][report.mask[row]], expected)
        torch.testing.assert_close(encoded.pooled[row], expected.mean(0))
    assert not encoded.tokens.requires_grad
    assert (llama.dim, llama.text_dim, llama.token_dim) == (32, 32, 32)


def test_embedded_tokens_learn_only_where_the_model_does(llama):
    ids = torch.tensor([[3, 4]])
    assert not llama.embed_tokens(ids).requires_grad
    small = make_small()
    small.embed_tokens(ids).sum().backward()
    assert small.llm.model.embed_tokens.weight.grad[3].tolist() == [1.0] * 32


def test_a_copy_is_another_model_that_says_the_same(llama):
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(llama)
    twin = deepcopy(llama)
    assert torch.equal(twin(visual, report).loss, llama(visual, report).loss)


# ---- sizes --------------------------------------------------------------------------------------

RECIPE = """
data: {{name: phantom, train: 2, val: 2, test: 2}}
model:
  encoder: {{name: vit, trunk: {{name: transformer, dim: 16, depth: 1, heads: 2}}}}
  adapter: linear
  decoder: {decoder}
objectives: {{report: {{}}}}
stages: {{train: {{epochs: 1}}}}
"""


def test_show_counts_llama_2_7b_where_there_is_no_network(tmp_path, monkeypatch):
    for module in ("rrgcore.tokens", "rrg_backbones.llama2_loading"):
        monkeypatch.setattr(f"{module}.hub_reachable", lambda: False)
    recipe, name = tmp_path / "recipe.yaml", "meta-llama/Llama-2-7b-chat-hf"
    block = f"{{name: llama2, weights: {name}, tokenizer: {name}, vocabulary: 32000"
    for more in ("}", ", quantize: 4bit, dtype: float16}"):
        recipe.write_text(RECIPE.format(decoder=block + more))
        shown = load_recipe(recipe).show()
        (weight,) = (weight for weight in shown.weights if weight.part == "decoder")
        assert (weight.trainable, weight.frozen) == (0, 6_738_415_616)
        assert any(name in line for line in shown.absent)


def test_sizes_that_are_left_out_follow_llamas_rules():
    with torch.device("meta"):
        llama = make_small(dim=256, hidden=None, depth=None)
    layer = llama.llm.model.layers[0]
    assert layer.mlp.up_proj.out_features == 768  # 8/3 of 256, up to a multiple of 256
    assert layer.self_attn.k_proj.out_features == 256
    assert len(llama.llm.model.layers) == 32
    assert llama.llm.lm_head.out_features == len(llama.tokenizer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 36}, "dim 36 does not make 4 heads of an even width"),
        ({"kv_heads": 3}, "heads 4 is no multiple of kv_heads 3"),
        ({"depth": 0}, "depth: 0: expected at least 1"),
        ({"vocabulary": 9}, "has 34 tokens and llama2 9 rows for them: set vocabulary: 34"),
    ],
)
def test_sizes_that_make_no_model_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        make_small(**options)
