"""The cache of a stack: whatever rows are kept, they go on from what they have read."""

import pytest
import torch

from rrg_backbones.cache import Cache
from rrg_backbones.transformer import Transformer

DIM = 16


@pytest.fixture
def trunk() -> Transformer:
    return Transformer(dim=DIM, depth=2, heads=2, cross_layers="all").eval()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("room", [0, 5, 40])
@torch.no_grad()
def test_rows_go_on_from_their_own_past_however_they_are_chosen(trunk, seed, room):
    """Rows as a search chooses them: more, fewer, the same again, out of their study."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(3, 4, DIM, generator=generator)
    cache = trunk.begin(context)
    cache.room = room
    texts, source = torch.empty(3, 0, DIM), torch.arange(3)
    for step in range(12):
        if step:
            count = int(torch.randint(1, 9, (1,), generator=generator))
            rows = torch.randint(len(texts), (count,), generator=generator)
            if step % 3 == 0:  # as most steps: rows of a study stay together
                rows = rows.sort().values
            cache.select(rows)
            texts, source = texts[rows], source[rows]
        new = torch.randn(len(texts), 1 + step % 2, DIM, generator=generator)
        texts = torch.cat([texts, new], dim=1)
        found = trunk.extend(new, cache)
        whole = trunk(texts, context=context[source], causal=True)
        torch.testing.assert_close(found, whole[:, -new.shape[1] :], rtol=1e-4, atol=1e-5)
    assert cache.length == texts.shape[1]


@torch.no_grad()
def test_memory_is_taken_once_where_it_is_known_how_much(trunk):
    cache = trunk.begin(torch.randn(2, 4, DIM))
    cache.room = 10
    trunk.extend(torch.randn(2, 1, DIM), cache)
    cache.select(torch.tensor([0, 0, 1, 1]))
    taken = [held.data_ptr() for held in cache._held]
    for _ in range(9):
        trunk.extend(torch.randn(4, 1, DIM), cache)
        cache.select(torch.tensor([1, 0, 3, 3]))
    assert [held.data_ptr() for held in cache._held] == taken


def test_rows_that_agree_so_far_are_not_moved():
    """Of two rows the second goes on from the first: only what came after they parted moves."""
    cache = Cache(context=[None], allowed=None)
    for token in range(3):
        new = torch.full((2, 2, 1, 1, 4), float(token))
        new[:, 1] += 10 * (token == 2)
        cache.hold(0, new)
        cache.grow(new[0, :, 0])
        if token == 0:
            cache.select(torch.tensor([0, 0]))  # both go on from the first
    cache._held[0][1, :, :, 0] = -1.0  # a mark, where nothing needs to move
    cache.select(torch.tensor([0, 0]))
    assert cache._held[0][1, 0, 0, :3, 0].tolist() == [-1.0, 1.0, 2.0]


def test_what_is_held_learns_nothing(trunk):
    cache = trunk.begin(torch.randn(1, 4, DIM))
    x = torch.randn(1, 1, DIM, requires_grad=True)
    trunk.extend(x, cache)
    assert not any(held.requires_grad for held in cache._held)
