"""What observation n-grams cost at MIMIC-CXR's size: 222,758 training reports of 53 words.

The reports are made up: words as frequent as Zipf has it, each with a few that like to follow it,
sentences of nine words on average, 14 labels a study. Mined twice, half of them and all, each in a
process of its own, by `fit` as a run calls it: cleaning counts. Peaks of memory are those of these
processes, the studies themselves included. Another number of reports may be given:
`python tests/benchmarks/ngrams.py 20000`.
"""

import subprocess
import sys
import time
from resource import RUSAGE_SELF, getrusage

import numpy as np

from rrg_knowledge.ngrams import OrganNGrams
from rrgcore.annotations import Labels
from rrgcore.chest import OBSERVATIONS
from rrgcore.study import Study

REPORTS, WORDS = 222_758, 53
VOCABULARY, FOLLOWERS, SENTENCE = 20_000, 6, 9


def make_studies(reports: int, seed: int) -> list[Study]:
    """Make studies, all chains of words one step at a time."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    drawn = np.searchsorted(np.cumsum(frequency / frequency.sum()), rng.random((WORDS, reports)))
    drawn = np.minimum(drawn, VOCABULARY - 1)
    likes = rng.integers(0, VOCABULARY // 20, (VOCABULARY, FOLLOWERS))
    for step in range(1, WORDS):
        follows = rng.random(reports) < 0.6
        which = rng.integers(0, FOLLOWERS, reports)
        drawn[step, follows] = likes[drawn[step - 1], which][follows]
    ends = rng.random((WORDS, reports)) < 1 / SENTENCE
    ends[-1] = True
    names = np.array([spell(number) for number in range(VOCABULARY)], dtype=object)
    closed = names + "."
    values = rng.choice((-1, 0, 1, 2), (reports, len(OBSERVATIONS)), p=(0.03, 0.2, 0.12, 0.65))
    return [
        Study(
            id=f"s{number}",
            images=(),
            views=(),
            report=" ".join(np.where(ends[:, number], closed[one], names[one])),
            annotations={
                Labels: Labels(
                    {
                        name: int(value)
                        for name, value in zip(OBSERVATIONS, values[number], strict=True)
                        if value != 2
                    }
                )
            },
        )
        for number, one in enumerate(drawn.T)
    ]


def spell(number: int) -> str:
    """Return a word of letters alone, since n-grams with digits are dropped."""
    letters = ""
    while number or not letters:
        number, digit = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[digit] + "aeiou"[digit % 5]
    return letters


def measure(reports: int) -> str:
    """Mine so many reports; return seconds of this process, its memory, and what was found."""
    studies = make_studies(reports, seed=0)
    before = peak()
    annotator = OrganNGrams(cleaning="organ-mimic")
    start = time.process_time()
    annotator.fit(studies)
    seconds = time.process_time() - start
    pairs = sum(map(len, annotator.lists.values()))
    assert pairs > 1000, "there was something to find"
    return f"{seconds} {before} {peak()} {pairs}"


def peak() -> float:
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    reports = int(sys.argv[1]) if len(sys.argv) > 1 else REPORTS
    found = []
    for count in (reports // 2, reports):
        command = [sys.executable, __file__, "--measure", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([count, *map(float, done.stdout.split())])
    told = ", ".join(
        f"{count:,} reports in {seconds:.0f} s of one core with {after:.0f} MB "
        f"({before:.0f} MB of them studies), {pairs:,.0f} pairs"
        for count, seconds, before, after, pairs in found
    )
    print(f"observation n-grams: {told}")


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(measure(int(sys.argv[-1])))
    else:
        main()
