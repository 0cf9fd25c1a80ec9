"""The contract of a source: an archive as it is downloaded."""

import json
from collections.abc import Sequence
from pathlib import Path

from rrgcore.annotations import Annotation
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError
from rrgcore.sources import Ledger, Source
from rrgcore.study import Study
from rrgcore.testing.annotators import check_round_trip
from rrgcore.testing.datasets import MOST_IMAGES, SPLITS, check_image, check_study
from rrgcore.testing.subject import Subject

NOWHERE = "no such folder"


def check_source(s: Subject) -> None:
    """Check what it reads of the archive that the option `root` names: a small one, with images."""
    for name, value in (("layout", s.cls.layout), ("cleaning", s.cls.cleaning)):  # type: ignore[attr-defined]
        s.expect(isinstance(value, str) and bool(value.strip()), f"`{name}` is {value!r}")
    source: Source = s.build()
    found = _read(s, source)
    s.expect(bool(found), "reads no study of the archive at `root`; give one that holds some")
    studies = [study for _, study in found]
    ids = [study.id for study in studies]
    s.expect(len(set(ids)) == len(ids), "yields two studies of the same id")
    for split, study in found:
        s.expect(split in SPLITS, f"yields a study of the split {split!r}")
        check_study(s, study)
        s.expect(not is_empty(study.report or ""), f"study '{study.id}' has no report")
        for annotation in study.annotations.values():
            s.expect(
                isinstance(annotation, Annotation), f"study '{study.id}' carries no annotation"
            )
            check_round_trip(s, annotation)
    _check_subjects(s, found)
    other: Source = s.build(seed=1)
    s.expect(_read(s, other) == found, "reads something else when it is built again")
    images = [image for study in studies for image in study.images]
    for image in images[:MOST_IMAGES]:
        check_image(s, source, other, image)
    if (folder := source.folder()) is not None:
        strange = [image.where for image in images if not (folder / image.where).is_file()]
        s.expect(
            not strange, f"`folder()` is {folder}, and there is no file {strange[:1]} below it"
        )
    total = source.total()
    s.expect(total is None or total >= len(found), f"total() is {total}, and it reads {len(found)}")
    _check_fingerprint(s, source)
    _check_absent(s)


def _read(s: Subject, source: Source) -> Sequence[tuple[str, Study]]:
    with s.trying("read"):
        return list(source.read(Ledger()))


def _check_subjects(s: Subject, found: Sequence[tuple[str, Study]]) -> None:
    first: dict[str, str] = {}
    for split, study in found:
        if study.subject is not None:
            other = first.setdefault(study.subject, split)
            s.expect(other == split, f"subject '{study.subject}' is in {other} and in {split}")


def _check_fingerprint(s: Subject, source: Source) -> None:
    with s.trying("fingerprint"):
        written, again = (json.dumps(each.fingerprint()) for each in (source, s.build()))
    s.expect(written == again, "its fingerprint is another one when it is built again")


def _check_absent(s: Subject) -> None:
    """Check that a folder which is not there is refused with the layout that was expected."""
    options = {**s.options, "root": str(Path(str(s.options.get("root", "."))) / NOWHERE)}
    try:
        s.cls(**options)
    except DataError as error:
        first = s.cls.layout.splitlines()[0]  # type: ignore[attr-defined]
        s.expect(first in str(error), f"a folder that is not there: {error}; expected the layout")
        return
    except Exception as error:
        s.refuse_from(error, f"a folder that is not there is a {type(error).__name__}")
    s.refuse("takes a folder that is not there; raise DataError with the layout")
