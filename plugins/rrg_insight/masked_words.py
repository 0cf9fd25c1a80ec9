"""Masked words, named with the image and without it."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, cast, final

from rrg_insight.mask_attention import row_of, why_no_masked_words, word_objectives
from rrg_insight.pictures import radiographs, view_panels
from rrg_insight.sheet import Beside, Panels, Stack, Stretch, Text, heading, render
from rrgcore.api import Drawn, Features, Figure, OpenRun, Reconstructs
from rrgcore.insight.masked import MaskedWords
from rrgcore.probes import blank_images

RIGHT, FALSE, HIDDEN = "#cdeccd", "#f7c6c5", "#d9d9d9"


@final
class WordsFilledIn(Figure):
    """MLM of the same masked text with the study's image, and with a uniform grey in its place.

    KIA, Fig. 9b.
    """

    shows: ClassVar[str] = "KIA, Fig. 9b"

    def why_not(self, run: OpenRun) -> str | None:
        """Say that no words are masked."""
        return why_no_masked_words(run)

    def draw(self, run: OpenRun) -> Iterator[Drawn]:
        """Draw one sheet a study."""
        for id in run.ids:
            blocks = []
            numbers = {}
            captions = []
            for name in word_objectives(run):
                masked, answers = self._ask(run, name, id)
                blocks += self._texts(masked, answers)
                counts = {
                    how: sum(said[w] == masked.words[w] for w in masked.hidden)
                    for how, said in answers.items()
                }
                numbers[name] = {
                    "stage": run.trained[name],
                    "hidden": len(masked.hidden),
                    "right": counts,
                    "words": [
                        {
                            "before": masked.before(word),
                            "hidden": masked.words[word],
                            **{how: said[word] for how, said in answers.items()},
                        }
                        for word in masked.hidden
                    ],
                }
                listed = ", ".join(f"{n} {how}" for how, n in counts.items())
                captions.append(
                    f"`{name}` (checkpoint of stage {run.trained[name]}) names of "
                    f"{len(masked.hidden)} hidden words right: {listed}."
                )
            study = run.study(id)
            images = Panels(view_panels(study, radiographs(run, study)), tall=1.7)
            caption = (
                f"MLM of {id} with the image and without it. Grey: hidden; green: named right; "
                f"red: named wrong. {' '.join(captions)} For rates over a split see the run's "
                "probes."
            )
            head = heading(f"{id}: masked words, with the image and without it")
            picture = render([head, Beside(images, Stack(blocks, gap=0.1), width=1.75)], caption)
            yield Drawn(id, picture, caption, {"study": id, "objectives": numbers})

    def _ask(
        self, run: OpenRun, name: str, id: str
    ) -> tuple[MaskedWords, Mapping[str, Mapping[int, str]]]:
        batch = run.batch([id], [name])
        prepared = batch.prepared[f"objectives.{name}"]
        model = run.model(name)
        objective = cast(Reconstructs, model.objectives[name])
        decode = model.parts.text_encoder.tokenizer.decode
        masked = MaskedWords.of(row_of(prepared, 0), decode)
        answers = {}
        for how, seen in (("with the image", batch), ("with a blank one", blank_images(batch))):
            result = objective.reconstruct(Features(model.parts, seen), prepared)
            answers[how] = masked.answered(result["guessed"].tolist(), decode)
        return masked, answers

    def _texts(self, masked: MaskedWords, answers: Mapping[str, Mapping[int, str]]) -> list[Text]:
        hidden = set(masked.hidden)

        def text(title: str, said: Mapping[int, str] | None) -> Text:
            runs = [Stretch(f"{title}: ", bold=True)]
            for number, word in enumerate(masked.words):
                if number not in hidden:
                    runs.append(Stretch(f"{word} "))
                    continue
                guess = "[MASK]" if said is None else said[number]
                right = RIGHT if guess == word else FALSE
                runs += [Stretch(guess, ground=HIDDEN if said is None else right), Stretch(" ")]
            return Text(runs)

        truth = {word: masked.words[word] for word in masked.hidden}
        return [
            text("masked text", None),
            *(text(how, said) for how, said in answers.items()),
            text("what stood there", truth),
        ]
