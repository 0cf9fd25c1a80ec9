"""Where the time of a benchmarked call goes: `python tests/benchmarks/profiled.py decoding`.

Prints the operators of torch that take most of the processor's time, what they call left out, each
with its share. The call is the one that the benchmark of that name times; `small_step` is a step of
`kia_graph` as it stands.
"""

import sys
from collections.abc import Callable

import cmeaa_step
import decoding
import kia_step
import torch
from models import Training, plan_of
from stopwatch import use_threads
from torch.profiler import ProfilerActivity, profile

from rrgcore.api import Generation, Tokens, Visual

SHOWN = 12


def decode() -> Callable[[], object]:
    """Beam search with 49 visual tokens."""
    bert, _, _ = decoding.make_decoders()
    visual = Visual(torch.randn(decoding.STUDIES, decoding.IMAGES[1], decoding.DIM))
    length = decoding.LENGTH
    rules = Generation(beams=decoding.BEAMS, min_new_tokens=length, max_new_tokens=length)
    return lambda: bert.generate(visual, rules)


def train(training: Training, batch: int, tokens: int) -> Callable[[], object]:
    """A step with its update."""
    made = training.batch(batch, tokens=tokens)

    def step() -> None:
        training.forward_and_backward(made)
        training.update()

    return step


def paper_step() -> Callable[[], object]:
    """A KIA step at the paper's scale."""
    training = Training.of(plan_of("kia_graph", ["iu_xray"], kia_step.OVERRIDES), "align")
    return train(training, kia_step.BATCH, kia_step.TOKENS)


def small_step() -> Callable[[], object]:
    """A KIA step of `kia_graph`."""
    return train(Training.of(plan_of("kia_graph"), "align"), 16, 48)


def language_model() -> Callable[[], object]:
    """A step of CmEAA's language model."""
    llama = cmeaa_step.make_llama()
    visual = torch.randn(cmeaa_step.BATCH, cmeaa_step.IMAGE, cmeaa_step.DIM, requires_grad=True)
    ids = torch.randint(cmeaa_step.VOCABULARY, (cmeaa_step.BATCH, 1 + cmeaa_step.REPORT))
    report = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    return lambda: cmeaa_step.step(llama, visual, report)


CALLS = {
    "decoding": decode,
    "kia_step": paper_step,
    "small_step": small_step,
    "cmeaa_step": language_model,
}


def main() -> None:
    names = sys.argv[1:]
    if not names or set(names) - set(CALLS):
        raise SystemExit(f"expected some of {', '.join(CALLS)}; found {' '.join(names) or 'none'}")
    use_threads()
    for name in names:
        torch.manual_seed(0)
        call = CALLS[name]()
        call()  # warms up
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            call()
        found = watched.key_averages()
        total = sum(each.self_cpu_time_total for each in found)
        print(f"{name}: {total / 1e6:.2f} s")
        for each in sorted(found, key=lambda each: -each.self_cpu_time_total)[:SHOWN]:
            print(f"  {each.self_cpu_time_total / total:6.1%}  {each.count:7,} ×  {each.key}")


if __name__ == "__main__":
    main()
