"""Momentum twins: a slowly moving copy of some modules that keeps their sharing intact."""

from collections.abc import Mapping
from copy import deepcopy
from typing import cast, final

import torch
from torch import Tensor, nn

from rrgcore.interfaces import Borrowed


@final
class EmaTwin(nn.Module):
    """θ′ ← m·θ′ + (1 − m)·θ, for all modules at once (ALBEF; MoCo).

    One deepcopy of them all: copied one by one, a trunk that two of them share would become two.
    Frozen parameters are shared with the original, not copied: nothing moves in them.
    """

    def __init__(self, modules: Mapping[str, nn.Module], *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self._online = Borrowed(nn.ModuleDict(dict(modules)))
        frozen = {id(p): p for p in self._online.module.parameters() if not p.requires_grad}
        # held frozen parameters by reference: an owned copy of a 7B decoder would be stored twice
        self.twin = deepcopy(self._online.module, cast(dict[int, object], frozen))
        self.twin.requires_grad_(False)
        self._pairs_of = [
            name for name, p in self._online.module.named_parameters() if p.requires_grad
        ]

    def __getitem__(self, name: str) -> nn.Module:
        """Return the twin of a module."""
        return self.twin[name]

    @torch.no_grad()
    def update(self) -> None:
        """Move one step towards the online modules."""
        online: Mapping[str, Tensor] = dict(self._online.module.named_parameters())
        twins: Mapping[str, Tensor] = dict(self.twin.named_parameters())
        averages = [twins[name] for name in self._pairs_of]
        torch._foreach_lerp_(
            averages, [online[name].detach() for name in self._pairs_of], 1 - self.momentum
        )
        for average, buffer in zip(self.twin.buffers(), self._online.module.buffers(), strict=True):
            average.copy_(buffer)
