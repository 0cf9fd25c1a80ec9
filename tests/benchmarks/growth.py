"""How what rrg does grows: a KIA step with its batch and its reports, the rest with the studies.

Each is taken at sizes that double, and drawn with logarithmic axes, where a power is a straight
line; the line beside it is linear. What is said is the power with which time grew over the last two
doublings, where what any size takes (an image, Java's start) weighs least, and the last doubling's.
Seconds are of the processor, child processes included (Java, for METEOR). `--plot FILE` draws.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path

import torch
from models import Training, plan_of
from ngrams import make_studies
from rows import Row, tell
from scale import make_data
from scoring import make_pairs

from rrg_knowledge.ngrams import OrganNGrams
from rrg_metrics.coco import Coco
from rrgcore import load_recipe
from rrgcore.studies import Studies

BATCHES, TOKENS = (8, 16, 32, 64), (32, 64, 128, 256)
BATCH, REPORT = 16, 48
INDEXED, MINED = (15_000, 30_000, 60_000, 120_000), (10_000, 20_000, 40_000, 80_000)
SCORED = (6_000, 12_000, 24_000, 48_000)
ROUNDS = 5
ALLOWED = 2.15
"""What the last doubling may cost and pass for linear: larger things fit into caches worse."""


@dataclass(frozen=True, slots=True)
class Series:
    """What was measured at growing sizes."""

    what: str
    of: str
    seconds: Mapping[int, float]

    @property
    def power(self) -> float:
        """The power over the last two doublings."""
        *_, first, _, last = self.seconds
        return log(self.seconds[last] / self.seconds[first]) / log(last / first)

    @property
    def doubling(self) -> float:
        """How many times as long the last size took as the one before."""
        *_, first, last = self.seconds.values()
        return last / first

    def __str__(self) -> str:
        *_, first, last = self.seconds
        return (
            f"n^{self.power:.2f}, {self.seconds[last]:.3g} s at {last:,}, "
            f"{self.doubling:.2f} × those at {first:,}"
        )


def processor() -> float:
    """Return the processor's seconds of this process, and of those it started."""
    return sum(os.times()[:4])


def interleaved(sizes: tuple[int, ...], calls: Mapping[int, Callable[[], None]]) -> Iterator[float]:
    """Yield the median seconds of each size, taken in turns."""
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(ROUNDS + 1):
        for size in sizes:
            start = time.process_time()
            calls[size]()
            if turn:
                taken[size].append(time.process_time() - start)
    yield from (statistics.median(taken[size]) for size in sizes)


def kia_steps() -> Iterator[Series]:
    """Take steps of `kia_graph` at growing batches, and at growing reports."""
    torch.set_num_threads(1)
    training = Training.of(plan_of("kia_graph"), "align")

    def calls(made: Mapping[int, object]) -> dict[int, Callable[[], None]]:
        def step(batch: object) -> None:
            training.forward_and_backward(batch)
            training.update()

        return {size: partial(step, batch) for size, batch in made.items()}

    by_batch = calls({size: training.batch(size, tokens=REPORT) for size in BATCHES})
    by_length = calls({size: training.batch(BATCH, tokens=size) for size in TOKENS})
    for what, of, sizes, found in (
        ("KIA step", "studies in a batch", BATCHES, by_batch),
        ("KIA step", "tokens of a report", TOKENS, by_length),
    ):
        yield Series(what, of, dict(zip(sizes, interleaved(sizes, found), strict=True)))


def index(studies: int) -> float:
    """List a data set in R2Gen's layout, every image file looked for."""
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), studies)
        overrides = [f"data.root={folder}"]
        plan = load_recipe("kia_graph", variants=["r2gen"], overrides=overrides).plan
        return median_of(lambda: Studies(plan).check_whole())


def mine(studies: int) -> float:
    """Mine observation n-grams that are seen once in a hundred reports, which are about as many
    whatever the number of reports.
    """
    made = make_studies(studies, seed=0)
    annotator = OrganNGrams(cleaning="organ-mimic", frequency=studies // 100)
    return median_of(lambda: annotator.fit(made))


def score(studies: int) -> float:
    """Score under `coco`, all metrics."""
    pairs = make_pairs(studies)
    return median_of(lambda: Coco().score(pairs))


def median_of(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = processor()
        call()
        taken.append(processor() - start)
    return statistics.median(taken)


def draw(found: list[Series], path: Path) -> None:
    """Draw every series beside a linear one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(found), figsize=(3 * len(found), 3.2), dpi=110)
    for panel, series in zip(panels, found, strict=True):
        sizes, seconds = list(series.seconds), list(series.seconds.values())
        linear = [seconds[-1] * size / sizes[-1] for size in sizes]
        panel.loglog(sizes, linear, color="#999999", linestyle=":", label="linear")
        panel.loglog(sizes, seconds, color="#1f5fa8", marker="o", markersize=4)
        panel.set_title(f"{series.what}: n^{series.power:.2f}", fontsize=10)
        panel.set_xlabel(series.of, fontsize=9)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
        panel.set_yticks(seconds, [f"{value:.2g}" for value in seconds], fontsize=8)
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    panels[0].set_ylabel("seconds of a processor", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    found = list(kia_steps())
    for what, sizes, call in (
        ("indexing", INDEXED, index),
        ("mining n-grams", MINED, mine),
        ("scoring", SCORED, score),
    ):
        found.append(Series(what, "studies", {size: call(size) for size in sizes}))
    if "--plot" in sys.argv:
        draw(found, Path(sys.argv[sys.argv.index("--plot") + 1]))
    tell(
        "growth: " + "; ".join(f"{each.what} with {each.of}: {each}" for each in found),
        [
            Row(
                f"growth: {each.what}",
                each.of,
                "linear or better",
                str(each),
                each.doubling <= ALLOWED,
            )
            for each in found
        ],
    )


if __name__ == "__main__":
    main()
