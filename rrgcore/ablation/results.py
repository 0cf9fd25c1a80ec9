"""What the runs of an ablation measured, read from their folders."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

from rrgcore.ablation.rows import Row
from rrgcore.ablation.trials import Trial
from rrgcore.errors import RunError, UserError, did_you_mean
from rrgcore.files import append_line, read_json, read_objects
from rrgcore.folder import RUN, SCORES, TIMING, RunFolder
from rrgcore.scoring.identical import identical
from rrgcore.scoring.significance import Interval

V = TypeVar("V")

TWIN = "(momentum twin)"
JOURNAL = "runs.jsonl"
"""In the ablation's folder: a line for each process that ran, with its seconds."""


SHOWN = 12
"""Names of scores that a message lists."""


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """One finished run."""

    seed: int
    path: Path
    scores: Mapping[str, float]
    """By protocol and name: coco.CIDEr."""
    intervals: Mapping[str, Interval]
    """Over studies, of each score that has one."""
    fingerprints: Mapping[str, str]
    """By protocol."""
    missing: Mapping[str, str]
    """What was not computed, and why."""
    training_s: float | None
    """Of all epochs, without their validation; None where no epoch was timed."""
    whole_s: float | None
    """Of the processes that ran it; None where it was not run by `rrg ablate`."""
    trainable: int
    parameters: int
    """Frozen ones too, momentum twins not: no task is run with them."""


@final
@dataclass(frozen=True, slots=True)
class Results:
    """The finished runs of a row."""

    row: Row
    seeds: tuple[int, ...]
    """Those that were asked for."""
    runs: tuple[Measured, ...]

    def values(self, metric: str) -> list[float]:
        """Return a score of every run that has it."""
        return [run.scores[metric] for run in self.runs if metric in run.scores]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a score over seeds; None where a run lacks it, or there is none."""
        values = self.values(metric)
        return sum(values) / len(values) if values and len(values) == len(self.runs) else None


def read_results(trials: Sequence[Trial], out: Path) -> list[Results]:
    """Read what the finished runs of each row measured, in the order of the rows."""
    seconds = read_journal(out)
    found = []
    for row in dict.fromkeys(trial.row for trial in trials):
        own = [trial for trial in trials if trial.row == row]
        runs = (
            _read(trial, seconds.get(_key(trial, out)))
            for trial in own
            if trial.state == "finished"
        )
        found.append(Results(row, tuple(trial.seed for trial in own), tuple(runs)))
    return found


def same_reports(results: Sequence[Results]) -> list[tuple[str, ...]]:
    """Return which runs wrote word for word what another did, in groups: what sets their rows, or
    seeds, apart has changed nothing.
    """
    written = {}
    for found in results:
        for run in found.runs:
            folder = RunFolder(run.path)
            if folder.has_predictions():
                lines = sorted(folder.predictions(), key=lambda line: str(line["id"]))
                name = f"{found.row.label}, seed {run.seed},"
                written[name] = [str(line["prediction"]) for line in lines]
    return identical(written)


def resolve_metrics(names: Sequence[str], results: Sequence[Results]) -> list[str]:
    """Return scores by their whole names: `CIDEr` is that of the first protocol that has it.

    One that some run says it is missing keeps its place. Raises UserError for one that no run has.
    """
    runs = [run for found in results for run in found.runs]
    known = dict.fromkeys(key for run in runs for key in [*run.scores, *run.missing])
    resolved = []
    for name in names:
        full = full_name(name, known)
        if full is None and known:
            raise unknown_score(name, known)
        if full is not None:
            resolved.append(full)
    return list(dict.fromkeys(resolved))


def full_name(name: str, known: Iterable[str]) -> str | None:
    """Return a score's whole name, protocol included, or None."""
    return next((key for key in known if name in (key, key.partition(".")[2])), None)


def unknown_score(name: str, known: Collection[str]) -> UserError:
    """Say that no run has such a score, and which there are."""
    near = did_you_mean(name, [*known, *(key.partition(".")[2] for key in known)])
    few = list(known)[:SHOWN]
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return UserError(f"no run has a score '{name}'.{near}\nScores: {', '.join(few)}{more}")


def journal(trial: Trial, out: Path, seconds: float, code: int, jobs: int) -> None:
    """Write down how long a process ran, beside the run: a resumed run takes several."""
    entry = {"run": _key(trial, out), "seconds": round(seconds, 1), "code": code, "jobs": jobs}
    append_line(out / JOURNAL, json.dumps(entry, ensure_ascii=False))


def read_journal(out: Path) -> dict[str, float]:
    """Return the seconds that each run has taken so far, by its folder below `out`."""
    path, seconds = out / JOURNAL, dict[str, float]()
    for run, taken in zip(_values(path, "run", str), _values(path, "seconds", float), strict=True):
        seconds[run] = seconds.get(run, 0.0) + taken
    return seconds


def most_jobs(out: Path) -> int:
    """Return the most processes that ran at a time: wall times are theirs."""
    return max(_values(out / JOURNAL, "jobs", int), default=1)


def _key(trial: Trial, out: Path) -> str:
    return trial.path.relative_to(out).as_posix()


def _read(trial: Trial, whole_s: float | None) -> Measured:
    scores, record = read_json(trial.path / SCORES), read_json(trial.path / RUN)
    try:
        counts = {k: v for k, v in record["parameters"].items() if TWIN not in k}
        trainable = sum(part["trainable"] for part in counts.values())
        values = _by_name(scores["protocols"])
        of_baselines = tuple(f" of {name}" for name in scores["baselines"])
        return Measured(
            seed=trial.seed,
            path=trial.path,
            scores=values,
            intervals={
                name: Interval(values[name], *between)
                for name, between in _by_name(scores["intervals"]).items()
            },
            fingerprints=scores["fingerprint"],
            missing={
                key.replace(" ", ".", 1): why
                for key, why in scores["missing"].items()
                if not key.endswith(of_baselines)
            },
            training_s=_training_seconds(trial.path / TIMING),
            whole_s=whole_s,
            trainable=trainable,
            parameters=trainable + sum(part["frozen"] for part in counts.values()),
        )
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{trial.path} is damaged: {SCORES} or {RUN} lacks {error}. Score it again: "
            f"rrg evaluate {trial.path}"
        ) from error


def _by_name(of: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, found in of.items() for key, value in found.items()}


def _training_seconds(path: Path) -> float | None:
    # an epoch that a run went back to is timed again: it was spent again, too
    times = _values(path, "training_s", float)
    return sum(times) if times else None


def _values(path: Path, key: str, kind: type[V]) -> list[V]:
    """Return what each line of a file says; raises RunError naming one that does not."""
    found = []
    for number, entry in enumerate(read_objects(path), start=1):
        value = entry.get(key)
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind):
            raise RunError(f"{path}, line {number}: says no `{key}`; remove the line")
        found.append(value)
    return found
