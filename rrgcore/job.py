"""One run's work: everything built for it, and the whole job done with it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, set_seed

from rrgcore.assembled import check_assembled
from rrgcore.assess import Assessment, assess
from rrgcore.build import build_model, make_metrics
from rrgcore.checkpoint import link_folder
from rrgcore.compiling import why_not
from rrgcore.errors import RecipeError, did_you_mean
from rrgcore.evaluate import Prediction
from rrgcore.faults.telling import testing
from rrgcore.files import written_whole
from rrgcore.folder import PREDICTIONS, SCORES, RunFolder, of_split
from rrgcore.given import keep_given
from rrgcore.images.disk_cache import unheard
from rrgcore.interrupts import Interrupts
from rrgcore.launched import check_launched
from rrgcore.manifest import Manifest, rules_in
from rrgcore.plan import Plan
from rrgcore.prediction.judge import Judge
from rrgcore.processes import on_main
from rrgcore.resolve import resolved, weigh
from rrgcore.scoring import Metric, Pair
from rrgcore.scoring.cautions import MARK, ORACLE
from rrgcore.scoring.scorecard import fit_metrics, flat, score, selected
from rrgcore.settings import ROLES
from rrgcore.starts import checkpoint_of, starts_of
from rrgcore.studies import Studies
from rrgcore.supply import Track, untracked
from rrgcore.tokenizers import WORDS, Tokenizers
from rrgcore.tokens import AbsentTokenizer
from rrgcore.training import Trainer
from rrgcore.validation import Validation
from rrgcore.watch import Watcher, tracking
from rrgcore.zero import is_asked_for


@final
class Job:
    """Everything built for one run; building it writes nothing.

    A job that `resumes` has a checkpoint, which it loads before it trains.
    """

    def __init__(
        self,
        plan: Plan,
        watcher: Watcher,
        accelerator: Accelerator,
        saved_tokenizers: Mapping[str, str],
        *,
        resumes: bool = False,
        kept: Path | None = None,
    ) -> None:
        self.plan = plan
        self.watcher = watcher
        self.accelerator = accelerator
        self.studies = listed_studies(
            plan,
            track=tracking(watcher),
            device=str(accelerator.device),
            note=watcher.note,
            kept=kept,
        )
        self.tokenizers = Tokenizers(plan, lambda: self.studies.reports("train"), saved_tokenizers)
        assembled = check_assembled(plan, self.tokenizers, views=self.studies.most_views, kept=kept)
        if problems := list(self.studies.training_set_problems(assembled)):
            raise RecipeError(plan.recipe.source, problems)
        self.metrics = fitted_metrics(plan, self.studies)
        check_selected(plan, self.metrics, self.studies)
        for role, objectives in plan.loaders():
            # annotations that are missing are found now, not after the first epoch
            self.studies.check_annotations(assembled, role, objectives)
        set_seed(plan.seed)
        # one that goes on from a checkpoint no longer needs the run that it once started from
        init = {} if resumes else plan.init
        starts = {part: checkpoint_of(source) for part, source in init.items()}
        built: list[tuple[str, object]] = [] if resumes else [*starts_of(plan)]
        self.model = build_model(plan, self.tokenizers, starts=starts, built=built, kept=kept)
        # what a run has trained on was held against the same studies when it began
        if not resumes and (leaks := list(self.studies.leaks(built))):
            raise RecipeError(plan.recipe.source, leaks)
        self.built = built
        self.model.to(accelerator.device)
        if cut := self.studies.cut_reports(self.model):
            watcher.note(
                f"{cut} of {len(self.studies['train'])} training reports are longer than "
                f"data.max_report_tokens={plan.data.max_report_tokens} and are cut for training; "
                "references are scored whole"
            )
        if unflipped := self.studies.never_mirrored():
            watcher.note(unflipped)

    def facts(self) -> dict[str, Any]:
        """Return what run.json records of it."""
        return {
            "seed": self.plan.seed,
            "processes": self.accelerator.num_processes,
            "data": self.studies.facts(),
            "studies": {role: len(self.studies[role]) for role in ROLES},
            "parameters": {
                weight.part: {"trainable": weight.trainable, "frozen": weight.frozen}
                for weight in weigh(self.model)
            },
            "pixels": {
                "mean": list(self.model.parts.encoder.mean),
                "std": list(self.model.parts.encoder.std),
            },
            "device": str(self.accelerator.device),
        }

    def save_tokenizers(self, folder: RunFolder) -> None:
        """Keep the tokenizers with the run: a word vocabulary is made of the training reports."""
        names = {}
        for number, (name, tokenizer) in enumerate(self.tokenizers.loaded.items()):
            assert not isinstance(tokenizer, AbsentTokenizer), "a run has its tokenizers at hand"
            relative = f"tokenizers/{WORDS if name == WORDS else number}"
            if folder.writes:
                with written_whole(folder.path / relative) as beside:
                    tokenizer.save(beside)
            names[name] = relative
        folder.update(tokenizers=names)

    def learn(self, folder: RunFolder) -> None:
        """Let annotators learn, or load what they learned when the run was here before.

        The main process learns and the others load.
        """
        knowledge = self.studies.knowledge
        knowledge.keep_in(folder.artefacts, writes=folder.writes)
        knowledge.ask(partial(on_main, self.accelerator))

        def learn() -> None:
            keep_given([*self.built, *self.studies.annotating], folder.given)
            if folder.training is None:  # one that goes on no longer knows what it started from
                folder.write_training(
                    self.studies.provenance(component for _, component in self.built)
                )
            self.studies.learn(self.model)

        on_main(self.accelerator, learn)
        self.studies.learn(self.model)

    def run(self, folder: RunFolder, interrupts: Interrupts) -> None:
        """Train every stage that is not done, and test once with the best checkpoint."""
        rules = [*rules_in(resolved(self.plan)), *self.studies.cleaning]
        manifest = Manifest.of(folder, rules)
        common: dict[str, Any] = {
            "plan": self.plan,
            "model": self.model,
            "studies": self.studies,
            "folder": folder,
            "accelerator": self.accelerator,
            "watcher": self.watcher,
        }
        stoppable: dict[str, Any] = {**common, "manifest": manifest, "interrupts": interrupts}
        validation = Validation(**stoppable, metrics=self.metrics)
        trainer = Trainer(**stoppable, validation=validation)
        trainer.train()
        stage, found = trainer.best()
        if folder.writes:
            link_folder(folder.checkpoint(stage, "best"), folder.best)
        folder.update(best={"stage": stage, "score": found})
        self.accelerator.wait_for_everyone()
        with interrupts.let_through(), testing(self.plan, folder):
            write_assessment(folder, assess(**common, metrics=self.metrics, split="test"))


def listed_studies(
    plan: Plan,
    *,
    track: Track = untracked,
    device: str = "cpu",
    note: Callable[[str], None] = unheard,
    kept: Path | None = None,
) -> Studies:
    """Make a plan's studies, whose annotators have read what they were given, or find it `kept`.

    Raises DataError where training, validation or test has none, or a study lacks what a run needs
    of it.
    """
    studies = Studies(plan, track=track, device=device, note=note, kept=kept, read_given=True)
    studies.check_whole()
    return studies


def write_assessment(folder: RunFolder, found: Assessment) -> None:
    """Write scores.json and predictions.jsonl (for another split than test, with its name in
    theirs), and what the run has learned of its predictions, where it had not.
    """
    if found.judge is not None:
        found.judge.save(folder)
    mark = {MARK: True} if ORACLE in found.cautions else {}
    predictions = [_entry(each, found.judge) | mark for each in found.predictions]
    folder.write_lines(of_split(PREDICTIONS, found.split), predictions)
    folder.write_json(of_split(SCORES, found.split), found.to_json())


def make_accelerator(plan: Plan) -> Accelerator:
    """Make the accelerator of a plan, whose stages have one precision."""
    # a process keeps its first accelerator's precision; a notebook runs one recipe after another
    AcceleratorState._reset_state()
    precision = next(iter(plan.stages.values())).precision
    if precision == "fp16" and not torch.accelerator.is_available():
        raise plan.refusal(
            f"stages.{next(iter(plan.stages))}.precision",
            "fp16 needs an accelerator, and this machine has none that torch can use: set bf16 or "
            "fp32",
        )
    zero, found = is_asked_for(), torch.accelerator.is_available()
    accelerator = Accelerator(
        # DeepSpeed is told each stage's, as autocast: else it would hold weights in half
        mixed_precision="no" if precision == "fp32" or zero else precision,
        # unless it is told so, torchrun's processes on a machine without a GPU stay strangers
        cpu=not found and not zero,
        kwargs_handlers=[
            # a report-only stage, or a variant without mim, leaves cross-attention or heads unused
            DistributedDataParallelKwargs(find_unused_parameters=True),
            # longer than a save may take; while the main process does something for all of them
            # the others wait in a group of their own (rrgcore.processes)
            InitProcessGroupKwargs(
                timeout=timedelta(hours=2), backend="gloo" if zero and not found else None
            ),
        ],
    )
    check_launched(plan, accelerator)
    for name, stage in plan.stages.items():
        if stage.compile and (reason := why_not(accelerator)):
            raise plan.refusal(f"stages.{name}.compile", reason)
    return accelerator


def in_a_line(facts: Mapping[str, Any]) -> str:
    """Say what is about to run: data, size, device."""
    studies = ", ".join(f"{count:,} {role}" for role, count in facts["studies"].items())
    trainable = sum(part["trainable"] for part in facts["parameters"].values())
    data = facts["data"]["dataset"]
    count = facts["processes"]
    each = f"{count} processes" if count > 1 else "one process"
    return f"{data}: {studies} · {trainable:,} parameters to train · {facts['device']}, {each}"


def fitted_metrics(plan: Plan, studies: Studies) -> dict[str, Metric]:
    """Build the metrics of a plan and show them the training reports."""
    metrics = make_metrics(plan)
    fit_metrics(metrics, studies.raw_reports("train"))
    return metrics


def check_selected(plan: Plan, metrics: Mapping[str, Metric], studies: Studies) -> None:
    """Refuse to train for hours towards a score that no metric gives.

    The metrics have been fitted. They score a validation report against itself, since what a score
    needs (a vocabulary, the labels of a study) may depend on the data.
    """
    select = plan.evaluation.select
    if select == "last":
        return
    id, report = next(iter(studies.references("val").items()))
    scores = score([Pair(id, report, report)], metrics, quick=True)
    given = list(flat(scores))
    bare = [key.partition(".")[2] for key in given]
    if selected(scores, select) is None:
        reasons = {
            asked: f" Its score is {why}"
            for name, found in scores.items()
            for key, why in found.missing.items()
            for asked in (key, f"{name}.{key}")
        }
        reason = reasons.get(select) or did_you_mean(select, [*given, *bare])
        raise plan.refusal(
            "evaluation.select",
            f"no metric gives '{select}' while training.{reason}\n"
            f"Given: {', '.join(given) or 'nothing: name a metric under evaluation.metrics'}; "
            "or `last`, which keeps the newest checkpoint",
        )


def _entry(prediction: Prediction, judge: Judge | None) -> dict[str, Any]:
    believed = judge.believe_total(prediction.total) if judge is not None else None
    return {
        "id": prediction.id,
        "reference": prediction.reference,
        "prediction": prediction.prediction,
        "logprob": prediction.logprob,
        **({} if believed is None else {"confidence": round(believed, 4)}),
    }
