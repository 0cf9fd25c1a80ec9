"""Words scored by a head that stands still: what a plain cross-entropy finds, in less memory."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from rrg_backbones.llama2_scoring import AT_ONCE, score_words

WORDS = 3 * AT_ONCE // 2  # not a multiple of what is scored at once
VOCABULARY = 1_000


def make(*, trained: bool, dtype: torch.dtype = torch.float64):
    head = nn.Linear(8, VOCABULARY, bias=False, dtype=dtype).requires_grad_(trained)
    hidden = torch.randn(WORDS, 8, dtype=dtype, requires_grad=True)
    return head, hidden, torch.randint(VOCABULARY, (WORDS,))


@pytest.mark.parametrize("trained", [False, True])
def test_values_and_gradients_are_those_of_cross_entropy(trained):
    head, hidden, ids = make(trained=trained)
    weights = torch.randn(WORDS)  # not all words weigh the same
    found = score_words(head, hidden, ids)
    (gradient,) = torch.autograd.grad(found @ weights, hidden)
    expected = -F.cross_entropy(head(hidden).float(), ids, reduction="none")
    (wanted,) = torch.autograd.grad(expected @ weights, hidden)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, wanted)


def test_a_head_that_is_trained_learns():
    head, hidden, ids = make(trained=True)
    score_words(head, hidden, ids).sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_no_gradient_is_made_where_nobody_asks_for_one():
    head, hidden, ids = make(trained=False)
    with torch.no_grad():
        assert not score_words(head, hidden, ids).requires_grad
    assert not score_words(head, hidden.detach(), ids).requires_grad


def test_half_precision_is_scored_in_full():
    head, hidden, ids = make(trained=False, dtype=torch.bfloat16)
    found = score_words(head, hidden, ids)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert hidden.grad.dtype == torch.bfloat16


def test_no_words_have_no_scores():
    head, hidden, _ = make(trained=False)
    found = score_words(head, hidden[:0], torch.empty(0, dtype=torch.long))
    found.sum().backward()
    assert found.shape == (0,)
    assert not hidden.grad.any()


def test_scores_of_all_words_are_never_there_at_once():
    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.elements = max(self.elements, out.numel())
            return out

    head, hidden, ids = make(trained=False)
    with Largest() as largest:
        score_words(head, hidden, ids).sum().backward()
    assert largest.elements == AT_ONCE * VOCABULARY
