"""What is written is whole, on the disk, and tidied up after a kill."""

import json
import os
import pickle
import re
import shutil
import stat
from errno import EINVAL, EIO, ENOSPC
from pathlib import Path

import pytest

from rrgcore import load_recipe
from rrgcore.ablation.results import read_journal
from rrgcore.disk import refusal, size_of, writing
from rrgcore.errors import RunError, WriteError
from rrgcore.files import append_line, cut_lines, tidy, whole_lines, write_text, written_whole
from rrgcore.folder import LOCK, RECIPE, RUN, RunFolder
from rrgcore.plugins import Discovered
from rrgcore.recipe import dump_recipe
from rrgcore.resolve import resolved
from rrgcore.same_recipe import unfinished

TINY = Path(__file__).parent.parent / "tiny.yaml"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced, renamed and removed, by name and in order."""
    found: list[str] = []
    opened: dict[int, str] = {}
    really = {name: getattr(os, name) for name in ("open", "fsync", "rename", "replace")}
    remove = shutil.rmtree

    def opens(path, flags, *rest, **options):
        opened[handle := really["open"](path, flags, *rest, **options)] = Path(path).name
        return handle

    def syncs(handle):
        found.append(f"sync {opened[handle]}")
        really["fsync"](handle)

    def moves(name):
        def move(source, target, **options):
            found.append(f"{name} {Path(source).name} {Path(target).name}")
            really[name](source, target, **options)

        return move

    def removes(path, *rest, **options):
        if Path(path).exists():
            found.append(f"remove {Path(path).name}")
        remove(path, *rest, **options)

    monkeypatch.setattr(os, "open", opens)
    monkeypatch.setattr(os, "fsync", syncs)
    monkeypatch.setattr(os, "rename", moves("rename"))
    monkeypatch.setattr(os, "replace", moves("replace"))
    monkeypatch.setattr(shutil, "rmtree", removes)
    return found


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, calls: list[str]
) -> None:
    write_text(tmp_path / "run.json", "{}\n")

    assert [re.sub(r"\.[0-9a-f]{8}\.writing", ".….writing", call) for call in calls] == [
        "sync .run.json.….writing",
        "replace .run.json.….writing run.json",
        f"sync {tmp_path.name}",
    ]


def test_a_checkpoint_goes_only_when_the_next_is_on_the_disk(
    tmp_path: Path, calls: list[str]
) -> None:
    (tmp_path / "last").mkdir()
    with written_whole(tmp_path / "last") as folder:
        (folder / "tensors").write_bytes(b"new")
        (folder / "below").mkdir()
        (folder / "below" / "state").write_bytes(b"new")
        calls.clear()

    assert calls == [
        "sync state",
        "sync below",
        "sync tensors",
        "sync .last.writing",
        "rename last .last.replaced",
        "rename .last.writing last",
        f"sync {tmp_path.name}",
        "remove .last.replaced",
    ]


def test_a_file_system_that_cannot_sync_folders_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.fsync

    def syncs(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(EINVAL, os.strerror(EINVAL))
        really(handle)

    monkeypatch.setattr(os, "fsync", syncs)
    write_text(tmp_path / "run.json", "{}\n")

    assert (tmp_path / "run.json").read_text() == "{}\n"


def test_a_folder_into_which_nothing_is_written_is_never_there(
    tmp_path: Path, calls: list[str]
) -> None:
    with written_whole(tmp_path / "kept"):
        pass

    assert list(tmp_path.iterdir()) == []
    assert not any(call.startswith("rename") for call in calls)


@pytest.mark.parametrize("when", ["rename", "second rename"])
def test_what_fails_between_two_names_leaves_the_checkpoint_as_it_was(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written_whole(tmp_path / "last") as folder:
        (folder / "a").write_text("old")
    really, left = os.rename, ["rename", "second rename"].index(when)

    def fails(source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        really(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with (
        pytest.raises(WriteError, match=r"last could not be written: no space is left"),
        written_whole(tmp_path / "last") as folder,
    ):
        (folder / "a").write_text("new")

    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert (tmp_path / "last" / "a").read_text() == "old"


@pytest.mark.parametrize("what", ["sync_file", "sync_folder"])
def test_a_device_that_fails_when_all_is_written_is_told_with_the_file(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> None:
        raise OSError(EIO, os.strerror(EIO))

    with written_whole(tmp_path / "last") as folder:
        (folder / "tensors").write_bytes(b"old")
    named = tmp_path / "last" / ("tensors" if what == "sync_file" else "")
    again = written_whole(tmp_path / "last")
    (again.__enter__() / "tensors").write_bytes(b"new")
    monkeypatch.setattr(f"rrgcore.disk.{what}", fails)
    with pytest.raises(WriteError) as refused:
        again.__exit__(None, None, None)

    assert str(refused.value).startswith(f"{named} could not be written: the device failed (input/")
    assert (tmp_path / "last" / "tensors").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_what_a_kill_left_is_cleared_away_and_what_lost_its_name_gets_it_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "align" / ".last.replaced").mkdir(parents=True)
    (tmp_path / "align" / ".last.replaced" / "a").write_text("the only one")
    (tmp_path / "align" / ".last.writing" / ".b.writing").mkdir(parents=True)
    (tmp_path / "best").mkdir()
    (tmp_path / ".best.replaced").mkdir()
    (tmp_path / ".run.json.writing").write_text("{")
    (tmp_path / ".run.json.0123abcd.writing").write_text("{")
    (tmp_path / ".mine").write_text("not ours")

    tidy(tmp_path)

    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert names == {".mine", "align", "align/last", "align/last/a", "best"}


# ---- lines ----------------------------------------------------------------------------------

TORN = '{"stage": "align", "loss": 1.5}\n{"stage": "Röntgen"'.encode()[:-3]
"""Cut off within a letter of two bytes."""


def test_a_torn_last_line_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(TORN)

    assert RunFolder(tmp_path).metrics() == [{"stage": "align", "loss": 1.5}]


def test_a_torn_last_line_is_cut_off_before_the_next(tmp_path: Path) -> None:
    (tmp_path / "timing.jsonl").write_bytes(TORN)
    RunFolder(tmp_path).log_timing({"stage": "generate"})

    lines = whole_lines(tmp_path / "timing.jsonl")
    assert [json.loads(line)["stage"] for line in lines] == ["align", "generate"]


def test_a_journal_of_an_ablation_that_was_cut_off_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(b'{"run": "a", "seconds": 2}\n{"run": "a", "sec')

    assert read_journal(tmp_path) == {"a": 2.0}


def test_metrics_are_cut_back_to_a_checkpoint_in_their_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in range(3):
        folder.log({"step": step})
    assert folder.sync_metrics() == 3
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(TORN)
    inode = (tmp_path / "metrics.jsonl").stat().st_ino

    folder.cut_metrics(2)
    assert folder.metrics() == [{"step": 0}, {"step": 1}]
    assert (tmp_path / "metrics.jsonl").stat().st_ino == inode
    folder.log({"step": 2})
    assert folder.sync_metrics() == 3


def test_lines_that_are_not_there_cannot_be_kept(tmp_path: Path) -> None:
    cut_lines(tmp_path / "none", 3)
    append_line(tmp_path / "one", "a")
    cut_lines(tmp_path / "one", 3)

    assert whole_lines(tmp_path / "none") == []
    assert whole_lines(tmp_path / "one") == ["a"]


# ---- what the disk refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(ENOSPC, "No space left on device"), "no space is left on the device (5.0 MB need"),
        (RuntimeError("I/O error: too large (os error 27)"), "than a file may be (ulimit -f) (5.0"),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied (5.0 MB needed)"),
    ],
)
def test_a_write_that_is_refused_is_told_with_the_file_and_what_it_needed(
    error: Exception, said: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(WriteError) as refused,
        writing(tmp_path / "model.safetensors", needed=5_000_000),
    ):
        raise error

    assert str(refused.value).startswith(f"{tmp_path / 'model.safetensors'} could not be written: ")
    assert said in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_what_is_no_matter_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seven"), writing(tmp_path / "a"):
        raise ValueError("seven")
    assert refusal(FileNotFoundError(2, "gone")) is None
    assert refusal(RunError("a is damaged (os error 28)")) is None


def test_sizes_are_written_as_one_says_them() -> None:
    sizes = [0, 999, 1000, 223_072, 1_400_000, 999_700_000, 13_500_000_000, 2 * 10**14]
    assert [size_of(size) for size in sizes] == [
        "0 bytes", "999 bytes", "1 kB", "223 kB", "1.4 MB", "1.0 GB", "13.5 GB", "200 TB",
    ]  # fmt: skip


# ---- folders that were killed while they were made ------------------------------------------


@pytest.mark.parametrize(
    "left", [[], [RECIPE], [RECIPE, f".{RUN}.writing"], [f".{RECIPE}.0123abcd.writing"]]
)
def test_a_run_that_was_killed_while_it_made_its_folder_begins_there_without_being_asked(
    left: list[str], tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(TINY, plugins=plugins)
    values = resolved(session.plan)
    folder = tmp_path / "tiny" / "2026-01-01_12-00-00"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    for name in left:
        (folder / name).write_text(dump_recipe(values) if name == RECIPE else "{")

    notes: list[str] = []

    def found() -> Path | None:
        return unfinished(tmp_path, session.recipe, values, plugins.registry, notes.append)

    assert found() == folder
    assert not notes
    assert RunFolder(folder).is_beginning_of(values)
    with RunFolder(folder).held():  # another process is about to make it
        assert found() is None
    [said] = notes
    assert said.startswith(f"{folder} is of this recipe, and another rrg is running in it")


def test_a_recipe_of_somebody_elses_is_no_run_that_was_killed(
    tmp_path: Path, plugins: Discovered
) -> None:
    (tmp_path / RECIPE).write_text("seed: 1\n")
    values = resolved(load_recipe(TINY, plugins=plugins).plan)

    assert not RunFolder(tmp_path).is_beginning_of(values)


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").held():
        assert RunFolder(tmp_path / "run").in_use
        with pytest.raises(RunError, match="is in use"), RunFolder(tmp_path / "run").held():
            pass
    assert not RunFolder(tmp_path / "run").in_use
