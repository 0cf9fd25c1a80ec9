"""The weights of an adapter's terms, and the n-grams that its image tokens read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, cast, final

import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes

from rrg_insight.pictures import EVEN, HEAT, Grey, radiographs, scale_of, with_maps
from rrg_insight.sheet import (
    Beside,
    Block,
    Chart,
    Panel,
    Panels,
    Scale,
    Stretch,
    Text,
    heading,
    render,
)
from rrgcore.api import Drawn, Features, Figure, NGrams, OpenRun, ShowsKnowledge, Study, TakenIn
from rrgcore.insight.attending import place

LISTED: Final = 12
MAPPED: Final = 5


@final
class Knowledge(Figure):
    """ŵ of an image, and how much its visual tokens read of each n-gram in CFE: the mean over
    heads and patches, beside an even share; the most read ones as maps.

    CmEAA, eq. 2, 3 and 8.
    """

    shows: ClassVar[str] = "CmEAA, eq. 2, 3 and 8"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that the adapter brings no knowledge."""
        if not isinstance(run.parts.adapter, ShowsKnowledge):
            return "the adapter shows no knowledge that it brings to images (ShowsKnowledge)"
        return None

    @torch.no_grad()
    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study, and one of the split."""
        model = run.model()
        adapter = cast(ShowsKnowledge, model.parts.adapter)
        for id in run.ids:
            (study,) = run.annotated([id])
            batch = run.batch([id])
            image = Features(model.parts, batch).image
            taken = adapter.taken_in(image, batch.prepared.get("adapter"))
            maps = None
            if taken.attention is not None:
                weights = rearrange(taken.attention, "b h n g -> b 1 h g n")
                maps = place(weights, model, batch)[0, 0].mean(0).cpu().numpy()
            yield self._sheet(run, study, taken, maps)
        yield self._overview(run, adapter)

    def _sheet(self, run: OpenRun, study: Study, taken: TakenIn, maps: np.ndarray | None) -> Drawn:
        images = radiographs(run, study)
        weights = taken.weights[0].float().mean(0).tolist()
        named = dict(zip(taken.terms, weights, strict=True))
        said = ", ".join(f"{name} {weight:.3f}" for name, weight in named.items())
        blocks: list[Block] = [heading(f"{study.id}: what the adapter took of image and knowledge")]
        numbers: dict[str, Any] = {"study": study.id, "weights": named}
        caption = f"How the adapter weighed its terms for {study.id}: {said}."
        phrases = [phrase for phrase in taken.phrases[0] if phrase]
        if maps is None or not phrases:
            blocks.append(_beside(images, Text([Stretch(said)])))
            caption += " It read no n-gram."
        else:
            read, of = self._read(taken, phrases), _observations(study)
            order = np.argsort(-read, kind="stable")
            blocks.append(
                _beside(images, Chart(_bars(read, phrases, of, order), tall=2.2, left=2.6))
            )
            shown = order[:MAPPED]
            even = maps[shown][:, : len(images)]
            mean = even.mean((1, 2, 3), keepdims=True)
            even = even / np.where(mean > 0, mean, 1)
            high = scale_of(even / even[0].size, len(images))
            panels = [
                Panel(
                    with_maps(images, even[row], high),
                    [Stretch(phrases[i], bold=True), Stretch(of.get(phrases[i], ""))],
                    aspect=float(len(images)),
                )
                for row, i in enumerate(shown)
            ]
            blocks += [
                Text([Stretch(said)]),
                Panels(panels, tall=1.55, size=7.5),
                Scale(HEAT, EVEN, high, "times the n-gram's mean over patches"),
            ]
            caption += (
                f" Of {len(phrases)} n-grams of its observations, how much visual tokens read of "
                "each in CFE (mean over heads and patches; the line is an even share), and where "
                "on the image the most read ones were read: colour is relative to each n-gram's "
                "own mean. The n-grams come of observations that were predicted from the image."
            )
            numbers |= {
                "even share": 1 / len(phrases),
                "read": [
                    {"n-gram": phrases[i], "of": of.get(phrases[i], ""), "share": float(read[i])}
                    for i in order
                ],
            }
        return Drawn(study.id, render(blocks, caption), caption, numbers)

    def _read(self, taken: TakenIn, phrases: Sequence[str]) -> np.ndarray:
        """Return the share of each n-gram, over heads and image tokens."""
        assert taken.attention is not None, "asked for where something was read"
        mean = taken.attention[0].float().mean((0, 1)).cpu().numpy()
        kept = [i for i, phrase in enumerate(taken.phrases[0]) if phrase]
        found: np.ndarray = mean[kept]
        assert len(found) == len(phrases), "an n-gram is a column"
        return found

    def _overview(self, run: OpenRun, adapter: ShowsKnowledge) -> Drawn:
        rows = []
        terms: tuple[str, ...] = ()
        for _, batch in run.batches("weighing images"):
            image = Features(run.parts, batch).image
            taken = adapter.taken_in(image, batch.prepared.get("adapter"))
            rows.append(taken.weights.float().mean(1).cpu().numpy())
            terms = taken.terms
        weights = np.concatenate(rows)

        def draw(axes: Axes) -> None:
            low, high = float(weights.min()), float(weights.max())
            bins = np.linspace(low - 0.01, high + 0.01, 41)
            for column, term in enumerate(terms):
                axes.hist(weights[:, column], bins=bins, alpha=0.65, label=term)
            axes.set_xlabel("weight", size=8.0)
            axes.set_ylabel("studies", size=8.0)
            axes.legend(fontsize=8, frameon=False)

        spread = {
            term: {
                "mean": float(column.mean()),
                "least": float(column.min()),
                "most": float(column.max()),
            }
            for term, column in zip(terms, weights.T, strict=True)
        }
        listed = "; ".join(
            f"{term} {each['mean']:.3f} ({each['least']:.3f} to {each['most']:.3f})"
            for term, each in spread.items()
        )
        caption = (
            f"Weights of the adapter's terms over {len(weights)} studies of the {run.split} "
            f"split, mean and range: {listed}."
        )
        picture = render(
            [heading("Weights over the split"), Chart(draw, tall=2.2)], caption, width=6.0
        )
        said = (
            "knowledge: how much each term counts in the visual tokens (CmEAA, eq. 2), the mean "
            f"over {len(weights)} studies and from where to where it goes: {listed}",
        )
        return Drawn("", picture, caption, {"studies": len(weights), "weights": spread}, said)


def _observations(study: Study) -> dict[str, str]:
    """Return an observation of each n-gram, the first that has it."""
    ngrams = study.annotations.get(NGrams)
    found: dict[str, str] = {}
    for observation, phrases in (ngrams.values if isinstance(ngrams, NGrams) else {}).items():
        for phrase in phrases:
            found.setdefault(phrase, observation)
    return found


def _beside(images: Sequence[Grey], block: Block) -> Block:
    from rrg_insight.pictures import shown

    return Beside(Panels([Panel(shown(image)) for image in images], tall=2.2), block, width=2.25)


def _bars(
    read: np.ndarray, phrases: Sequence[str], of: Mapping[str, str], order: np.ndarray
) -> Any:
    listed = order[:LISTED]

    def draw(axes: Axes) -> None:
        places = np.arange(len(listed))
        axes.barh(places, read[listed], color="#2f6fb2", height=0.7)
        axes.axvline(1 / len(phrases), color="#c00000", linewidth=1)
        names = [f"{phrases[i]}  ({of.get(phrases[i], '?')})" for i in listed]
        axes.set_yticks(places, [name if len(name) < 44 else f"{name[:43]}…" for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("share of what visual tokens read", size=8.0)

    return draw
