"""Beam search, on models small enough to try every text."""

from itertools import product

import pytest
import torch

from rrg_backbones.beam import Writer, beam_search
from rrgcore.api import Generation

END, START = 0, 4


class Table(Writer):
    """The next token depends on the study and the last two tokens, by a table of random logits."""

    def __init__(self, studies: int, *, spread: float = 2.0, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = spread * torch.randn(studies, 5, 5, 5, generator=generator)
        self.study = torch.arange(studies)
        self.last = torch.full((studies,), START)
        self.now = self.last
        self.steps = 0
        self.rows = 0

    def step(self, tokens):
        self.last, self.now = self.now, tokens
        self.steps += 1
        self.rows += len(tokens)
        return self.logits[self.study, self.last, self.now]

    def select(self, rows):
        self.study, self.last, self.now = self.study[rows], self.last[rows], self.now[rows]

    def logprobs(self, study: int, ids: tuple[int, ...]) -> list[float]:
        path = [START, START, *ids]
        return [
            float(self.logits[study, a, b].log_softmax(-1)[c])
            for a, b, c in zip(path, path[1:], path[2:], strict=False)
        ]


def search(writer: Table, *, forbidden=(START,), **options):
    return beam_search(
        writer,
        torch.full((len(writer.logits),), START),
        end=END,
        forbidden=forbidden,
        generation=Generation(**{"max_new_tokens": 4, **options}),
    )


def every_text(longest: int):
    """All texts that end, and those cut at the longest length."""
    for length in range(1, longest + 1):
        for words in product([1, 2, 3], repeat=length - 1):
            yield (*words, END)
    yield from product([1, 2, 3], repeat=longest)


def test_a_beam_wide_enough_finds_the_best_of_all_texts():
    table = Table(3)
    found = search(table, beams=200, length_penalty=0.0)
    for study, best in enumerate(found):
        scores = {ids: sum(table.logprobs(study, ids)) for ids in every_text(4)}
        assert best.ids == max(scores, key=scores.get)
        assert best.score == pytest.approx(scores[best.ids], abs=1e-5)


def test_the_length_penalty_divides_by_a_power_of_the_length():
    table = Table(3)
    found = search(table, beams=200, length_penalty=1.5)
    for study, best in enumerate(found):
        scores = {ids: sum(table.logprobs(study, ids)) / len(ids) ** 1.5 for ids in every_text(4)}
        assert best.ids == max(scores, key=scores.get)
        assert best.score == pytest.approx(scores[best.ids], abs=1e-5)


def test_one_beam_is_greedy():
    table = Table(8)
    for study, best in enumerate(search(table, beams=1, max_new_tokens=12)):
        path = [START, START]
        while len(path) < 14 and path[-1] != END:
            logits = table.logits[study, path[-2], path[-1]].clone()
            logits[START] = -torch.inf
            path.append(int(logits.argmax()))
        assert best.ids == tuple(path[2:])


def test_more_beams_find_texts_that_greedy_search_misses():
    greedy, wide = (search(Table(20), beams=beams, length_penalty=0.0) for beams in (1, 4))
    assert all(b.score >= a.score - 1e-6 for a, b in zip(greedy, wide, strict=True))
    assert any(b.score > a.score + 0.1 for a, b in zip(greedy, wide, strict=True))


def test_studies_do_not_disturb_each_other():
    together = search(Table(6), beams=3, max_new_tokens=10)
    for study in range(6):
        alone = Table(6)
        alone.logits = alone.logits[study : study + 1]
        alone.study, alone.last, alone.now = torch.tensor([0]), alone.last[:1], alone.now[:1]
        assert search(alone, beams=3, max_new_tokens=10)[0].ids == together[study].ids


def test_finished_studies_leave_the_batch():
    table = Table(6)
    table.logits[:, :, :, END] -= 3.0
    table.logits[0, :, :, END] += 20.0
    search(table, beams=3, max_new_tokens=10)
    assert table.rows < 6 + 9 * 18
    everywhere = Table(6)
    everywhere.logits[..., END] += 20.0
    search(everywhere, beams=3, max_new_tokens=10)
    assert everywhere.steps < 10


def test_early_stopping_does_not_wait_for_a_better_text():
    patient, early = Table(20), Table(20)
    best = search(patient, beams=3, length_penalty=2.0, max_new_tokens=12)
    soon = search(early, beams=3, length_penalty=2.0, max_new_tokens=12, early_stopping=True)
    assert early.rows < patient.rows
    assert all(a.score <= b.score for a, b in zip(soon, best, strict=True))
    assert any(a.score < b.score for a, b in zip(soon, best, strict=True))


def test_forbidden_tokens_are_never_written():
    table = Table(6)
    table.logits[..., 2] += 10.0
    for best in search(table, forbidden=(START, 2), beams=3, max_new_tokens=8):
        assert not {START, 2} & set(best.ids)


def test_a_text_is_at_least_as_long_as_asked():
    def eager() -> Table:
        table = Table(6)
        table.logits[..., END] += 10.0
        return table

    assert {len(best.ids) for best in search(eager(), beams=3)} == {1}
    lengths = {len(best.ids) for best in search(eager(), beams=3, min_new_tokens=2)}
    assert min(lengths) == 3  # two words and the end


def test_a_text_that_does_not_end_is_cut():
    table = Table(6)
    table.logits[..., END] -= 50.0
    for best in search(table, beams=3, max_new_tokens=5):
        assert len(best.ids) == 5
        assert END not in best.ids


def test_the_repetition_penalty_multiplies_what_was_written_before():
    def insistent() -> Table:
        table = Table(1, spread=0.0)
        table.logits[..., 1] = 2.0
        table.logits[..., END] = -9.0
        return table

    assert search(insistent(), beams=1, max_new_tokens=3)[0].ids == (1, 1, 1)
    (penalised,) = search(insistent(), beams=1, max_new_tokens=3, repetition_penalty=10.0)
    assert sorted(penalised.ids) == [1, 2, 3]
    assert penalised.logprobs == pytest.approx(insistent().logprobs(0, penalised.ids))
    (gently,) = search(insistent(), beams=1, max_new_tokens=2, repetition_penalty=2.0)
    assert gently.ids == (1, 1)
    assert gently.score == pytest.approx(gently.logprobs[0] * (1 + 2) / 2)


def test_each_token_has_the_models_own_log_probability():
    table = Table(5)
    for study, best in enumerate(search(table, beams=3, length_penalty=2.0, max_new_tokens=6)):
        assert best.logprobs == pytest.approx(table.logprobs(study, best.ids), abs=1e-5)
        assert best.score == pytest.approx(sum(best.logprobs) / len(best.ids) ** 2, abs=1e-5)
