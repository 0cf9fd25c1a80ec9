"""How a run learns to judge its predictions: once, after training, from training and validation
studies alone; and what that is worth on others.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float

from rrgcore.chest import View
from rrgcore.data import study_rng
from rrgcore.evaluate import Prediction, generate_reports, with_reference
from rrgcore.folder import RunFolder
from rrgcore.manifest import JUDGE
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.prediction.confidence import Confidence, fit_confidence, measure_confidence
from rrgcore.prediction.familiarity import Familiarity, fit_familiarity
from rrgcore.prediction.judge import Judge, load_judge
from rrgcore.prediction.notices import notices_of
from rrgcore.prediction.picture import measure_picture
from rrgcore.processes import on_main
from rrgcore.provenance import Provenance
from rrgcore.scoring import Metric, ReadsFindings
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.study import Study
from rrgcore.watch import Watcher

MOST: Final[Mapping[Split, int]] = {"train": 1_000, "val": 500}
"""Studies that are looked at; more would take longer and tell no more."""
NO_READER: Final = (
    "no metric of the run can tell which findings a report names: add `clinical`, with a labeler, "
    "to evaluation.metrics"
)
ORACLE: Final = "an oracle's run reads what reports say, and predicts nothing"


def learned_judge(
    *,
    plan: Plan,
    model: ReportModel,
    studies: Studies,
    metrics: Mapping[str, Metric],
    folder: RunFolder,
    accelerator: Accelerator,
    watcher: Watcher,
) -> Judge:
    """Return what the run has learned of its predictions, or let it learn that now, by the weights
    that the model has; `Judge.save` keeps it.
    """
    if plan.data.oracle:
        return Judge(ORACLE, ORACLE)
    if on_main(accelerator, lambda: (folder.artefacts / JUDGE).is_dir()):
        return on_main(accelerator, lambda: load_judge(folder))
    training, validation = _some(studies, "train", plan.seed), studies["val"][: MOST["val"]]
    predictions = _predictions(plan, model, studies, accelerator, watcher)
    wrong = findings_wrong(predictions, metrics)
    confidence: Confidence | str = NO_READER
    if wrong is not None:
        confidence = fit_confidence([p.total for p in with_reference(predictions)], wrong)
    familiarity = on_main(accelerator, lambda: _look_at(studies, training, validation, watcher))
    return Judge(
        familiarity,
        confidence,
        most_views=max(len(study.images) for study in studies["train"]),
        training=Provenance.of(training, about=plan.dataset.name),
        validation=Provenance.of(validation, about=plan.dataset.name),
    )


def measure_judge(
    judge: Judge,
    predictions: Sequence[Prediction],
    studies: Studies,
    metrics: Mapping[str, Metric],
    split: Split,
    watcher: Watcher,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return what scores.json says of a judge on a split: the AUROC of its confidence, how many
    images it calls unlike those of training, and how often reports, and their references, have what
    it warns of. What it has learned from is no measure of it.
    """
    learned = [each for each in (judge.training, judge.validation) if each is not None]
    seen = {id for each in learned for id in each.seen(studies[split])}
    known = f"it was learned from {len(seen):,} of these studies" if seen else None
    return {
        "confidence": _measured_confidence(judge, predictions, metrics, known, seed),
        "familiarity": _measured_familiarity(judge, studies, split, known, watcher),
        "warnings": {
            "reports": _shares([prediction.prediction for prediction in predictions]),
            "references": _shares([p.reference for p in with_reference(predictions)]),
        },
    }


def findings_wrong(
    predictions: Sequence[Prediction], metrics: Mapping[str, Metric]
) -> list[bool] | None:
    """Tell of each report that has a reference whether it misses or invents a finding; None where
    no metric can tell findings. One that never errs on its own data is asked first.
    """
    pairs = [prediction.pair for prediction in with_reference(predictions)]
    readers = [metric for metric in metrics.values() if isinstance(metric, ReadsFindings)]
    for reader in sorted(readers, key=lambda reader: not reader.exact):
        if (found := reader.findings(pairs)) is not None:
            return [written != true for written, true in found]
    return None


def _predictions(
    plan: Plan,
    model: ReportModel,
    studies: Studies,
    accelerator: Accelerator,
    watcher: Watcher,
) -> list[Prediction]:
    """Write reports for validation studies as for those of the test: as many beams."""
    loader = studies.loader(
        model,
        "val",
        training=False,
        batch_size=plan.evaluation.batch_size,
        first=MOST["val"],
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    return generate_reports(
        model,
        loader,
        studies.references("val"),
        plan.generation,
        accelerator,
        watcher,
        "writing val reports, for confidence",
    )


def _some(studies: Studies, role: Split, seed: int) -> list[Study]:
    """Draw some studies of a role, in their order."""
    listed = studies[role]
    if len(listed) <= MOST[role]:
        return listed
    drawn = study_rng(seed, 0, "", "judge").choice(len(listed), MOST[role], replace=False)
    return [listed[at] for at in sorted(drawn.tolist())]


def _look_at(
    studies: Studies, training: Sequence[Study], validation: Sequence[Study], watcher: Watcher
) -> Familiarity | str:
    known = _measured(studies, training, watcher, "looking at training images")
    held = _measured(studies, validation, watcher, "looking at validation images")
    return fit_familiarity(known, [row for rows in held.values() for row in rows])


def _measured(
    studies: Studies, listed: Sequence[Study], watcher: Watcher, title: str
) -> dict[View, list[Float[np.ndarray, " f"]]]:
    """Measure the images of studies as the model sees them, by view."""
    found: dict[View, list[Float[np.ndarray, " f"]]] = {}
    for study in watcher.track(listed, title, len(listed)):
        for image, view in zip(study.images, study.views, strict=True):
            found.setdefault(view, []).append(measure_picture(studies.look(image)))
    return found


def _measured_confidence(
    judge: Judge,
    predictions: Sequence[Prediction],
    metrics: Mapping[str, Metric],
    known: str | None,
    seed: int,
) -> dict[str, Any]:
    confidence, wrong = judge.confidence, findings_wrong(predictions, metrics)
    if isinstance(confidence, str) or known or wrong is None:
        why = confidence if isinstance(confidence, str) else known or NO_READER
        return {"missing": why}
    if len(set(wrong)) < 2:
        return {"missing": "every report is wrong" if all(wrong) else "no report is wrong"}
    scored = with_reference(predictions)
    return measure_confidence(
        [confidence.of(prediction.total) for prediction in scored],
        wrong,
        {
            "words": [float(len(prediction.prediction.split())) for prediction in scored],
            "mean log-probability": [-prediction.logprob for prediction in scored],
        },
        seed=seed,
    )


def _measured_familiarity(
    judge: Judge, studies: Studies, split: Split, known: str | None, watcher: Watcher
) -> dict[str, Any]:
    if isinstance(judge.familiarity, str) or known:
        return {"missing": judge.familiarity if isinstance(judge.familiarity, str) else known}
    listed, flags = studies[split], []
    for study in watcher.track(listed, f"looking at {split} images", len(listed)):
        flags += [judge.familiarity.distance(studies.look(image)) > 1 for image in study.images]
    return {"images": len(flags), "unlike training": sum(flags), "share": sum(flags) / len(flags)}


def _shares(reports: Sequence[str]) -> dict[str, float]:
    """Return how many of the reports have each warning that needs no image."""
    found = [{notice.kind for notice in notices_of(report)} for report in reports]
    count = max(1, len(found))
    return {kind: sum(kind in each for each in found) / count for kind in ("prior", "laterality")}
