"""The contract of a figure: it refuses with a reason, or draws the same numbers each time."""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from rrgcore.data import Collator, ImageCache, Loader
from rrgcore.errors import DataError
from rrgcore.insight.figure import Drawn, Figure
from rrgcore.insight.opened import OpenRun
from rrgcore.interfaces import Prepares
from rrgcore.model import ReportModel
from rrgcore.study import Study
from rrgcore.testing.fake_data import FakeDataset
from rrgcore.testing.samples import HALF
from rrgcore.testing.subject import Subject
from rrgcore.types import Generation

LONGEST = 24


def check_figure(s: Subject) -> None:
    """Check what it says of itself, and what it draws of a run of fakes, or why it does not."""
    figure: Figure = s.build()
    s.expect(
        isinstance(getattr(figure, "shows", None), str) and bool(figure.shows.strip()),
        "says in `shows` no paper's figure that it is after",
    )
    first = _drawn(s, figure)
    if first is None:
        return
    s.expect(bool(first), "can draw the run, and draws no picture")
    names = [drawn.name for drawn in first]
    s.expect(len(set(names)) == len(names), f"draws two pictures of one name: {names}")
    for drawn in first:
        _check_drawn(s, drawn)
    again = _drawn(s, s.build())
    s.expect(
        [drawn.numbers for drawn in first] == [drawn.numbers for drawn in again or ()],
        "its numbers are others the second time: chance comes from `OpenRun.rng` alone",
    )


def _drawn(s: Subject, figure: Figure) -> list[Drawn] | None:
    """Draw a fresh run of fakes; None where the figure refuses it."""
    run = _open(s)
    with s.trying("why_not"):
        reason = figure.why_not(run)
    if reason is not None:
        s.expect(
            isinstance(reason, str) and bool(reason.strip()),
            f"why_not returns {reason!r}; expected a sentence, or None",
        )
        return None
    with s.trying("draw"):
        return list(figure.draw(run))


def _check_drawn(s: Subject, drawn: Any) -> None:
    s.expect(isinstance(drawn, Drawn), f"draws a {type(drawn).__name__}; expected a Drawn")
    s.expect(len(drawn.caption.split()) > 3, f"the caption {drawn.caption!r} says too little")
    try:
        json.dumps(drawn.numbers, allow_nan=False)
    except (TypeError, ValueError) as error:
        s.refuse_from(error, f"its numbers cannot be written as JSON: {error}")
    with s.trying("savefig of its picture"):
        drawn.picture.savefig(BytesIO(), format="png")


def _open(s: Subject) -> OpenRun:
    """Open a run of fakes, without objectives."""
    model = ReportModel(parts=s.parts, objectives={}).eval()
    dataset = FakeDataset(studies=s.studies)
    adapter: Any = s.parts.adapter
    collate = Collator(
        images=ImageCache(dataset, size=s.wired("image_size")),
        mean=HALF,
        std=HALF,
        report_tokenizer=s.parts.decoder.tokenizer,
        max_report_tokens=LONGEST,
        prepares={"adapter": adapter} if isinstance(adapter, Prepares) else {},
    )

    def know(split: str, studies: Sequence[Study], kinds: Sequence[type]) -> Sequence[Study]:
        for kind in kinds:
            if any(kind not in study.annotations for study in studies):
                raise DataError(f"the samples have no {kind.__name__}")
        return studies

    return OpenRun(
        registry=s.registry,
        fill=lambda stage: model,
        load=lambda model, split, objectives: Loader(
            s.studies, collate, batch_size=2, training=False
        ),
        listed=lambda split: s.studies,
        references=lambda split: {study.id: study.report or "" for study in s.studies},
        know=know,
        dataset=dataset,
        trained={},
        generation=Generation(beams=1, max_new_tokens=6),
        max_report_tokens=LONGEST,
        ids=[study.id for study in s.studies[:2]],
    )
