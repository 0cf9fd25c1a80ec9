"""The table of an ablation: the papers' averages, differences, and what is said in words."""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgcore.ablation import drawing
from rrgcore.ablation.average import DEFINITIONS, NLG, average_change
from rrgcore.ablation.changes import average_interval, change, sample
from rrgcore.ablation.drawing import draw_table
from rrgcore.ablation.formats import to_csv, to_json, to_latex, to_markdown
from rrgcore.ablation.results import JOURNAL, Measured, Results, read_results, same_reports
from rrgcore.ablation.rows import Row, parse_rows
from rrgcore.ablation.table import Table
from rrgcore.ablation.tabulate import make_table
from rrgcore.ablation.trials import Trial, list_trials, plan_rows
from rrgcore.build import make_metrics
from rrgcore.errors import RunError, UserError
from rrgcore.folder import RunFolder
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.resolve import resolved
from rrgcore.scoring import Pair, mean_terms
from rrgcore.scoring.identical import told
from rrgcore.scoring.scorecard import make_scorecard

TINY = Path(__file__).parent.parent / "tiny.yaml"

# ---- AVG.Δ ----------------------------------------------------------------------------------

CMEAA = DEFINITIONS["cmeaa"].columns
TABLE_2 = {"a": (0.467, 0.168, 0.376), "b": (0.468, 0.172, 0.380), "d": (0.481, 0.181, 0.392)}
TABLE_3 = [  # k, the three scores, Δ as printed and as recomputed, in per cent
    (32, (0.464, 0.175, 0.378), 0.1, 0.12),
    (64, (0.458, 0.176, 0.385), 0.5, 0.50),
    (128, (0.465, 0.180, 0.379), 1.3, 1.25),
    (256, (0.481, 0.181, 0.392), 3.7, 3.72),
    (512, (0.465, 0.172, 0.374), -0.7, -0.74),
]
R2GEN = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L")
R2GEN_TABLE_2 = [  # R2Gen, Table 2: BASE, the row, its "AVG. Δ"
    ((0.396, 0.254, 0.179, 0.135, 0.164, 0.342), (0.444, 0.283, 0.196, 0.141, 0.179, 0.364), 8.9),
    ((0.396, 0.254, 0.179, 0.135, 0.164, 0.342), (0.470, 0.304, 0.219, 0.165, 0.187, 0.371), 17.6),
    ((0.314, 0.192, 0.127, 0.090, 0.125, 0.265), (0.330, 0.200, 0.133, 0.095, 0.128, 0.265), 3.7),
    ((0.314, 0.192, 0.127, 0.090, 0.125, 0.265), (0.353, 0.218, 0.145, 0.103, 0.142, 0.277), 12.1),
]


def of(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(("k", "values", "printed", "recomputed"), TABLE_3)
def test_cmeaa_s_table_3_is_the_mean_relative_change_against_b(
    k: int, values: tuple[float, ...], printed: float, recomputed: float
) -> None:
    found = average_change(of(CMEAA, values), of(CMEAA, TABLE_2["b"]), CMEAA)
    assert found is not None
    assert 100 * found == pytest.approx(recomputed, abs=0.005)
    assert 100 * found == pytest.approx(printed, abs=0.06)  # of rounded scores


def test_cmeaa_s_text_averages_in_the_same_way() -> None:
    """(d) against (a): 4.9 % as printed, 5.0 % as the table's figures have it."""
    found = average_change(of(CMEAA, TABLE_2["d"]), of(CMEAA, TABLE_2["a"]), CMEAA)
    assert found == pytest.approx(0.050, abs=5e-5)


@pytest.mark.parametrize(("base", "row", "printed"), R2GEN_TABLE_2)
def test_the_column_that_kia_s_is_named_after_is_the_mean_relative_change_of_all_metrics(
    base: tuple[float, ...], row: tuple[float, ...], printed: float
) -> None:
    found = average_change(of(R2GEN, row), of(R2GEN, base), R2GEN)
    assert found is not None
    assert 100 * found == pytest.approx(printed, abs=0.1)
    of_sums = sum(row) / sum(base) - 1
    assert abs(found - printed / 100) < abs(of_sums - printed / 100)


@pytest.mark.parametrize(
    ("metric", "ours", "other", "printed"),
    [("CIDEr", 0.641, 0.586, 9), ("CIDEr", 0.316, 0.299, 6),
     ("BLEU-4", 0.188, 0.184, 2), ("BLEU-4", 0.138, 0.128, 8)],
)  # fmt: skip
def test_kia_s_improvements_in_per_cent_are_relative(
    metric: str, ours: float, other: float, printed: int
) -> None:
    """§4.3, from the figures of its Table 1."""
    found = average_change({metric: ours}, {metric: other}, [metric])
    assert found is not None
    assert round(100 * found) == printed


def test_kia_s_15_per_cent_cannot_be_points() -> None:
    """Seven metrics 0.151 lower each would leave the baseline less than six have without CIDEr."""
    whole = of(NLG, (0.503, 0.329, 0.242, 0.188, 0.385, 0.208, 0.641))
    baseline = sum(whole.values()) - 7 * 0.151
    assert baseline < sum(whole.values()) - whole["CIDEr"]


@pytest.mark.parametrize("reference", [{"BLEU-4": 0.00004}, {}])
def test_nothing_is_relative_to_zero_or_to_what_is_missing(reference: dict[str, float]) -> None:
    assert average_change({"BLEU-4": 0.1}, reference, ["BLEU-4"]) is None


# ---- differences ----------------------------------------------------------------------------


def runs(scores: Mapping[int, Sequence[float]]) -> dict[int, Any]:
    """A row: for each seed the score of each study."""
    return sample({seed: mean_terms(values) for seed, values in scores.items()})


def noise(seed: int, count: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count)


def test_a_difference_pairs_studies_and_seeds() -> None:
    """What the two rows share, hard studies and bad seeds, is not in their difference."""
    hard = np.random.default_rng(0).normal(0.5, 0.2, 200)
    ours = runs({s: hard + 0.03 * s + 0.02 for s in range(3)})
    reference = runs({s: hard + 0.03 * s for s in range(3)})
    found = change(ours, reference)
    assert found.value == pytest.approx(0.02)
    assert (found.low, found.high) == pytest.approx((0.02, 0.02))
    assert found.distinguishable
    assert found.seeds == 3


def test_seeds_that_disagree_make_the_interval_wide() -> None:
    """Each seed's difference can be told apart over studies; over seeds it cannot."""
    reference = runs({s: noise(s) for s in range(3)})
    ours = runs({s: noise(s) + d for s, d in enumerate((0.3, -0.1, 0.05))})
    found = change(ours, reference)
    assert found.p < 0.05
    assert found.low < 0 < found.high
    assert not found.distinguishable


def test_only_seeds_that_both_have_are_compared() -> None:
    reference = runs({0: noise(0), 1: noise(1), 2: noise(2) + 9})
    found = change(runs({0: noise(0) + 0.1, 1: noise(1) + 0.1}), reference)
    assert found.value == pytest.approx(0.1)
    assert found.seeds == 2


def test_rows_without_a_seed_in_common_are_compared_unpaired() -> None:
    found = change(runs({5: noise(0) + 0.1}), runs({0: noise(0)}))
    assert found.value == pytest.approx(0.1)
    assert found.seeds == 0


def test_the_interval_of_the_average_is_around_it() -> None:
    reference = {m: runs({s: 0.5 + noise(s) for s in range(2)}) for m in ("x", "y")}
    ours = {"x": runs({s: 0.6 + noise(s + 5) for s in range(2)}), "y": reference["y"]}
    found = average_interval(ours, reference)
    assert found is not None
    assert found.value == pytest.approx(0.1, abs=0.02)
    assert found.low < found.value < found.high
    assert average_interval({"x": runs({0: noise(0) + 0.5})}, {"x": reference["x"]}) is None


# ---- from run folders to the table ----------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return parse_rows(["full,without irm=no_irm,short"])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "mine.yaml"
    variants = "variants:\n  no_irm: {objectives: {irm: off}}\n"
    path.write_text(f"extends: {TINY}\n{variants}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plans(recipe: Path, rows: list[Row], plugins: Discovered) -> dict[str, Plan]:
    return plan_rows(str(recipe), rows, plugins.registry)


def finish(trial: Trial, plan: Plan, words: int, **record: Any) -> None:
    """Write the folder of a run whose reports have so many of the reference's words."""
    rng = np.random.default_rng(trial.seed)
    vocabulary = ["heart", "lungs", "are", "clear", "left", "effusion", "no", "pneumothorax"]
    pairs = []
    for number in range(30):
        text = [str(word) for word in np.random.default_rng(number).permutation(vocabulary)]
        cut = words + int(rng.integers(0, 2))
        pairs.append(Pair(f"s{number}", " ".join(text[:cut]), " ".join(text)))
    values = {**resolved(plan), "seed": trial.seed}
    parts = {"encoder": {"trainable": 900, "frozen": 1_100},
             "objectives.irc (momentum twin)": {"trainable": 0, "frozen": 5_000}}  # fmt: skip
    folder = RunFolder.create(
        trial.path, plan.recipe, values, {"parameters": parts, "data": {}, **record}
    )
    card = make_scorecard(pairs, make_metrics(plan))
    folder.write_json("scores.json", {"split": "test", **card.to_json()})
    lines = [{"id": p.id, "prediction": p.prediction, "reference": p.reference} for p in pairs]
    folder.write_lines("predictions.jsonl", lines)
    for epoch in range(2):
        folder.log_timing({"stage": "align", "epoch": epoch, "training_s": 30.0})
    folder.update(state="finished")


@pytest.fixture(scope="module")
def ablated(
    recipe: Path,
    rows: list[Row],
    plans: dict[str, Plan],
    tmp_path_factory: pytest.TempPathFactory,
    plugins: Discovered,
) -> Path:
    """Three rows, two seeds each, of which the last row's second is not finished."""
    out = tmp_path_factory.mktemp("ablation")
    trials = list_trials(str(recipe), rows, plans, (0, 1), out, plugins.registry)
    for trial in trials[:-1]:
        words = {"full": 6, "without irm": 6, "short": 3}[trial.row.label]
        finish(trial, plans[trial.row.label], words)
    entries = [{"run": "full/seed-0", "seconds": s, "code": 0, "jobs": 2} for s in (60, 40)]
    (out / JOURNAL).write_text("".join(json.dumps(e) + "\n" for e in entries) + '{"run": "fu')
    return out


@pytest.fixture(scope="module")
def results(
    ablated: Path, recipe: Path, rows: list[Row], plans: dict[str, Plan], plugins: Discovered
) -> list[Results]:
    return read_results(
        list_trials(str(recipe), rows, plans, (0, 1), ablated, plugins.registry), ablated
    )


@pytest.fixture(scope="module")
def table(results: list[Results], plans: dict[str, Plan]) -> Table:
    cautions = plans["full"].cautions
    return make_table(results, plans["full"], reference="full", delta="kia", notes=cautions)


def test_a_row_is_the_mean_and_deviation_of_its_seeds(table: Table, results: list[Results]) -> None:
    full = table.lines[0]
    values = [run.scores["coco.BLEU-4"] for run in results[0].runs]
    assert full.figures["coco.BLEU-4"].value == pytest.approx(np.mean(values))
    assert full.figures["coco.BLEU-4"].deviation == pytest.approx(np.std(values, ddof=1))
    assert full.figures["coco.BLEU-4"].interval is None
    assert [line.seeds for line in table.lines] == [(0, 1), (0, 1), (0,)]


def test_one_seed_has_its_interval_over_studies(table: Table) -> None:
    figure = table.lines[2].figures["coco.BLEU-1"]
    assert figure.deviation is None
    assert figure.interval is not None
    assert figure.interval.low < figure.value < figure.interval.high


@pytest.mark.parametrize(
    ("line", "said"),
    [("not JSON", "line 1"), ("[1]", "line 1: is no JSON object"), ("{}", "line 1: says no `")],
)
@pytest.mark.parametrize("name", ["runs.jsonl", "full/seed-0/timing.jsonl"])
def test_a_damaged_line_is_told_with_its_file(
    ablated: Path, recipe: Path, rows: list[Row], plans: dict[str, Plan], plugins: Discovered,
    tmp_path: Path, name: str, line: str, said: str,
) -> None:  # fmt: skip
    out = shutil.copytree(ablated, tmp_path / "copy")
    (out / name).write_text(f"{line}\n")
    trials = list_trials(str(recipe), rows, plans, (0, 1), out, plugins.registry)
    with pytest.raises(RunError) as error:
        read_results(trials, out)
    assert f"{out / name}, {said}" in str(error.value)


def test_what_is_not_finished_is_said(table: Table) -> None:
    assert "short: 1 of 2 seeds" in table.notes
    assert "short is held against full over the seeds that both have: 0" in table.notes


def test_a_row_that_writes_the_same_is_not_distinguishable_and_that_is_said_in_words(
    table: Table,
) -> None:
    same, worse = table.lines[1:]
    assert not any(found.distinguishable for found in same.changes.values())
    assert worse.changes["coco.BLEU-1"].distinguishable
    assert worse.changes["coco.BLEU-1"].value < 0
    assert table.verdicts[0].startswith("without irm is not distinguishable from full by BLEU-1")
    assert table.verdicts[1].startswith("short, from full: below in BLEU-1")


def test_runs_that_wrote_the_same_are_named(results: list[Results]) -> None:
    first, second = same_reports(results)
    assert told(first) == "full, seed 0, and without irm, seed 0, wrote the very same reports"
    assert second == ("full, seed 1,", "without irm, seed 1,")
    assert same_reports([results[0], results[2]]) == []


def test_times_and_parameters_stand_in_the_table(table: Table) -> None:
    full, other, _ = table.lines
    assert (full.training_s, full.whole_s) == (60, None)  # of one seed only the whole is known
    assert (full.trainable, full.parameters) == (900, 2_000)
    assert other.whole_s is None


def test_the_average_is_of_the_figures_that_are_shown(table: Table) -> None:
    full, _, worse = table.lines
    assert full.average is None
    names = [m for m in table.metrics if m != "coco.METEOR"]
    shown = [worse.figures[m].value / full.figures[m].value - 1 for m in names]
    assert worse.average == pytest.approx(np.mean(shown))
    assert any("without METEOR, which no run has" in note for note in table.notes)


def test_phantoms_are_said_to_be_phantoms_below_the_table(table: Table) -> None:
    assert any("phantoms" in line for line in to_markdown(table).splitlines()[-4:])


def test_a_picture_shows_each_row_s_mean_seeds_and_interval(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(drawing, "write_figure", lambda figure, path: drawn.append(figure))
    draw_table(table, tmp_path / "table.png", caution="Phantoms.")

    (figure,) = drawn
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == [table.short(m) for m in table.metrics]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == [
        "full", "without irm", "short"
    ]  # fmt: skip
    full, _, worse = (line.figures["coco.BLEU-1"] for line in table.lines)
    shown = [tuple(map(float, line.get_xdata())) for line in panels[0].lines]
    assert full.values in shown
    change = table.lines[2].changes["coco.BLEU-1"]
    assert (full.value + change.low, full.value + change.high) in shown
    marks = {line.get_xdata()[0]: line for line in panels[0].lines if line.get_marker() == "o"}
    assert marks[worse.value].get_markerfacecolor() != "white"  # it can be told apart
    assert figure.get_supxlabel().endswith("\nPhantoms.")


def test_a_picture_of_the_same_table_is_the_same_file(table: Table, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw_table(table, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    with pytest.raises(UserError, match="has nothing to draw"):
        draw_table(replace(table, metrics=()), tmp_path / "none.svg")


def test_columns_may_be_chosen_and_cmeaa_averages_those(
    results: list[Results], plans: dict[str, Plan]
) -> None:
    found = make_table(
        results, plans["full"], reference="short", delta="cmeaa", metrics=["ROUGE-L", "coco.CIDEr"]
    )
    assert found.metrics == ("coco.ROUGE-L", "coco.CIDEr")
    full, short = found.lines[0], found.lines[2]
    shown = [full.figures[m].value / short.figures[m].value - 1 for m in found.metrics]
    assert full.average == pytest.approx(np.mean(shown))
    with pytest.raises(UserError, match=r"no run has a score 'CIDR'\. Did you mean 'CIDEr'\?"):
        make_table(results, plans["full"], reference="full", delta=None, metrics=["CIDR"])


def test_rows_of_other_studies_are_shown_and_not_compared(
    results: list[Results], plans: dict[str, Plan], tmp_path: Path
) -> None:
    row = Row("elsewhere", ())
    trial = Trial(row, 0, tmp_path / "elsewhere", (), "finished")
    finish(trial, plans["full"], 6)
    lines = (trial.path / "predictions.jsonl").read_text(encoding="utf-8").replace('"s', '"t')
    (trial.path / "predictions.jsonl").write_text(lines, encoding="utf-8")
    found = make_table(
        [results[0], *read_results([trial], tmp_path)], plans["full"], reference="full", delta="kia"
    )
    other = found.lines[1]
    assert other.figures
    assert other.average is None
    assert not other.changes
    assert any(note.startswith("elsewhere is compared with no row:") for note in found.notes)


def test_scores_computed_in_another_way_are_not_compared() -> None:
    def measured(print_: str) -> Measured:
        return Measured(0, Path(), {"coco.CIDEr": 0.5}, {}, {"coco": print_}, {}, None, None, 1, 1)

    from rrgcore.ablation.tabulate import _comparable

    rows = [Results(Row(p, ()), (0,), (measured(p),)) for p in ("one way", "another")]
    assert _comparable(rows, rows[0], ["coco.CIDEr"]) == {"one way": ["coco.CIDEr"], "another": []}


def test_a_reference_that_is_not_finished_leaves_the_scores(
    results: list[Results], plans: dict[str, Plan]
) -> None:
    waiting = Results(Row("waiting", ("x",)), (0, 1), ())
    found = make_table([waiting, *results], plans["full"], reference="waiting", delta="kia")
    assert [bool(line.figures) for line in found.lines] == [False, True, True, True]
    assert not any(line.changes or line.average for line in found.lines)
    assert "waiting: 0 of 2 seeds" in found.notes


# ---- forms ----------------------------------------------------------------------------------


def test_markdown_has_a_cell_for_every_column(table: Table) -> None:
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    scores = lines[: 2 + len(table.lines)]
    assert len({line.count("|") for line in scores}) == 1
    assert "AVG.Δ to full" in scores[0]
    assert "2 of 2" in scores[2]
    assert "1 of 2" in scores[4]
    assert "900 / 2K" in scores[2]


def test_latex_is_booktabs_and_escapes_what_it_would_read(
    table: Table, results: list[Results], plans: dict[str, Plan]
) -> None:
    strange = Row(r"50 % & a_b ~ #1 {x} \y [z", ())
    renamed = [results[0], Results(strange, (0, 1), results[2].runs)]
    text = to_latex(make_table(renamed, plans["full"], reference="full", delta="kia"))
    row = r"50 \% \& a\_b \textasciitilde{} \#1 \{x\} \textbackslash{}y {[}z"
    (found,) = [line for line in text.splitlines() if line.startswith(row) and "$\\pm$" not in line
                and line.endswith(r"\\") and "1 of 2" in line]  # fmt: skip
    heading = text.splitlines()[5]
    assert heading.count(" & ") == found.replace(r"\&", "").count(" & ")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [2, 2, 2]
    assert text.isascii()


def test_csv_has_every_number_in_a_column_of_its_own(table: Table) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["row"] for row in read] == ["full", "without irm", "short"]
    assert float(read[2]["coco.BLEU-1"]) == table.lines[2].figures["coco.BLEU-1"].value
    assert read[2]["coco.BLEU-1 distinguishable"] == "True"
    assert read[1]["coco.BLEU-1 distinguishable"] == "False"
    assert read[0]["coco.BLEU-1 p"] == ""
    assert read[2]["seeds"] == "0"


def test_json_has_all_of_it_with_the_verdicts(table: Table) -> None:
    found = json.loads(json.dumps(to_json(table)))
    assert found["lines"][2]["changes"]["coco.BLEU-1"]["distinguishable"] is True
    assert found["verdicts"] == list(table.verdicts)
