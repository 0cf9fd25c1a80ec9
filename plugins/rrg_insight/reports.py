"""Reports beside references, with what they share in one colour."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, final

from rrg_insight.canvas import WRONG
from rrg_insight.colours import of_phrase
from rrg_insight.pictures import radiographs, view_panels
from rrg_insight.sheet import Beside, Panels, Stack, Stretch, Text, heading, render
from rrgcore.api import Drawn, Figure, Mention, OpenRun
from rrgcore.insight.matching import Match, match_phrases, share_matched


@final
class Reports(Figure):
    """A study's image, its reference and the report that was written, the phrases that both have
    in one colour; a finding that only one of them names is underlined in red. Below the image are
    the reference's observations.

    KIA, Fig. 6; CmEAA, Fig. 3.
    """

    shows: ClassVar[str] = "KIA, Fig. 6; CmEAA, Fig. 3"

    def why_not(self, run: OpenRun) -> str | None:
        """Any run writes reports."""
        return None

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study."""
        for id, report in zip(run.ids, run.written(run.ids), strict=True):
            yield self._sheet(run, id, run.reference(id), report.text)

    def _sheet(self, run: OpenRun, id: str, reference: str, report: str) -> Drawn:
        matches = match_phrases(reference, report)
        true, said = run.mentions(reference) or [], run.mentions(report) or []
        there, told = ({m.observation for m in each if m.value} for each in (true, said))
        missed = [m for m in true if m.value and m.observation not in told]
        invented = [m for m in said if m.value and m.observation not in there]
        study = run.study(id)
        labels = Text(
            [Stretch(", ".join(sorted(there)) or "no finding named", bold=True)], size=7.5
        )
        images = Stack([Panels(view_panels(study, radiographs(run, study)), tall=1.9), labels])
        texts = Stack(
            [
                Text([Stretch("reference: ", bold=True), *_runs(reference, matches, 0, missed)]),
                Text([Stretch("written: ", bold=True), *_runs(report, matches, 1, invented)]),
            ],
            gap=0.16,
        )
        share = share_matched(reference, [match.first for match in matches])
        of_report = share_matched(report, [match.second for match in matches])
        caption = (
            f"The reference of {id} and the report written for it. Phrases that both have are in "
            f"one colour: {share:.0%} of the reference's words and {of_report:.0%} of the "
            "report's. Underlined in red: a finding that only this one of the two names. Below "
            "the image: the observations that the reference names, by rules."
        )
        picture = render(
            [heading(f"{id}: reference and written report"), Beside(images, texts, width=1.95)],
            caption,
        )
        numbers = {
            "study": id,
            "reference": reference,
            "written": report,
            "matched, of the reference": share,
            "matched, of the report": of_report,
            "phrases": [reference[slice(*match.first_at)] for match in matches],
            "missed": sorted({each.observation for each in missed}),
            "invented": sorted({each.observation for each in invented}),
        }
        return Drawn(id, picture, caption, numbers)


def _runs(
    text: str, matches: Sequence[Match], side: int, wrong: Sequence[Mention]
) -> Iterator[Stretch]:
    """Cut a text where a phrase or a wrong mention begins or ends."""
    spans = [(m.first_at if side == 0 else m.second_at, m.id) for m in matches]
    edges = {0, len(text)}
    edges |= {edge for span, _ in spans for edge in span}
    edges |= {edge for mention in wrong for edge in (mention.start, mention.end)}
    ordered = sorted(edges)
    for start, end in pairwise(ordered):
        of = next((id for (first, last), id in spans if first <= start and end <= last), None)
        marked = any(m.start <= start and end <= m.end for m in wrong)
        yield Stretch(
            text[start:end],
            ground=None if of is None else of_phrase(of),
            underlined=WRONG if marked else None,
        )
