"""How good observation labels are that are made without the report: on phantoms, whose truth is
known. `--train 4000 --size 80` is what docs/observations.md was measured with.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from rrg_knowledge.asked_labeler import labeler_or_rules
from rrg_knowledge.classifier import ObservationClassifier
from rrg_knowledge.nearest_by_probabilities import NearestByProbabilities
from rrg_knowledge.observe import ObserveByRule
from rrg_phantom.dataset import PhantomDataset
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.auroc import auroc
from rrgcore.chest import OBSERVATIONS
from rrgcore.study import Study
from rrgcore.supply import Annotator, Workbench

Cells = Sequence[Mapping[str, int]]


def positive(labels: Cells) -> np.ndarray:
    """Present or uncertain, by study and observation."""
    return np.array([[each.get(name) in (1, -1) for name in OBSERVATIONS] for each in labels])


def micro_f1(said: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (said & truth).sum() / (said.sum() + truth.sum()))


def add(annotator: Annotator, studies: Sequence[Study]) -> list[Study]:
    made = list(annotator.annotate(studies))
    return [s.annotated({annotator.writes: each}) for s, each in zip(studies, made, strict=True)]


def measure(*, train: int, test: int, size: int, seed: int, **options: Any) -> Mapping[str, float]:
    data = PhantomDataset(image_size=size, train=train, test=test, seed=seed)
    bench = Workbench(data.open, seed=seed)
    training = list(data.studies("train"))
    blind = [replace(study, report=None) for study in data.studies("test")]
    exact = [data.annotation(study, Labels).values for study in data.studies("test")]
    truth = positive(exact)

    classifier = ObservationClassifier(image_size=size, **options)
    classifier.equip(bench)
    start, used = time.perf_counter(), time.process_time()
    classifier.fit(training)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    training, blind = add(classifier, training), add(classifier, blind)
    scores = np.array([[s[Probabilities].values[o] for o in OBSERVATIONS] for s in blind])
    areas = [auroc(scores[:, i], truth[:, i]) for i in range(len(OBSERVATIONS))]

    nearest = NearestByProbabilities()
    nearest.fit(training)
    blind = add(nearest, blind)
    rules = labeler_or_rules(None)
    found = [Study(s.id, (), (), s[NearestReport].text) for s in blind]
    retrieved = positive([each.values for each in rules.annotate(found)])
    ruled = positive([each.values for each in ObserveByRule().annotate(blind)])

    known = positive([each.values for each in rules.annotate(training)])
    often = np.broadcast_to(known.mean(axis=0) >= 0.5, truth.shape)
    reports = [study.report or "" for study in training]
    usual = max(set(reports), key=reports.count)
    same = Study("", (), (), usual)
    constant = np.broadcast_to(positive([next(iter(rules.annotate([same]))).values]), truth.shape)
    chosen = max(np.linspace(0.05, 0.5, 10), key=lambda share: _constant_f1(known, share))
    most = np.broadcast_to(known.mean(axis=0) >= chosen, truth.shape)
    return {
        "seconds": seconds,
        "seconds of CPU": cpu,
        "AUROC": mean(area for area in areas if area is not None),
        **{f"AUROC {o}": a for o, a in zip(OBSERVATIONS, areas, strict=True) if a is not None},
        "F1 observe": micro_f1(ruled, truth),
        "F1 probabilities only": micro_f1(scores >= 0.5, truth),
        "F1 retrieval only": micro_f1(retrieved, truth),
        "F1 most frequent labels": micro_f1(often, truth),
        "F1 best constant labels": micro_f1(most, truth),
        "F1 most frequent report": micro_f1(constant, truth),
        "F1 rules on the true report": micro_f1(
            positive([each.values for each in rules.annotate(data.studies("test"))]), truth
        ),
    }


def _constant_f1(known: np.ndarray, share: float) -> float:
    return micro_f1(np.broadcast_to(known.mean(axis=0) >= share, known.shape), known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="each observation's AUROC too")
    asked = vars(parser.parse_args())
    every = asked.pop("all")
    found = measure(**asked)
    shown = {k: v for k, v in found.items() if every or not k.startswith("AUROC ")}
    text = ", ".join(f"{key} {value:.3f}" for key, value in shown.items())
    print(f"observation labels of {asked['test']} phantoms: {text}")


if __name__ == "__main__":
    main()
