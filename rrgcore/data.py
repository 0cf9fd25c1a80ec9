"""From studies to batches: annotations, images read once, one generator a study, loaders.

Nothing here depends on the order in which studies come, on the batch they fall into, or on how many
processes and threads load them.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from itertools import islice
from threading import Lock
from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from rrgcore.augment import Change, draw_change
from rrgcore.errors import DataError
from rrgcore.images import resize
from rrgcore.images.disk_cache import DiskCache, Found
from rrgcore.images.pixels import normalise
from rrgcore.interfaces import Prepares
from rrgcore.settings import AugmentSettings
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset
from rrgcore.tokens import Tokenizer
from rrgcore.types import Batch, Tokens, pad_sequences

CACHE_BYTES = 2 << 30
"""What is held in memory: 40,000 images of 224 × 224."""
NOTHING: Mapping[Any, Any] = MappingProxyType({})


def study_rng(seed: int, epoch: int, study: str, slot: str) -> np.random.Generator:
    """Make the generator of one study in one epoch for one component: the same on every machine."""
    address = f"{seed}\0{epoch}\0{study}\0{slot}".encode()
    key = blake2b(address, digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))


def truncated(studies: Sequence[Study], tokenizer: Tokenizer, max_tokens: int) -> int:
    """Count the reports that training would cut."""
    return sum(
        len(tokenizer.encode(study.report)) > max_tokens
        for study in studies
        if study.report is not None
    )


@final
class ImageCache:
    """Images of one dataset at one size, each opened and resized once while there is room.

    Image files are decoded into a cache on `disk`, where there is one, which other processes and
    runs use too. What it has no room for, and what is no image file, is held in memory, at most
    `max_bytes`. The rest is read again each time: an epoch visits every image once, so evicting
    one for another would gain nothing.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        size: int,
        max_bytes: int = CACHE_BYTES,
        disk: DiskCache | None = None,
    ) -> None:
        self.dataset = dataset
        self.size = size
        self._disk = disk
        self._on_disk: dict[ImageRef, int] = {}
        """Where images are that this process has looked at; it does not ask again."""
        self._images: dict[ImageRef, UInt8[np.ndarray, "h w"]] = {}
        self._room = max_bytes // size**2
        self._lock = Lock()

    def __getitem__(self, image: ImageRef) -> UInt8[np.ndarray, "h w"]:
        """Return an image, `[size size]`, to be read only; raises the dataset's DataError."""
        if self._disk is not None and (at := self._on_disk.get(image)) is not None:
            return self._disk[at]
        if (known := self._images.get(image)) is not None:
            return known
        at, read = self._read(image)
        with self._lock:
            if at is not None:
                self._on_disk[image] = at
            elif len(self._images) < self._room:
                self._images[image] = read
        return read

    def _read(self, image: ImageRef) -> Found:
        if self._disk is not None and (path := self.dataset.file_of(image)) is not None:
            return self._disk.read(path)
        return Found(None, resize(self.dataset.open(image), self.size))


@final
class Collator:
    """Makes batches of studies: pixels, tokens, and what each component prepares.

    Without a `text_tokenizer`, or with the decoder's own, a batch's text is its report. With
    `augment`, which is for training, images are varied, and studies with them.
    """

    def __init__(
        self,
        *,
        images: ImageCache,
        mean: Sequence[float],
        std: Sequence[float],
        report_tokenizer: Tokenizer,
        text_tokenizer: Tokenizer | None = None,
        max_report_tokens: int,
        prepares: Mapping[str, Prepares[Any]] = NOTHING,
        seed: int = 0,
        augment: AugmentSettings | None = None,
    ) -> None:
        self.images = images
        self.mean, self.std = mean, std
        self.prepares = prepares
        self.seed = seed
        self.augment = augment
        self._report = _Encoder(report_tokenizer, max_report_tokens)
        self._text = (
            self._report
            if text_tokenizer is None or text_tokenizer is report_tokenizer
            else _Encoder(text_tokenizer, max_report_tokens)
        )

    def __call__(self, studies: Sequence[Study], *, epoch: int = 0) -> Batch:
        """Make one batch; a study without a report, one to be predicted, has an empty one."""
        changes = self._changes(studies, epoch)
        images, present = self._pixels(studies, changes)
        studies = [
            study if change is None else change.study(study)
            for study, change in zip(studies, changes, strict=True)
        ]
        report = self._report.tokens(studies)
        return Batch(
            ids=tuple(study.id for study in studies),
            images=images,
            present=present,
            report=report,
            text=report if self._text is self._report else self._text.tokens(studies),
            prepared={
                slot: component.prepare(
                    studies, [study_rng(self.seed, epoch, study.id, slot) for study in studies]
                )
                for slot, component in self.prepares.items()
            },
        )

    def _changes(self, studies: Sequence[Study], epoch: int) -> list[Change | None]:
        if self.augment is None:
            return [None] * len(studies)
        return [
            draw_change(self.augment, study, study_rng(self.seed, epoch, study.id, "augment"))
            for study in studies
        ]

    def _pixels(
        self, studies: Sequence[Study], changes: Sequence[Change | None]
    ) -> tuple[Float[Tensor, "b v 3 h w"], Bool[Tensor, "b v"]]:
        for study in studies:
            if not study.images:
                raise DataError(f"study '{study.id}' has no image")
        views = max(len(study.images) for study in studies)
        present = torch.tensor(
            [[view < len(study.images) for view in range(views)] for study in studies]
        )
        grey = np.stack(
            [
                self._open(study, number, change)
                for study, change in zip(studies, changes, strict=True)
                for number in range(len(study.images))
            ]
        )
        pixels = normalise(torch.from_numpy(grey), self.mean, self.std)
        if present.all():
            return rearrange(pixels, "(b v) c h w -> b v c h w", v=views), present
        images = pixels.new_zeros(*present.shape, *pixels.shape[1:])
        images[present] = pixels
        return images, present

    def _open(self, study: Study, number: int, change: Change | None) -> UInt8[np.ndarray, "h w"]:
        try:
            read = self.images[study.images[number]]
        except DataError as error:  # which knows the file, and not whose it is
            raise DataError(f"study '{study.id}': {error}") from error
        return read if change is None else change.image(read, study, number)


@final
class Loader:
    """The batches of a split, epoch by epoch; one rank's share of them.

    In training, studies are shuffled anew each epoch, the same way on every rank, and each rank
    gets equally many, the remainder left out: ranks that disagree about the number of steps wait
    for each other forever. In evaluation studies keep their order, none is left out and none comes
    twice, so that shares may differ by one study.

    With `workers`, that many threads make batches ahead (decoding and resizing let go of Python's
    lock); the batches are the same.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        collate: Collator,
        *,
        batch_size: int,
        training: bool,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        self.studies = studies
        self.collate = collate
        self.batch_size = batch_size
        self.training = training
        self.drop_last = drop_last
        self.rank, self.world = rank, world
        self.workers = workers
        if training and not len(self):
            needed = world * (batch_size if drop_last else 1)
            raise DataError(
                f"{len(studies)} studies to train on make no batch; expected at least {needed} "
                f"({world} processes, batches of {batch_size})"
            )

    def __len__(self) -> int:
        """Count the batches of an epoch on this rank."""
        share = len(range(self.rank, len(self.studies), self.world))
        if self.training:
            share = len(self.studies) // self.world
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def epoch(self, number: int = 0, *, skip: int = 0) -> Iterator[Batch]:
        """Iterate over an epoch's batches, the first `skip` left out without being made."""
        order = self._order(number)
        starts = range(skip * self.batch_size, len(self) * self.batch_size, self.batch_size)
        rows = ([self.studies[i] for i in order[at : at + self.batch_size]] for at in starts)
        if not self.workers:
            yield from (self.collate(studies, epoch=number) for studies in rows)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="rrg-loader") as pool:
            jobs = (pool.submit(self.collate, studies, epoch=number) for studies in rows)
            ahead: deque[Future[Batch]] = deque(islice(jobs, self.workers + 1))
            try:
                while ahead:
                    yield ahead.popleft().result()
                    ahead.extend(islice(jobs, 1))
            finally:
                for job in ahead:
                    job.cancel()

    def _order(self, epoch: int) -> Sequence[int]:
        if not self.training:
            return range(self.rank, len(self.studies), self.world)
        order = study_rng(self.collate.seed, epoch, "", "order").permutation(len(self.studies))
        share = len(self.studies) // self.world
        # the processes' batches side by side are the batch that one process alone would have
        starts = range(0, share, self.batch_size)
        own: list[int] = []
        for start in starts:
            rows = min(self.batch_size, share - start)
            first = start * self.world + self.rank * rows
            own += [int(i) for i in order[first : first + rows]]
        return own


@final
class _Encoder:
    """Token ids of reports, each computed once."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        # four bytes a token: a list of Python's own numbers takes up to forty, a gigabyte of
        # MIMIC-CXR's reports
        self._ids: dict[str, Sequence[int]] = {}

    def tokens(self, studies: Sequence[Study]) -> Tokens:
        rows = [self._encode(study.report or "") for study in studies]
        mask = pad_sequences([[1] * len(row) for row in rows], 0).bool()
        return Tokens(pad_sequences(rows, self.tokenizer.pad_id), mask)

    def _encode(self, report: str) -> Sequence[int]:
        if report not in self._ids:
            ids = self.tokenizer.encode(report, max_tokens=self.max_tokens)
            self._ids[report] = array("i", ids)
        return self._ids[report]
