"""Statements of size: "heart size is normal", "enlarged cardiomediastinal silhouette"."""

from collections.abc import Iterator
from typing import Final

from rrg_knowledge.aggregate import NEGATIVE, UNCERTAIN
from rrg_knowledge.phrases import Phrases
from rrg_knowledge.scope import Scopes
from rrg_knowledge.sentences import Words

_HEART: Final = "Cardiomegaly"
_MEDIASTINUM: Final = "Enlarged Cardiomediastinum"
_OUTLINE: Final = "(silhouette|silhouettes|contour|contours|size|sizes|shadow|width|outline)"

_SUBJECTS: Final = Phrases(
    {
        "heart": (
            f"(heart|cardiac) {_OUTLINE}",
            "heart xxxx",
            "heart",
            f"cardiothymic {_OUTLINE}?",
            "(cardiothoracic|cardio_thoracic) (ratio|index)",
        ),
        "mediastinum": (
            "(mediastinum|cardiomediastinum)",
            f"(mediastinal|cardiomediastinal|cardiopericardial) {_OUTLINE}",
            f"(cardio|cardia|cardiac|heart) mediastinal {_OUTLINE}",
            f"(mediastinal|cardiomediastinal) (and|,) ~2 {_OUTLINE}",
            "(upper|superior) mediastin*",
        ),
        "both": (f"(cardiac|heart) (and|or) ~1 (mediastinal|mediastinum) {_OUTLINE}?",),
        "neither": (
            "heart (failure|disease|rate|border|block|valve|monitor|attack)",
            "(over|behind|overlying|overlies|across|near) ~4 (heart|cardiac|mediastinum)",
            "(left|right) heart",
        ),
    }
)
"""What a size is said of."""

_SIZES: Final = Phrases(
    {
        "normal": (
            "(normal|unremarkable|nonenlarged|normalized|normalised)",
            "non enlarged",
            "within ~3 (limits|limit)",
            "limits of normal",
            "(limit|limits) ~1 normal",
            "(upper|top) ~1 limits",
            "(top|high) ~1 normal",
        ),
        "borderline": (
            "borderline",
            "(upper|top|high) ~1 (limit|limits) ~3 enlarged",
            "normal (to|or) ~2 enlarged",
        ),
        "large": (
            "(enlarged|large|enlargement|widened|widening|wide|dilated|big|prominent|prominence)",
            "(increased|broadened)",
            "increase ~1 in ~1 size",
            "increase in",
            "increased in size",
            "(above|beyond|exceeds|exceeding) ~3 (normal|limit|limits)",
            "(above|exceeds|exceeding|greater_than) (normal|half|0|50)",
        ),
        "same": ("(stable|unchanged|similar|constant)", "not ~2 changed", "no ~3 change"),
    }
)
_OBSERVATIONS: Final = {
    "heart": (_HEART,),
    "mediastinum": (_MEDIASTINUM,),
    "both": (_HEART, _MEDIASTINUM),
    "neither": (),
}
_BETWEEN: Final = frozenset(
    ("of", "the", "in", "size", "overall", "ap", "this", "and", "upper", "superior")
)
"""What may stand between a size and what it describes: "enlargement of the heart"."""
_ALSO: Final = frozenset(("and", "or", ",", "/", "the"))
_BARE: Final = frozenset(("large", "prominent", "increased", "wide"))
"""Sizes of anything: after "stable" they begin another finding."""
_FAR: Final = 16
"""Words after which a size is no longer said of the same thing."""

Size = tuple[int, int, str]


def find_sizes(words: Words, scopes: Scopes) -> Iterator[tuple[int, int, str, int]]:
    """Yield first word, the word after the last, observation and value of each statement of size.

    A size within limits denies, a borderline one leaves open. That something is stable says
    nothing of its size.
    """
    subjects = list(_SUBJECTS.find(words))
    if not subjects:
        return
    sizes = list(_SIZES.find(words))
    last: tuple[int, Size | None] = (0, None)
    for start, end, name in subjects:
        size = _size_before(words, sizes, start) or _size_after(words, scopes, sizes, end)
        if size is None and set(words.words[last[0] : start]) <= _ALSO:
            size = last[1]  # "normal heart size and mediastinum"
        last = (end, size)
        if size is None:
            continue
        value = _value(size, scopes)
        if value is None:
            continue
        for observation in _OBSERVATIONS[name]:
            yield min(start, size[0]), max(end, size[1]), observation, value


def _value(size: Size, scopes: Scopes) -> int | None:
    start, end, name = size
    if name == "normal":
        return NEGATIVE
    return UNCERTAIN if name == "borderline" else scopes.value(start, end, alone=True)


def _size_before(words: Words, sizes: list[Size], start: int) -> Size | None:
    near = start
    for size in reversed(sizes):
        if size[1] > start:
            continue
        between = words.words[size[1] : near]
        if len(between) > 4 or not _BETWEEN.issuperset(between):
            return None
        if near < start and between != ("and",):  # "heart enlarged, stable mediastinum"
            return None
        if size[2] != "same":
            return size
        near = size[0]
    return None


def _size_after(words: Words, scopes: Scopes, sizes: list[Size], end: int) -> Size | None:
    stop = min(scopes.statement_end(end), end + _FAR)
    since: int | None = None
    for size in sizes:
        if not end <= size[0] < stop:
            continue
        if size[2] == "same":
            since = size[1]
        elif since is None:
            return size
        else:  # "stable and enlarged", but not "stable, large effusion"
            bare = words.words[size[0]] in _BARE
            return None if bare or size[0] - since > 3 else size
    return None
