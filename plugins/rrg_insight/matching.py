"""How well the reference and the written report match the image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, cast, final

import numpy as np
import torch
from matplotlib.axes import Axes

from rrg_insight.colours import of_phrase
from rrg_insight.pictures import radiographs, view_panels
from rrg_insight.retrieval import why_no_matches
from rrg_insight.sheet import Beside, Chart, Panels, Stack, Stretch, Text, heading, render
from rrgcore.api import Drawn, Features, Figure, Matches, OpenRun, Tokens, pad_sequences
from rrgcore.insight.matching import both_sides

MOST = 200
"""Studies of the split that are scored beside those that are drawn."""


@final
class MatchingDegree(Figure):
    """The matching degree, p = softmax of [MATCH], of a study's reference and of the report that
    was written for it. Where the reference matches better, the matcher knows what the decoder did
    not say.

    KIA, Fig. 12.
    """

    shows: ClassVar[str] = "KIA, Fig. 12"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that nothing scores pairs."""
        return why_no_matches(run)

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study, and one of the split."""
        names = run.objectives(Matches)
        for name in names:
            found = self._degrees(run, name)
            for drawn in (*(self._sheet(run, name, id, found[id]) for id in run.ids),
                          self._overview(run, name, found)):  # fmt: skip
                if len(names) > 1:
                    drawn = replace(drawn, name="-".join(filter(None, (name, drawn.name))))
                yield drawn

    def _degrees(self, run: OpenRun, name: str) -> dict[str, tuple[float, float]]:
        """Return p of the reference and of the written report, by study."""
        ids = [study.id for study in run.studies()[:MOST] if run.reference(study.id)]
        ids = list(dict.fromkeys((*run.ids, *ids)))
        written = [report.text for report in run.written(ids)]
        batches = [
            (at, run.batch(ids[at : at + run.batch_size]))
            for at in range(0, len(ids), run.batch_size)
        ]
        model = run.model(name)
        objective = cast(Matches, model.objectives[name])
        found: dict[str, tuple[float, float]] = {}
        with torch.no_grad():
            for at, batch in batches:
                image = Features(model.parts, batch).image
                texts = self._tokens(run, written[at : at + len(batch)])
                true = objective.match(batch.text, image).sigmoid().tolist()
                own = objective.match(texts, image).sigmoid().tolist()
                found |= zip(batch.ids, zip(true, own, strict=True), strict=True)
        return found

    def _tokens(self, run: OpenRun, texts: Sequence[str]) -> Tokens:
        tokenizer = run.parts.text_encoder.tokenizer
        rows = [tokenizer.encode(text, max_tokens=run.max_report_tokens) for text in texts]
        mask = pad_sequences([[1] * len(row) for row in rows], 0).bool()
        ids = pad_sequences(rows, tokenizer.pad_id)
        return Tokens(ids.to(run.device), mask.to(run.device))

    def _sheet(self, run: OpenRun, name: str, id: str, degrees: tuple[float, float]) -> Drawn:
        study, reference = run.study(id), run.reference(id)
        (report,) = run.written([id])
        sides = both_sides(reference, report.text)
        blocks = [
            Text(
                [
                    Stretch(f"{title}, matching degree {degree:.3f}: ", bold=True),
                    *(
                        Stretch(text, ground=None if number is None else of_phrase(number))
                        for text, number in side
                    ),
                ]
            )
            for title, degree, side in zip(("reference", "written"), degrees, sides, strict=True)
        ]
        images = Panels(view_panels(study, radiographs(run, study)), tall=1.7)
        caption = (
            f"Matching degree of {id}'s image with its reference ({degrees[0]:.3f}) and with the "
            f"report written for it ({degrees[1]:.3f}): the probability of a match by [MATCH] "
            f"(`{name}`, checkpoint of stage {run.trained[name]}). Phrases that both have are in "
            "one colour."
        )
        picture = render(
            [
                heading(f"{id}: matching degree of reference and written report"),
                Beside(images, Stack(blocks, gap=0.12), width=1.75),
            ],
            caption,
        )
        numbers = {
            "study": id,
            "objective": name,
            "stage": run.trained[name],
            "reference": degrees[0],
            "written": degrees[1],
        }
        return Drawn(id, picture, caption, numbers)

    def _overview(self, run: OpenRun, name: str, found: dict[str, tuple[float, float]]) -> Drawn:
        true, own = np.array(list(found.values())).T
        better = float((true > own).mean())
        chosen = [list(found).index(id) for id in run.ids]

        def draw(axes: Axes) -> None:
            axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, zorder=1)
            axes.scatter(true, own, s=14, color="#2f6fb2", alpha=0.55, linewidth=0, zorder=2)
            axes.scatter(
                true[chosen], own[chosen], s=46, facecolor="none", edgecolor="#c00000", zorder=3
            )
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_xlabel("of the reference", size=8.0)
            axes.set_ylabel("of the written report", size=8.0)

        caption = (
            f"Matching degree of {len(found)} studies of the {run.split} split with their "
            f"reference and with the report written for them (`{name}`, checkpoint of stage "
            f"{run.trained[name]}). Below the line the reference matches better: "
            f"{better:.0%} of studies. Means: {true.mean():.3f} and {own.mean():.3f}. "
            "Red circles: the studies that are drawn."
        )
        picture = render(
            [heading("Matching degree over the split"), Chart(draw, tall=3.2)], caption, width=5.0
        )
        numbers = {
            "objective": name,
            "studies": len(found),
            "mean of references": float(true.mean()),
            "mean of written reports": float(own.mean()),
            "reference matches better": better,
            "degrees": {id: list(degrees) for id, degrees in found.items()},
        }
        said = (
            f"matching degree ({name}): references {true.mean():.3f}, written reports "
            f"{own.mean():.3f}; the reference matches better in {better:.0%} of {len(found)}",
        )
        return Drawn("", picture, caption, numbers, said)
