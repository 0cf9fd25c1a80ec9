"""How far off `rrg show --memory` is: a step that was predicted, and the same step taken.

On a GPU, where there is one, what torch allocated there at most, and whether the batch that was
said to fit does; else on the processor, by its profiler. Weights are random and none are
downloaded. Another recipe may be given, with overrides:
`python tests/benchmarks/memory.py kia_graph+iu_xray stages.align.precision=fp32`.
"""

import sys
from dataclasses import replace
from math import nan

import torch
from models import plan_of, stand_in
from torch.profiler import ProfilerActivity, profile

from rrgcore.build import build_model
from rrgcore.memory.predict import MARGIN
from rrgcore.memory.stage import HALVES, Rehearsed
from rrgcore.model import freeze_for
from rrgcore.optim import make_optimizer
from rrgcore.plan import Plan
from rrgcore.tokenizers import Tokenizers

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RECIPES = (("kia_graph", ()), ("cmeaa", ("model.decoder.frozen=true", "model.decoder.depth=4")))


def take(plan: Plan, tokenizers: Tokenizers, stage: str, like: Rehearsed, size: int) -> None:
    """Take two steps, the first of which makes the optimizer's state."""
    settings, weights = plan.stages[stage], plan.stage_weights(stage)
    with torch.device(DEVICE):
        model = build_model(plan, tokenizers, load_weights=False)
    freeze_for(model, settings, {name for name, p in model.named_parameters() if p.requires_grad})
    optimizer = make_optimizer(settings.optimizer, model)
    half = HALVES.get(settings.precision)
    model.train()
    for _ in range(2):
        batch = like.batch(size)
        batch = replace(batch, images=torch.randn(batch.images.shape)).to(DEVICE)
        with torch.autocast(DEVICE, half, enabled=half is not None):
            losses = model(batch, weights)
        losses.total.backward()
        del losses
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.after_step(weights)


def allocated(plan: Plan, tokenizers: Tokenizers, stage: str, like: Rehearsed, size: int) -> int:
    """Return the most bytes that torch held; raises OutOfMemoryError."""
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        take(plan, tokenizers, stage, like, size)
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        take(plan, tokenizers, stage, like, size)
    events = watched.profiler.kineto_results.events()
    moved = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    for _, size_moved in moved:
        held += size_moved
        peak = max(peak, held)
    return peak


def compare(name: str, overrides: tuple[str, ...]) -> str:
    """Say what was predicted of the stage with most objectives, and what it took."""
    recipe, *variants = name.split("+")
    plan = plan_of(recipe, variants, overrides)
    tokenizers = stand_in(plan)
    stage = max(plan.stages, key=lambda one: len(plan.stage_weights(one)))
    like = Rehearsed(plan, tokenizers, stage, views=1, device=DEVICE)
    size = plan.data.batch_size
    expected = max(like.step(size).peak, like.standing.peak)
    found = allocated(plan, tokenizers, stage, like, size)
    line = (
        f"{name}, batch {size}: {expected / 1e6:,.1f} MB predicted, {found / 1e6:,.1f} allocated "
        f"({100 * (expected / found - 1):+.1f} %)"
    )
    if DEVICE == "cuda":
        line += f"; {_largest(plan, tokenizers, stage, like, size, expected)}"
    return line


def _largest(
    plan: Plan, tokenizers: Tokenizers, stage: str, like: Rehearsed, size: int, expected: int
) -> str:
    """Try the batch that is said to fill the card."""
    free, _ = torch.cuda.mem_get_info()
    each = (like.step(2 * size).peak - expected) / size
    largest = int(size + (free / (1 + MARGIN) - expected) / each)
    try:
        found = allocated(plan, tokenizers, stage, like, largest) / 1e9
        said = "fits"
    except torch.OutOfMemoryError:
        found, said = nan, "does not fit"
    return f"{largest} predicted to fit {free / 1e9:.1f} GB: {said} ({found:.1f} GB allocated)"


def main() -> None:
    torch.set_num_threads(1)
    given = [(sys.argv[1], tuple(sys.argv[2:]))] if len(sys.argv) > 1 else RECIPES
    print(f"memory on {DEVICE}: {'; '.join(compare(*one) for one in given)}")


if __name__ == "__main__":
    main()
