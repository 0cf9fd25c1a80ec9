"""What check_component tells the author of a source that breaks a promise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgcore.errors import DataError
from rrgcore.plugins import Discovered
from rrgcore.registry import Component, Registry
from rrgcore.settings import Split
from rrgcore.sources import Ledger, Source
from rrgcore.study import ImageRef, Study
from rrgcore.testing import check_component


class Good(Source):
    """Two studies of one patient, read from a folder."""

    layout = "ROOT/anything"

    def __init__(self, *, root: str) -> None:
        if not Path(root).is_dir():
            raise DataError(f"{root} is not there. Expected {self.layout}")

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        for id in ("a", "b"):
            yield "train", Study(id, (ImageRef(id),), ("frontal",), "Clear.", subject="p1")

    def open(self, image: ImageRef) -> np.ndarray:
        return np.zeros((20, 20), dtype=np.uint8)


class Repeats(Good):
    """The same study two times."""

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        for split, study in super().read(ledger):
            yield split, study
            yield split, study


class Leaks(Good):
    """One patient in two splits."""

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        for (_, study), split in zip(super().read(ledger), ("train", "test"), strict=True):
            yield split, study


class Renames(Good):
    """A split by another name."""

    def read(self, ledger: Ledger) -> Iterator[tuple[Any, Study]]:
        for _, study in super().read(ledger):
            yield "validate", study


class Silent(Good):
    """Studies without a report."""

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        yield "train", Study("a", (ImageRef("a"),), ("frontal",), " .")


class Empty(Good):
    """Nothing at all."""

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        return iter(())


class Forgets(Good):
    """Fewer studies the second time."""

    built = 0

    def __init__(self, *, root: str) -> None:
        super().__init__(root=root)
        Forgets.built += 1

    def read(self, ledger: Ledger) -> Iterator[tuple[Split, Study]]:
        return (item for n, item in enumerate(super().read(ledger)) if n + Forgets.built < 3)


class Miscounts(Good):
    """A total below what is read."""

    def total(self) -> int:
        return 1


class Points(Good):
    """A folder in which the images are not."""

    def folder(self) -> Path:
        return Path(__file__).parent


class Coloured(Good):
    """Images of three channels."""

    def open(self, image: ImageRef) -> np.ndarray:
        return np.zeros((8, 8, 3), dtype=np.uint8)


class Lenient(Good):
    """A folder that is not there will do."""

    def __init__(self, *, root: str) -> None:
        pass


class Terse(Good):
    """A folder that is not there is refused without a layout."""

    def __init__(self, *, root: str) -> None:
        if not Path(root).is_dir():
            raise DataError("no")


def check(cls: type, folder: Path) -> None:
    registry = Registry()
    component = Component("source", "mine", f"{__name__}:{cls.__name__}", "one promise")
    registry.add(component, plugin="mine")
    check_component("source", "mine", plugins=Discovered(registry), root=str(folder))


def test_a_source_that_keeps_every_promise_passes(tmp_path: Path) -> None:
    check(Good, tmp_path)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (Repeats, "yields two studies of the same id"),
        (Leaks, "subject 'p1' is in train and in test"),
        (Renames, "yields a study of the split 'validate'"),
        (Silent, "study 'a' has no report"),
        (Empty, "reads no study of the archive at `root`"),
        (Forgets, "reads something else when it is built again"),
        (Miscounts, "total() is 1, and it reads 2"),
        (Points, "there is no file ['a'] below it"),
        (Coloured, "open returns a ndarray of uint8 with shape (8, 8, 3); expected grey"),
        (Lenient, "takes a folder that is not there; raise DataError with the layout"),
        (Terse, "expected the layout"),
    ],
)
def test_a_source_that_breaks_a_promise_is_told_which(
    cls: type, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError) as error:
        check(cls, tmp_path)
    assert str(error.value).startswith("source 'mine': ")
    assert sentence in str(error.value)
