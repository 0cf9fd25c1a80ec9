"""What CmEAA's language model costs a step: `llama2` beside transformers' own forward with labels.

One frozen Llama with random weights for both, the same visual tokens, prompt and reports; both give
the same loss and the same gradient at the visual tokens, which is what the adapter learns from. The
encoder and the adapter before them are the same on both sides, and left out. Memory is exact: every
block that torch's allocator takes or frees is in its profiler's record; the most that is held at
once counts, weights included.
"""

from functools import partial

import torch
from rows import at_most, tell
from stopwatch import clock, medians, use_threads
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rrg_backbones.llama2 import Llama2
from rrgcore.api import Tokens, Visual
from rrgcore.memory.imagined import CountingTokenizer

BATCH, IMAGE, PROMPT, REPORT = 8, 49, 40, 60
DIM, DEPTH, HEADS, HIDDEN, VOCABULARY = 512, 4, 8, 1376, 32_000


def make_llama() -> Llama2:
    """Make the decoder, whose prompt is so many tokens with the one that begins the text."""
    before = 2  # "Human: <Img>"
    words = " ".join(["word"] * (PROMPT - 1 - before - 2))  # less "</Img>" and "Assistant:"
    llama = Llama2(
        tokenizer=CountingTokenizer(size=VOCABULARY),
        prompt=words,
        frozen=True,
        dim=DIM,
        depth=DEPTH,
        heads=HEADS,
        hidden=HIDDEN,
        vocabulary=VOCABULARY,
        max_tokens=2 * (IMAGE + PROMPT + REPORT),
    )
    assert len(llama._before) + len(llama._after) == PROMPT, "the prompt is as long as is said"
    return llama.train()


def step(llama: Llama2, visual: Tensor, report: Tokens) -> Tensor:
    """Take our loss and the gradient of the visual tokens."""
    loss = llama(Visual(visual), report).loss
    loss.backward()
    return loss.detach()


def step_with_labels(llama: Llama2, visual: Tensor, report: Tokens) -> Tensor:
    """Do the same with transformers' model; labels before the report are -100, which it ignores."""
    embed = llama.llm.get_input_embeddings()
    ids = report.ids[:, 1:]
    before, after = (embed(part.expand(len(ids), -1)) for part in (llama._before, llama._after))
    inputs = torch.cat([before, visual, after, embed(ids)], dim=1)
    nothing = torch.full((len(ids), PROMPT + IMAGE), -100)
    labels = torch.cat([nothing, ids], dim=1)
    loss = llama.llm(inputs_embeds=inputs, labels=labels, use_cache=False).loss
    loss.backward()
    return loss.detach()


def most_held(call: partial[Tensor]) -> int:
    """Return the most bytes that torch's allocator held at once, beside what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        call()
    events = watched.profiler.kineto_results.events()
    held = most = 0
    for _, moved in sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"):
        held += moved
        most = max(most, held)
    return most


def main() -> None:
    use_threads()
    torch.manual_seed(0)
    llama = make_llama()
    visual = torch.randn(BATCH, IMAGE, DIM, requires_grad=True)
    ids = torch.randint(VOCABULARY, (BATCH, 1 + REPORT))
    report = Tokens(ids, torch.ones_like(ids, dtype=torch.bool))
    calls = {
        "ours": partial(step, llama, visual, report),
        "theirs": partial(step_with_labels, llama, visual, report),
    }
    losses, gradients = [], []
    for call in calls.values():
        losses.append(call())
        gradients.append(visual.grad)
        visual.grad = None
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3 * float(gradients[0].abs().max()))
    weights = sum(parameter.nbytes for parameter in llama.parameters())
    held = {}
    for name, call in calls.items():
        held[name] = most_held(call)
        visual.grad = None
    seconds = medians(calls, rounds=7, clock=clock)
    time = seconds["ours"] / seconds["theirs"]
    memory = (weights + held["ours"]) / (weights + held["theirs"])
    beside = held["ours"] / held["theirs"]
    megabytes = " and ".join(f"{(weights + most) / 1e6:.0f}" for most in held.values())
    what = (
        f"CmEAA step, frozen {DEPTH}-layer Llama of width {DIM}, vocabulary {VOCABULARY:,}, batch "
        f"{BATCH}, {IMAGE} image tokens, {PROMPT} prompt tokens, {REPORT} report tokens"
    )
    against = "transformers' forward with `labels=` over the whole sequence"
    tell(
        f"CmEAA's language model: {time:.2f} of the time of transformers' forward with labels "
        f"({1000 * seconds['ours']:.0f} ms a step), {memory:.2f} of its memory ({megabytes} MB, "
        f"weights included; {beside:.2f} without them)",
        [
            at_most(f"{what}: time", against, 0.75, time, f"{1000 * seconds['ours']:.0f} ms"),
            at_most(
                "the same: peak memory",
                against,
                0.6,
                memory,
                f"{megabytes} MB, weights included; {beside:.2f} without them",
            ),
        ],
    )


if __name__ == "__main__":
    main()
