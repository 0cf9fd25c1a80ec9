"""What images cost from the second epoch on: from our cache, beside Pillow and torchvision.

Radiographs of 1,024 pixels, PNG, become batches of 224 pixels as a model wants them. The other
side is what one writes without rrg: a torch DataLoader over files that Pillow opens and
torchvision's transforms resize and normalise, in grey until the last step, which is the quicker
way; through RGB, as R2Gen has it, is told too. Both make the same batches.
"""

import os
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rows import at_least, tell
from stopwatch import medians
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from rrgcore import data
from rrgcore.images import read_image
from rrgcore.images.cache_keys import KEY
from rrgcore.images.disk_cache import DiskCache, open_disk_cache
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset as OurDataset
from rrgcore.tokens import WordTokenizer

IMAGES, PIXELS, SIZE, BATCH = 96, 1024, 224, 16
INDEXED, INDEXED_SIZE = 5_000, 16
WORKERS = (0, 2)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(OurDataset):
    """Image files, a study each."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def studies(self, split: str) -> Sequence[Study]:
        return [Study(p.name, (ImageRef(str(p)),), ("frontal",), "clear .") for p in self.paths]

    def open(self, image: ImageRef) -> np.ndarray:
        return read_image(image.where)

    def file_of(self, image: ImageRef) -> Path:
        return Path(image.where)


class Transformed(Dataset[Tensor]):
    """The same files as torchvision reads them."""

    def __init__(self, paths: Sequence[Path], mode: str) -> None:
        self.paths = paths
        self.mode = mode
        self.transform = transforms.Compose(
            [
                transforms.Resize((SIZE, SIZE)),
                transforms.ToTensor(),
                transforms.Lambda(lambda image: image.expand(3, -1, -1)),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert(self.mode))


def make_radiographs(folder: Path) -> list[Path]:
    """Write pictures that PNG makes as small as it makes radiographs: slopes, edges, and noise."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[0:PIXELS, 0:PIXELS] / PIXELS
    paths = []
    for number in range(IMAGES):
        (y, x), (height, width) = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.3, 2)
        lung = ((down - y) / height) ** 2 + ((across - x) / width) ** 2 < 1
        grey = 60 + 120 * down + 30 * np.cos(9 * across) - 70 * lung
        grey += rng.normal(0, 4, grey.shape)
        path = folder / f"{number}.png"
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def make_loader(paths: Sequence[Path], *, workers: int, gigabytes: float) -> data.Loader:
    """Make our own loader, as `data.workers` and `data.cache` say."""
    dataset = Files(paths)
    disk = open_disk_cache(gigabytes, size=SIZE)
    assert (disk is not None) == bool(gigabytes), "RRG_CACHE says where"
    collate = data.Collator(
        # nothing is held in memory: what is measured is the file that is mapped
        images=data.ImageCache(dataset, size=SIZE, max_bytes=0, disk=disk),
        mean=MEAN,
        std=STD,
        report_tokenizer=WordTokenizer.of_texts(["clear ."]),
        max_report_tokens=10,
    )
    studies = dataset.studies("train")
    return data.Loader(studies, collate, batch_size=BATCH, training=False, workers=workers)


def run_through(batches: Iterable[object]) -> None:
    """Take an epoch's batches."""
    assert sum(1 for _ in batches) == IMAGES // BATCH


def index_bytes() -> float:
    """Return the bytes of memory that a process takes for each image that is kept."""
    with tempfile.TemporaryDirectory() as folder:
        keeping, keys = DiskCache(Path(folder), size=INDEXED_SIZE, limit=1 << 30, note=print), []
        for number in range(INDEXED):
            keys = [blake2b(f"{what} {number}".encode(), digest_size=KEY).digest() for what in "ab"]
            keeping._keep(*keys, np.zeros((INDEXED_SIZE, INDEXED_SIZE), np.uint8))
        tracemalloc.start()
        finding = DiskCache(Path(folder), size=INDEXED_SIZE, limit=1 << 30, note=print)
        assert finding._find(keys[0]) is not None, "every image is there"
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return taken / INDEXED


def main() -> None:
    torch.set_num_threads(1)  # as in the processes of a DataLoader
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RRG_CACHE"] = str(Path(folder) / "cache")
        paths = make_radiographs(Path(folder))
        time.sleep(2)  # a file that has just changed is hashed again
        first = medians(
            {
                "off": partial(run_through, make_loader(paths, workers=0, gigabytes=0).epoch()),
                "filling": partial(run_through, make_loader(paths, workers=0, gigabytes=1).epoch()),
            },
            rounds=1,
            uncounted=0,
        )
        figures, rows = [], []
        for workers in WORKERS:
            ours = make_loader(paths, workers=workers, gigabytes=1)
            options = {"batch_size": BATCH, "num_workers": workers}
            options["persistent_workers"] = workers > 0
            grey, colour = (
                DataLoader(Transformed(paths, mode), **options) for mode in ("L", "RGB")
            )
            for own, other in zip(ours.epoch(), grey, strict=True):
                torch.testing.assert_close(own.images[:, 0], other, rtol=0, atol=1e-5)
            seconds = medians(
                {
                    "ours": lambda ours=ours: run_through(ours.epoch()),
                    "grey": partial(run_through, grey),
                    "colour": partial(run_through, colour),
                },
                rounds=5,
            )
            own = seconds["ours"]
            rows.append(
                at_least(
                    f"image loading, second epoch, from {PIXELS:,}-pixel PNG, {workers} workers",
                    "Pillow and torchvision transforms in a DataLoader with the same workers",
                    10,
                    seconds["grey"] / own,
                    f"{1000 * own / IMAGES:.2f} ms an image; {seconds['colour'] / own:.0f} × "
                    "through RGB",
                )
            )
            figures.append(
                f"with {workers} workers {seconds['grey'] / own:.0f} × as many images a second as "
                f"through torchvision ({1000 * own / IMAGES:.2f} and "
                f"{1000 * seconds['grey'] / IMAGES:.1f} ms an image), "
                f"{seconds['colour'] / own:.0f} × through RGB"
            )
        kibibytes = sum(path.stat().st_size for path in paths) / IMAGES / 1024
    tell(
        f"images: {'; '.join(figures)}; {PIXELS} pixels, PNG of {kibibytes:.0f} KiB, to {SIZE}, "
        f"second epoch; the first takes {first['filling'] / first['off']:.2f} × as long as without "
        f"a cache; {index_bytes():.0f} bytes of memory an image",
        rows,
    )


if __name__ == "__main__":
    main()
