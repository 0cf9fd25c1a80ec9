"""The contract of an annotator."""

import json
from collections.abc import Sequence
from typing import Any

from rrgcore.supply import Annotator
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
    with s.keeping_global_randomness("fit and annotate"):
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


def check_round_trip(s: Subject, value: Any) -> None:
    """Refuse an annotation that JSON changes: it would not survive a sidecar."""
    kind = type(value)
    with s.trying(f"writing {kind.__name__} to JSON and reading it back"):
        written = json.dumps(value.to_json())
        again = json.dumps(kind.from_json(json.loads(written)).to_json())
    s.expect(written == again, f"a {kind.__name__} written to JSON and read back is another")


def _json(values: Sequence[Any]) -> list[str]:
    return [json.dumps(value.to_json()) for value in values]
