"""Commands as a user meets them: what they print, and what bad input gets.

One clear paragraph a problem on standard error, exit status 2, no traceback, nothing half-written.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrgcore.cleaning import clean
from rrgcore.run import Run

TINY = Path(__file__).parent.parent / "tiny.yaml"
Rrg = Callable[..., Any]

R2GEN = (
    "data={name: r2gen, root: %s, image_size: 32, batch_size: 2}",
    "objectives.mim=off",
)


def assert_refused(answer: Any, *said: str) -> None:
    """A user's mistake: status 2, said on standard error, no traceback, no run folder."""
    assert answer.code == 2, answer
    for text in said:
        assert text in answer.err, answer.err
    assert "Traceback" not in answer.err + answer.out
    assert [path.name for path in Path.cwd().iterdir()] == []


def on(data: Path) -> list[str]:
    return [R2GEN[0] % data, *R2GEN[1:]]


def as_people_write(data: Path) -> None:
    """Give reports capitals and a number, which R2Gen's cleaning takes away again."""
    path = data / "annotation.json"
    rows = json.loads(path.read_text())
    for row in (row for split in rows.values() for row in split):
        row["report"] = f"1. {row['report'].capitalize()}"
    path.write_text(json.dumps(rows))


# ---- the recipe's text ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "check", "show"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["objectives.mlm.masking=grpah"], ["no masking called 'grpah'. Did you mean 'graph'?"]),
        (["objectives.mim.maskin=anatomy"], ["has no option 'maskin'. Did you mean 'masking'?"]),
        (["objectivs.mim={}"], ["objectivs", "Did you mean 'objectives'?"]),
        (["stages.algin.epochs=1"], ["there is no stage 'algin' to adjust. Did you mean 'align'?"]),
        (["--variant", "shrt"], ["no variant is called 'shrt'. Did you mean 'short'?"]),
        (["data.batch_size=big"], ["data.batch_size", "expected int, got 'big'"]),
        (["objectives.irc.space={ref: nothing}"], ["model.shared has no 'nothing'"]),
        (["seed=1=2"], ["seed", "expected int, got '1=2'"]),
    ],
)
def test_a_mistake_in_recipe_or_override_is_refused(
    command: str, arguments: list[str], said: list[str], rrg: Rrg
) -> None:
    assert_refused(rrg(command, TINY, *arguments), *said)


def test_an_unknown_recipe_is_refused_with_the_nearest(rrg: Rrg) -> None:
    assert_refused(rrg("run", "kia_grap"), "Did you mean 'kia_graph'?", "Recipes: ")


def test_a_problem_names_file_and_line(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: {TINY}\nseed: 1\ndata: {{batch_size: many}}\n")

    answer = rrg("run", tmp_path / "mine.yaml")
    assert_refused(answer, f"{tmp_path}/mine.yaml: 1 problem", "data.batch_size (line 3)")


def test_a_problem_in_a_parent_names_the_parents_line(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(TINY.read_text().replace("seed: 3", "seed: x"))
    (tmp_path / "mine.yaml").write_text("extends: parent.yaml\n")

    assert_refused(rrg("check", tmp_path / "mine.yaml"), "parent.yaml, line 3)", "got 'x'")


def test_a_key_given_twice_is_refused(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TINY.read_text() + "\nseed: 4\n")

    assert_refused(rrg("run", tmp_path / "mine.yaml"), "seed", "twice")


def test_1e_4_is_a_number_and_off_takes_away(rrg: Rrg) -> None:
    answer = rrg("show", TINY, "stages.align.optimizer.lr=1e-4", "objectives.irm=off", "--json")

    recipe = json.loads(answer.out)["recipe"]
    assert recipe["stages"]["align"]["optimizer"]["lr"] == 1e-4
    assert "irm" not in recipe["objectives"]


def test_a_queue_as_large_as_the_training_set_is_refused(rrg: Rrg) -> None:
    answer = rrg("run", TINY, "objectives.irc.queue=10")

    assert_refused(answer, "objectives.irc", "queue of 10", "training set of 10", "at most 5")


# ---- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_missing_data_folder_is_refused(command: str, rrg: Rrg, tmp_path: Path) -> None:
    answer = rrg(command, TINY, *on(tmp_path / "nowhere"))

    assert_refused(answer, "data", f"{tmp_path / 'nowhere'}")


def test_an_unset_variable_in_a_path_is_refused(rrg: Rrg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RRG_DATA", raising=False)

    answer = rrg("run", TINY, "data={name: r2gen, root: $RRG_DATA/x}", "objectives.mim=off")
    assert_refused(answer, "data.root", "RRG_DATA", "is not set: export RRG_DATA=…")


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_missing_sidecar_is_refused_with_the_file_to_write(
    command: str, rrg: Rrg, r2gen: Path
) -> None:
    (r2gen / "annotations" / "radgraph.jsonl").unlink()

    answer = rrg(command, TINY, *on(r2gen))
    assert_refused(answer, "study 'train0' and 11 more of 12 has no radgraph annotation",
                   "annotations/radgraph.jsonl", "data.annotations.radgraph")  # fmt: skip


def break_image(kind: str, path: Path) -> None:
    whole = path.read_bytes()
    match kind:
        case "zero-byte":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "unreadable":
            path.write_bytes(b"<html>not found</html>")
        case "missing":
            path.unlink()


KINDS = ("zero-byte", "truncated", "unreadable", "missing")
# `rrg run` opens test images after training; `rrg check` opens all
PLACES = [("check", "train", 3), ("check", "test", 2), ("run", "train", 3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("command", "split", "number"), PLACES)
def test_an_image_that_cannot_be_read_is_refused_naming_the_study(
    kind: str, command: str, split: str, number: int, rrg: Rrg, r2gen: Path
) -> None:
    file = f"{split}_{number}.png"
    break_image(kind, r2gen / "images" / file)

    assert_refused(rrg(command, TINY, *on(r2gen)), f"study '{split}{number}'", file)


def test_a_test_image_that_cannot_be_read_costs_only_the_test(
    rrg: Rrg, r2gen: Path, tmp_path: Path
) -> None:
    """Training is kept: once the image is mended, the same command only tests."""
    image = r2gen / "images" / "test_2.png"
    whole = image.read_bytes()
    break_image("truncated", image)
    command = ["run", TINY, "--variant", "short", *on(r2gen), "--out", tmp_path / "run"]

    answer = rrg(*command)
    assert answer.code == 2
    assert "study 'test2': image " in answer.err
    assert "test_2.png" in answer.err
    image.write_bytes(whole)
    answer = rrg(*command)
    assert answer.code == 0
    assert "going on with" in answer.out
    assert "align 1/1" not in answer.out


def test_a_16_bit_image_is_read(rrg: Rrg, r2gen: Path) -> None:
    deep = np.linspace(0, 65535, 40 * 32).reshape(40, 32).astype(np.uint16)
    Image.fromarray(deep).save(r2gen / "images" / "train_3.png")

    assert rrg("check", TINY, *on(r2gen)).code == 0


def edit_row(root: Path, **changes: Any) -> None:
    path = root / "annotation.json"
    rows = json.loads(path.read_text())
    rows["train"][3].update(changes)
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize("changes", [{"report": ""}, {"report": " . "}, {"image_path": []}])
@pytest.mark.parametrize("command", ["run", "check"])
def test_an_empty_report_or_a_study_without_an_image_is_refused_naming_the_study(
    command: str, changes: dict[str, Any], rrg: Rrg, r2gen: Path
) -> None:
    edit_row(r2gen, **changes)

    assert_refused(rrg(command, TINY, *on(r2gen)), "train3")


def test_good_data_of_ones_own_is_good(rrg: Rrg, r2gen: Path) -> None:
    answer = rrg("check", TINY, *on(r2gen))

    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{TINY}: good\n"


# ---- weights ----------------------------------------------------------------------------------


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("command", ["run", "check"])
def test_weights_that_are_nowhere_are_refused_with_the_way_to_bring_them(
    rrg: Rrg, command: str
) -> None:
    name = "vit_base_patch16_224.augreg_in21k"
    answer = rrg(command, TINY, f"model.encoder.weights={name}")

    assert_refused(answer, "model.encoder.weights", name,
                   f"hf download timm/{name} --local-dir DIR")  # fmt: skip


@pytest.mark.usefixtures("_offline")
def test_a_tokenizer_that_is_nowhere_is_refused_with_the_way_to_bring_it(rrg: Rrg) -> None:
    answer = rrg("run", TINY, "model.decoder.tokenizer=bert-base-uncased")

    assert_refused(answer, "model.decoder.tokenizer", "hf download bert-base-uncased")


@pytest.mark.parametrize("path", ["./nowhere.safetensors", "/nowhere/folder"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_weights_at_a_path_that_does_not_exist_are_refused(
    command: str, path: str, rrg: Rrg
) -> None:
    answer = rrg(command, TINY, f"model.encoder.weights={path}")

    assert_refused(answer, "model.encoder.weights", path)


# ---- plugins ----------------------------------------------------------------------------------


def test_a_plugin_that_fails_to_import_is_named(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "broken_idea.py").write_text("import nothing_of_this_name\n")

    answer = rrg("run", TINY, "--plugin", tmp_path / "broken_idea.py")
    assert_refused(answer, "broken_idea.py failed to import", "nothing_of_this_name")


def test_a_plugin_of_a_name_that_is_taken_is_refused(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "kia.py").write_text("")

    answer = rrg("run", TINY, "--plugin", tmp_path / "kia.py")
    assert_refused(answer, "plugin 'kia'", "already", "--no-plugin kia")


def test_without_a_plugin_its_components_are_unknown(rrg: Rrg) -> None:
    assert_refused(rrg("check", TINY, "--no-plugin", "kia"), "no objective called 'mim'")


# ---- run folders ------------------------------------------------------------------------------


def test_the_folder_of_another_recipes_run_is_refused_and_kept(rrg: Rrg, finished: Run) -> None:
    before = (finished.path / "recipe.yaml").read_text()

    answer = rrg("run", TINY, "seed=5", "--out", finished.path)
    assert_refused(answer, f"{finished.path} holds a run of another recipe",
                   "seed is 3, now 5", "--out")  # fmt: skip
    assert (finished.path / "recipe.yaml").read_text() == before


def test_an_output_folder_that_is_a_file_is_refused(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    assert_refused(rrg("run", TINY, "--out", tmp_path / "file"), "cannot be a run folder",
                   f"{tmp_path / 'file'} is a file")  # fmt: skip
    assert_refused(rrg("run", TINY, "--out", tmp_path / "file" / "below"), "is a file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_with_something_else_in_it_is_refused(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("meow")

    answer = rrg("run", TINY, "--out", tmp_path / "photos")
    assert_refused(answer, "is not a run folder: it has no run.json")


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    rrg: Rrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere

    answer = rrg("run", TINY, "--out", tmp_path / "run")
    assert_refused(answer, "cannot be written", f"{tmp_path} is not writable", "--out")


def test_new_into_a_folder_that_holds_a_run_is_refused(rrg: Rrg, finished: Run) -> None:
    assert_refused(rrg("run", TINY, "--new", "--out", finished.path), "holds a run already")


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    rrg: Rrg, r2gen: Path, tmp_path: Path
) -> None:
    break_image("truncated", r2gen / "images" / "train_3.png")

    answer = rrg("run", TINY, *on(r2gen), "--out", tmp_path / "run")
    assert_refused(answer, "train_3.png")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("given", ["nowhere", "."])
def test_what_is_no_run_cannot_be_evaluated(given: str, rrg: Rrg) -> None:
    assert_refused(rrg("evaluate", given), f"{given} ")


# ---- usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["rnu"], ["run", TINY, "--vairant", "a"], ["evaluate", ".", "--split", "dev"],
     ["check", "a=b"]],
)  # fmt: skip
def test_a_command_that_is_no_command_is_refused(arguments: list[Any], rrg: Rrg) -> None:
    answer = rrg(*arguments)

    assert answer.code == 2
    assert "Traceback" not in answer.err


def test_a_failure_of_ours_is_one_line_and_exit_status_1(
    rrg: Rrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("something broke")

    monkeypatch.setattr("rrgcore.session.Session.show", fail)
    answer = rrg("show", TINY)
    assert (answer.code, answer.err) == (
        1,
        "RuntimeError: something broke\n(--debug shows where)\n",
    )
    assert "Traceback" in rrg("show", TINY, "--debug").err


# ---- what commands do -------------------------------------------------------------------------


def test_run_says_what_it_runs_then_shows_scores_beside_baselines(rrg: Rrg) -> None:
    answer = rrg("run", TINY, "--variant", "short", "evaluation.baselines=true")
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert lines[0] == "tiny --variant short"
    assert lines[1].startswith("every kind of component")
    assert lines[2].startswith("These are phantoms")
    assert "phantom: 10 train, 3 val, 4 test" in lines[3]
    assert lines[4].startswith("align 1/1 · epoch 1/1 · step 1/3 · ")
    assert all(name in lines[4] for name in ("left", "loss ", "mim ", "mlm ", "irc ", "report "))
    assert "this model" in answer.out
    assert "random" in answer.out
    row = next(line for line in lines if line.split()[:1] == ["CIDEr"])
    assert len(row.split()) == 7, row  # its interval too, and three baselines
    assert any(line.startswith("run folder: runs/tiny-short/") for line in lines)


def test_run_goes_on_with_the_newest_unfinished_run_unless_new(rrg: Rrg) -> None:
    rrg("run", TINY, "--variant", "short")
    (folder,) = (Path("runs") / "tiny-short").iterdir()
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "state": "stopped"}))

    assert f"going on with {folder}" in rrg("run", TINY, "--variant", "short").out
    rrg("run", TINY, "--variant", "short")
    assert len(list((Path("runs") / "tiny-short").iterdir())) == 2


def test_a_damaged_run_is_passed_over_with_a_note_that_names_it(rrg: Rrg) -> None:
    folder = Path("runs") / "tiny-short" / "2026-01-01_12-00-00"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("")

    answer = rrg("run", TINY, "--variant", "short")

    assert (answer.code, answer.err) == (0, "")
    assert f"{folder} is passed over: {folder / 'run.json'} is damaged" in answer.out
    assert "Start the run anew in another folder" in answer.out
    assert len(list((Path("runs") / "tiny-short").iterdir())) == 2


def test_a_damaged_run_that_is_asked_for_is_refused_with_what_to_do(rrg: Rrg) -> None:
    Path("here").mkdir()
    for name in ("run.json", "recipe.yaml"):
        (Path("here") / name).write_text("")

    answer = rrg("run", TINY, "--variant", "short", "--out", "here")

    assert answer.code == 2
    assert "here/run.json is damaged" in answer.err
    assert "Start the run anew in another folder" in answer.err


def test_evaluate_reproduces_the_scores(rrg: Rrg, finished: Run) -> None:
    before = {
        name: (finished.path / name).read_text() for name in ("scores.json", "predictions.jsonl")
    }

    answer = rrg("evaluate", finished.path, "--json")

    assert answer.code == 0
    assert json.loads(answer.out) == json.loads(before["scores.json"])
    for name, text in before.items():
        assert (finished.path / name).read_text() == text


def test_evaluate_another_split_writes_beside(rrg: Rrg, finished: Run) -> None:
    answer = rrg("evaluate", finished.path, "--split", "val")

    assert "val split, 3 studies" in answer.out
    (finished.path / "scores-val.json").unlink()
    (finished.path / "predictions-val.jsonl").unlink()


def test_score_measures_what_the_run_measured(rrg: Rrg, r2gen: Path) -> None:
    """A protocol is one thing: it gets the reports as they stand in the data, and cleans them."""
    as_people_write(r2gen)
    protocols = {name: {"meteor": False} for name in ("coco", "r2gen")}
    options = [
        f"evaluation.metrics={json.dumps(protocols)}",
        "evaluation.baselines=true",
        "data.cleaning=r2gen-iu",
        "generation.max_new_tokens=20",
    ]
    ran = rrg("run", TINY, "--variant", "short", *on(r2gen), *options, "--out", "run")
    assert ran.code == 0, ran.err
    scores = json.loads(Path("run/scores.json").read_text())
    rows = json.loads((r2gen / "annotation.json").read_text())["test"]

    def scored(*references: Path) -> Any:
        named = [
            part for name in protocols for part in ("-p", name, "--set", f"{name}.meteor=false")
        ]
        answer = rrg(
            "score", "run/predictions.jsonl", *references, *named, "--labeler", "none", "--json"
        )
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    found = scored(r2gen / "annotation.json")
    assert found["protocols"] == scores["protocols"]
    assert found["fingerprint"] == scores["fingerprint"]
    assert found["leakage"] == scores["leakage"]
    for name in ("most frequent report", "best constant report"):
        assert found["baselines"][name] == scores["baselines"][name]
        assert found["about baselines"][name] == scores["about baselines"][name]
    lines = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    assert [line["reference"] for line in lines] == [row["report"] for row in rows]
    assert all(line["reference"].startswith("1. There is") for line in lines)

    for line in lines:
        line["reference"] = clean(line["reference"], "r2gen-iu")
    Path("run/predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cleaned = scored()
    assert cleaned["protocols"]["coco"] != scores["protocols"]["coco"]


SELECTS_R2GEN = "evaluation={select: r2gen.%s, metrics: {r2gen: {meteor: false%s}}}"


def test_a_score_that_needs_the_training_reports_can_be_selected(rrg: Rrg, r2gen: Path) -> None:
    select = SELECTS_R2GEN % ("CIDEr", "")

    checked = rrg("check", TINY, *on(r2gen), select)
    assert checked.code == 0, checked.err
    ran = rrg("run", TINY, "--variant", "short", *on(r2gen), select, "--out", "run")
    assert ran.code == 0, ran.err
    state = json.loads(Path("run/checkpoints/best/state.json").read_text())
    assert (state["select"], state["score"]) == ("r2gen.CIDEr", state["scores"]["r2gen.CIDEr"])


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            [SELECTS_R2GEN % ("CIDER", "")],
            "gives 'r2gen.CIDER' while training. Did you mean 'r2gen.CIDEr",
        ),
        (
            [
                SELECTS_R2GEN % ("CIDEr", ", dataset: mimic_cxr"),
                "data.limit=2",
                "objectives.irc=off",
                "objectives.irm=off",
                "model.shared.joint=off",
            ],
            "no metric gives 'r2gen.CIDEr' while training. Its score is not computed: r2gen writes",
        ),
    ],
)
def test_a_score_that_training_will_not_give_is_refused(
    command: str, options: list[str], said: str, rrg: Rrg, r2gen: Path
) -> None:
    assert_refused(rrg(command, TINY, *on(r2gen), *options), "evaluation.select", said)


def test_check_tells_of_each_variant(rrg: Rrg) -> None:
    answer = rrg("check", TINY, "--all-variants", "--no-images")

    assert answer.out == f"{TINY}: good\n{TINY} --variant short: good\n"


def test_check_tells_of_every_recipe_it_is_given(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(f"extends: {TINY}\nseed: -1\n")

    answer = rrg("check", tmp_path / "bad.yaml", TINY)
    assert answer.code == 2
    assert f"{TINY}: good" in answer.out
    assert "bad.yaml: 1 problem" in answer.err


def test_show_fills_in_defaults_and_counts_parameters(rrg: Rrg) -> None:
    answer = rrg("show", TINY)

    assert "learn_temperature: true" in answer.out
    assert "shared.text_trunk" in answer.out
    assert "objectives.irc (momentum twin)" in answer.out


def test_list_and_plugins_print_json(rrg: Rrg) -> None:
    objectives = json.loads(rrg("list", "objectives", "--json").out)
    found = json.loads(rrg("plugins", "--json").out)

    assert {"mim", "mlm", "irc", "irm", "report"} <= {row["name"] for row in objectives}
    assert {"kia", "basics", "phantom"} <= {row["name"] for row in found}


def test_list_of_an_unknown_kind_is_refused_with_the_nearest(rrg: Rrg) -> None:
    assert_refused(rrg("list", "maskngs"), "there is no kind 'maskngs'. Did you mean 'masking'?")


@pytest.mark.parametrize("arguments", ["--help", "list", "plugins", "run --help", "--version"])
def test_what_answers_in_a_blink_imports_no_torch(arguments: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['rrg', *sys.argv[1:]]\n"
        "from rrgcore.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'timm', 'accelerate', 'numpy'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert said.stdout.splitlines()[-1] == "imported: []", said.stdout


def test_python_m_rrgcore_is_rrg(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rrgcore", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert said.stdout.startswith("rrg ")


def by_two(folder: Path, *arguments: str) -> str:
    """Run a command in two processes; return what they printed."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
        "-m", "rrgcore", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, timeout=300, env=environment
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.slow
def test_two_processes_train_together_and_one_writes(tmp_path: Path, finished: Run) -> None:
    assert by_two(tmp_path, "run", str(TINY), "--out", "run").count("run folder:") == 1
    alone, together = (
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (finished.path, tmp_path / "run")
    )
    assert {frozenset(entry) for entry in together} == {frozenset(entry) for entry in alone}
    predicted = [
        [json.loads(line)["id"] for line in (path / "predictions.jsonl").read_text().splitlines()]
        for path in (finished.path, tmp_path / "run")
    ]
    assert predicted[0] == predicted[1]


@pytest.mark.slow  # tests/distributed has the scores of two processes, this the command
def test_two_processes_evaluate_together(tmp_path: Path, finished: Run) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    scores = json.loads((run / "scores.json").read_text())
    again = json.loads(by_two(tmp_path, "evaluate", "run", "--protocol", "clinical", "--json"))
    assert again["protocols"]["coco"] == scores["protocols"]["coco"]
    assert again["protocols"].keys() == {"coco", "clinical"}
    assert again == json.loads((run / "scores.json").read_text())
