"""Where T-CMEnc looks for each [MASK]."""

from collections.abc import Iterator
from typing import Any, ClassVar, cast, final

import numpy as np

from rrg_insight.canvas import INK, WRONG
from rrg_insight.pictures import EVEN, HEAT, radiographs, scale_of, with_maps
from rrg_insight.sheet import Panel, Panels, Scale, Stretch, Text, heading, render
from rrgcore.api import Attends, Drawn, Features, Figure, OpenRun, Reconstructs, TextMasking, Tokens
from rrgcore.insight.attending import ALL, attend_reading
from rrgcore.insight.masked import MaskedWords
from rrgcore.insight.naming import Named, statuses
from rrgcore.interfaces import Lacks, check_capability


@final
class MaskAttention(Figure):
    """Cross-attention of [MASK] tokens over the image's patches, in the masked text that the run's
    own MLM is asked: status words ("present", "absent") with label-guided masking, observations
    and anatomy with graph-guided.

    KIA, Fig. 7.
    """

    shows: ClassVar[str] = "KIA, Fig. 7"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that no words are masked, or that the text encoder does not tell where it looks."""
        return why_no_masked_words(run) or why_reads_not(run)

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study and an objective that masks words."""
        objectives = word_objectives(run)
        for name in objectives:
            for id in run.ids:
                drawn = self._sheet(run, name, id)
                yield drawn if len(objectives) == 1 else _renamed(drawn, f"{name}-{id}")

    def _sheet(self, run: OpenRun, name: str, id: str) -> Drawn:
        study = run.study(id)
        batch = run.batch([id], [name])
        prepared = batch.prepared[f"objectives.{name}"]
        model = run.model(name)
        encoder = model.parts.text_encoder
        decode = encoder.tokenizer.decode
        masked = MaskedWords.of(row_of(prepared, 0), decode)
        attended = attend_reading(
            model, batch, Tokens(prepared.ids, prepared.mask), [masked.asked()]
        )[0]
        result = cast(Reconstructs, model.objectives[name]).reconstruct(
            Features(model.parts, batch), prepared
        )
        said = masked.answered(result["guessed"].tolist(), decode)
        status = {at: observation for observation, (at, _) in statuses(masked.words).items()}
        images, views = radiographs(run, study), len(study.images)
        maps = attended.maps()[:, :views]
        even, high = maps * maps.shape[-1] * maps.shape[-2] * views, scale_of(maps, views)
        found = run.finding_boxes(study)
        named = Named.of(masked.words, run.mentions)
        naming = {
            w: n for n, ws in (named.naming if named and not status else {}).items() for w in ws
        }
        panels = []
        for number, word in enumerate(masked.hidden):
            true, guess = masked.words[word], said[word]
            name_of = naming.get(word, status.get(word))
            boxes = (
                []
                if found is None
                else [[box for box in image if box.name == name_of] for image in found.images]
            )
            panels.append(
                Panel(
                    with_maps(images, even[number], high, boxes),
                    [
                        Stretch(status.get(word) or masked.before(word)),
                        Stretch(true, bold=True),
                        Stretch(f"said: {guess}", ink=INK if guess == true else WRONG),
                    ],
                    aspect=float(views),
                )
            )
        right = sum(said[word] == masked.words[word] for word in masked.hidden)
        caption = (
            f"Where T-CMEnc looks for each [MASK] of {id} in the masked text of `{name}` "
            f"(checkpoint of stage {run.trained[name]}; {ALL}). Above each map: "
            f"{'the observation' if status else 'the words before it'}, the hidden word, and what "
            f"the model says it is, red where wrong ({right} of {len(masked.hidden)} right). "
            "A map sums to one over all patches; colour says how many times an even share a patch "
            f"got, from 1, below which it has none, up to {high:.1f}."
            + (" Blue boxes: where the finding truly is." if found is not None else "")
        )
        blocks: list[Any] = [
            heading(f"{id}: attention of [MASK] tokens"),
            Text([Stretch("reference: ", bold=True), Stretch(run.reference(id))]),
        ]
        if panels:
            blocks += [
                Panels(panels, tall=1.15, size=7.5),
                Scale(HEAT, EVEN, high, "times an even share"),
            ]
        else:
            blocks.append(Text([Stretch("Nothing is hidden in this text.")]))
        share = attended.share()
        numbers = {
            "study": id,
            "objective": name,
            "stage": run.trained[name],
            "masks": [
                {
                    "of": status.get(word) or masked.before(word),
                    "hidden": masked.words[word],
                    "said": said[word],
                    "on patches": round(float(share[number]), 4),
                    "at": [
                        int(i) for i in np.unravel_index(even[number].argmax(), even[number].shape)
                    ],
                }
                for number, word in enumerate(masked.hidden)
            ],
        }
        return Drawn(id, render(blocks, caption), caption, numbers)


def word_objectives(run: OpenRun) -> list[str]:
    """List the objectives that were trained to name masked words."""
    return [
        name for name in run.objectives(Reconstructs) if isinstance(run.masking(name), TextMasking)
    ]


def why_no_masked_words(run: OpenRun) -> str | None:
    """Say that nothing was trained to name masked words."""
    if word_objectives(run):
        return None
    return run.without("objective that names masked words (Reconstructs, with a text masking)")


def why_reads_not(run: OpenRun) -> str | None:
    """Say that the text encoder does not tell where it looks."""
    if not isinstance(run.parts.text_encoder, Attends):
        return "the text encoder does not tell where it looks at an image (Attends)"
    try:
        check_capability(run.parts.text_encoder, Attends)
    except Lacks as error:
        return f"the text encoder {error}"
    return None


def row_of(text: Any, row: int) -> Any:
    """Return one text of a batch of masked ones."""
    return type(text)(text.ids[row], text.mask[row], text.labels[row])


def _renamed(drawn: Drawn, name: str) -> Drawn:
    return Drawn(name, drawn.picture, drawn.caption, drawn.numbers, drawn.said)
