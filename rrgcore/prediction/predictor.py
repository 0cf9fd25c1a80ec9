"""A run's model, writing reports for whatever it is shown."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final, final

import numpy as np
from accelerate import Accelerator
from jaxtyping import Shaped, UInt8
from PIL import Image

from rrgcore.chest import View
from rrgcore.errors import DataError, RunError, printable
from rrgcore.faults.telling import writing
from rrgcore.folder import RunFolder
from rrgcore.images.grey import check_size
from rrgcore.images.reading import decode_image, load_bytes
from rrgcore.insight.attending import Attended, attend_writing
from rrgcore.interfaces import Lacks
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.prediction.inputs import Request
from rrgcore.prediction.judge import load_judge
from rrgcore.prediction.notices import Notice, notices_of
from rrgcore.prediction.words import words_of
from rrgcore.prediction.written import Origin, Written
from rrgcore.studies import Studies
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.types import Batch, Generated

READERS: Final = 2
"""Threads that read the files of the next batch while a report is written."""

Grey = UInt8[np.ndarray, "_h _w"]
Array = Shaped[np.ndarray, "..."]
"""What somebody takes for an image."""


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """A request with its images, or why they cannot be read."""

    request: Request
    images: Sequence[Grey] = ()
    digests: tuple[str, ...] = ()
    """Of the files that they were read from."""
    error: str | None = None


@final
class Predictor:
    """Writes reports with the best checkpoint of a run, and says what is to be thought of each.

    It needs nothing but the run folder. Threads may share it: one at a time is served. Raises
    RunError where the run is not as it was saved, or is an oracle's.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        model: ReportModel,
        folder: RunFolder,
        origin: Origin,
        accelerator: Accelerator,
        trusted: bool = False,
    ) -> None:
        if plan.data.oracle:
            raise RunError(
                f"{folder.path} is an oracle's run: its model reads what a report says, and a new "
                "image has none. Train one without data.oracle"
            )
        self.origin = origin
        self.judge = load_judge(folder)
        self.batch_size = plan.evaluation.batch_size or plan.data.batch_size
        self._plan = plan
        self._model = model.eval()
        self._accelerator = accelerator
        self._pictures = Pictures()
        self._turn = Lock()
        """Whose images `_pictures` holds: two callers may call theirs by the same name."""
        alone = replace(plan, data=replace(plan.data, limit=None, splits={}, cache=False))
        self._studies = Studies(
            alone,
            self._pictures,
            device=str(accelerator.device),
            kept=folder.given,
            hold=0,
            trusted=trusted,
        )
        self._studies.knowledge.keep_in(folder.artefacts, writes=False)

    def batches(self, requests: Sequence[Request]) -> Iterator[list[Written]]:
        """Yield what was written for the requests, in order, some at a time. A request whose images
        cannot be read gets its error, and the others their reports.
        """
        size = self.batch_size
        at_once = [requests[at : at + size] for at in range(0, len(requests), size)]
        for shown in _ahead(at_once):
            yield self._write(shown)

    def predict_image(self, image: bytes | Array, *, id: str = "image") -> Written:
        """Write a report for one image: the bytes of a file of any format that is read, or pixels
        of 8 bits, grey or RGB. Nothing is written to a disk. Raises DataError for what is no image.
        """
        views: tuple[View, ...] = ("unknown",)
        request = Request(id, (Path(id),), views)
        [written] = self._write([Shown(request, [_grey(image, id)])])
        return replace(written, images=())

    def attend(
        self, images: Sequence[Grey], *, id: str = "study"
    ) -> tuple[Written, Attended | str]:
        """Write a report for the images of one study, and say where the decoder looked for each of
        its words; or, as a sentence, why it cannot tell. Nothing is written to a disk.
        """
        places = tuple(Path(f"{id}/{number}") for number in range(len(images)))
        views: list[View] = ["unknown"] * len(images)
        request = Request(id, places, tuple(views))
        with self._turn, self._pictures.showing([Shown(request, images)]):
            study = self._pictures.study(request)
            batch, [report] = self._generate([study])
            written = replace(self._judged(study, report), images=())
            try:
                with writing(self._plan), self._accelerator.autocast():
                    [attended] = attend_writing(self._model, batch, [report.ids])
            except Lacks as error:
                return written, f"this run's decoder ({self._plan.decoder.name}) {error}"
        if attended.words != tuple(word for word, _ in written.words):
            return written, "the tokens that were written do not spell the report's words"
        return written, attended

    def _write(self, shown: Sequence[Shown]) -> list[Written]:
        found: dict[str, Written] = {}
        studies: list[Study] = []
        with self._turn, self._pictures.showing(shown):
            for each in shown:
                if each.error is not None:
                    found[each.request.id] = Written.failed(each.request.id, each.error)
                else:
                    studies.append(self._pictures.study(each.request))
            if studies:
                _, reports = self._generate(studies)
                for study, report in zip(studies, reports, strict=True):
                    found[study.id] = self._judged(study, report)
        return [replace(found[each.request.id], digests=each.digests) for each in shown]

    def _generate(self, studies: Sequence[Study]) -> tuple[Batch, Sequence[Generated]]:
        with writing(self._plan):
            batch = self._studies.batch_of(self._model, studies)
            batch = batch.to(self._accelerator.device)
            with self._accelerator.autocast():
                return batch, self._model.generate(batch, self._plan.generation)

    def _judged(self, study: Study, report: Generated) -> Written:
        tokenizer = self._model.parts.decoder.tokenizer
        notices = self.judge.look([self._studies.look(image) for image in study.images])
        notices += notices_of(report.text)
        generation = self._plan.generation
        if len(report.ids) >= generation.max_new_tokens and tokenizer.sep_id != report.ids[-1]:
            text = f"the report was cut after {generation.max_new_tokens} tokens"
            notices.append(Notice("cut", text))
        return Written(
            study.id,
            report.text,
            float(np.mean(report.logprobs)) if report.logprobs else 0.0,
            words=words_of(report, tokenizer),
            confidence=self.judge.believe(report.logprobs),
            warnings=tuple(notices),
            images=tuple(printable(image.where) for image in study.images),
        )


@final
class Pictures(Dataset):
    """Images that were read already, each study known by nothing else."""

    def __init__(self) -> None:
        self._images: dict[ImageRef, Grey] = {}

    @contextmanager
    def showing(self, shown: Sequence[Shown]) -> Iterator[None]:
        """Hold these images."""
        for each in shown:
            if each.error is None:
                self._images |= dict(zip(_refs(each.request), each.images, strict=True))
        try:
            yield
        finally:
            self._images.clear()

    def study(self, request: Request) -> Study:
        """Return a request as a study."""
        return Study(request.id, tuple(_refs(request)), request.views)

    def studies(self, split: str) -> Sequence[Study]:
        """List none: they are shown, and in no split."""
        return ()

    def open(self, image: ImageRef) -> Grey:
        """Return an image that is shown."""
        return self._images[image]


def _refs(request: Request) -> list[ImageRef]:
    return [ImageRef(str(path)) for path in request.images]


def _read(request: Request) -> Shown:
    """Read the images of a request; all of them are needed."""
    if request.problem is not None:
        return Shown(request, error=request.problem)
    images, digests = [], []
    for path in request.images:
        try:
            data = load_bytes(path)
            images.append(decode_image(data, name=str(path)))
        except DataError as error:
            return Shown(request, error=str(error))
        except MemoryError:
            return Shown(request, error=f"image {path}: does not fit into this machine's memory")
        digests.append(sha256(data).hexdigest())
    return Shown(request, images, tuple(digests))


def _ahead(batches: Sequence[Sequence[Request]]) -> Iterator[list[Shown]]:
    """Read batches of requests, the next one while the one before is used."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="rrg-predict") as pool:
        jobs = ([pool.submit(_read, request) for request in batch] for batch in batches)
        waiting: deque[list[Future[Shown]]] = deque(islice(jobs, 2))
        try:
            while waiting:
                yield [job.result() for job in waiting.popleft()]
                waiting.extend(islice(jobs, 1))
        finally:
            for job in (job for batch in waiting for job in batch):
                job.cancel()


def _grey(image: bytes | Array, name: str) -> Grey:
    if isinstance(image, bytes):
        return decode_image(image, name=name)
    shape = image.shape
    if image.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
        raise DataError(
            f"image {name}: an array of {image.dtype}, {' × '.join(map(str, shape))}; expected "
            "uint8, as rrgcore.read_image gives it: h × w, or h × w × 3 or 4 for colour. Values of "
            "more bits need a window: give the bytes of the file, PNG, TIFF or DICOM"
        )
    check_size((shape[1], shape[0]), name)
    if len(shape) == 2:
        return np.ascontiguousarray(image)
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("RGB").convert("L"))
