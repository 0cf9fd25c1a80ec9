"""TensorBoard, Weights & Biases and MLflow: what is each one's own."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

PROJECT: Final = "rrg"
"""W&B's project and MLflow's experiment, unless their own variables name another."""


def make_tracker(name: str, place: Path, title: str, id: str | None) -> GeneralTracker:
    """Make a tracker that is not started; what its own variables say is left to them."""
    if name == "tensorboard":
        return TensorBoardTracker(name, place)
    if name == "mlflow":
        named = None if "MLFLOW_RUN_NAME" in os.environ else title
        return MLflowTracker(PROJECT, run_id=id, run_name=None if id else named)
    own: dict[str, Any] = {"name": title} if "WANDB_NAME" not in os.environ else {}
    if "WANDB_CONSOLE" not in os.environ:
        own["settings"] = {"console": "off"}  # what is printed stays here
    id = id or os.environ.get("WANDB_RUN_ID") or uuid4().hex[:8]
    return WandBTracker(os.environ.get("WANDB_PROJECT") or PROJECT, id=id, resume="allow", **own)


def id_of(name: str, tracker: GeneralTracker) -> str:
    """Return what a tracker that was started calls the run."""
    if name == "tensorboard":
        return name
    run = tracker.tracker
    return str(run.info.run_id if name == "mlflow" else run.id)


def send(name: str, tracker: GeneralTracker, step: int, values: Mapping[str, float]) -> None:
    """Send points of curves, under names and at steps that the tracker takes."""
    if name == "mlflow":
        values = {re.sub(r"[^\w\-. :/]", "", key): value for key, value in values.items()}
    elif name == "wandb":
        # it drops what is behind its own count: a validation after the step was closed
        step = max(step, tracker.tracker.step)
    tracker.log(dict(values), step=step)


def close_tracker(name: str, tracker: GeneralTracker, failed: bool) -> None:
    """Close a tracker's run; one that failed, or was stopped, is to be seen as such."""
    if failed and name == "wandb":
        tracker.tracker.finish(exit_code=1)
    elif failed and name == "mlflow":
        import mlflow

        mlflow.end_run("KILLED")
    else:
        tracker.finish()
