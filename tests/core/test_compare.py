"""Systems side by side: runs, files, seeds; what can be told apart and what cannot be compared."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgcore.errors import DataError, RunError
from rrgcore.run import Run
from rrgcore.scoring import Metric, Pair, Scores, mean_terms
from rrgcore.scoring.comparison import compare
from rrgcore.scoring.identical import told
from rrgcore.scoring.systems import load_systems


class Overlap(Metric):
    """The mean share of a reference's words that were written; and what it cannot do."""

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        words = [(set(pair.prediction.split()), set(pair.reference.split())) for pair in pairs]
        shares = [len(written & expected) / len(expected) for written, expected in words]
        return Scores(
            {"words": float(np.mean(shares))},
            f"overlap; {len(pairs)} pairs",
            {"other": "needs Java"},
            {"words": mean_terms(shares)},
        )


METRICS = {"overlap": Overlap()}
COCO = ("-p", "coco", "--set", "coco.meteor=false", "--labeler", "none")


def write(folder: Path, name: str, rows: Sequence[tuple[str, str, str]]) -> Path:
    lines = [json.dumps({"id": i, "prediction": p, "reference": r}) for i, p, r in rows]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder / name


def studies(words: int, count: int = 40) -> list[tuple[str, str, str]]:
    reference = "heart lungs bones pleura"
    return [(f"s{i}", " ".join(reference.split()[:words]), reference) for i in range(count)]


def test_systems_are_put_in_the_first_ones_order_and_tested_against_it(tmp_path: Path) -> None:
    one = write(tmp_path, "one.jsonl", studies(1))
    two = write(tmp_path, "two.jsonl", studies(3)[::-1])
    found = compare(load_systems([one, two]), METRICS)

    assert found.studies == 40
    standings = found.standings["overlap"]
    assert [s.values["words"] for s in standings.values()] == [0.25, 0.75]
    assert standings["one"].against == {}
    against = standings["two"].against["words"]
    assert against.value == 0.5
    assert against.distinguishable
    assert standings["two"].missing == {"other": "needs Java"}


def test_systems_that_wrote_the_same_are_named(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"{n}.jsonl", studies(k)) for n, k in zip("abc", (1, 2, 1), strict=True)
    ]
    found = compare(load_systems(paths), METRICS)

    assert found.identical == [(str(paths[0]), str(paths[2]))]
    assert told(found.identical[0]).endswith("c.jsonl wrote the very same reports")


def test_what_cannot_be_told_apart_is_said_in_words(tmp_path: Path) -> None:
    rows = studies(2)
    texts = ["heart", "heart lungs bones"]
    changed = [(id, texts[n % 2], reference) for n, (id, _, reference) in enumerate(rows)]
    paths = [write(tmp_path, "one.jsonl", rows), write(tmp_path, "two.jsonl", changed)]
    found = compare(load_systems(paths), METRICS).to_json()

    verdict = found["protocols"]["overlap"]["two"]["against the first"]["words"]["verdict"]
    assert verdict.endswith("not distinguishable")


def test_other_studies_are_refused_with_their_ids(tmp_path: Path) -> None:
    one = write(tmp_path, "one.jsonl", studies(1))
    two = write(tmp_path, "two.jsonl", studies(1)[:-2])

    with pytest.raises(DataError, match=r"two.jsonl lacks 2 of the 40 studies of .*: s38, s39"):
        load_systems([one, two])
    with pytest.raises(DataError, match=r"two.jsonl lacks 2 of the 40 studies of .*: s38, s39"):
        load_systems([two, one])


def test_other_references_are_refused_unless_all_are_given_the_same(tmp_path: Path) -> None:
    one = write(tmp_path, "one.jsonl", studies(1))
    two = write(tmp_path, "two.jsonl", [(i, p, r.upper()) for i, p, r in studies(1)])

    with pytest.raises(DataError, match=r"other references for 40 studies; for 's0':") as error:
        load_systems([one, two])
    assert "--references FILE" in str(error.value)

    from rrgcore.scoring.report_files import load_reports

    references = load_reports(one, "reference")
    assert len(load_systems([one, two], references=references)) == 2


def test_a_single_study_is_scored_and_not_tested(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{n}.jsonl", studies(n, count=1)) for n in (1, 3)]
    found = compare(load_systems(paths), METRICS)

    assert [s.values["words"] for s in found.standings["overlap"].values()] == [0.25, 0.75]
    assert found.standings["overlap"]["3"].against == {}


def test_trivial_baselines_and_leakage_stand_in_the_same_table(tmp_path: Path) -> None:
    path = write(tmp_path, "one.jsonl", studies(2))
    reference = studies(2)[0][2]
    found = compare(load_systems([path]), METRICS, training=[reference, reference, "none of it"])

    standings = found.standings["overlap"]
    assert list(standings)[1:] == ["most frequent report", "best constant report", "random report"]
    assert standings["most frequent report"].values["words"] == 1
    assert 0.3 < standings["random report"].values["words"] < 1
    assert standings["random report"].deviations == {}
    assert found.leakage["one"].verbatim == 1
    assert found.leakage["one"].distinct == 1 / 40
    assert "of training, 2 of 3" in found.to_json()["about baselines"]["most frequent report"]


def test_studies_without_a_reference_are_left_out_as_score_does(tmp_path: Path) -> None:
    rows = [*studies(1), ("empty", "heart", " .")]
    found = compare(load_systems([write(tmp_path, "one.jsonl", rows)]), METRICS)

    assert (found.studies, found.left_out) == (40, 1)
    with pytest.raises(DataError, match="none has a word"):
        load_systems([write(tmp_path, "none.jsonl", [("a", "x", ""), ("b", "y", " .")])])


# ---- runs ----------------------------------------------------------------------------------------


@pytest.fixture
def seeds(finished: Run, tmp_path: Path) -> list[Path]:
    """The same run with two other seeds, whose reports differ."""
    paths = []
    for seed in range(3):
        path = tmp_path / str(seed)
        path.mkdir()
        for name in ("run.json", "recipe.yaml", "predictions.jsonl"):
            shutil.copy(finished.path / name, path / name)
        recipe = (path / "recipe.yaml").read_text(encoding="utf-8")
        assert "\nseed: 3\n" in recipe
        (path / "recipe.yaml").write_text(recipe.replace("\nseed: 3\n", f"\nseed: {seed}\n"))
        lines = (path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        for row in rows:
            row["prediction"] = " ".join(row["reference"].split()[: 2 * seed + 1])
        (path / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)))
        paths.append(path)
    return paths


def test_runs_that_differ_in_their_seed_alone_are_one_system(seeds: list[Path]) -> None:
    found = compare(load_systems(seeds), METRICS)

    assert list(found.systems) == ["tiny, 3 seeds"]
    single = [
        next(iter(compare(load_systems([path]), METRICS).standings["overlap"].values()))
        for path in seeds
    ]
    values = [standing.values["words"] for standing in single]
    standing = found.standings["overlap"]["tiny, 3 seeds"]
    assert standing.values["words"] == pytest.approx(np.mean(values))
    assert standing.deviations["words"] == pytest.approx(np.std(values, ddof=1))
    assert standing.intervals["words"].value == pytest.approx(np.mean(values))


def test_a_run_again_with_its_seed_is_no_second_seed(seeds: list[Path], tmp_path: Path) -> None:
    shutil.copytree(seeds[0], tmp_path / "again")
    found = load_systems([seeds[0], seeds[1], tmp_path / "again"])

    assert [len(system.runs) for system in found] == [2, 1]
    assert len({system.name for system in found}) == 2
    with pytest.raises(DataError, match="is given twice"):
        load_systems([seeds[0], seeds[1], seeds[0]])


def test_a_run_of_another_recipe_is_another_system(seeds: list[Path]) -> None:
    recipe = seeds[2] / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("beams: ", "beams: 1"))

    assert list(compare(load_systems(seeds), METRICS).systems) == [
        f"tiny ({seeds[0]}), 2 seeds",
        f"tiny ({seeds[2]})",
    ]


@pytest.mark.parametrize(
    ("missing", "said"),
    [("run.json", "is not a run folder"), ("predictions.jsonl", "has no predictions.jsonl yet")],
)
def test_a_folder_that_lacks_something_is_refused(
    seeds: list[Path], missing: str, said: str
) -> None:
    (seeds[0] / missing).unlink()

    with pytest.raises(RunError, match=said):
        load_systems(seeds)


def test_a_split_that_was_not_evaluated_says_how_to(seeds: list[Path]) -> None:
    with pytest.raises(RunError, match=r"no predictions-val.jsonl yet.*rrg evaluate .* val"):
        load_systems(seeds, split="val")


def row_of(out: str, name: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.split()[:1] == [name])


def test_the_commands_say_all_of_it(seeds: list[Path], rrg: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    shutil.copy(seeds[2] / "predictions.jsonl", file)
    answer = rrg("compare", str(seeds[0]), str(file), *COCO)

    assert answer.code == 0, answer.err
    assert "tiny" in answer.out
    assert "mine, from tiny:" in answer.out
    assert "ROUGE-L +" in answer.out
    assert "distinguishable" in answer.out
    assert "as printed" not in answer.out  # phantoms are compared with no paper

    as_json = rrg("compare", str(file), *COCO, "--json")
    found = json.loads(as_json.out)
    assert found["studies"] == 4
    assert found["protocols"]["coco"]["mine"]["values"]["ROUGE-L"] > 0
    assert "4" in found["protocols"]["coco"]["mine"]["fingerprint"]


def test_papers_figures_stand_beside_and_are_marked(tmp_path: Path, rrg: Any) -> None:
    """Ids tell the archive; `--dataset` says it where they do not."""
    iu = write(tmp_path, "iu.jsonl", [(f"CXR{i}_IM-0001", "a b", "a c") for i in range(1, 5)])
    answer = rrg("compare", str(iu), *COCO)

    assert answer.code == 0, answer.err
    assert "as printed in KIA, Table 1 (iu_xray" in answer.out
    assert "quoted, not scored here" in answer.out
    assert "mimic_cxr" not in answer.out
    assert "as printed" not in rrg("compare", str(iu), *COCO, "--dataset", "none").out
    found = json.loads(rrg("compare", str(iu), *COCO, "--dataset", "mimic_cxr", "--json").out)
    assert all(table["as printed"] for table in found["as printed"])
    assert {table["dataset"] for table in found["as printed"]} == {"mimic_cxr"}
    refused = rrg("compare", str(iu), *COCO, "--dataset", "iu_xry")
    assert refused.code == 2
    assert "Did you mean 'iu_xray'?" in refused.err
