"""RadGraph by rules: how right on 1,000 phantoms, and how many reports in a second of one core."""

import sys
import time
from pathlib import Path

from rrg_knowledge.radgraph_rules import RadGraphRules

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.labelling import REPORTS, ROUNDS, write_reports
from knowledge.graded_radgraph import grade_phantoms

SEED = 20_240_501
"""None that the rules were developed on."""


def main() -> None:
    scores = grade_phantoms(1000, seed=SEED)
    assert all(score.right > 100 for score in scores.values()), "too few to say anything"
    told = "; ".join(
        f"{name} P {score.precision:.4f} R {score.recall:.4f} F1 {score.f1:.4f} of "
        f"{score.right + score.missed:,}"
        for name, score in scores.items()
    )
    rules = RadGraphRules()
    rates = []
    for seed in range(ROUNDS):
        reports = write_reports(seed)
        start = time.process_time()  # of this process: a busy machine does not count
        graphs = [rules.read(report) for report in reports]
        rates.append(REPORTS / (time.process_time() - start))
        assert all(graph.entities for graph in graphs), "every report names something"
    words = sum(len(report.split()) for report in reports) / REPORTS
    rate = sorted(rates)[ROUNDS // 2]
    print(f"RadGraph by rules: {told}; {rate:.0f} reports a second of one core ({words:.0f} words)")


if __name__ == "__main__":
    main()
