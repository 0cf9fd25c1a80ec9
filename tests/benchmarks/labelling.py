"""How many reports `rules` labels in a second of one core: invented ones, each of them new."""

import random
import time

from rrg_knowledge.rules import RulesLabeler

REPORTS = 1000
ROUNDS = 5
SENTENCES = (
    "Heart size is {size}, mediastinal contours are within normal limits.",
    "No focal consolidation, pneumothorax, or {size} pleural effusion in the {place}.",
    "There is a {size} opacity in the {place}, which may represent atelectasis or pneumonia.",
    "{size} pleural effusion with adjacent atelectasis, unchanged compared with study {number}.",
    "Degenerative changes of the thoracic spine at level {number}.",
    "The previously seen nodule of {number} mm in the {place} is no longer visualized.",
    "Right PICC terminates {number} mm above the cavoatrial junction.",
    "Pulmonary vascularity is within normal limits, without overt edema in the {place}.",
)
SIZES = ("small", "mild", "moderate", "large", "trace", "normal")
PLACES = ("left base", "right base", "left upper lobe", "right midlung", "lingula")


def write_reports(seed: int) -> list[str]:
    """Return reports of eight sentences, hardly any of them twice."""
    rng = random.Random(seed)
    return [
        " ".join(
            sentence.format(
                size=rng.choice(SIZES), place=rng.choice(PLACES), number=rng.randrange(10**6)
            )
            for sentence in rng.sample(SENTENCES, len(SENTENCES))
        )
        for _ in range(REPORTS)
    ]


def main() -> None:
    labeler = RulesLabeler()
    rates = []
    for seed in range(ROUNDS):
        reports = write_reports(seed)
        start = time.process_time()  # of this process: a busy machine does not count
        labels = [labeler.label(report) for report in reports]
        rates.append(REPORTS / (time.process_time() - start))
        assert all("Pleural Effusion" in one.values for one in labels), "every report names one"
    words = sum(len(report.split()) for report in reports) / REPORTS
    rate = sorted(rates)[ROUNDS // 2]
    print(f"labelling by rules: {rate:.0f} reports a second of one core ({words:.0f} words each)")


if __name__ == "__main__":
    main()
