"""Which checkpoint `init` names."""

import pytest

from rrgcore.errors import RunError
from rrgcore.run import Run
from rrgcore.starts import checkpoint_of


def test_a_part_starts_from_the_best_checkpoint_unless_another_is_named(finished: Run) -> None:
    run = f"run:{finished.path}"
    checkpoints = finished.path / "checkpoints"
    assert checkpoint_of(run) == checkpoints / "best"
    assert checkpoint_of(f"{run}@align/last") == checkpoints / "align" / "last"
    assert checkpoint_of(f"{run}@generate/best") == checkpoints / "generate" / "best"


def test_a_stage_that_the_run_has_not_is_refused_with_those_that_it_has(finished: Run) -> None:
    with pytest.raises(RunError, match=r"no stage 'pretrain' .* There: align, generate"):
        checkpoint_of(f"run:{finished.path}@pretrain/last")


def test_no_stage_leads_out_of_the_run(finished: Run) -> None:
    with pytest.raises(RunError):
        checkpoint_of(f"run:{finished.path}@../best")


def test_a_path_may_hold_the_sign_that_stands_before_a_stage(finished: Run) -> None:
    with pytest.raises(RunError, match="someone@home/run does not exist"):
        checkpoint_of("run:someone@home/run@align/last")
