"""The contract of an annotator."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rrgcore.supply import Annotator, Workbench, learns
from rrgcore.testing.fake_data import FakeDataset
from rrgcore.testing.subject import Subject

ANNOTATION = ("slug", "from_json", "to_json")


def check_annotator(s: Subject) -> None:
    """Check that it yields one annotation of its type a study, in order, whoever else is there."""
    writes = getattr(s.cls, "writes", None)
    s.expect(
        isinstance(writes, type) and all(hasattr(writes, name) for name in ANNOTATION),
        f"`writes` is {writes!r}; expected an annotation class: slug, from_json, to_json",
    )
    annotator: Annotator = s.build()
    s = s.reading(annotator.reads)
    bench = Workbench(FakeDataset(studies=s.studies).open)
    with s.keeping_global_randomness("fit and annotate"):
        with s.trying("equip"):
            annotator.equip(bench)
        with s.trying("fit"):
            annotator.fit(s.studies)
        with s.trying("annotate"):
            first, second = list(annotator.annotate(s.studies)), list(annotator.annotate(s.studies))
    s.expect(
        len(first) == len(s.studies),
        f"annotate yields {len(first)} annotations of {len(s.studies)} studies; expected one each",
    )
    for value in first:
        s.expect(
            isinstance(value, annotator.writes),
            f"annotate yields a {type(value).__name__}; `writes` says {annotator.writes.__name__}",
        )
        check_round_trip(s, value)
    s.expect(_json(first) == _json(second), "annotate yields something else the second time")
    backwards = list(annotator.annotate(list(reversed(s.studies))))
    s.expect(
        _json(first) == _json(list(reversed(backwards))),
        "annotate yields something else for the same studies in another order",
    )
    if learns(annotator):
        _check_saved(s, annotator, bench, _json(first))
    if type(annotator).keep_given is not Annotator.keep_given:
        _check_kept(s, annotator, bench, _json(first))
    if not annotator.from_report:
        _check_blind(s, annotator)


def _check_saved(s: Subject, fitted: Annotator, bench: Workbench, expected: list[str]) -> None:
    """Refuse one whose knowledge does not outlive the process: a run that goes on loads it."""
    cls = type(fitted)
    s.expect(
        cls.save is not Annotator.save and cls.load is not Annotator.load,
        "learns (`fit`), and does not say how that is saved: define `save` and `load`",
    )
    again: Annotator = s.build()
    with tempfile.TemporaryDirectory() as folder, s.trying("save and load what it learned"):
        fitted.save(Path(folder))
        again.equip(bench)
        again.load(Path(folder))
    s.expect(
        _json(list(again.annotate(s.studies))) == expected,
        "annotates otherwise after `load` than before `save`",
    )


def _check_kept(s: Subject, giver: Annotator, bench: Workbench, expected: list[str]) -> None:
    """Refuse one that does not find again what a run keeps of what it was given."""
    s.expect(
        type(giver).load_given is not Annotator.load_given,
        "keeps what it was given (`keep_given`), and does not find it again: define `load_given`",
    )
    again: Annotator = s.build()
    with tempfile.TemporaryDirectory() as folder, s.trying("keep and load what it was given"):
        kept, learned = Path(folder, "kept"), Path(folder, "learned")
        kept.mkdir()
        learned.mkdir()
        giver.keep_given(kept)
        if any(kept.iterdir()):
            again.load_given(kept)
        again.equip(bench)
        if learns(giver):
            giver.save(learned)
            again.load(learned)
        found = _json(list(again.annotate(s.studies)))
    s.expect(
        found == expected, "annotates otherwise by what `load_given` finds than by its options"
    )


def _check_blind(s: Subject, annotator: Annotator) -> None:
    """Refuse one that is no use where reports are to be predicted, and does not say so."""
    blind = [
        replace(study, report=None, annotations={k: study[k] for k in annotator.reads})
        for study in s.studies
    ]
    with s.trying("annotate of studies without report (unless it says `from_report`)"):
        found = list(annotator.annotate(blind))
    s.expect(
        len(found) == len(blind) and all(isinstance(each, annotator.writes) for each in found),
        "does not annotate studies without report; say `from_report` if it has to read one",
    )


def check_round_trip(s: Subject, value: Any) -> None:
    """Refuse an annotation that JSON changes: it would not survive a sidecar."""
    kind = type(value)
    with s.trying(f"writing {kind.__name__} to JSON and reading it back"):
        written = json.dumps(value.to_json())
        again = json.dumps(kind.from_json(json.loads(written)).to_json())
    s.expect(written == again, f"a {kind.__name__} written to JSON and read back is another")


def _json(values: Sequence[Any]) -> list[str]:
    return [json.dumps(value.to_json()) for value in values]
