"""`rrg ablate`: what is run, in how many processes, and what becomes of a run that fails."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rrgcore.ablation.pool import (
    Outcome,
    PoolWatcher,
    Task,
    duration,
    environment_of,
    run_all,
    threads_each,
)
from rrgcore.ablation.results import read_journal
from rrgcore.ablation.rows import Row, named_rows, parse_rows, parse_seeds, parse_variants
from rrgcore.ablation.tables import find_table, read_table
from rrgcore.ablation.trials import Trial, list_trials, plan_rows
from rrgcore.errors import RecipeError, RunError, UserError
from rrgcore.installed import list_ablations
from rrgcore.lock import FolderLock
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.recipe import load_recipe
from rrgcore.run import Run

TINY = Path(__file__).parent.parent / "tiny.yaml"

# ---- rows and seeds -------------------------------------------------------------------------


def test_rows_are_variants_stacks_of_them_and_the_recipe_as_it_stands() -> None:
    found = parse_rows(["full,a+b", "(c) a and c = a+c,-+d"])
    assert [(row.label, row.variants) for row in found] == [
        ("full", ()),
        ("a+b", ("a", "b")),
        ("(c) a and c", ("a", "c")),
        ("d", ("d",)),
    ]
    assert [row.folder for row in found] == ["full", "a+b", "c_a_and_c", "d"]


def test_a_variant_that_is_called_full_is_that_variant() -> None:
    assert parse_variants("full+a", {"full", "a"}) == ("full", "a")
    assert parse_variants("-", {"full"}) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,,b", "'' is no row"),
        ("=a", "'=a' is no row"),
        ("a+", "'a+' lacks a variant's name"),
        (
            "a,x=b,X=c",
            "the rows 'x' and 'X' would have one folder, X. Give one another label: other=c",
        ),
        ("full,-", "the rows 'full' and 'full' would have one folder"),
        ("%=a", "has no letter"),
    ],
)
def test_what_is_no_row_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_rows([text])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, (7,)), ("3", (0, 1, 2)), ("0,4", (0, 4)), ("5,", (5,))]
)
def test_seeds_are_how_many_or_which(text: str | None, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text, own=7) == seeds


@pytest.mark.parametrize("text", ["0", "many", "1,x", "-1", "2,2", ","])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text, own=0)


# ---- what is to be run ----------------------------------------------------------------------

ROWS = [Row("full", ()), Row("short", ("short",))]


@pytest.fixture(scope="module")
def plans(plugins: Discovered) -> dict[str, Plan]:
    return plan_rows(str(TINY), ROWS, plugins.registry)


@pytest.fixture
def out(finished: Run, tmp_path: Path) -> Path:
    """An ablation whose first row is finished with the recipe's own seed."""
    folder = tmp_path / "ablation"
    shutil.copytree(finished.path, folder / "full" / "seed-3")
    return folder


def states(trials: list[Trial]) -> dict[str, str]:
    return {trial.name: trial.state for trial in trials}


def test_what_is_finished_is_kept_and_the_rest_is_to_be_run(
    out: Path, plans: dict[str, Plan], plugins: Discovered
) -> None:
    trials = list_trials(str(TINY), ROWS, plans, (3, 4), out, plugins.registry)
    assert states(trials) == {
        "full, seed 3": "finished",
        "full, seed 4": "new",
        "short, seed 3": "new",
        "short, seed 4": "new",
    }
    assert trials[3].arguments == (
        *(str(TINY), "seed=4", "--variant", "short"),
        *("--out", str(out / "short" / "seed-4")),
    )
    assert trials[3].log == out / "short" / "seed-4.log"


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_run_that_was_stopped_or_killed_goes_on(
    state: str, out: Path, plans: dict[str, Plan], plugins: Discovered
) -> None:
    record = out / "full" / "seed-3" / "run.json"
    record.write_text(record.read_text().replace('"finished"', f'"{state}"'))
    (trial,) = list_trials(str(TINY), ROWS[:1], plans, (3,), out, plugins.registry)
    assert trial.state == "unfinished"


def test_a_run_that_another_process_is_about_to_make_is_running(
    tmp_path: Path, plans: dict[str, Plan], plugins: Discovered
) -> None:
    with FolderLock(tmp_path / "full" / "seed-3").held():
        (trial,) = list_trials(str(TINY), ROWS[:1], plans, (3,), tmp_path, plugins.registry)
    assert trial.state == "running"


def test_a_run_of_another_recipe_is_refused_by_name_with_what_has_changed(
    out: Path, plugins: Discovered
) -> None:
    changes = ["data.train=12", "objectives.irm=off"]
    plans = plan_rows(str(TINY), ROWS[:1], plugins.registry, overrides=changes)
    with pytest.raises(RunError) as caught:
        list_trials(str(TINY), ROWS[:1], plans, (3,), out, plugins.registry)
    assert str(caught.value) == (
        f"{out / 'full' / 'seed-3'} holds a run of another recipe: "
        "data.train is 10, now 12; objectives.irm is there, now not\n\n"
        "Name another folder with --out, or remove what is not to be kept"
    )


def test_a_run_is_no_folder_for_an_ablation(
    out: Path, plans: dict[str, Plan], plugins: Discovered
) -> None:
    with pytest.raises(RunError, match="is a run itself"):
        list_trials(str(TINY), ROWS, plans, (3,), out / "full" / "seed-3", plugins.registry)


def test_every_row_s_recipe_is_checked_before_anything_runs(plugins: Discovered) -> None:
    rows = [Row("full", ()), Row("b", ("shrt",)), Row("c", ("lng",))]
    with pytest.raises(UserError) as caught:
        plan_rows(str(TINY), rows, plugins.registry)
    assert "row 'b': " in str(caught.value)
    assert "no variant is called 'shrt'. Did you mean 'short'?" in str(caught.value)
    assert "row 'c': " in str(caught.value)

    with pytest.raises(UserError) as caught:
        plan_rows(str(TINY), ROWS, plugins.registry, overrides=["data.batch=2"])
    assert str(caught.value).count("data.batch") == 1, "what is wrong with all is said once"


# ---- several processes ----------------------------------------------------------------------


def task(name: str, script: str, folder: Path) -> Task:
    return Task(name, (sys.executable, "-S", "-c", script), folder / f"{name}.log")


def test_one_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    scripts = {"one": "print('well')", "two": "raise SystemExit(3)", "three": "print('well too')"}
    tasks = [task(name, script, tmp_path) for name, script in scripts.items()]
    outcomes = run_all(tasks, jobs=2)
    assert {t.name: o.code for t, o in outcomes.items()} == {"one": 0, "two": 3, "three": 0}
    assert tasks[2].log.read_text() == "well too\n"


def test_so_many_run_at_a_time_and_each_in_a_place_of_its_own(tmp_path: Path) -> None:
    most, places = 0, []

    class Counts(PoolWatcher):
        def look(self, running: Mapping[Task, float], waiting: int) -> None:
            nonlocal most
            most = max(most, len(running))

    def environment(slot: int) -> dict[str, str]:
        places.append(slot)
        return {**os.environ, "SLOT": str(slot)}

    script = "import os, time; time.sleep(0.2); print(os.environ['SLOT'])"
    tasks = [task(str(number), script, tmp_path) for number in range(3)]
    run_all(tasks, jobs=2, environment=environment, watcher=Counts())
    assert most == 2
    assert places[:2] == [0, 1]
    assert {t.log.read_text().strip() for t in tasks} == {"0", "1"}


PATIENT = """
import signal, sys, time
heard = []
def hear(*_):
    print("saved", flush=True) if not heard else sys.exit(9)
    heard.append(1)
    if {once}: sys.exit(130)
signal.signal(signal.SIGTERM, hear)
print("ready", flush=True)
while True: time.sleep(0.05)
"""


class Interrupts(PoolWatcher):
    """Sends this process Ctrl-C once every command is ready, and again if it is `stubborn`."""

    def __init__(self, *, stubborn: bool) -> None:
        self.ready = False
        self.stubborn = stubborn
        self.asked_to_stop = 0
        self.codes: list[int] = []

    def look(self, running: Mapping[Task, float], waiting: int) -> None:
        logs = [t.log.read_text() for t in running]
        if not self.ready and len(logs) == 2 and all("ready" in text for text in logs):
            self.ready = True
            os.kill(os.getpid(), signal.SIGINT)
        elif self.stubborn and logs and all("saved" in text for text in logs):
            self.stubborn = False
            os.kill(os.getpid(), signal.SIGINT)

    def stopping(self, running: int) -> None:
        self.asked_to_stop = running

    def ended(self, task: Task, outcome: Outcome) -> None:
        self.codes.append(outcome.code)


@pytest.mark.parametrize("stubborn", [False, True])
def test_ctrl_c_stops_all_where_they_can_go_on_and_a_second_one_at_once(
    stubborn: bool, tmp_path: Path
) -> None:
    script = PATIENT.format(once=not stubborn)
    tasks = [task(str(number), script, tmp_path) for number in range(3)]
    watcher = Interrupts(stubborn=stubborn)
    # a test run in the background ignores Ctrl-C, and so would what it starts
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all(tasks, jobs=2, watcher=watcher)
        handler = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 15
    assert watcher.asked_to_stop == 2
    assert watcher.codes == ([] if stubborn else [130, 130])
    assert [t.log.read_text().split() for t in tasks[:2]] == [["ready", "saved"]] * 2
    assert not tasks[2].log.exists(), "what waits is not begun"
    assert handler is signal.default_int_handler


def test_threads_and_gpus_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [threads_each(jobs) for jobs in (1, 3, 16)] == [8, 2, 1]
    third = environment_of(2, jobs=4, devices=["0", "1"])
    assert (third["OMP_NUM_THREADS"], third["CUDA_VISIBLE_DEVICES"]) == ("2", "0")
    assert environment_of(0, jobs=1)["OMP_NUM_THREADS"] == "8"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS" not in environment_of(0, jobs=1)
    assert environment_of(0, jobs=10_000)["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (48.2, "48 s"), (99.6, "2 min"), (740.0, "12 min"), (11_100.0, "3 h 05 min")],
)
def test_durations_are_said_as_one_says_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


# ---- the command ----------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The tiny recipe, and a variant whose data is not there: found when it is run."""
    path = tmp_path / "mine.yaml"
    lost = "lost: {data: {name: r2gen, root: nowhere}, objectives: {mim: off}}"
    path.write_text(f"extends: {TINY}\nvariants: {{{lost}}}\n", encoding="utf-8")
    return path


def test_variants_run_beside_each_other_and_the_table_has_what_was_finished(
    out: Path, recipe: Path, rrg: Callable[..., Any]
) -> None:
    """One row is finished already, one runs, and one fails: the table is of the first two."""
    command = ("ablate", recipe, "--variants", "full,short,lost", "--seeds", "3,", "--out", out)
    answer = rrg(*command, "--jobs", "2")

    assert answer.code == 1
    assert f"lost, seed 3 failed (exit status 2), see {out / 'lost' / 'seed-3.log'}" in answer.err
    assert "nowhere" in answer.err.partition("failed")[2], "the end of its log is shown"
    assert "finished already, and kept: 1" in answer.err
    assert json.loads((out / "short" / "seed-3" / "run.json").read_text())["state"] == "finished"
    assert answer.out == (out / "table.md").read_text()
    rows = [line.split(" | ")[0] for line in answer.out.splitlines() if "of 1 |" in line]
    assert rows == ["| full", "| short", "| lost"]
    assert "- lost: 0 of 1 seeds" in answer.out
    assert "phantoms" in answer.out
    for name in ("table.tex", "table.csv", "table.json"):
        assert (out / name).read_text()
    assert read_journal(out).keys() == {"short/seed-3", "lost/seed-3"}

    again = rrg(*command, "--dry-run")
    assert again.code == 0
    assert [line.split("  ")[-2].strip() for line in again.out.splitlines()[1:3]] == [
        f"finished after {duration(read_journal(out)['short/seed-3'])}",
        f"to run again, failed after {duration(read_journal(out)['lost/seed-3'])}",
    ]
    assert again.out.endswith("1 of 3 to run\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--variants is needed"),
        (("--variants", "full,b", "--reference", "ful"), "Did you mean 'full'? Rows: full, b"),
        (("--variants", "full", "--delta", "cmea"), "Did you mean 'cmeaa'?"),
        (("--variants", "full", "--format", "html"), "expected markdown, latex, csv or json"),
        (("--variants", "full", "--seeds", "2", "seed=1"), "keep one of the two"),
        (("--variants", "full,shrt"), "Did you mean 'short'?"),
        (("--variants", "full", "--base", "shrt"), "Did you mean 'short'?"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(
    arguments: tuple[str, ...], said: str, rrg: Callable[..., Any]
) -> None:
    answer = rrg("ablate", TINY, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_in_which_another_rrg_runs_is_left_alone(
    out: Path, rrg: Callable[..., Any]
) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (out / "full" / "seed-3" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        answer = rrg("ablate", TINY, "--variants", "full", "--out", out)
    assert answer.code == 2
    assert "another rrg is running" in answer.err


# ---- tables in files ------------------------------------------------------------------------


def test_a_table_names_its_rows_and_the_recipe_that_they_are_of(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("ablate: kia_graph\nrows: {baseline: report_only, k = 1: full}\nseeds: 2\n")
    table = read_table(path)
    assert find_table(str(path)) == path
    assert (table.ablate, table.seeds, table.delta) == ("kia_graph", "2", None)
    assert named_rows(table.rows, said_by="mine") == [
        Row("baseline", ("report_only",)),
        Row("k = 1", ()),
    ]


def test_a_table_takes_a_recipe_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: kia_graph\n")
    (tmp_path / "table.yaml").write_text("ablate: mine.yaml\nrows: {a: full}\n")
    assert read_table(tmp_path / "table.yaml").ablate == str(tmp_path / "mine.yaml")


def test_a_recipe_is_no_table() -> None:
    assert find_table(str(TINY)) is None
    assert find_table("kia_graph") is None
    assert find_table("kia_table3") == find_table("ablations/kia_table3.yaml")


@pytest.mark.parametrize("path", list_ablations().values(), ids=list(list_ablations()))
def test_the_rows_of_an_installed_table_are_variants_of_its_recipe(
    path: Path, plugins: Discovered
) -> None:
    table = read_table(path)
    rows = named_rows(table.rows, load_recipe(table.ablate).available, said_by=str(path))
    assert plan_rows(table.ablate, rows, plugins.registry).keys() == table.rows.keys()
    assert table.reference is None or table.reference in table.rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ablate: a\nrows: {x: y}\nrow: 3\n", "row (line 3)\n    is no key of a table. Did"),
        ("ablate: a\n", "rows (line 1)\n    is needed: expected label: variants, such as"),
        ("ablate: a\nrows: {}\n", "rows (line 2)\n    is {}: expected label: variants"),
        ("rows: {x: y}\n", "ablate (line 1)\n    is needed: the recipe that the rows are"),
        ("ablate: a\nrows: [full]\n", "rows (line 2)\n    is ['full']: expected label"),
        (
            "ablate: a\nrows: {x: [y]}\n",
            "rows.x (line 2)\n    is ['y']: expected label: variants, such as",
        ),
        ("ablate: a\nrows: {x: y}\ndelta: mean\n", "delta (line 3)\n    Input should be 'c"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_table(path)
    assert said in str(caught.value)


def test_a_picture_that_cannot_be_written_is_refused_before_anything_runs(
    rrg: Any, tmp_path: Path
) -> None:
    answer = rrg("ablate", TINY, "--variants", "full,short", "--figure", tmp_path / "table.pdf")
    assert answer.code == 2
    assert "expected a name that ends in .png or .svg" in answer.err


def test_a_misspelt_table_gets_the_nearest_one(rrg: Any) -> None:
    answer = rrg("ablate", "kia_tabel3")
    assert answer.code == 2
    assert "Did you mean 'kia_table3'?" in answer.err
