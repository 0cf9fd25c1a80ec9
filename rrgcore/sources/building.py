"""A data set from an archive as it is downloaded: read as a stream, written in R2Gen's layout.

Images are converted by a few threads, a study each, and rows are written in the archive's order.
What is held in memory are ids and the studies on their way. Work is done in a folder beside the
one that was asked for, which an interrupted build goes on in, and which takes the name at the end.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from PIL import Image

from rrgcore.annotations import Annotation
from rrgcore.cleaning import is_empty
from rrgcore.disk import refusal, writing
from rrgcore.errors import DataError, UserError
from rrgcore.layout import (
    IMAGES,
    LayoutWriter,
    Written,
    check_free,
    check_readable,
    folder_name,
    shrink,
)
from rrgcore.settings import Split
from rrgcore.sources.partial import Journal, finish, held, is_whole, partial_folder, prune
from rrgcore.sources.record import Order, identity, nothing_left, write_records
from rrgcore.sources.source import Ledger, Source
from rrgcore.study import Study

R = TypeVar("R")
Progress = Callable[[int, int | None], None]
Resumed = Callable[[Path, int], None]
"""Told which folder is gone on with, and how many images are in it."""
Found = tuple[Split, Study]


@final
@dataclass(frozen=True, slots=True)
class Built:
    """What was written, and what was not."""

    written: Written
    ledger: Ledger


def build_dataset(
    source: Source,
    folder: str | Path,
    order: Order,
    *,
    skip_bad: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    resumed: Resumed | None = None,
) -> Built:
    """Write the studies of a source into a new folder, which appears whole or not at all.

    Beside R2Gen's layout it gets `build.json`, what it was made of and how, and `left_out.jsonl`,
    a line for everything that is not in it. Raises DataError for something bad unless `skip_bad`,
    and where no study is left; UserError for a folder that cannot be written, or that holds a
    build which was begun otherwise.
    """
    folder = Path(folder).expanduser()
    ledger = Ledger(skip_bad=skip_bad)
    images = _linked(source, order) if order.link else None
    try:
        check_free(folder)
        beside = partial_folder(folder)
        with held(beside, identity(source, order)):
            if images is not None:
                (beside / IMAGES).unlink(missing_ok=True)
                (beside / IMAGES).symlink_to(images.resolve(), target_is_directory=True)
            build = _Build(source, beside, order, ledger, progress, resumed)
            with LayoutWriter(beside) as layout:
                build.write(layout, workers or available_cpus())
                written = layout.finish(keep_partial=True)
            if not written.images:
                shutil.rmtree(beside)
                raise DataError(nothing_left(order, ledger))
            if not order.link:
                prune(beside / IMAGES, build.kept)
            write_records(beside, source, order, written, ledger)
            finish(beside, folder)
    except OSError as error:
        if (refused := refusal(error, partial_folder(folder))) is not None:
            raise refused from error
        raise UserError(f"{folder} cannot be written ({error}); name another folder") from error
    return Built(written, ledger)


def available_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---- the stream -----------------------------------------------------------------------------


@final
class _Build:
    """One pass over a source."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        order: Order,
        ledger: Ledger,
        progress: Progress | None,
        resumed: Resumed | None,
    ) -> None:
        self.source = source
        self.folder = folder
        self.order = order
        self.ledger = ledger
        self.progress = progress
        self.resumed = resumed
        self.kept: dict[str, int] = {}
        """Folder of a study to the number of its images; of studies that are dropped, 0."""
        self._converted = Journal(folder)

    def write(self, layout: LayoutWriter, workers: int) -> None:
        """Write every study of the source that is whole."""
        total, done = self.source.total(), 0
        with self._converted, _pool(workers) as pool:
            if self.resumed is not None and len(self._converted):
                self.resumed(self.folder, len(self._converted))
            for split, study, result in _in_order(self._wanted(), pool, self._images, 2 * workers):
                if (paths := self._settled(study, result)) is not None:
                    kinds = study.annotations.values()
                    layout.add(split, study, paths, [a for a in kinds if isinstance(a, Annotation)])
                done += 1
                if self.progress is not None:
                    self.progress(done, total)
        if self.progress is not None:
            self.progress(done, done)

    def _wanted(self) -> Iterator[Found]:
        """Iterate over the studies that the layout has a place for."""
        for split, study in _readable(self.source.read(self.ledger), self.order.source):
            name = folder_name(study.id)
            if name in self.kept:
                self.ledger.refuse(study.id, "is there twice; an id belongs to one study")
            elif is_empty(study.report or ""):
                self.ledger.leave_out(study.id, "its report is empty")
            elif not study.images:
                self.ledger.leave_out(study.id, "no image")
            else:
                self.kept[name] = len(study.images)
                yield split, study

    def _images(self, study: Study) -> list[str]:
        """Return where a study's images are, below the folder of images; in a thread."""
        if self.order.link:
            return [_plain_file(image.where) for image in study.images]
        name = folder_name(study.id)
        paths = [f"{name}/{number}.png" for number in range(len(study.images))]
        (self.folder / IMAGES / name).mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, study.images, strict=True):
            target = self.folder / IMAGES / path
            if self._converted.has(path, image.where) and is_whole(target):
                continue
            pixels = shrink(self.source.open(image), self.order.size)
            check_readable(pixels, image.where)
            written = target.with_name(f".{target.name}.writing")
            with writing(target):
                Image.fromarray(pixels).save(written, format="PNG")
                os.replace(written, target)
        return paths

    def _settled(self, study: Study, result: "Future[list[str]]") -> list[str] | None:
        """Return where the images are, or None for a study that is dropped over one."""
        try:
            paths = result.result()
        except DataError as error:
            name = folder_name(study.id)
            self.kept[name] = 0
            self.ledger.refuse(study.id, str(error))
            if not self.order.link:  # the originals are nobody's to remove
                shutil.rmtree(self.folder / IMAGES / name, ignore_errors=True)
            return None
        if not self.order.link:
            for path, image in zip(paths, study.images, strict=True):
                self._converted.add(path, image.where)
        return paths


def _readable(studies: Iterator[Found], name: str) -> Iterator[Found]:
    """Tell a disk that cannot be read from one that cannot be written."""
    try:
        yield from studies
    except OSError as error:
        raise DataError(f"source {name}: cannot be read ({error})") from error


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool that does not finish what waits in it when something else fails."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    studies: Iterator[Found],
    pool: ThreadPoolExecutor,
    work: Callable[[Study], R],
    most: int,
) -> Iterator[tuple[Split, Study, "Future[R]"]]:
    """Have at most so many studies worked on at a time; yield them in their order."""
    waiting: deque[tuple[Split, Study, Future[R]]] = deque()
    for split, study in studies:
        waiting.append((split, study, pool.submit(work, study)))
        if len(waiting) >= most:
            yield waiting.popleft()
    yield from waiting


# ---- images that stay where they are --------------------------------------------------------


def _linked(source: Source, order: Order) -> Path:
    if (images := source.folder()) is None:
        raise UserError(
            f"--link: the images of {order.source} are not files that other programs read as they "
            "are (DICOM, or members of an archive); build without it"
        )
    return images


def _plain_file(where: str) -> str:
    path = Path(where)
    inside = not path.is_absolute() and ".." not in path.parts
    assert inside, f"{where} is not below the source's folder"
    if path.suffix.lower() in (".dcm", ".dicom"):
        raise DataError(
            f"image {where}: is a DICOM file, which --link cannot hand on; build without it"
        )
    return path.as_posix()
