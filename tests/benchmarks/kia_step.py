"""How much of the machine a KIA step at the paper's scale uses: ViT-B/16 and BERT-base, batch 4.

What the mathematics needs is counted where it is computed: torch's FlopCounterMode over one forward
and backward pass, in which attention is written as the matrix products that it is (a fused backward
pass computes some twice, which does not count). The momentum twin's forward is part of the forward.
What the machine can is a product of two 2,048 × 2,048 matrices, in the same turn and on as many
threads; beside them a bare ViT-B/16 of timm's, forward and backward.
"""

import statistics
from collections.abc import Callable

import timm
import torch
from models import Training, plan_of
from rows import share, tell
from stopwatch import THREADS, clock, use_threads
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BATCH, TOKENS, SIDE, PRODUCTS, ROUNDS = 4, 60, 2048, 6, 5
OVERRIDES = ("stages.align.precision=fp32", f"data.batch_size={BATCH}")


def seconds(call: Callable[[], None]) -> float:
    start = clock()
    call()
    return clock() - start


def count(call: Callable[[], None]) -> int:
    """Count the floating-point operations of a call: two a multiplication and addition."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def main() -> None:
    use_threads()
    torch.manual_seed(0)
    training = Training.of(plan_of("kia_graph", ["iu_xray"], OVERRIDES), "align")
    batch = training.batch(BATCH, tokens=TOKENS)
    bare = timm.create_model("vit_base_patch16_224").train()
    left, right = torch.randn(2, SIDE, SIDE)

    def step() -> None:
        training.forward_and_backward(batch)

    def bare_step() -> None:
        bare(batch.images[:, 0]).sum().backward()

    def products() -> None:
        for _ in range(PRODUCTS):
            left @ right

    work, bare_work = count(step), count(bare_step)
    training.update()  # makes the optimizer's state
    found: dict[str, list[float]] = {"alone": [], "whole": [], "bare": [], "rate": []}
    taken: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        rate = PRODUCTS * 2 * SIDE**3 / seconds(products)
        alone, update = seconds(step), seconds(training.update)
        taken.append((alone, update))
        found["alone"].append(work / alone / rate)
        found["whole"].append(work / (alone + update) / rate)
        found["bare"].append(bare_work / seconds(bare_step) / rate)
        found["rate"].append(rate)
    alone, whole, bare_share, rate = (statistics.median(values) for values in found.values())
    forward, update = (statistics.median(column) for column in zip(*taken, strict=True))
    said = f"{forward:.1f} s for {work / 1e12:.2f} TFLOP at {rate / 1e9:.0f} GFLOP/s"
    what = f"KIA joint step at ViT-B/16 + BERT-base, batch {BATCH}, float32"
    against = "counted FLOPs of forward and backward over the machine's measured matmul rate"
    tell(
        f"KIA at the paper's scale: {alone:.0%} of the matmul rate ({said}), {whole:.0%} with "
        f"optimizer and twin ({update:.1f} s); a bare timm ViT-B {bare_share:.0%}; "
        f"{THREADS} thread{'s' if THREADS > 1 else ''}",
        [
            share(
                f"{what}, with optimizer and momentum update",
                against,
                0.45,
                whole,
                f"the update takes {update:.1f} s",
            ),
            share(
                f"{what}, without",
                against,
                0.52,
                alone,
                f"{said}; a bare timm ViT-B {bare_share:.0%}",
            ),
        ],
    )


if __name__ == "__main__":
    main()
