"""What an observation n-gram may be made of: the stop words that ORGan strips and drops."""

from typing import Final

STOP_WORDS: Final = frozenset(
    "a about above after again against ain all am an and any are aren aren't as at "  # noqa: SIM905
    "be because been before being below between both but by can couldn couldn't d did didn didn't "
    "do does doesn doesn't doing don don't down during each few for from further had hadn hadn't "
    "has hasn hasn't have haven haven't having he her here hers herself him himself his how i if "
    "in into is isn isn't it it's its itself just ll m ma me mightn mightn't more most mustn "
    "mustn't my myself needn needn't no nor not now o of off on once only or other our ours "
    "ourselves out over own re s same shan shan't she she's should should've shouldn shouldn't so "
    "some such t than that that'll the their theirs them themselves then there these they this "
    "those through to too under until up ve very was wasn wasn't we were weren weren't what when "
    "where which while who whom why will with won won't wouldn wouldn't y you you'd you'll you're "
    "you've your yours yourself yourselves".split()
)
"""NLTK's 179 of English. "without" and "within" are none of them, "no" and "not" are."""
_STOPS: Final = STOP_WORDS | {"xx"}
_PUNCTUATION: Final = frozenset(".,?;*!%^&_+():-\\[]{}")
_DIGITS: Final = frozenset("0123456789")


def is_stop(phrase: str) -> bool:
    """Tell whether a phrase says nothing but stop words."""
    return STOP_WORDS.issuperset(phrase.split())


def tidy(phrase: str) -> str | None:
    """Return a phrase without what ends it and is no letter or digit, and without the stop words
    at its ends; None where what is left is half stop words, or holds a digit or a lone sign.
    """
    end = len(phrase)
    while end and not phrase[end - 1].isalnum():
        end -= 1
    words = phrase[:end].split()
    meant = [at for at, word in enumerate(words) if word not in _STOPS]
    if not meant:
        return None
    kept = words[meant[0] : meant[-1] + 1]
    if 2 * len(meant) <= len(kept) or not _PUNCTUATION.isdisjoint(kept):
        return None
    return " ".join(kept) if _DIGITS.isdisjoint(phrase[:end]) else None
