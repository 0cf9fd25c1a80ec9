"""Every example in the documents is run, or at least read by what it is meant for."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from rrgcore import discover, load_recipe
from rrgcore.cli import make_app
from rrgcore.grammar import RECIPE, check_grammar
from rrgcore.plugins import GROUP, Discovered
from rrgcore.yaml_loader import read_yaml

from ..data.mimic import write_mimic
from ..data.openi import write_openi
from ..data.tables import write_reports
from .pages import (
    DOCS,
    PAGES,
    Block,
    blocks,
    blocks_of,
    code,
    commands_of,
    name_of,
    read,
    rows,
    section,
)
from .tutorials import TUTORIALS

NAMES = dict(commands_of(typer.main.get_command(make_app())))
HELLO = DOCS / "examples" / "rrg-hello"
MY_IDEA = """
from rrgcore import Component, hookimpl

@hookimpl
def rrg_components():
    return [Component("adapter", "my_idea.adapter", "rrg_basics.adapters:IdentityAdapter", "mine")]
"""


@pytest.fixture(scope="session")
def desk(
    tmp_path_factory: pytest.TempPathFactory,
    plugins: Discovered,
    r2gen_writer: Callable[[Path], Path],
) -> Path:
    """A folder with what the examples find: a finished run, a data set, a plugin in a file."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")  # no Java: METEOR's start would take longer than the run
        load_recipe("kia_graph", variants=["tiny"], plugins=plugins).run(folder / "runs" / "tiny")
    r2gen_writer(folder / "my_data")
    (folder / "images").mkdir()
    Image.fromarray(np.full((40, 30), 90, np.uint8)).save(folder / "images" / "chest.png")
    shutil.copytree(folder / "images", folder / "unseen" / "images")
    unseen = [{"id": "A", "report": "The lungs are clear.", "image_path": ["chest.png"]}]
    (folder / "unseen" / "annotation.json").write_text(json.dumps({"test": unseen}))
    (folder / "images" / "studies.csv").write_text("id,image\nA,chest.png\n")
    write_openi(folder / "openi")
    write_mimic(folder / "mimic")
    write_reports(folder / "my_table")
    (folder / "my_idea.py").write_text(MY_IDEA)
    write_reports_to_score(folder)
    return folder


def write_reports_to_score(folder: Path) -> None:
    """Predictions and references in every form that the pages name."""
    texts = [
        "the lungs are clear .",
        "there is a left pleural effusion .",
        "heart size is normal .",
    ]
    rows = [{"id": f"s{number}", "report": text} for number, text in enumerate(texts)]
    splits = {"train": rows, "val": rows, "test": rows}
    (folder / "annotation.json").write_text(json.dumps(splits))
    (folder / "references.json").write_text(json.dumps(rows))
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("mine.csv", "theirs.csv"):
        lines = [f"{row['id']},{row['report']}" for row in reversed(rows)]
        (folder / name).write_text("\n".join(["id,prediction", *lines]))
    for name in ("mine.txt", "references.txt", "train.txt"):
        (folder / name).write_text("\n".join(texts) + "\n")


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("RRG_DATA", str(desk))
    return desk


# ---- fenced blocks --------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.place)
def test_yaml_is_a_piece_of_a_recipe(block: Block):
    node, problems = read_yaml(block.text, file=block.place)
    assert not problems, "\n".join(map(str, problems))
    assert node is not None
    if set(node.mapping) <= set(RECIPE.keys):
        assert not list(check_grammar(node))


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.place)
def test_json_is_json(block: Block):
    json.loads(block.text)


@pytest.mark.parametrize("page", [p for p in PAGES if any(blocks_of(p, "python"))], ids=name_of)
def test_python_runs_from_the_top_of_a_page_to_its_end(page: Path, at_desk: Path):
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page, "python"):
        program = compile("\n" * (block.line - 1) + block.text, name_of(page), "exec")
        exec(program, names)


# ---- commands -------------------------------------------------------------------------------


def _commands() -> Iterator[tuple[str, list[str]]]:
    for block in blocks("bash"):
        if block.page in TUTORIALS:  # followed from top to end: test_tutorials.py
            continue
        for number, line in enumerate(block.text.splitlines()):
            words = shlex.split(line, comments=True)
            if words[:1] == ["rrg"]:
                yield f"{name_of(block.page)}:{block.line + number}", words[1:]


COMMANDS = dict(_commands())
RUN_FOR_REAL = (
    "list", "plugins", "predict", "score", "compare", "annotate", "data build", "data cache",
    "data check", "data export", "doctor", "explain", "export", "plugin new", "schema",
)  # fmt: skip


def test_there_are_commands_to_try():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("place", COMMANDS)
def test_a_command_is_one(
    place: str, at_desk: Path, monkeypatch: pytest.MonkeyPatch, rrg: Callable[..., Any]
):
    words = COMMANDS[place]
    length, name = next((n, " ".join(words[:n])) for n in (1, 2) if " ".join(words[:n]) in NAMES)
    arguments = words[length:]
    options = NAMES[name].make_context(name, list(arguments)).params
    # these write where `rrg` is, in an empty folder
    if name not in ("annotate", "data build", "data export", "plugin new"):
        monkeypatch.chdir(at_desk)
    if name in ("score", "compare"):
        monkeypatch.setenv("PATH", "")  # without Java: METEOR has tests of its own
    if name in RUN_FOR_REAL:
        assert rrg(*words).code == 0
    elif name == "ablate":
        assert rrg(*words, "--dry-run").code == 0
    elif name in ("demo", "evaluate", "page"):
        assert (options["run"] / "run.json").is_file()
    else:
        _check_recipes(options, arguments, monkeypatch)


def _check_recipes(
    options: dict[str, Any], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = list(entry_points(group=GROUP))
    if any("hello." in word for word in arguments) and HELLO.is_dir():
        # test_install installs it for real
        monkeypatch.syspath_prepend(HELLO)
        points = [p for p in points if p.name != "hello"]
        points.append(EntryPoint("hello", "rrg_hello", GROUP))
    found = discover(
        files=options["plugin"] or (), blocked=options["no_plugin"] or (), points=points
    )
    words = [*options.get("recipes", ()), *([options["recipe"]] if "recipe" in options else ())]
    overrides = [word for word in words if "=" in word] + list(options.get("overrides") or ())
    recipes = [word for word in words if "=" not in word]
    assert recipes, "a recipe is checked, run or shown"
    for recipe in recipes:
        variants = options["variant"] or ()
        # names, options, types, references and capabilities of everything that it says
        load_recipe(recipe, variants=variants, overrides=overrides, plugins=found).plan  # noqa: B018
    sys.modules.pop("my_idea", None)


def test_evaluate_runs_as_the_pages_say(at_desk: Path, rrg: Callable[..., Any], monkeypatch: Any):
    monkeypatch.chdir(at_desk)
    monkeypatch.setenv("PATH", "")  # no Java, as above
    answer = rrg("evaluate", "runs/tiny", "--split", "val", "--json")
    assert json.loads(answer.out)["split"] == "val"
    assert (at_desk / "runs/tiny/scores-val.json").is_file()
    assert (at_desk / "runs/tiny/predictions-val.jsonl").is_file()


def test_a_misspelt_override_is_answered_as_the_quickstart_shows(rrg: Callable[..., Any]):
    mistakes = ("objectives.mim.masking.p_keys=0.8", "objectives.mlm.masking=grpah")
    answer = rrg("check", "kia_graph", *mistakes)
    assert answer.code == 2
    assert _is_shown(answer.err, DOCS / "quickstart.md")


def test_broken_data_is_answered_as_the_page_shows(
    rrg: Callable[..., Any], r2gen_writer: Callable[[Path], Path]
):
    root = r2gen_writer(Path("my_data"))
    (root / "images" / "train_3.png").write_bytes(b"")
    whole = (root / "images" / "train_4.png").read_bytes()
    (root / "images" / "train_4.png").write_bytes(whole[: len(whole) // 2])
    rows = json.loads((root / "annotation.json").read_text())
    rows["test"][0]["image_path"] = rows["train"][2]["image_path"]
    rows["test"][1]["subject_id"] = rows["train"][1]["subject_id"] = "12345"
    (root / "annotation.json").write_text(json.dumps(rows))
    (root / "annotations" / "labels.jsonl").write_text('{"id": "another", "value": {}}\n')
    answer = rrg("check", "kia_graph", "--variant", "r2gen", f"data.root={root}")
    assert answer.code == 2
    assert _is_shown(answer.err, DOCS / "data.md")


def test_a_missing_annotation_is_answered_as_the_page_shows(
    rrg: Callable[..., Any], r2gen_writer: Callable[[Path], Path]
):
    root = r2gen_writer(Path("my_data"))
    (root / "annotations" / "radgraph.jsonl").unlink()
    options = (f"data.root={root}", "objectives.irc.queue=6", "objectives.mlm.masking=graph")
    answer = rrg("check", "kia_graph", "--variant", "r2gen", *options)
    assert answer.code == 2
    assert _is_shown(answer.err, DOCS / "data.md")


def _is_shown(said: str, page: Path) -> bool:
    """Whether a page shows just what a command said; lines of a recipe move and are left out."""
    expected, shown = (re.sub(r"line \d+", "line …", text) for text in (said.strip(), read(page)))
    assert expected in shown, f"{name_of(page)} does not show:\n{said}"
    return True


# ---- the run folder -------------------------------------------------------------------------


def test_the_run_folder_holds_what_the_table_says_and_nothing_else(desk: Path):
    run = desk / "runs" / "tiny"
    text = section(DOCS / "commands.md", "## The run folder")
    documented = {code(cell)[0].rstrip("/") for cell, _ in rows(text, "file", "what it is")}
    below = re.sub(r"^\|.*", "", text, flags=re.M)
    added = {name.rstrip("/") for name in code(below)}  # by other commands than `rrg run`
    found = set()
    for path in run.rglob("*"):
        where = path.relative_to(run).as_posix()
        where = re.sub(r"checkpoints/(align|generate)", "checkpoints/<stage>", where)
        found |= {name for name in documented if where == name or where.startswith(f"{name}/")}
        known = any(
            where == n or n.startswith(f"{where}/") or where.startswith(f"{n}/") for n in documented
        )
        others = where.partition("/")[0] in added
        assert known or others or "-val" in where, f"{where} is not documented"
    assert found == documented
