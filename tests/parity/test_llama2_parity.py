"""`llama2` is a call of `LlamaForCausalLM` on a prompt that was put together by hand."""

import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig

from rrgcore.api import Generation, Visual

from ..backbones.tiny_llama import (
    BOS,
    EOS,
    REPORTS,
    ROWS,
    UNK,
    VOCABULARY,
    make_llama,
    make_report,
    write_llama,
)

BEFORE = "Human: <Img>"
AFTER = (
    "</Img> Generate a comprehensive and detailed radiology report for this chest X-ray image. "
    "\nAssistant:"
)


@pytest.fixture(autouse=True)
def _quiet():
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


class ByHand:
    """Transformers' own model, and the prompt of fidelity notes §2 around an image."""

    def __init__(self, folder, **options) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prefix(self, image: torch.Tensor) -> torch.Tensor:
        def embed(ids):
            ids = torch.tensor([ids]).expand(len(image), -1)
            return self.model.get_input_embeddings()(ids)

        pieces = [embed([BOS]), embed(self.ids(BEFORE)), image, embed(self.ids(AFTER))]
        return torch.cat(pieces, dim=1)

    def loss(self, image: torch.Tensor, reports, seen=None) -> torch.Tensor:
        prefix = self.prefix(image)
        ids = [[*self.ids(report), EOS] for report in reports]
        width = max(map(len, ids))
        padded = torch.tensor([[*row, *[UNK] * (width - len(row))] for row in ids])
        real = torch.tensor([[i < len(row) for i in range(width)] for row in ids])
        embedded = torch.cat([prefix, self.model.get_input_embeddings()(padded)], dim=1)
        ignored = torch.full(prefix.shape[:2], -100)
        mask = torch.cat([torch.ones(prefix.shape[:2], dtype=torch.long), real.long()], dim=1)
        positions = None
        if seen is not None:
            start = 1 + len(self.ids(BEFORE))
            mask[:, start : start + seen.shape[1]] = seen
            positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self.model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions,
            labels=torch.cat([ignored, padded.masked_fill(~real, -100)], dim=1),
        ).loss

    def generate(self, image: torch.Tensor, **options):
        prefix = self.prefix(image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of penalties that look at the report alone
            return self.model.generate(
                inputs_embeds=prefix,
                attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
                suppress_tokens=[UNK, BOS, *range(len(VOCABULARY), ROWS)],
                pad_token_id=EOS,
                eos_token_id=EOS,
                return_dict_in_generate=True,
                output_scores=True,
                **options,
            )


@pytest.fixture
def folder(tmp_path):
    return write_llama(tmp_path / "llama")


@pytest.mark.parametrize(
    "published",
    [
        {},
        {"tie_word_embeddings": True},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
        {"kind": MistralConfig, "sliding_window": 8},
    ],
    ids=["llama", "tied", "another base of positions", "mistral"],
)
def test_the_loss_is_theirs(tmp_path, published):
    folder = write_llama(tmp_path / "llama", **{"kind": LlamaConfig, **published})
    ours, theirs, image = make_llama(folder), ByHand(folder), torch.randn(3, 5, 32)
    decoded = ours(Visual(image), make_report(ours))
    torch.testing.assert_close(decoded.loss, theirs.loss(image, REPORTS), atol=1e-5, rtol=0)
    assert int(decoded.count) == 9 + 5 + 3  # words, and an end each


def test_the_loss_is_theirs_where_image_tokens_are_absent(folder):
    ours, theirs, image = make_llama(folder), ByHand(folder), torch.randn(3, 5, 32)
    seen = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1], [1, 0, 0, 0, 0]]).bool()
    decoded = ours(Visual(image, seen), make_report(ours))
    torch.testing.assert_close(decoded.loss, theirs.loss(image, REPORTS, seen), atol=1e-5, rtol=0)


SEARCHES = [
    {"beams": 1},
    {"beams": 3},
    {"beams": 3, "repetition_penalty": 2.0, "length_penalty": 2.0, "min_new_tokens": 6},
    {"beams": 1, "repetition_penalty": 2.0},
    {"beams": 2, "no_repeat_ngram": 2, "length_penalty": 0.0},
    {"beams": 4, "early_stopping": True},
    {"beams": 3, "max_new_tokens": 3},
]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_texts_are_theirs(folder, options):
    ours, theirs, image = make_llama(folder), ByHand(folder), torch.randn(6, 5, 32)
    generation = Generation(**{"max_new_tokens": 12, **options})
    greedy = generation.beams == 1
    expected = theirs.generate(
        image,
        num_beams=generation.beams,
        do_sample=False,
        max_new_tokens=generation.max_new_tokens,
        min_new_tokens=generation.min_new_tokens or None,
        repetition_penalty=generation.repetition_penalty,
        no_repeat_ngram_size=generation.no_repeat_ngram or None,
        **({} if greedy else {"length_penalty": generation.length_penalty}),
        **({} if greedy else {"early_stopping": generation.early_stopping}),
    )
    written = ours.generate(Visual(image), generation)
    for row, text in enumerate(written):
        ids = expected.sequences[row].tolist()
        assert list(text.ids) == (ids[: ids.index(EOS) + 1] if EOS in ids else ids)
        assert text.text == theirs.tokenizer.decode(text.ids, skip_special_tokens=True)
    assert len({text.ids for text in written}) > 1


def test_a_searched_texts_log_probabilities_are_those_it_was_ranked_by(folder):
    ours, theirs, image = make_llama(folder), ByHand(folder), torch.randn(4, 5, 32)
    generation = Generation(beams=3, max_new_tokens=10, length_penalty=2.0)
    expected = theirs.generate(image, num_beams=3, max_new_tokens=10, length_penalty=2.0)
    for text, score in zip(
        ours.generate(Visual(image), generation), expected.sequences_scores, strict=True
    ):
        assert sum(text.logprobs) / len(text.ids) ** 2.0 == pytest.approx(float(score), abs=1e-5)


def test_a_sampled_text_is_theirs_and_no_other_random_number_is_used(folder):
    ours, theirs, image = make_llama(folder), ByHand(folder), torch.randn(4, 5, 32)
    options = {"temperature": 1.3, "top_k": 9, "top_p": 0.9}
    torch.manual_seed(7)
    expected = theirs.generate(image, do_sample=True, max_new_tokens=10, **options)
    before = torch.get_rng_state()
    generation = Generation(beams=1, sample=True, seed=7, max_new_tokens=10, **options)
    written = ours.generate(Visual(image), generation)
    assert torch.equal(before, torch.get_rng_state())
    for row, text in enumerate(written):
        assert list(text.ids) == expected.sequences[row].tolist()[: len(text.ids)]
    again = Generation(beams=1, sample=True, seed=8, max_new_tokens=10, **options)
    assert [text.ids for text in ours.generate(Visual(image), again)] != [t.ids for t in written]


@pytest.mark.parametrize("how", ["shards", "a pickle", "half precision"])
def test_weights_are_theirs_however_they_are_stored(tmp_path, how):
    half = torch.bfloat16 if how == "half precision" else torch.float32
    folder = write_llama(tmp_path / "llama", dtype=half)
    theirs = ByHand(folder, dtype=torch.float32)
    if how == "shards":
        theirs.model.save_pretrained(folder, max_shard_size="8KB")
        (folder / "model.safetensors").unlink()
        assert len(list(folder.glob("model-*.safetensors"))) > 2
    if how == "a pickle":
        (folder / "model.safetensors").unlink()
        torch.save(theirs.model.state_dict(), folder / "pytorch_model.bin")
    ours = make_llama(folder)
    expected = theirs.model.state_dict()
    assert ours.llm.state_dict().keys() == expected.keys()
    for name, tensor in ours.llm.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
