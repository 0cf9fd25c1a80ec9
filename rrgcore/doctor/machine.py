"""The machine: Python, processors, memory, disks, clock, locale."""

import locale as system_locale
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from rrgcore.disk import size_of
from rrgcore.doctor.finding import Finding
from rrgcore.images.cache_folder import PLACE, SPARE, image_folder
from rrgcore.licences import hub_cache

OLDEST: Final = (3, 11)
LITTLE_MEMORY: Final = 4 * 10**9
LITTLE_DISK: Final = 5 * 10**9
SKEW: Final = 60.0
"""Seconds by which the clock of a disk may differ."""


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    text = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding("Python", "broken", text, f"rrg needs Python {wanted} or later")
    else:
        yield Finding("Python", "ok", text)


def processors() -> Iterator[Finding]:
    """Count the cores that may be used."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores, text = float(allowed or 1), f"{allowed} of {os.cpu_count()} cores"
    if (quota := _quota()) is not None and quota < cores:
        text += f"; the container may use {quota:g} of them"
        cores = quota
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and threads.isdigit() and int(threads) > cores:
        yield Finding(
            "processors",
            "missing",
            f"{text}, and OMP_NUM_THREADS={threads}",
            "more threads than cores slow each other down: "
            f"export OMP_NUM_THREADS={max(1, int(cores))}",
        )
        return
    yield Finding("processors", "ok", text + (f"; OMP_NUM_THREADS={threads}" if threads else ""))


def memory() -> Iterator[Finding]:
    """Look at how much memory there is, and is free."""
    import psutil

    found = psutil.virtual_memory()
    total, free = found.total, found.available
    text = ""
    if (limit := _limit()) is not None and limit < total:
        used = _number(Path("/sys/fs/cgroup/memory.current")) or 0
        total, free, text = limit, min(free, limit - used), " (the container's)"
    text = f"{size_of(free)} of {size_of(total)} free{text}"
    if free < LITTLE_MEMORY:
        remedy = "the recipes on phantoms need 2 GB; make data.batch_size smaller where it is short"
        yield Finding("memory", "missing", text, remedy)
    else:
        yield Finding("memory", "ok", text)


def disks() -> Iterator[Finding]:
    """Look at the disks that runs, decoded images and published weights go to."""
    yield _disk("disk for runs", Path.cwd(), "cd to a folder that you may write, or give --out")
    images = image_folder()
    if images is None:
        said = "off" if os.environ.get(PLACE, "").lower() == "off" else "no place on this system"
        remedy = f"decoded images are kept nowhere; {PLACE} names a folder for them"
        yield Finding("disk for decoded images", "missing", said, remedy)
    else:
        yield _disk("disk for decoded images", images, f"{PLACE} names another folder")
    yield _disk("disk for published weights", hub_cache(), "HF_HOME names another folder")


def clock() -> Iterator[Finding]:
    """Hold the clock against rrg's own files, and against the disk's."""
    now = time.time()
    text = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    own = Path(__file__).stat().st_mtime
    if now < own - SKEW:
        remedy = "rrg was installed later than that: set the clock, by which runs are named"
        yield Finding("clock", "broken", text, remedy)
        return
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        skew = os.stat(file.name).st_mtime - time.time()
        if abs(skew) > SKEW:
            remedy = "the disk's clock differs: runs may be taken for older or newer than they are"
            yield Finding("clock", "missing", f"{text}; this disk is {skew:+.0f} s off", remedy)
            return
    yield Finding("clock", "ok", text)


def locale() -> Iterator[Finding]:
    """Look at how texts are written."""
    encodings = {
        "preferred": system_locale.getpreferredencoding(False),
        "files' names": sys.getfilesystemencoding(),
        "output": getattr(sys.stdout, "encoding", None) or "utf-8",
    }
    odd = {k: v for k, v in encodings.items() if v.lower().replace("-", "") != "utf8"}
    said = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    if odd:
        found = ", ".join(f"{name}: {value}" for name, value in odd.items())
        remedy = "reports and names may not be printable: export PYTHONUTF8=1, or LANG=C.UTF-8"
        yield Finding("locale", "missing", f"{said} ({found})", remedy)
    else:
        yield Finding("locale", "ok", f"{said}, UTF-8")


def _disk(part: str, folder: Path, otherwise: str) -> Finding:
    """Look at a folder, which need not be there yet: whether it can be written, what is free."""
    whole = folder.absolute()
    there = next(parent for parent in (whole, *whole.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "is a file" if there.is_file() else "may not be written"
        return Finding(part, "broken", f"{there} {what}", otherwise)
    try:  # what permissions allow, a file system that is read-only or full may not
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        return Finding(part, "broken", f"{there}: {error.strerror or error}", otherwise)
    usage = os.statvfs(there) if hasattr(os, "statvfs") else None
    free = usage.f_bavail * usage.f_frsize if usage is not None else None
    if free is None:
        return Finding(part, "ok", str(folder))
    text = f"{folder}: {size_of(free)} free"
    if free < LITTLE_DISK:
        return Finding(
            part, "broken" if free < SPARE // 10 else "missing", text, f"make room; {otherwise}"
        )
    return Finding(part, "ok", text)


def _quota() -> float | None:
    """Return how many processors a container may use."""
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def _limit() -> int | None:
    return _number(Path("/sys/fs/cgroup/memory.max"))


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None
