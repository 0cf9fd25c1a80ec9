"""A run folder belongs to one process, from before it is looked into until all is written."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_recipe
from rrgcore.errors import RecipeError, RunError
from rrgcore.files import lock_file, write_text
from rrgcore.folder import CHECKPOINTS, LOCK, RECIPE, RunFolder
from rrgcore.plugins import Discovered
from rrgcore.recipe import dump_recipe
from rrgcore.resolve import resolved
from rrgcore.run import Run
from rrgcore.same_recipe import is_run_of, recipe_changes, unfinished
from rrgcore.session import Session

TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture
def session(plugins: Discovered) -> Session:
    return load_recipe(TINY, variants=["short"], plugins=plugins)


def while_it_builds(monkeypatch: pytest.MonkeyPatch, do: Callable[[Path], object]) -> None:
    """Do something with the folder of the first run that builds its model; no model is built."""
    waiting = [do]

    def build(*_: Any, kept: Path, **__: Any) -> None:
        if waiting:
            waiting.pop()(kept.parent.parent)
        raise RunError("that will do")

    monkeypatch.setattr("rrgcore.running.Job", build)


# ---- one run a folder -----------------------------------------------------------------------


def test_while_a_run_builds_its_model_no_other_begins_in_its_folder(
    session: Session, tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_recipe(TINY, variants=["short"], overrides=["seed=8"], plugins=plugins)
    told: list[str] = []

    def begin(folder: Path) -> None:
        with pytest.raises(RunError) as refused:
            other.run(folder)
        told.append(str(refused.value))

    while_it_builds(monkeypatch, begin)
    with pytest.raises(RunError, match="that will do"):
        session.run(tmp_path / "run")

    assert told == [f"{tmp_path / 'run'} is in use: another rrg is running in it"]


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(
    session: Session, tmp_path: Path, plugins: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stands(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Stands":
            return cls(2026, 1, 1, 12)

    other = load_recipe(TINY, variants=["short"], overrides=["seed=8"], plugins=plugins)
    monkeypatch.setattr("rrgcore.folder.datetime", Stands)
    found: list[str] = []

    def begin(folder: Path) -> None:
        found.append(folder.name)
        while_it_builds(monkeypatch, lambda folder: found.append(folder.name))
        with pytest.raises(RunError, match="that will do"):
            other.run(root=tmp_path)

    while_it_builds(monkeypatch, begin)
    with pytest.raises(RunError, match="that will do"):
        session.run(root=tmp_path)

    assert found == ["2026-01-01_12-00-00", "2026-01-01_12-00-00_2"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_run_that_fails_at_once_clears_up_and_keeps_what_annotators_learned(
    linked: bool, tmp_path: Path
) -> None:
    """A link to a scratch disk is no folder that could be removed, and stays."""
    place = tmp_path / "place"
    place.mkdir()
    out = tmp_path / "out" if linked else place
    if linked:
        out.symlink_to(place)
    folder = RunFolder(out)
    (place / "recipe.yaml").write_text("seed: 1\n")
    (place / "artefacts" / "labels").mkdir(parents=True)
    folder.remove_unless_trained()
    assert (place / "recipe.yaml").is_file()

    (place / "artefacts" / "labels").rmdir()
    (place / "artefacts" / "training.json").write_text("{}")
    folder.remove_unless_trained()
    assert place.exists() == linked
    assert not linked or not any(place.iterdir())


def test_a_run_that_cannot_build_its_model_leaves_nothing(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for out in ("made/for/it", "mine"):
        while_it_builds(monkeypatch, lambda folder: None)
        with pytest.raises(RunError, match="that will do"):
            session.run(tmp_path / out)

    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.parametrize("name", ["run.json", CHECKPOINTS])
def test_a_run_is_never_made_over_another(name: str, session: Session, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(RunError, match=rf"holds a run already: {name} is there"):
        RunFolder.create(tmp_path, session.recipe, {}, {})


def test_a_checkpoint_that_lost_its_name_is_held_against_the_run_as_well(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    """Killed between two renames, a run has but this one; its vocabulary was changed since."""
    copy = shutil.copytree(finished.path, tmp_path / "copy")
    RunFolder(copy).update(state="stopped")
    for name in ("best", "generate", "align/best"):
        shutil.rmtree(copy / CHECKPOINTS / name)
    (copy / CHECKPOINTS / "align/last").rename(copy / CHECKPOINTS / "align/.last.replaced")
    words = copy / "tokenizers/words/words.json"
    words.write_text(words.read_text() + " ")

    with pytest.raises(RunError, match=r"words\.json is not what the checkpoint was saved with"):
        load_recipe(TINY, plugins=plugins).run(copy)


# ---- the lock -------------------------------------------------------------------------------


def test_a_lock_that_is_a_link_empties_no_file(session: Session, tmp_path: Path) -> None:
    folder, mine = tmp_path / "tiny-short" / "x", tmp_path / "mine"
    folder.mkdir(parents=True)
    mine.write_text("precious")
    (folder / LOCK).symlink_to(mine)
    values, notes = resolved(session.plan), []

    found = unfinished(
        tmp_path, session.recipe, values, session.plugins.registry, lambda text: notes.append(text)
    )
    assert (found, len(notes)) == (None, 1)
    assert f"{folder / LOCK} is a link to {mine}, outside" in notes[0]
    assert RunFolder(folder).in_use
    with pytest.raises(RunError, match=r"\.lock is a link, and a run's lock is none"):
        RunFolder(folder).held().__enter__()
    with pytest.raises(RunError, match="is a link to"):
        session.run(folder)
    assert mine.read_text() == "precious"


def test_what_is_in_a_lock_stays_there(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("of a stranger")

    assert not RunFolder(tmp_path).in_use
    assert (tmp_path / LOCK).read_text() == "of a stranger"


def test_a_lock_that_cannot_be_opened_is_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).touch()

    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert RunFolder(tmp_path).in_use


def test_whoever_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open() as file:
        assert lock_file(file, shared=True)
        assert not RunFolder(tmp_path).in_use  # two may look at once

        def look_away() -> None:
            time.sleep(0.05)
            file.close()

        threading.Thread(target=look_away).start()
        with RunFolder(tmp_path).held():
            assert RunFolder(tmp_path).in_use


def test_an_evaluation_leaves_a_run_alone_in_which_another_works(
    finished: Run, tmp_path: Path, rrg: Callable[..., Any]
) -> None:
    copy = shutil.copytree(finished.path, tmp_path / "copy")
    with RunFolder(copy).held():
        answer = rrg("evaluate", copy)

    assert (answer.code, answer.err) == (2, f"{copy} is in use: another rrg is running in it\n")


def test_two_that_write_one_file_do_not_write_into_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrgcore import files

    path, really = tmp_path / "scores.json", files.put_in_place

    def second(file: Path, target: Path) -> None:
        monkeypatch.setattr(files, "put_in_place", really)
        write_text(path, "of the other\n")
        really(file, target)

    monkeypatch.setattr(files, "put_in_place", second)
    write_text(path, "of the one\n")

    assert path.read_text() == "of the one\n"
    assert list(tmp_path.iterdir()) == [path]


# ---- a stranger's recipe --------------------------------------------------------------------


def test_a_run_s_recipe_is_compared_without_what_it_extends(
    session: Session, tmp_path: Path
) -> None:
    """What lies outside a stranger's folder is not even read."""
    values, registry = resolved(session.plan), session.plugins.registry
    (tmp_path / "outside.yaml").write_text(dump_recipe(values))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RECIPE).write_text("extends: ../outside.yaml\n")
    folder = RunFolder(tmp_path / "run")

    assert not folder.is_of(values)
    assert not is_run_of(folder, values, registry)
    with pytest.raises(RecipeError, match="a run's own recipe is whole and extends nothing"):
        recipe_changes(tmp_path / "run", values, registry)
