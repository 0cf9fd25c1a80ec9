"""Graph-guided masking: hide what was observed, or where."""

from typing import Literal, final

from numpy.random import Generator

from rrg_kia.words import WordPieces
from rrgcore.api import Entity, MaskedText, RadGraph, Study, TextMasking, Tokenizer
from rrgcore.graph_words import graph_words

Entities = Literal["all", "located_at"]


@final
class GraphMasking(TextMasking):
    """R_m hides, in each sentence, [Observation] or [Anatomy] of "[Observation] located at
    [Anatomy]" (KIA, §3.2).

    A coin decides for each sentence which of the two: every entity of that type is hidden, whole
    words and always by [MASK]; a sentence with one type alone loses that. `entities: located_at`
    keeps to entities with such a relation, so that words which only modify stay. A report of which
    nothing would be hidden (no entity, or none before the cut) loses a share `fallback` of its
    words at random instead, one at least; 0 leaves it whole.

    RadGraph must have read the report that the model is fed, else DataError. Its words are the
    ones that are tokenized and hidden: RadGraph sets stops and commas apart ("2 . 5 cm"), and
    radgraph-xl hyphens too.
    """

    reads = (RadGraph,)

    def __init__(self, *, entities: Entities = "all", fallback: float = 0.15) -> None:
        self.entities: Entities = entities
        self.fallback = fallback

    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Generator, *, max_tokens: int
    ) -> MaskedText:
        """Hide one side of every sentence."""
        graph = study[RadGraph]
        words = graph_words(graph, study.report or "", study=study.id)
        pieces = WordPieces.of_words(words, tokenizer, max_tokens=max_tokens)
        hidden = choose_words(words, graph, self.entities, rng)
        left = pieces.words
        if self.fallback and left and hidden.isdisjoint(left):
            drawn = rng.random(len(left))
            hidden = {word for word, u in zip(left, drawn, strict=True) if u < self.fallback}
            hidden = hidden or {left[int(drawn.argmin())]}
        return pieces.hide(hidden, tokenizer)


def choose_words(
    words: tuple[str, ...], graph: RadGraph, entities: Entities, rng: Generator
) -> set[int]:
    """Return the words to hide: of each sentence, its observations' or its anatomy's."""
    sentence_of = _number_sentences(words)
    sides: dict[int, tuple[set[int], set[int]]] = {}
    for entity in _taking_part(graph, entities):
        observation, anatomy = sides.setdefault(sentence_of[entity.start], (set(), set()))
        side = anatomy if entity.is_anatomy else observation
        side.update(range(entity.start, entity.end + 1))
    hidden: set[int] = set()
    for sentence in sorted(sides):
        observation, anatomy = sides[sentence]
        # the coin falls for every sentence, needed or not: what follows must not depend on it
        chosen = anatomy if rng.random() < 0.5 else observation
        hidden |= chosen or anatomy or observation
    return hidden


def _taking_part(graph: RadGraph, entities: Entities) -> list[Entity]:
    """Return the entities that may be hidden."""
    if entities == "all":
        return list(graph.entities.values())
    located = [
        (key, target)
        for key, entity in graph.entities.items()
        for kind, target in entity.relations
        if kind == "located_at"
    ]
    ends = {key for edge in located for key in edge}
    return [entity for key, entity in graph.entities.items() if key in ends]


def _number_sentences(words: tuple[str, ...]) -> list[int]:
    """Return the sentence of each word; RadGraph itself takes a whole report for one."""
    numbers, sentence = [], 0
    for i, word in enumerate(words):
        numbers.append(sentence)
        sentence += word == "." and not _is_decimal_point(words, i)
    return numbers


def _is_decimal_point(words: tuple[str, ...], at: int) -> bool:
    """Tell whether a stop stands in a number: RadGraph makes three words of "2.5"."""
    if not 0 < at < len(words) - 1:
        return False
    return words[at - 1][-1:].isdecimal() and words[at + 1][:1].isdecimal()
