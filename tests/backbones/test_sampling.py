"""Texts drawn instead of searched, and what keeps a text from repeating itself."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from transformers import (
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rrg_backbones.beam import Writer, beam_search, constrain
from rrg_backbones.sampling import narrow, sample_texts
from rrgcore.api import Generation

END, START, VOCABULARY = 0, 1, 6
SAMPLE = Generation(beams=1, sample=True, max_new_tokens=8)


class Bigrams(Writer):
    """The next token depends on the study and the last token, by a table of random logits."""

    def __init__(self, studies: int, *, spread: float = 2.0) -> None:
        generator = torch.Generator().manual_seed(7)
        self.logits = spread * torch.randn(studies, VOCABULARY, VOCABULARY, generator=generator)
        self.study = torch.arange(studies)

    def step(self, tokens):
        return self.logits[self.study, tokens]

    def select(self, rows):
        self.study = self.study[rows]


def write(writer: Bigrams, generation: Generation = SAMPLE, how=sample_texts):
    first = torch.full((len(writer.study),), START)
    return how(writer, first, end=END, forbidden=[START], generation=generation)


def texts(writer: Bigrams, generation: Generation = SAMPLE, how=sample_texts):
    return [text.ids for text in write(writer, generation, how)]


def grams(ids, size: int):
    return [ids[place : place + size] for place in range(len(ids) - size + 1)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 50])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 0.01])
def test_tokens_are_narrowed_down_as_transformers_does(temperature, top_k, top_p):
    scores = 2 * torch.randn(64, 12)
    scores[:, 3] = -torch.inf  # a token that may not come
    scores[:8, 5] = scores[:8, 6]  # and some that tie
    expected = TemperatureLogitsWarper(temperature)(None, scores)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    actual = narrow(scores, temperature=temperature, top_k=top_k, top_p=top_p)
    # of two that tie at the edge of top_p either may stay
    torch.testing.assert_close(actual[8:], expected[8:], atol=0, rtol=1e-6)
    torch.testing.assert_close(actual[:8].isfinite().sum(1), expected[:8].isfinite().sum(1))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_repeats_are_forbidden_as_transformers_does(size):
    written = torch.randint(2, VOCABULARY, (64, 9))
    for length in range(9):
        logprobs = torch.randn(64, VOCABULARY).log_softmax(-1)
        expected = NoRepeatNGramLogitsProcessor(size)(written[:, :length], logprobs.clone())
        actual = constrain(
            logprobs,
            written[:, :length],
            end=END,
            forbidden=[],
            generation=Generation(no_repeat_ngram=size),
        )
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("how", [beam_search, sample_texts])
def test_no_ngram_is_written_twice(how):
    generation = Generation(beams=1, sample=how is sample_texts, min_new_tokens=14)
    repeated = texts(Bigrams(20), generation, how)
    assert any(len(set(grams(ids, 2))) < len(grams(ids, 2)) for ids in repeated)
    for ids in texts(Bigrams(20), replace(generation, no_repeat_ngram=2), how):
        assert len(set(grams(ids, 2))) == len(grams(ids, 2))


@pytest.mark.parametrize("how", [beam_search, sample_texts])
def test_a_text_that_could_only_repeat_itself_ends(how):
    generation = Generation(
        beams=1, sample=how is sample_texts, min_new_tokens=14, no_repeat_ngram=1
    )
    for ids in texts(Bigrams(5), generation, how):
        assert sorted(ids[:-1]) == [2, 3, 4, 5]
        assert ids[-1] == END


def test_texts_are_as_frequent_as_they_are_likely():
    writer = Bigrams(1)
    logits = writer.logits.expand(20_000, -1, -1).clone()
    logits[..., START] = -torch.inf
    writer.logits, writer.study = logits, torch.arange(20_000)
    expected = logits[0].softmax(-1)
    written = torch.tensor([(*ids, END)[:2] for ids in texts(writer)])
    first = torch.bincount(written[:, 0], minlength=VOCABULARY) / len(written)
    torch.testing.assert_close(first, expected[START], atol=0.015, rtol=0)
    word = int(expected[START][2:].argmax()) + 2
    second = written[written[:, 0] == word, 1]
    frequency = torch.bincount(second, minlength=VOCABULARY) / len(second)
    torch.testing.assert_close(frequency, expected[word], atol=0.03, rtol=0)


def test_the_likeliest_token_alone_is_greedy_search():
    greedy = texts(Bigrams(8), Generation(beams=1, max_new_tokens=8), beam_search)
    assert texts(Bigrams(8), replace(SAMPLE, top_k=1)) == greedy
    assert texts(Bigrams(8), replace(SAMPLE, temperature=1e-4)) == greedy
    assert texts(Bigrams(8)) != greedy


def test_a_seed_writes_the_same_texts_and_another_one_others():
    assert texts(Bigrams(8)) == texts(Bigrams(8))
    assert texts(Bigrams(8)) != texts(Bigrams(8), replace(SAMPLE, seed=1))


def test_sampling_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    write(Bigrams(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_text_does_not_depend_on_those_beside_it():
    together = texts(Bigrams(9))
    for count in (1, 4):
        few = Bigrams(9)
        few.study = few.study[:count]
        assert texts(few) == together[:count]


def test_rows_of_a_batch_are_drawn_apart():
    same = Bigrams(9, spread=0.5)
    same.logits[:] = same.logits[0].clone()
    assert len(set(texts(same))) > 4


def test_a_sampled_text_has_the_models_own_log_probabilities():
    generation = replace(SAMPLE, temperature=2.0, top_k=3, top_p=0.9, repetition_penalty=1.3)
    writer = Bigrams(5)
    logprobs = writer.logits.log_softmax(-1)
    for study, text in enumerate(write(writer, generation)):
        expected = [float(logprobs[study, a, b]) for a, b in pairwise((START, *text.ids))]
        assert text.logprobs == pytest.approx(expected, abs=1e-5)
        assert START not in text.ids


def test_a_sampled_text_is_as_long_as_asked():
    generation = replace(SAMPLE, min_new_tokens=3, max_new_tokens=5)
    lengths = {len(ids) for ids in texts(Bigrams(50), generation)}
    assert lengths == {4, 5}  # three words and the end, or more; cut at five
    assert any(ids[-1] != END for ids in texts(Bigrams(50), generation))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample": True}, "`sample` draws one text and `beams` is 3: set beams: 1 to sample"),
        ({"temperature": 0.0}, "`temperature` is 0.0; expected a number above 0"),
        ({"temperature": float("nan")}, "`temperature` is nan; expected a number above 0"),
        ({"top_p": 1.5}, "`top_p` is 1.5; expected a number above 0 and at most 1"),
        ({"top_p": 0.0}, "`top_p` is 0.0; expected a number above 0"),
        ({"top_k": -1}, "`top_k` is -1; expected at least 0"),
        ({"no_repeat_ngram": -2}, "`no_repeat_ngram` is -2; expected at least 0"),
        ({"seed": -1}, "`seed` is -1; expected at least 0"),
        ({"seed": 2**64}, "expected less than 2\\^63"),
    ],
)
def test_options_that_make_no_generation_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Generation(**options)


def test_what_samples_can_be_asked_to_search():
    searching = replace(SAMPLE, top_k=5).with_beams(3)
    assert searching == Generation(beams=3, max_new_tokens=8, top_k=5)
