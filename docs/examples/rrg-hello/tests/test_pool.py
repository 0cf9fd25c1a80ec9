"""The contract of every adapter, and the arithmetic of this one."""

import torch

from rrg_hello.pool import PoolAdapter
from rrgcore.api import Encoded
from rrgcore.testing import check_component


def test_pool_keeps_the_contract():
    check_component("adapter", "hello.pool", stride=7)


def test_only_real_tokens_are_averaged():
    adapter = PoolAdapter(image_dim=1, visual_dim=1, stride=2)
    torch.nn.init.ones_(adapter.project.weight)
    torch.nn.init.zeros_(adapter.project.bias)
    tokens = torch.tensor([[[1.0], [3.0], [5.0], [100.0], [100.0]]])
    mask = torch.tensor([[True, True, True, False, False]])
    visual = adapter(Encoded(tokens, tokens.mean(1), mask))
    assert visual.tokens[visual.mask].flatten().tolist() == [2.0, 5.0]
    assert visual.mask.tolist() == [[True, True, False]]
