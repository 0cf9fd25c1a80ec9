"""What a run is worth on a split: scores beside baselines, and whether its tasks do what they are
for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast, final

from accelerate import Accelerator

from rrgcore.cleaning import is_empty
from rrgcore.data import study_rng
from rrgcore.errors import DataError
from rrgcore.evaluate import Prediction, generate_reports, with_reference
from rrgcore.folder import RunFolder
from rrgcore.interfaces import Embeds, Matches, Reconstructs
from rrgcore.manifest import load_checkpoint
from rrgcore.model import ReportModel
from rrgcore.nearest import nearest_reports
from rrgcore.plan import Plan
from rrgcore.prediction.judge import Judge
from rrgcore.prediction.learning import learned_judge, measure_judge
from rrgcore.probes import exchange_images, reconstruction
from rrgcore.processes import on_main
from rrgcore.retrieval import retrieval
from rrgcore.scoring import Metric, Scores
from rrgcore.scoring.baselines import Baseline
from rrgcore.scoring.scorecard import Scorecard, make_scorecard, score
from rrgcore.settings import Split
from rrgcore.sharding import at_hand, is_sharded
from rrgcore.studies import Studies
from rrgcore.watch import Watcher


@final
@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything measured on a split."""

    split: Split
    predictions: Sequence[Prediction]
    card: Scorecard
    shuffled: Mapping[str, Scores]
    """The same model with the split's images exchanged among its studies."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    judge: Judge | None = None
    """What was learned of the run's predictions."""
    judged: Mapping[str, Any] = field(default_factory=dict)
    """What that is worth."""
    cautions: Sequence[str] = ()
    """What must be said beside the scores."""

    def to_json(self) -> dict[str, Any]:
        """Return what scores.json says."""
        return {
            "split": self.split,
            "studies": len(self.predictions),
            "references": len(with_reference(self.predictions)),
            "cautions": list(self.cautions),
            **self.card.to_json(),
            "shuffled images": {name: dict(f.values) for name, f in self.shuffled.items()},
            "probes": dict(self.probes),
            "judged": dict(self.judged),
        }


def assess(
    *,
    plan: Plan,
    model: ReportModel,
    studies: Studies,
    metrics: Mapping[str, Metric],
    folder: RunFolder,
    accelerator: Accelerator,
    watcher: Watcher,
    split: Split,
) -> Assessment:
    """Generate over a split with the run's best checkpoint, score, and probe.

    Leaves the best checkpoint's weights in the model.
    """
    load_checkpoint(folder.best, model)
    studies.knowledge.ask(partial(on_main, accelerator))
    loader = studies.loader(
        model,
        split,
        training=False,
        batch_size=plan.evaluation.batch_size,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    common: dict[str, Any] = {
        "references": studies.references(split),
        "generation": plan.generation,
        "accelerator": accelerator,
        "watcher": watcher,
    }
    predictions = generate_reports(model, loader, title=f"writing {split} reports", **common)
    judge = learned_judge(
        plan=plan,
        model=model,
        studies=studies,
        metrics=metrics,
        folder=folder,
        accelerator=accelerator,
        watcher=watcher,
    )
    judged = on_main(
        accelerator,
        lambda: measure_judge(judge, predictions, studies, metrics, split, watcher, seed=plan.seed),
    )
    shuffled: dict[str, Scores] = {}
    if plan.evaluation.probes and len(studies[split]) > 1:
        loader.studies = exchange_images(loader.studies, plan.seed)
        others = generate_reports(model, loader, title="the same with images exchanged", **common)
        exchanged = [prediction.pair for prediction in with_reference(others)]
        shuffled = on_main(accelerator, lambda: score(exchanged, metrics, quick=True))
    probes: dict[str, Any] = {}
    beside: dict[str, Baseline] = {}
    if plan.evaluation.probes:

        def probed() -> tuple[dict[str, Any], dict[str, Baseline]]:
            return _probe(plan, model, studies, folder, accelerator, watcher, split)

        # of a model in shards no process has the whole: all of them ask it the same
        probes, beside = probed() if is_sharded(model) else on_main(accelerator, probed)
        load_checkpoint(folder.best, model)
    watcher.note(_scoring(predictions))
    # what is scored teaches nothing: no constant is chosen on it, and no report found in itself
    teaching = [
        role
        for role in ("train", "val")
        if plan.evaluation.baselines and split not in (role, "train")
    ]
    card = on_main(
        accelerator,
        lambda: make_scorecard(
            [prediction.pair for prediction in with_reference(predictions)],
            metrics,
            training=studies.raw_reports("train") if "train" in teaching else (),
            validation=studies.raw_reports("val") if "val" in teaching else (),
            others=beside if teaching else None,
            seed=plan.seed,
        ),
    )
    return Assessment(
        split, predictions, card, shuffled, probes, judge, judged, cautions=plan.cautions
    )


def _scoring(predictions: Sequence[Prediction]) -> str:
    scored = len(with_reference(predictions))
    if scored == len(predictions):
        return "scoring"
    return (
        f"scoring {scored} of {len(predictions)} reports: the other studies have none to compare "
        "with"
    )


def _probe(
    plan: Plan,
    model: ReportModel,
    studies: Studies,
    folder: RunFolder,
    accelerator: Accelerator,
    watcher: Watcher,
    split: Split,
) -> tuple[dict[str, Any], dict[str, Baseline]]:
    """Probe objectives, and copy the nearest training report by those that embed.

    Each is asked with the best checkpoint of the last stage that trained it: a later stage without
    an objective moves the parts under its head, and the probe would measure that. So a matcher
    ranks again only for an embedding whose last stage trained it too; one that no embedding asks
    is probed by itself.
    """
    found: dict[str, Any] = {}
    beside: dict[str, Baseline] = {}
    seen: set[str] = set()
    for stage in reversed(list(plan.stages)):
        trained = {
            name: model.objectives[name]
            for name, weight in plan.stage_weights(stage).items()
            if weight
        }
        new = [
            name
            for name, objective in trained.items()
            if name not in seen and isinstance(objective, (Embeds, Matches, Reconstructs))
        ]
        seen.update(trained)
        if not new:
            continue
        if folder.exported:
            watcher.note(f"{', '.join(new)} not probed: an export has not the stage's checkpoint")
            continue
        load_checkpoint(folder.checkpoint(stage, "best"), model)
        matchers = [name for name in trained if isinstance(trained[name], Matches)]
        embedded = any(isinstance(trained[name], Embeds) for name in new)
        for name in new:
            objective = trained[name]
            try:
                loader = studies.loader(model, split, training=False, objectives=[name])
            except DataError as error:
                watcher.note(f"{name} is not probed: {error}")
                continue
            # what has no report has none to be found, or to help with a mask
            loader.studies = [s for s in loader.studies if not is_empty(s.report or "")]
            common: dict[str, Any] = {
                "rng": study_rng(plan.seed, 0, name, "probe"),
                "watcher": watcher,
                "device": accelerator.device,
            }
            kept: dict[str, Any] = {}
            with at_hand(model), accelerator.autocast():
                if isinstance(objective, Reconstructs):
                    kept |= reconstruction(model, name, loader, **common)
                if isinstance(objective, Embeds):
                    kept |= retrieval(model, loader, embeds=name, matches=matchers, **common)
                    copied = nearest_reports(
                        model,
                        loader,
                        studies.reports("train"),
                        studies.raw_reports("train"),
                        embeds=name,
                        max_tokens=plan.data.max_report_tokens,
                        device=accelerator.device,
                        watcher=watcher,
                    )
                    beside[f"nearest report ({name.upper()})"] = Baseline(
                        [copied], f"of training, by the {name} of stage {stage}"
                    )
                elif isinstance(objective, Matches) and not embedded:
                    kept |= retrieval(model, loader, matches=[name], **common)
            if kept:
                found[name] = {"stage": stage} | {
                    key: asdict(cast(Any, value)) if hasattr(value, "low") else value
                    for key, value in kept.items()
                }
    return found, beside
