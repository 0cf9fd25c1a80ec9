"""torch.compile for a stage that asks for it: the stacks that compute most, while it trains.

Each keeps its own forward and gets a compiled one beside it, so that names in checkpoints are what
they were; reports are written, and probes made, by what was there before.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils.other import is_repeated_blocks
from torch import nn

from rrgcore.interfaces import Trunk
from rrgcore.model import ReportModel

BACKEND: Any = "inductor"
MOST = 256
"""Versions of one function: a trunk that is shared is run with an image and without, causally, by
the momentum twin. torch would give up after eight.
"""


@contextmanager
def compiled(model: ReportModel, wanted: bool) -> Iterator[None]:
    """Train a model whose largest stacks are compiled, if that is wanted."""
    if not wanted:
        yield
        return
    torch.compiler.reset()
    found = list(regions(model))
    for region in found:
        # reports are of every length: one version for all of them, and the same after a resumption
        cast(Any, region).forward = torch.compile(region.forward, backend=BACKEND, dynamic=True)
    try:
        with torch._dynamo.config.patch(recompile_limit=MOST, accumulated_recompile_limit=4 * MOST):
            yield
    finally:
        for region in found:
            del cast(Any, region).forward


def as_written(compiled: bool) -> AbstractContextManager[object]:
    """Return a context in which nothing that is compiled is used, or compiled anew."""
    if not compiled:  # torch's compiler takes seconds to import
        return nullcontext()
    return cast(AbstractContextManager[object], torch.compiler.set_stance("force_eager"))


def regions(model: ReportModel) -> Iterator[nn.Module]:
    """Iterate over what is worth it: every trunk, the momentum twin's too; an encoder that has
    none; the layers of a language model.
    """
    trunks = [module for module in model.modules() if isinstance(module, Trunk)]
    yield from trunks
    parts = model.parts
    if not _holds(parts.encoder, trunks):
        yield parts.encoder
    writers = (cast(nn.Module, part) for part in (parts.decoder, parts.text_encoder))
    for part in {id(part): part for part in writers}.values():
        if not _holds(part, trunks):
            for module in part.modules():
                if is_repeated_blocks(module):
                    yield from cast(nn.ModuleList, module)


def why_not(accelerator: Accelerator) -> str | None:
    """Say what torch.compile lacks here; None where it lacks nothing."""
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return (
            "compile does not go with a model in shards (FSDP, DeepSpeed): set it to false, or "
            "launch without them"
        )
    named = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(named) is None:
        return (
            f"compile needs a C++ compiler, and there is no {named} here: install one, name "
            "another in the environment variable CXX, or set it to false"
        )
    if accelerator.device.type == "cuda" and find_spec("triton") is None:
        return "compile needs the package triton on a GPU: install it, or set it to false"
    return None


def _holds(part: nn.Module, trunks: list[Trunk]) -> bool:
    inside = {id(module) for module in part.modules()}
    return any(id(trunk) in inside for trunk in trunks)
