"""The image cache: never another pixel than without it, whatever happens to files and processes."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import UInt8
from PIL import Image

from rrgcore import load_recipe
from rrgcore.data import ImageCache
from rrgcore.errors import DataError, RecipeError
from rrgcore.images import cache_folder, cache_keys, disk_cache, read_image, resize, segment
from rrgcore.images.cache_folder import kept, locked, rooms
from rrgcore.images.cache_keys import UNKNOWN, looks_of
from rrgcore.images.disk_cache import DiskCache
from rrgcore.images.segment import SUFFIX, Segment
from rrgcore.plugins import Discovered
from rrgcore.prediction.inputs import Request
from rrgcore.prediction.predictor import Pictures, Shown
from rrgcore.recipe import load_recipe as read_recipe
from rrgcore.resolve import resolved
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset

TINY = Path(__file__).parent.parent / "tiny.yaml"
SIZE = 24


def write(path: Path, seed: int = 0) -> Path:
    """A picture of noise; all of them are files of the same length."""
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    (tmp_path / "pictures").mkdir()
    return [write(tmp_path / f"pictures/{number}.png", number) for number in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache/images"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust how files look that have just been written, as if they had been for long."""
    monkeypatch.setattr(cache_keys, "SETTLED", -(1 << 62))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded, as it happens."""
    return counted(monkeypatch, "decode_image", lambda data, *, name: Path(name).name)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, decoded or not."""
    return counted(monkeypatch, "load_bytes", lambda path: path.name)


def counted(monkeypatch: pytest.MonkeyPatch, name: str, of: Callable[..., str]) -> list[str]:
    calls: list[str] = []
    real = getattr(disk_cache, name)

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(of(*arguments, **options))
        return real(*arguments, **options)

    monkeypatch.setattr(disk_cache, name, call)
    return calls


def make_cache(
    folder: Path, *, size: int = SIZE, limit: int = 1 << 30, notes: list[str] | None = None
) -> DiskCache:
    note = notes.append if notes is not None else refuse
    return DiskCache(folder, size=size, limit=limit, note=note)


def refuse(text: str) -> None:
    raise AssertionError(f"the cache gave up: {text}")


def check(cache: DiskCache, paths: Sequence[Path]) -> None:
    """Each image is, bit for bit, what it is without a cache."""
    for path in paths:
        assert np.array_equal(cache.read(path).pixels, resize(read_image(path), cache.size)), path


# ---- the same pixels -------------------------------------------------------------------------


def write_dicom(path: Path, pixels: UInt8[np.ndarray, "h w"]) -> None:
    pydicom = pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    dataset = pydicom.dataset.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2000, 1500
    dataset.PixelData = (pixels.astype("<u2") * 16).tobytes()
    dataset.save_as(path, enforce_file_format=True)


KINDS: dict[str, Callable[[Path, UInt8[np.ndarray, "h w"]], object]] = {
    "grey.png": lambda path, grey: Image.fromarray(grey).save(path),
    "colour.png": lambda path, grey: Image.fromarray(np.dstack([grey, grey.T, grey])).save(path),
    "clear.png": lambda path, grey: Image.fromarray(np.dstack([grey] * 4)).save(path),
    "deep.png": lambda path, grey: Image.fromarray(grey.astype(np.uint16) * 129).save(path),
    "palette.gif": lambda path, grey: Image.fromarray(grey).convert("P").save(path),
    "grey.jpg": lambda path, grey: Image.fromarray(grey).save(path, quality=80),
    "deep.tif": lambda path, grey: Image.fromarray(grey.astype(np.float32) ** 2).save(path),
    "deep.dcm": write_dicom,
}


@pytest.mark.parametrize("size", [16, 61, 64, 130])
def test_pixels_are_the_same_bit_for_bit(folder: Path, tmp_path: Path, size: int) -> None:
    grey = np.random.default_rng(size).integers(0, 256, (64, 64), dtype=np.uint8)
    paths = [tmp_path / name for name in KINDS]
    for path in paths:
        KINDS[path.name](path, grey)
    check(first := make_cache(folder, size=size), paths)
    check(first, paths)
    check(make_cache(folder, size=size), paths)
    assert rooms(folder)[0].images == len(paths)


def test_an_image_is_decoded_once_for_all_runs(
    folder: Path, pictures: list[Path], decoded: list[str], loaded: list[str], settled: None
) -> None:
    check(make_cache(folder), pictures)
    assert len(decoded) == len(loaded) == 5
    check(make_cache(folder), pictures)
    assert len(decoded) == len(loaded) == 5


def test_what_is_kept_lies_in_a_mapped_file_and_cannot_be_written_to(
    folder: Path, pictures: list[Path]
) -> None:
    at, pixels = make_cache(folder).read(pictures[0])
    assert at is not None
    cache = make_cache(folder)
    at, pixels = cache.read(pictures[0])
    assert at is not None
    assert not pixels.flags.owndata
    assert np.shares_memory(cache[at], pixels)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1


def test_other_sizes_are_kept_apart(folder: Path, pictures: list[Path]) -> None:
    for size in (16, 32, 16):
        check(make_cache(folder, size=size), pictures)
    assert sorted((room.size, room.images) for room in rooms(folder)) == [(16, 5), (32, 5)]


def test_another_way_of_decoding_finds_nothing_of_this_one(
    folder: Path, pictures: list[Path], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(make_cache(folder), pictures)
    monkeypatch.setattr(disk_cache, "transform", lambda size: "of-another-version")
    check(make_cache(folder), pictures)
    assert len(decoded) == 10


def test_the_way_of_decoding_is_the_code_the_packages_and_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transform = cache_keys.transform.__wrapped__
    usual = transform(224)
    assert usual == transform(224) != transform(225)
    for name, value in {
        "_NOT_OF_PIXELS": (*cache_keys._NOT_OF_PIXELS, "grey.py"),
        "__version__": "99.0",
        "version": lambda package: "99.0",
        "features": type("Other", (), {"version": staticmethod(lambda codec: "99")}),
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(cache_keys, name, value)
            assert transform(224) != usual, name


def test_what_is_no_image_is_refused_as_without_a_cache(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(write(tmp_path / "whole.png").read_bytes()[:700])
    for name in ("absent.png", "text.png", "cut.png", "."):
        for _ in range(2):
            with pytest.raises(DataError) as cached:
                make_cache(folder).read(tmp_path / name)
            with pytest.raises(DataError) as plain:
                read_image(tmp_path / name)
            assert str(cached.value) == str(plain.value)
    assert not kept(folder)


# ---- sources that change ---------------------------------------------------------------------


def overwrite(path: Path, seed: int) -> None:
    write(path, seed)


def overwrite_and_set_the_time_back(path: Path, seed: int) -> None:
    before = path.stat()
    write(path, seed)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, seed: int) -> None:
    before = path.stat()
    other = write(path.with_name("other.png"), seed)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


CHANGES = [overwrite, overwrite_and_set_the_time_back, replace]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_source_is_decoded_anew(
    change: Callable[[Path, int], None], folder: Path, pictures: list[Path]
) -> None:
    check(make_cache(folder), pictures)
    change(pictures[2], 99)
    check(make_cache(folder), pictures)
    change(pictures[2], 100)
    check(make_cache(folder), pictures)


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_after_it_was_trusted_is_decoded_anew(
    change: Callable[[Path, int], None],
    folder: Path,
    pictures: list[Path],
    loaded: list[str],
    settled: None,
) -> None:
    for _ in range(2):
        check(make_cache(folder), pictures)
    assert len(loaded) == 5  # trusted
    time.sleep(0.03)  # longer than a tick of any file system's clock
    change(pictures[2], 99)
    check(make_cache(folder), pictures)
    assert loaded[5:] == ["2.png"]


def test_a_source_that_changes_while_it_is_read_is_not_trusted(
    folder: Path, pictures: list[Path], settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disk_cache.load_bytes

    def load_bytes(path: Path) -> bytes:
        data = real(path)
        time.sleep(0.03)
        write(path, 99)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(disk_cache, "load_bytes", load_bytes)
        make_cache(folder).read(pictures[0])
    check(make_cache(folder), pictures)


def test_a_link_that_leads_elsewhere_is_followed(
    folder: Path, pictures: list[Path], tmp_path: Path, settled: None
) -> None:
    link = tmp_path / "link.png"
    for path in pictures:
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        check(make_cache(folder), [link])


def test_a_file_that_has_just_changed_is_hashed_again_the_next_time(
    folder: Path, pictures: list[Path], decoded: list[str], loaded: list[str]
) -> None:
    check(make_cache(folder), pictures)
    assert looks_of(pictures[0]) == UNKNOWN
    check(make_cache(folder), pictures)
    assert (len(loaded), len(decoded)) == (10, 5)


def test_a_file_whose_content_is_known_is_not_decoded_wherever_it_is(
    folder: Path,
    pictures: list[Path],
    decoded: list[str],
    loaded: list[str],
    tmp_path: Path,
    settled: None,
) -> None:
    check(make_cache(folder), pictures)
    moved = shutil.copytree(pictures[0].parent, tmp_path / "moved")
    for _ in range(2):  # the second time, it is known how they look
        check(make_cache(folder), [moved / path.name for path in pictures])
    assert (len(decoded), len(loaded)) == (5, 10)
    assert rooms(folder)[0].images == 5


def test_old_dicom_is_found_under_any_name(folder: Path, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    write_dicom(tmp_path / "whole.dcm", grey)
    old = (tmp_path / "whole.dcm").read_bytes()[132:]  # without the mark
    for name in ("old.dcm", "old.bin"):
        (tmp_path / name).write_bytes(old)
    cache = make_cache(folder)
    check(cache, [tmp_path / "old.dcm", tmp_path / "old.bin"])
    assert rooms(folder)[0].images == 1


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "restore", "copy", "reopen", "damage", "clear"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_whatever_happens_between_two_looks_pixels_are_those_of_the_file(
    operations: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    folder, paths = root / "cache/images", [write(root / f"{n}.png", n) for n in range(3)]
    caches = [make_cache(folder), make_cache(folder)]
    for what, number, seed in operations:
        path = paths[number]
        match what:
            case "read":
                check(caches[seed % 2], [path])
            case "write":
                write(path, seed)
            case "restore":
                overwrite_and_set_the_time_back(path, seed)
            case "copy":
                shutil.copyfile(path, path.with_name("beside.png"))
                path.with_name("beside.png").rename(paths[seed % 3])
            case "reopen":
                caches[seed % 2] = make_cache(folder)
            case "damage":
                caches = [make_cache(folder), make_cache(folder)]
                for each in kept(folder):
                    flip(each.path, seed * 0x1FFF + number * 97)
            case "clear":
                cache_folder.clear_folder(folder)
    for cache in caches:
        check(cache, paths)


# ---- several at once -------------------------------------------------------------------------

FILL = """
import os, sys
from pathlib import Path
from rrgcore.images.disk_cache import DiskCache
folder, step, *names = sys.argv[1:]
cache = DiskCache(Path(folder), size=24, limit=1 << 30, note=lambda text: sys.exit(text))
print("ready", flush=True)
sys.stdin.readline()
for name in names[::int(step)]:
    at, _ = cache.read(Path(name))
    assert at is not None
print(flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_fill_a_cache_at_once(folder: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.png", number) for number in range(100)]
    both = [start(FILL, folder, step, *paths) for step in (1, -1)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        assert process.communicate(timeout=60) == ("\n", "")
        assert process.returncode == 0
    check(make_cache(folder), paths)
    assert rooms(folder)[0].images == 100  # each once, whoever was first


def test_threads_fill_a_cache_at_once(folder: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.png", number) for number in range(30)]
    cache = make_cache(folder)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: check(cache, [path]), paths * 3))
    assert rooms(folder)[0].images == 30


def test_images_that_another_process_adds_are_found_at_once(
    folder: Path, pictures: list[Path], decoded: list[str]
) -> None:
    one, other = make_cache(folder), make_cache(folder)
    check(one, pictures[:1])
    check(other, pictures)
    check(one, pictures)
    assert len(decoded) == 5


DIE = """
import itertools, os, signal, sys
from pathlib import Path
from rrgcore.images.disk_cache import DiskCache
root, *names = sys.argv[1:]
real = os.pwrite

def fill(folder):
    cache = DiskCache(Path(folder), size=24, limit=1 << 30, note=os.abort)
    for name in names:
        cache.read(Path(name))

def die(when, half):
    calls = itertools.count(1)
    def pwrite(file, data, at):
        if next(calls) == when:
            real(file, data[: len(data) // 2] if half else data, at)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(file, data, at)
    os.pwrite = pwrite

# the header of a new file is the first write; of each image pixels, record and count follow
for when in range(1, 9):
    for half in (0, 1):
        if not (child := os.fork()):
            die(when, half)
            fill(f"{root}/{when}-{half}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, status
# and at any moment
for microseconds in range(1000, 25000, 4000):
    if not (child := os.fork()):
        signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        fill(f"{root}/any")
        os._exit(0)
    os.waitpid(child, 0)
print("done")
"""


def test_processes_that_are_killed_while_they_write_leave_nothing_torn(
    tmp_path: Path, pictures: list[Path]
) -> None:
    process = start(DIE, tmp_path / "caches", *pictures)
    assert process.communicate(timeout=60) == ("done\n", "")
    names = [f"{when}-{half}" for when in range(1, 9) for half in (0, 1)]
    for folder in [tmp_path / "caches" / name for name in (*names, "any")]:
        for _ in range(2):
            check(make_cache(folder), pictures)
        assert rooms(folder)[0].images == 5
        assert not list(folder.glob("*/*.new"))


def test_only_one_writes_at_a_time_and_nobody_waits_forever(
    folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_folder, "PATIENCE", 0.05)
    cache_folder.make_folder(folder)
    notes: list[str] = []
    with locked(folder):
        check(make_cache(folder, notes=notes), pictures)
    assert len(notes) == 1
    assert "another process holds" in notes[0]
    check(make_cache(folder), pictures)


def test_a_file_of_another_machine_is_read_and_not_written_to(
    folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    check(make_cache(folder), pictures[:3])
    monkeypatch.setattr(segment, "this_machine", lambda: b"another machine.")
    monkeypatch.setattr(disk_cache, "this_machine", lambda: b"another machine.")
    check(make_cache(folder), pictures)
    assert len(decoded) == 5
    assert [segment.load_keys(each.path)[0].count for each in kept(folder)] == [3, 2]


# ---- damage ----------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite_all(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def count_too_many(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(64)
        file.write(b"\xff" * 8)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        empty,
        overwrite_all,
        count_too_many,
        *(
            pytest.param(lambda path, at=at: flip(path, at), id=f"byte {at}")
            for at in (0, 17, 30, 45, 64, 130, 150, 170, 200)
        ),
        pytest.param(lambda path: flip(path, pixels_at(path) + 7), id="a pixel"),
        pytest.param(lambda path: flip(path, pixels_at(path) + 3 * SIZE**2), id="another pixel"),
    ],
)
def test_a_damaged_file_is_made_anew(
    damage: Callable[[Path], None], folder: Path, pictures: list[Path], settled: None
) -> None:
    check(make_cache(folder), pictures)
    (each,) = kept(folder)
    damage(each.path)
    check(make_cache(folder), pictures)
    check(mended := make_cache(folder), pictures)
    assert all(mended.read(path).at is not None for path in pictures)


def test_a_file_that_is_cut_off_after_it_was_found_is_done_without(
    folder: Path, pictures: list[Path], settled: None
) -> None:
    check(make_cache(folder), pictures[:2])
    cache = make_cache(folder)
    cache._find(b"of no image at all")  # it knows what is there now, and uses none of it
    (each,) = kept(folder)
    cut(each.path)
    check(cache, pictures)
    check(make_cache(folder), pictures)


def pixels_at(path: Path) -> int:
    header, _ = segment.load_keys(path)
    return segment.file_bytes(header.size, header.room) - header.room * header.size**2


# ---- the bound -------------------------------------------------------------------------------

BOUND = 30_000


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"*/*{SUFFIX}"))


def test_the_cache_keeps_within_its_bound_and_says_once_that_it_is_full(
    folder: Path, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{number}.png", number) for number in range(40)]
    notes: list[str] = []
    cache = make_cache(folder, limit=BOUND, notes=notes)
    for path in paths:
        check(cache, [path])
        assert taken(folder) <= BOUND
    check(cache, paths)
    assert len(notes) == 1
    assert "has no room for more: what is in use leaves none within the 3e-05 GB that" in notes[0]
    assert "data.cache=off does without" in notes[0]
    assert 0 < rooms(folder)[0].images < 40


def test_what_was_not_used_for_longest_makes_room(folder: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.png", number) for number in range(40)]
    for number, path in enumerate(paths):
        check(make_cache(folder, limit=BOUND), [path])
        for each in kept(folder):  # each run an hour after the other
            os.utime(each.path, (each.used - 3600, each.used - 3600))
        assert taken(folder) <= BOUND
        if number == 3:
            (oldest, *_) = kept(folder)
    assert not oldest.path.exists()
    check(make_cache(folder, limit=BOUND), paths[-1:])


def test_a_cache_that_fits_is_kept_when_it_is_used_again(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    ours = [write(tmp_path / f"{number}.png", number) for number in range(2)]
    others = [write(tmp_path / f"other-{number}.png", 100 + number) for number in range(40)]
    for number in range(0, 40, 2):
        check(make_cache(folder, limit=BOUND), others[number : number + 2])
        check(make_cache(folder, limit=BOUND), ours)
    assert decoded.count("0.png") == decoded.count("1.png") == 1


def test_files_that_a_process_uses_are_not_removed(folder: Path, pictures: list[Path]) -> None:
    cache = make_cache(folder)
    check(cache, pictures)
    (each,) = kept(folder)
    assert not cache_folder.remove(each.path)
    assert cache_folder.clear_folder(folder) == (0, 1)
    check(cache, pictures)
    del cache
    assert cache_folder.remove(each.path)


def test_a_file_that_is_read_is_in_use(folder: Path, pictures: list[Path]) -> None:
    check(make_cache(folder), pictures)
    (each,) = kept(folder)
    segment_in_use = Segment(each.path)
    image = segment_in_use.pixels(0)
    del segment_in_use
    assert not cache_folder.remove(each.path)  # its pixels are held
    del image
    assert cache_folder.remove(each.path)


def test_a_nearly_full_disk_is_left_to_others(
    folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage("."))(10**12, 10**12, cache_folder.SPARE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    notes: list[str] = []
    check(make_cache(folder, notes=notes), pictures)
    assert len(notes) == 1
    assert "its disk is nearly full: 1.1 GB are left free" in notes[0]
    assert not kept(folder)


# ---- disks that do not take them -------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2, 5])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_fails_no_run(
    code: int,
    after: int,
    folder: Path,
    pictures: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = os.pwrite, []

    def pwrite(file: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) == after + 1:
            return real(file, data[: len(data) // 2], at)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return real(file, data, at)

    notes: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        cache = make_cache(folder, notes=notes)
        for _ in range(2):
            check(cache, pictures)
    assert notes == [
        f"decoded images are not kept from now on: {folder} cannot be written "
        f"({os.strerror(code)}). Those that are not there yet are decoded each time. RRG_CACHE "
        "names another folder, data.cache how many GB it may take; data.cache=off does without"
    ]
    check(make_cache(folder), pictures)


def test_a_place_that_is_none_fails_no_run(tmp_path: Path, pictures: list[Path]) -> None:
    (tmp_path / "file").write_text("")
    notes: list[str] = []
    cache = make_cache(tmp_path / "file/images", notes=notes)
    for _ in range(2):
        check(cache, pictures)
    assert len(notes) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read_is_read(
    folder: Path, pictures: list[Path], decoded: list[str]
) -> None:
    check(make_cache(folder), pictures[:3])
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    notes: list[str] = []
    check(make_cache(folder, notes=notes), pictures)
    assert (len(decoded), len(notes)) == (5, 1)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)


def test_without_locks_nothing_is_written(
    folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    notes: list[str] = []
    monkeypatch.setattr("fcntl.flock", flock)
    check(make_cache(folder, notes=notes), pictures)
    assert len(notes) == 1
    assert not kept(folder)


def test_a_folder_that_is_removed_meanwhile_is_made_again(
    folder: Path, pictures: list[Path]
) -> None:
    cache = make_cache(folder)
    check(cache, pictures[:3])
    shutil.rmtree(folder.parent)
    check(cache, pictures)
    assert rooms(folder)[0].images == 2
    check(make_cache(folder), pictures)


def test_the_folder_is_nobody_elses_to_read_and_backups_pass_it_over(
    folder: Path, pictures: list[Path]
) -> None:
    check(make_cache(folder), pictures)
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172")


# ---- a dataset's images ----------------------------------------------------------------------


class Files(Dataset):
    """Image files, which nobody need open who knows where they are."""

    def studies(self, split: str) -> Sequence[Study]:
        return []

    def open(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        raise AssertionError("an image of a file is read from that file")

    def file_of(self, image: ImageRef) -> Path:
        return Path(image.where)


def test_images_of_files_are_taken_from_the_disk(
    folder: Path, pictures: list[Path], decoded: list[str]
) -> None:
    for _ in range(2):
        images = ImageCache(Files(), size=SIZE, disk=make_cache(folder))
        for path in pictures * 2:
            found = images[ImageRef(str(path))]
            assert np.array_equal(found, resize(read_image(path), SIZE))
            assert not found.flags.owndata
    assert len(decoded) == 5


def test_a_file_is_looked_at_once_in_a_run(
    folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch, settled: None
) -> None:
    looks = counted(monkeypatch, "looks_of", lambda path: path.name)
    images = ImageCache(Files(), size=SIZE, disk=make_cache(folder))
    for path in pictures * 4:
        images[ImageRef(str(path))]
    assert len(looks) == 5


def test_what_the_disk_has_no_room_for_is_held_in_memory_as_long_as_there_is_room(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    paths = [write(tmp_path / f"{number}.png", number) for number in range(6)]
    disk = make_cache(folder, limit=1, notes=[])
    images = ImageCache(Files(), size=SIZE, max_bytes=2 * SIZE**2, disk=disk)
    for _ in range(3):
        for path in paths:
            images[ImageRef(str(path))]
    assert len(decoded) == 6 + 4 + 4


def test_images_to_predict_are_not_kept(folder: Path, pictures: list[Path]) -> None:
    shown = Pictures()
    images = ImageCache(shown, size=SIZE, disk=make_cache(folder))
    request = Request("a", tuple(pictures), ("unknown",) * len(pictures))
    with shown.showing([Shown(request, [read_image(path) for path in pictures])]):
        for image in shown.study(request).images:
            images[image]
    assert not kept(folder)


# ---- in recipes ------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is empty."""
    monkeypatch.setenv("RRG_CACHE", str(tmp_path / "own"))
    return tmp_path / "own/images"


def ran(root: Path, out: Path, plugins: Discovered, *overrides: str) -> list[Any]:
    """What a run of two epochs logged, predicted and scored."""
    data = f"data={{name: r2gen, root: {root}, image_size: 32, batch_size: 2, limit: 4}}"
    alone = [f"objectives.{name}=off" for name in ("mim", "mlm", "irc", "irm")]
    more = ["model.shared.joint=off", "stages.align.epochs=2"]
    session = load_recipe(
        TINY,
        variants=["short"],
        overrides=[data, *alone, *more, *overrides],
        plugins=plugins,
    )
    run = session.run(out)
    return [run.folder.metrics(), run.predictions, run.scores]


def test_a_run_is_the_same_with_the_cache_and_without(
    r2gen: Path, tmp_path: Path, plugins: Discovered, place: Path
) -> None:
    without = ran(r2gen, tmp_path / "without", plugins, "data.cache=off")
    assert not place.exists()
    assert ran(r2gen, tmp_path / "with", plugins, "data.workers=2") == without
    assert rooms(place)[0].images == 12


def test_one_word_switches_it_off(
    r2gen: Path, plugins: Discovered, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("off", "false", "0"):
        plan = load_recipe(TINY, overrides=[f"data.cache={word}"], plugins=plugins).plan
        assert not plan.data.cache
        assert disk_cache.open_disk_cache(plan.data.cache, size=8) is None
    assert disk_cache.open_disk_cache(20.0, size=8) is not None
    monkeypatch.setenv("RRG_CACHE", "off")
    assert disk_cache.open_disk_cache(20.0, size=8) is None


def test_off_is_off_in_a_file_too_and_over_what_another_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {TINY}\ndata: {{cache: 5}}\n"
        "variants: {without: {data: {cache: off}}, more: {on: without, data: {cache: 7}}}\n"
    )
    said = {
        variant: read_recipe(path, variants=variant).values["data"]["cache"]
        for variant in ((), ("without",), ("more",))
    }
    assert said == {(): 5, ("without",): False, ("more",): 7}
    path.write_text(f"extends: {TINY}\ndata: {{cache: off}}\n")
    assert read_recipe(path).values["data"]["cache"] is False


def test_a_bound_that_is_none_is_refused(plugins: Discovered) -> None:
    for value in ("-1", ".inf"):
        with pytest.raises(RecipeError, match="expected gigabytes, or off"):
            load_recipe(TINY, overrides=[f"data.cache={value}"], plugins=plugins).plan.data  # noqa: B018
    with pytest.raises(RecipeError, match="expected float or off, got 'much'"):
        load_recipe(TINY, overrides=["data.cache=much"], plugins=plugins).plan.data  # noqa: B018


def test_the_default_is_twenty_gigabytes_and_is_written_down(plugins: Discovered) -> None:
    assert resolved(load_recipe(TINY, plugins=plugins).plan)["data"]["cache"] == 20.0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RRG_CACHE": "/scratch/rrg"}, "/scratch/rrg/images"),
        ({"XDG_CACHE_HOME": "/somewhere"}, "/somewhere/rrg/images"),
        ({"HOME": "/home/somebody"}, "/home/somebody/.cache/rrg/images"),
        ({"RRG_CACHE": "OFF"}, "None"),
    ],
)
def test_the_place_is_the_users_own(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RRG_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder.image_folder()) == expected


# ---- the command -----------------------------------------------------------------------------


def test_the_command_says_what_is_kept_and_removes_it(
    rrg: Callable[..., Any], place: Path, pictures: list[Path]
) -> None:
    assert "Nothing is kept there" in rrg("data", "cache").out
    check(make_cache(place), pictures)
    assert f"  {SIZE} pixels: 5 images, 0.0 MB, last used 20" in rrg("data", "cache").out
    found = json.loads(rrg("data", "cache", "--json").out)
    assert found["folder"] == str(place)
    assert [(room["size"], room["images"]) for room in found["rooms"]] == [(SIZE, 5)]
    assert "Nothing is kept there" in rrg("data", "cache", "--clear").out
    assert not kept(place)
    assert json.loads(rrg("data", "cache", "--clear", "--json").out)["removed"] == 0


def test_the_command_leaves_what_is_in_use(
    rrg: Callable[..., Any], place: Path, pictures: list[Path]
) -> None:
    cache = make_cache(place)
    check(cache, pictures)
    said = rrg("data", "cache", "--clear").out
    assert "0.0 MB removed" in said
    assert "A process uses what is left" in said
    check(cache, pictures)


def test_the_command_has_nothing_to_say_where_there_is_no_cache(
    rrg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRG_CACHE", "off")
    answer = rrg("data", "cache")
    assert (answer.code, answer.out) == (2, "")
    assert "RRG_CACHE is off" in answer.err
