"""Momentum twins: a slowly moving copy of some modules that keeps their sharing intact."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, final

import torch
from torch import Tensor, nn

from rrgcore.interfaces import Borrowed, CrossModal, TextEncoder


@final
class EmaTwin(nn.Module):
    """θ′ ← m·θ′ + (1 − m)·θ, for all modules at once (ALBEF; MoCo).

    One deepcopy of them all: copied one by one, a trunk that two of them share would become two.
    Frozen parameters are shared with the original, not copied: nothing moves in them. What a
    component declares as `CrossModal` is left out, since the twin encodes one modality at a time.
    The twin starts as the modules are: make it after their weights are loaded.
    """

    def __init__(self, modules: Mapping[str, nn.Module], *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        online = nn.ModuleDict(dict(modules))
        self._online = Borrowed(online)
        memo: dict[int, Any] = {id(p): p for p in online.parameters() if not p.requires_grad}
        memo |= {
            id(part.tokenizer): part.tokenizer
            for part in online.modules()
            if isinstance(part, TextEncoder)
        }
        memo |= {id(module): nn.Identity() for module in _cross_modal_only(online)}
        self.twin = deepcopy(online, memo)
        self.twin.requires_grad_(False)
        originals = self._parameters_of(online)
        self._moving = [
            name for name, p in self.twin.named_parameters() if p is not originals[name]
        ]

    def __getitem__(self, name: str) -> nn.Module:
        """Return the twin of a module."""
        return self.twin[name]

    @torch.no_grad()
    def update(self) -> None:
        """Move one step towards the online modules."""
        online = self._parameters_of(self._online.module)
        twins = self._parameters_of(self.twin)
        torch._foreach_lerp_(
            [twins[name] for name in self._moving],
            [online[name].detach() for name in self._moving],
            1 - self.momentum,
        )
        buffers = dict(self._online.module.named_buffers(remove_duplicate=False))
        for name, buffer in self.twin.named_buffers():
            buffer.copy_(buffers[name])

    @staticmethod
    def _parameters_of(module: nn.Module) -> dict[str, Tensor]:
        """Return parameters by all their names: a tied one may lose its first in the twin."""
        return dict(module.named_parameters(remove_duplicate=False))


def _cross_modal_only(root: nn.Module) -> list[nn.Module]:
    """Return what components declare cross-modal and nothing else holds for another use."""
    declared: dict[int, nn.Module] = {}
    kept: set[int] = set()

    def walk(module: nn.Module, without: frozenset[int]) -> None:
        kept.add(id(module))
        if isinstance(module, CrossModal):
            mine = {id(part): part for part in module.cross_modal()}
            declared.update(mine)
            without = without.union(mine)
        for child in module.children():
            if id(child) not in without:
                walk(child, without)

    walk(root, frozenset())
    return [module for key, module in declared.items() if key not in kept]
