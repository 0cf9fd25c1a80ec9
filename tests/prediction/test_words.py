"""Words of a report with their probabilities."""

from math import log

import pytest

from rrgcore.prediction.words import probability, words_of
from rrgcore.tokens import PretrainedTokenizer, WordTokenizer
from rrgcore.types import Generated


def test_each_word_has_its_token_s_probability_and_the_end_is_none() -> None:
    tokenizer = WordTokenizer(words=["the", "heart", "."])
    ids = (*tokenizer.encode("the heart .")[1:],)
    report = Generated("the heart .", ids, (log(0.9), log(0.5), log(0.25), log(0.1)))

    assert words_of(report, tokenizer) == (("the", 0.9), ("heart", 0.5), (".", 0.25))


def test_a_word_of_pieces_has_the_product_of_theirs() -> None:
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart", "pneu", "##mo", "##thorax"]
    backend = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    tokenizer = PretrainedTokenizer(backend=backend)
    report = Generated("pneumothorax heart", (6, 7, 8, 5, 3), tuple(map(log, (0.5,) * 5)))

    assert words_of(report, tokenizer) == (("pneumothorax", 0.125), ("heart", 0.5))


def test_where_the_text_is_not_the_tokens_each_token_stands_for_itself() -> None:
    tokenizer = WordTokenizer(words=["a", "b"])
    report = Generated("something else altogether", (5, 6), (log(0.5), log(0.25)))

    assert words_of(report, tokenizer) == (("a", 0.5), ("b", 0.25))


def test_an_empty_report_has_none() -> None:
    assert words_of(Generated("", (), ()), WordTokenizer(words=["a"])) == ()


@pytest.mark.parametrize(
    ("logprob", "expected"), [(0.0, 1.0), (1e-9, 1.0), (float("-inf"), 0.0), (log(0.12345), 0.123)]
)
def test_a_probability_has_three_digits(logprob: float, expected: float) -> None:
    assert probability(logprob) == expected
