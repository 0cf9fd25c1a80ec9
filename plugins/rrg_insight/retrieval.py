"""Reports ranked for an image by [MATCH]."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast, final

import torch

from rrg_insight.colours import PHRASES
from rrg_insight.pictures import radiographs, view_panels
from rrg_insight.sheet import Beside, Panels, Stack, Stretch, Text, heading, render
from rrgcore.api import Drawn, Figure, Matches, OpenRun
from rrgcore.insight.matching import both_sides

CANDIDATES, SHOWN = 50, 5


@final
class Retrieval(Figure):
    """A study's image, and the reports of its split that match it best: p = softmax of [MATCH]
    (KIA, §3.3). The study's own report is among 50 candidates, the others drawn.

    KIA, Fig. 10.
    """

    shows: ClassVar[str] = "KIA, Fig. 10"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that nothing scores pairs."""
        return why_no_matches(run)

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study and an objective that scores pairs."""
        names = run.objectives(Matches)
        for name in names:
            for id in run.ids:
                drawn = self._sheet(run, name, id)
                yield drawn if len(names) == 1 else replace(drawn, name=f"{name}-{id}")

    def _sheet(self, run: OpenRun, name: str, id: str) -> Drawn:
        study, own = run.study(id), run.reference(id)
        candidates = self._candidates(run, id)
        odds = match_reports(run, name, id, candidates)
        order = sorted(candidates, key=lambda other: -odds[other])
        same = [other for other in candidates if run.reference(other) == own]
        rank = 1 + sum(odds[other] > odds[id] for other in candidates if other not in same)
        listed = order[:SHOWN] + ([id] if id not in order[:SHOWN] else [])
        blocks: list[Any] = []
        for other in listed:
            _, pieces = both_sides(own, run.reference(other))
            mine = " (the study's own)" if other in same else ""
            title = f"{order.index(other) + 1}. p = {_p(odds[other]):.3f}{mine}: "
            runs = [Stretch(title, bold=True)]
            runs += [
                Stretch(text, ground=None if number is None else PHRASES[0])
                for text, number in pieces
            ]
            blocks.append(Text(runs))
        images = Panels(view_panels(study, radiographs(run, study)), tall=1.7)
        caption = (
            f"The image of {id}, and the reports that match it best of {len(candidates)} of the "
            f"{run.split} split, by [MATCH] (`{name}`, checkpoint of stage {run.trained[name]}). "
            f"Its own report is at rank {rank}. Green: phrases that stand in its own report too."
        )
        picture = render(
            [
                heading(f"{id}: reports found by [MATCH]"),
                Text([Stretch("its own report: ", bold=True), Stretch(own)]),
                Beside(images, Stack(blocks, gap=0.09), width=1.75),
            ],
            caption,
        )
        numbers = {
            "study": id,
            "objective": name,
            "stage": run.trained[name],
            "candidates": len(candidates),
            "rank of its own": rank,
            "found": [
                {"rank": order.index(other) + 1, "study": other, "p": _p(odds[other])}
                for other in listed
            ],
        }
        return Drawn(id, picture, caption, numbers, (f"{id}: own report at rank {rank}",))

    def _candidates(self, run: OpenRun, id: str) -> list[str]:
        """Return the study and others with a report, drawn by the run's seed."""
        others = [study.id for study in run.studies() if study.id != id and run.reference(study.id)]
        order = run.rng(f"retrieval {id}").permutation(len(others))[: CANDIDATES - 1]
        return [id, *(others[i] for i in sorted(order))]


def why_no_matches(run: OpenRun) -> str | None:
    """Say that nothing scores pairs."""
    if run.objectives(Matches):
        return None
    return run.without("objective that scores image-report pairs (Matches)")


def match_reports(run: OpenRun, name: str, id: str, candidates: Sequence[str]) -> dict[str, float]:
    """Return the log-odds that each study's report belongs to one study's image."""
    texts = [run.batch(candidates[at : at + run.batch_size]) for at in _starts(run, candidates)]
    image = run.encoded(id, name)
    objective = cast(Matches, run.model(name).objectives[name])
    found: list[float] = []
    with torch.no_grad():
        for batch in texts:
            rows = torch.zeros(len(batch), dtype=torch.long, device=batch.images.device)
            found += objective.match(batch.text, image[rows]).tolist()
    return dict(zip(candidates, found, strict=True))


def _starts(run: OpenRun, candidates: Sequence[str]) -> range:
    return range(0, len(candidates), run.batch_size)


def _p(odds: float) -> float:
    return float(torch.sigmoid(torch.tensor(odds)))
