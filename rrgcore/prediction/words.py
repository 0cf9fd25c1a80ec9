"""The words of a report that was written, each with the probability that the model gave it."""

from math import exp, isfinite

from rrgcore.tokens import Tokenizer
from rrgcore.types import Generated

Word = tuple[str, float]


def words_of(report: Generated, tokenizer: Tokenizer) -> tuple[Word, ...]:
    """Return the report's words and the product of the probabilities of each one's tokens.

    A word is what stands between white space; the end of the text is none. Of a decoder whose text
    is not what its tokenizer makes of its tokens, each token stands for itself.
    """
    logprobs: list[float] = []
    for number, logprob in enumerate(report.logprobs, start=1):
        text = tokenizer.decode(report.ids[:number])
        count = len(text.split())
        if count > len(logprobs):
            # one token may be several words
            logprobs += [0.0] * (count - len(logprobs))
            logprobs[-1] = logprob
        elif logprobs and tokenizer.decode(report.ids[number - 1 : number]).strip():
            logprobs[-1] += logprob
    words = report.text.split()
    if len(words) != len(logprobs):
        tokens = [tokenizer.decode([id]) for id in report.ids]
        pairs = zip(tokens, report.logprobs, strict=True)
        return tuple((token, probability(logprob)) for token, logprob in pairs if token.strip())
    return tuple((word, probability(p)) for word, p in zip(words, logprobs, strict=True))


def probability(logprob: float) -> float:
    """Return a probability with three digits: more would be read and mean nothing."""
    return float(f"{exp(min(logprob, 0.0)):.3g}") if isfinite(logprob) else 0.0
