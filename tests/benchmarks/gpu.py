"""KIA and CmEAA at the papers' scale on a GPU, in bfloat16, with random weights.

Without a GPU nothing is measured.

Samples a second and the share of what the chip's matrix products reach (counted FLOPs of forward
and backward over the time of a whole step, update included, over the rate of a product of two
8,192 × 8,192 matrices in bfloat16, taken in turns); what torch held at most, beside what
`rrg show --memory` predicts; and the largest batch that 24, 48 and 80 GB hold, tried by doubling
and halving under a limit of that size, beside the one that is predicted.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from models import Training, plan_of, stand_in
from rows import Row, tell
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rrgcore.memory import CARDS, Memory, predict_memory
from rrgcore.plan import Plan

DEVICE = "cuda"
SIDE, PRODUCTS, ROUNDS = 8192, 20, 7


@dataclass(frozen=True, slots=True)
class Case:
    """A recipe at the paper's scale, with weights that need not be fetched."""

    name: str
    recipe: str
    stage: str
    overrides: tuple[str, ...]
    tokens: int
    batch: int


CASES = (
    Case(
        "KIA at the paper's scale, bf16, batch 32",
        "kia_graph",
        "align",
        ("model.encoder.weights=off", "model.decoder.weights=off"),
        60,
        32,
    ),
    Case(
        "CmEAA with a 7B Llama of random weights, bf16, batch 8",
        "cmeaa",
        "train",
        ("model.encoder.weights=off", "model.decoder.weights=off"),
        61,
        8,
    ),
)


def plan(case: Case) -> Plan:
    overrides = (*case.overrides, f"data.batch_size={case.batch}")
    overrides = (*overrides, f"data.max_report_tokens={case.tokens}")
    return plan_of(case.recipe, ["iu_xray"], overrides)


def seconds(call: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def products() -> None:
    left, right = torch.randn(2, SIDE, SIDE, device=DEVICE, dtype=torch.bfloat16)
    for _ in range(PRODUCTS):
        left @ right


def stepping(training: Training, case: Case, size: int) -> Callable[[], None]:
    """Return a whole step over so many imagined studies."""
    batch = training.batch(size, tokens=case.tokens).to(DEVICE)

    def step() -> None:
        training.forward_and_backward(batch, torch.bfloat16)
        training.update()

    return step


def fits(training: Training, case: Case, size: int) -> bool:
    """Try two steps, the second of which has all of the optimizer's state."""
    torch.cuda.empty_cache()
    try:
        step = stepping(training, case, size)
        step()
        step()
    except torch.OutOfMemoryError:
        training.optimizer.zero_grad(set_to_none=True)
        return False
    return True


def largest(training: Training, case: Case, gigabytes: int, expected: int) -> int:
    """Find the largest batch that so many gigabytes hold, beginning with the one expected."""
    _, there = torch.cuda.mem_get_info()
    if gigabytes * 1e9 > there:
        return -1
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(gigabytes * 1e9 / there)
    good, bad = 0, None
    size = max(1, expected)
    while bad is None or bad - good > 1:
        if fits(training, case, size):
            good = size
        else:
            bad = size
        size = 2 * good if bad is None else (good + bad) // 2
    torch.cuda.set_per_process_memory_fraction(1.0)
    return good


def rows_of(case: Case) -> list[Row]:
    """Measure a recipe."""
    made = plan(case)
    expected: Memory = predict_memory(made, stand_in(made), views=1)
    training = Training.of(made, case.stage, device=DEVICE)
    step = stepping(training, case, case.batch)
    batch = training.batch(case.batch, tokens=case.tokens).to(DEVICE)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        training.forward_and_backward(batch, torch.bfloat16)
    training.update()
    work = counter.get_total_flops()
    torch.cuda.reset_peak_memory_stats()
    step()
    held = torch.cuda.max_memory_allocated()
    taken, rates = [], []
    for _ in range(ROUNDS):
        rates.append(PRODUCTS * 2 * SIDE**3 / seconds(products))
        taken.append(seconds(step))
    middle, rate = statistics.median(taken), statistics.median(rates)
    off = max(expected.step.peak, expected.standing.peak) / held - 1
    del step, batch
    cards = []
    for card, gigabytes in CARDS.items():
        found = largest(training, case, gigabytes, expected.fits[card])
        told = "not tried, the card is smaller" if found < 0 else f"{found}"
        cards.append(f"{card}: {told} ({expected.fits[card]} predicted)")
    chip = torch.cuda.get_device_name()
    return [
        Row(case.name, chip, "—", f"{case.batch / middle:.1f} samples a second", True),
        Row(
            "the same: share of the chip's peak",
            f"bf16 matmul at {rate / 1e12:.0f} TFLOP/s",
            "—",
            f"{work / middle / rate:.0%}",
            True,
        ),
        Row(
            "the same: peak memory",
            "`rrg show --memory`",
            "—",
            f"{held / 1e9:.2f} GB, predicted {100 * off:+.1f} %",
            True,
        ),
        Row("the same: largest batch", "`rrg show --memory`", "—", "; ".join(cards), True),
    ]


def main() -> None:
    if not torch.cuda.is_available():
        tell("on a GPU: none is here, and nothing was measured", [])
        return
    rows = []
    for case in CASES:
        rows += rows_of(case)
        torch.cuda.empty_cache()
    said = "; ".join(f"{row.what}: {row.measured}" for row in rows)
    tell(f"on a GPU, {torch.cuda.get_device_name()}: {said}", rows)


if __name__ == "__main__":
    main()
