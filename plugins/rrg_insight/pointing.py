"""Whether attention points at the findings that are named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from matplotlib.axes import Axes

from rrg_insight.evidence import Collected, Split, studies_with_boxes, ways
from rrg_insight.sheet import Chart, Stretch, Text, heading, render
from rrgcore.api import DataError, Drawn, Figure, OpenRun
from rrgcore.insight.attending import Heads
from rrgcore.insight.pointing import Case, Pointing, choose, play, priors

ALL: Final = Heads()
ELSEWHERE: Final = 1_000
"""Studies of the other split that are asked, at most."""
LEAST: Final = 3
"""Cases of the smallest set that is worth a rate."""
BEYOND: Final = ", less the mean map"
HITS, LESS, CHOSEN = "#2f6fb2", "#3a8f4d", "#b35900"
AREA, CENTRE, PRIOR = "#c00000", "#6b6b6b", "#7d3c98"


@final
@dataclass(frozen=True, slots=True)
class Game:
    """One way to ask, played three times."""

    plain: Pointing
    """All layers and heads."""
    beyond: Pointing
    """The same, with the mean map of all words taken off."""
    chosen: Pointing
    """What hit most on the other split."""
    which: str
    rate: float
    """How often that hit there."""


@final
class PointingGame(Figure):
    """The pointing game over a split: of the findings that have a box and are named, how often the
    maximum of the naming words' map lies in the box. Beside it a random patch (chance by area), the
    image's centre, and the patch that lies in most boxes of the same observation in the other split
    (a prior that looks at no image).

    Layers and heads are all averaged, or chosen on validation, for validation itself on training;
    there the first 1,000 studies are asked.
    Asked of the decoder as it writes its own report, as it is led through the reference, and of
    T-CMEnc as it reads the reference and as it fills masks.
    """

    shows: ClassVar[str] = "KIA, Fig. 7, as a number"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that nobody knows boxes, or names findings, or tells where it looks."""
        if not studies_with_boxes(run, run.split):
            return (
                "the data does not say where findings lie: it has no annotation FindingBoxes "
                "(annotations/finding_boxes.jsonl)"
            )
        if run.mentions("") is None:
            return "nobody tells which words name a finding: the annotator 'rules' is not there"
        if not ways(run):
            return "neither the decoder nor the text encoder tells where it looks"
        return None

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one chart of the split."""
        elsewhere: Split = "val" if run.split != "val" else "train"
        if not studies_with_boxes(run, elsewhere):
            raise DataError(f"the split '{elsewhere}', to choose layers on, has no boxes")
        found: dict[str, Game] = {}
        for way in ways(run):
            others = Collected(run, elsewhere, way, first=ELSEWHERE)
            own = Collected(run, run.split, way)
            for what, found_here in own.cases.items():
                # of a view that no study elsewhere has nobody knows where words usually look
                cases = [case for case in found_here if case.view in others.usual]
                if min(len(cases), len(others.cases[what])) >= LEAST:
                    game = self._play(run, cases, others.cases[what], others.usual)
                    found[f"{way.name}: {what}"] = game
        if not found:
            raise DataError(f"fewer than {LEAST} findings with a box are named")
        yield self._chart(run, found, elsewhere)

    def _play(
        self,
        run: OpenRun,
        cases: Sequence[Case],
        others: Sequence[Case],
        usual: Mapping[int, np.ndarray],
    ) -> Game:
        prior = priors(others)
        kinds = {"": (cases, others)}
        kinds[BEYOND] = ([c.beyond(usual) for c in cases], [c.beyond(usual) for c in others])

        def game(kind: str, heads: Heads) -> Pointing:
            return play(kinds[kind][0], heads, rng=run.rng("pointing"), elsewhere=prior)

        rated = {kind: choose(elsewhere) for kind, (_, elsewhere) in kinds.items()}
        best = max(rated, key=lambda kind: rated[kind][1])
        heads, rate = rated[best]
        return Game(game("", ALL), game(BEYOND, ALL), game(best, heads), f"{heads}{best}", rate)

    def _chart(self, run: OpenRun, found: Mapping[str, Game], elsewhere: str) -> Drawn:
        def draw(axes: Axes) -> None:
            for row, each in enumerate(found.values()):
                games = ((each.plain, HITS), (each.beyond, LESS), (each.chosen, CHOSEN))
                for shift, (game, colour) in zip((-0.22, 0.0, 0.22), games, strict=True):
                    rate, y = game.hits, row + shift
                    axes.plot([rate.low, rate.high], [y, y], color=colour, linewidth=1.4)
                    axes.plot(rate.value, y, "o", color=colour, markersize=4.5)
                axes.plot(
                    each.chosen.any_word,
                    row + 0.22,
                    "o",
                    markersize=5.5,
                    markerfacecolor="none",
                    markeredgecolor=CHOSEN,
                )
                game = each.plain
                for value, colour in ((game.area, AREA), (game.centre, CENTRE)):
                    axes.plot([value] * 2, [row - 0.36, row + 0.36], color=colour, linewidth=1.6)
                if game.prior is not None:
                    axes.plot(
                        [game.prior] * 2, [row - 0.36, row + 0.36], color=PRIOR, linewidth=1.6
                    )
            axes.set_yticks(
                np.arange(len(found)),
                [f"{name}  (n = {each.plain.cases})" for name, each in found.items()],
            )
            axes.set_ylim(len(found) - 0.4, -0.6)
            axes.set_xlim(0, 1)
            axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
            axes.set_xlabel("share of findings whose box holds the maximum", size=8.0)

        legend = [
            Stretch("●", ink=HITS), Stretch(" all layers and heads    "),
            Stretch("●", ink=LESS), Stretch(" less the mean map    "),
            Stretch("●", ink=CHOSEN), Stretch(f" chosen on {elsewhere}    "),
            Stretch("○", ink=CHOSEN), Stretch(" the same, of all words    "),
            Stretch("|", ink=AREA, bold=True), Stretch(" chance by area    "),
            Stretch("|", ink=CENTRE, bold=True), Stretch(" the centre    "),
            Stretch("|", ink=PRIOR, bold=True), Stretch(" prior by observation"),
        ]  # fmt: skip
        caption = (
            f"Pointing game on the {run.split} split: of findings that have a box and are named, "
            "the share whose box holds the maximum of the attention map of the words that name "
            "them, or of all words of their sentence; bars are 95 % intervals over studies. A hit "
            "is a patch whose centre lies in the box. Green: with the mean map of all words of "
            f"{elsewhere} taken off. Brown: the layer and head, with or without that mean, that "
            f"hit most on {elsewhere}. The ring: the same, asked of all words "
            "of the text instead. Attention explains a word only as far as it points better than "
            "what looks at no image, and than the other words. The prior is the "
            f"patch that lies in most boxes of the same observation in {elsewhere}."
        )
        picture = render(
            [
                heading("Does attention point at what is named?"),
                Chart(draw, tall=0.46 * len(found) + 0.3, left=3.1),
                Text(legend, size=8.0),
            ],
            caption,
        )
        numbers = {
            name: {
                "all layers and heads": each.plain.to_json(),
                f"all layers and heads{BEYOND}": each.beyond.to_json(),
                "chosen": {
                    "which": each.which,
                    f"hits on {elsewhere}": each.rate,
                    **each.chosen.to_json(),
                },
            }
            for name, each in found.items()
        }
        return Drawn("", picture, caption, {"games": numbers}, tuple(_said(found)))


def _said(found: Mapping[str, Game]) -> Iterator[str]:
    """Say each game in a line, and in words whether it is better than chance."""
    yield (
        "pointing: the share of findings whose true box has the patch that was looked at most, and "
        "its 95 % interval: over all layers and heads, then of the map that is best on other "
        "studies. Chance by area looks anywhere; centre and prior are guesses that see no image"
    )
    for name, each in found.items():
        game, chosen = each.plain, each.chosen
        prior = "" if game.prior is None else f", prior {game.prior:.3f}"
        yield (
            f"pointing, {name} ({game.cases} findings): {game.hits}, {_verdict(game)}; "
            f"{each.which}: {chosen.hits}, {_verdict(chosen)} (all words {chosen.any_word:.3f}, "
            f"{_other(chosen)}); chance by area {game.area:.3f}, "
            f"centre {game.centre:.3f}{prior}"
        )


def _verdict(game: Pointing) -> str:
    if game.over_area.low > 0:
        return "better than chance"
    if game.over_area.high < 0:
        return "WORSE than chance"
    return "not told from chance"


def _other(game: Pointing) -> str:
    if game.over_any.low > 0:
        return "fewer"
    return "more" if game.over_any.high < 0 else "not told apart"
