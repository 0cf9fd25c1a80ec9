"""What each masking strategy hides of a study: patches of its images, words of its report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, final

import numpy as np
from jaxtyping import Bool

from rrg_insight.canvas import PAPER, Draw, Frame
from rrg_insight.pictures import HIDDEN, KEY, Grey, mark_patches, radiographs, show
from rrg_insight.sheet import Panel, Panels, Stretch, Text, heading, render
from rrgcore.api import (
    Drawn,
    Figure,
    ImageMasking,
    MaskingStrategy,
    OpenRun,
    RadGraph,
    Study,
    TextMasking,
    Tokenizer,
    UserError,
)
from rrgcore.data import study_rng
from rrgcore.insight.masked import MaskedWords

OBSERVATION, ANATOMY, OTHER = "#c0504d", "#3b6fb6", "#6b6b6b"
PALE: Final = {OBSERVATION: "#f6dedd", ANATOMY: "#dbe6f5"}
NOBODYS: Final = "\u2400"
"""A word that no report holds."""
Patches = Bool[np.ndarray, "rows columns"]


@final
class Masking(Figure):
    """One draw of each masking strategy that there is, the run's own as it has them, others as
    they come: patches with the key patches of the landmarks that the report mentions, and words
    with RadGraph's observations and anatomy.

    KIA, Fig. 3 and 4.
    """

    shows: ClassVar[str] = "KIA, Fig. 3 and 4"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that there is no strategy."""
        return None if run.strategies() else "no plugin offers a masking strategy"

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study."""
        for id in run.ids:
            yield self._sheet(run, id)

    def _sheet(self, run: OpenRun, id: str) -> Drawn:
        left_out: dict[str, str] = {}
        patches: dict[str, list[tuple[Patches, Patches]]] = {}
        texts: dict[str, tuple[MaskedWords, Mapping[int, str]]] = {}
        tokenizer = run.parts.text_encoder.tokenizer
        for name, strategy in run.strategies().items():
            if reason := _unreadable(strategy, tokenizer):
                left_out[name] = reason
                continue
            try:
                (study,) = run.knowing([id], strategy.reads)
            except UserError as error:
                left_out[name] = str(error).splitlines()[0]
                continue
            rng = study_rng(run.seed, 0, id, f"masking {name}")
            if isinstance(strategy, ImageMasking):
                patches[name] = self._patches(run, strategy, study, rng)
            elif isinstance(strategy, TextMasking):
                text = strategy.mask_text(study, tokenizer, rng, max_tokens=run.max_report_tokens)
                masked = MaskedWords.of(text, tokenizer.decode)
                texts[name] = masked, _kinds(study, masked.words)
        return self._drawn(run, run.study(id), patches, texts, left_out)

    def _patches(
        self, run: OpenRun, strategy: ImageMasking, study: Study, rng: np.random.Generator
    ) -> list[tuple[Patches, Patches]]:
        grid = run.parts.encoder.grid
        return [
            (
                strategy.mask_image(study, image, grid, rng).reshape(grid),
                strategy.key_patches(study, image, grid).reshape(grid),
            )
            for image in range(len(study.images))
        ]

    def _drawn(
        self,
        run: OpenRun,
        study: Study,
        patches: Mapping[str, Sequence[tuple[Patches, Patches]]],
        texts: Mapping[str, tuple[MaskedWords, Mapping[int, str]]],
        left_out: Mapping[str, str],
    ) -> Drawn:
        images = radiographs(run, study)
        panels = [
            Panel(_masked(image, hidden, key, shown), [Stretch(name, bold=True), Stretch(title)])
            for name, of_view in patches.items()
            for view, (image, (hidden, key)) in enumerate(zip(images, of_view, strict=True))
            for shown, title in (
                (key, f"key patches, {study.views[view]}"),
                (hidden, f"{hidden.mean():.0%} hidden, {study.views[view]}"),
            )
            if shown is hidden or key.any()
        ]
        blocks: list[Any] = [
            heading(f"{study.id}: what each masking strategy hides"),
            Text([Stretch("report: ", bold=True), Stretch(run.reference(study.id))]),
            Panels(panels, tall=1.62),
        ]
        for name, (masked, kinds) in texts.items():
            blocks.append(Text([Stretch(f"{name}: ", bold=True), *_words(masked, kinds)]))
        legend = [
            Stretch(" observation ", ground=PALE[OBSERVATION]), Stretch("  "),
            Stretch(" anatomy ", ground=PALE[ANATOMY]), Stretch("  "),
            Stretch(" hidden observation ", ground=OBSERVATION, ink=PAPER), Stretch("  "),
            Stretch(" hidden anatomy ", ground=ANATOMY, ink=PAPER), Stretch("  "),
            Stretch(" another hidden word ", ground=OTHER, ink=PAPER),
        ]  # fmt: skip
        blocks.append(Text(legend, size=8.0))
        missing = "".join(f" Not shown, {name}: {why}." for name, why in left_out.items())
        caption = (
            f"One draw of each masking strategy for {study.id}. Patches: grey is hidden, yellow "
            "outlines are the key patches of the landmarks that the report mentions (KIA, §3.2). "
            f"Words: those with a dark ground are hidden behind [MASK].{missing}"
        )
        numbers = {
            "study": study.id,
            "patches": {
                name: [
                    {
                        "hidden": int(hidden.sum()),
                        "of": int(hidden.size),
                        "key": int(key.sum()),
                        "key hidden": int((hidden & key).sum()),
                    }
                    for hidden, key in of_view
                ]
                for name, of_view in patches.items()
            },
            "words": {
                name: {
                    "hidden": [masked.words[word] for word in masked.hidden],
                    "of": len(masked.words),
                }
                for name, (masked, _) in texts.items()
            },
            "not shown": dict(left_out),
        }
        return Drawn(study.id, render(blocks, caption), caption, numbers)


def _unreadable(strategy: MaskingStrategy, tokenizer: Tokenizer) -> str | None:
    """Say that the run's vocabulary lacks the words that a strategy writes itself."""
    if not isinstance(strategy, TextMasking):
        return None
    unknown = tokenizer.encode_words([NOBODYS])[0]
    lacking = [word for word in strategy.words if tokenizer.encode_words([word])[0] == unknown]
    if not lacking:
        return None
    return f"the run's vocabulary has no '{lacking[0]}', which it writes"


def _kinds(study: Study, words: Sequence[str]) -> dict[int, str]:
    """Return which words are of an observation and which of anatomy, where RadGraph tells."""
    graph = study.annotations.get(RadGraph)
    if not isinstance(graph, RadGraph) or list(graph.words[: len(words)]) != list(words):
        return {}
    return {
        word: ANATOMY if entity.is_anatomy else OBSERVATION
        for entity in graph.entities.values()
        for word in range(entity.start, entity.end + 1)
    }


def _words(masked: MaskedWords, kinds: Mapping[int, str]) -> Iterator[Stretch]:
    hidden = set(masked.hidden)
    for number, word in enumerate(masked.words):
        kind = kinds.get(number)
        if number in hidden:
            yield Stretch(word, ground=kind or OTHER, ink=PAPER)
        else:
            yield Stretch(word, ground=PALE.get(kind or ""))
        yield Stretch(" ")


def _masked(image: Grey, hidden: Patches, key: Patches, shown: Patches) -> Draw:
    def draw(frame: Frame) -> None:
        show(frame, image)
        if shown is hidden:
            mark_patches(frame, hidden, HIDDEN, filled=True)
        mark_patches(frame, key, KEY, filled=False)

    return draw
