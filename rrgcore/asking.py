"""Reports by somebody else's model: images of a data set are shown to one that has a URL."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, final

from PIL import Image

from rrgcore.endpoint import Answers, Endpoint, ask_each
from rrgcore.errors import DataError
from rrgcore.study import ImageRef, Study
from rrgcore.supply import Dataset, Track, raw_report, untracked

PROMPT: Final = "Provide a report on this X-ray Image."
"""What KIA's authors asked GPT-4V (Figure 6)."""
LARGEST: Final = 1024
"""Pixels of an image's longer side."""


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """A study's report, and what was answered instead of one."""

    id: str
    prediction: str
    reference: str
    """As it stands in the data; empty where the study has none."""


@final
class Asking:
    """The images of studies, shown to a model with a prompt; answers are kept, so that who is
    stopped goes on and nobody is asked twice.

    The images are the data set's own, at most `largest` pixels wide or high, and go without their
    file's name or anything else that is known of the study.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        endpoint: Endpoint,
        answers: Answers,
        prompt: str = PROMPT,
        largest: int = LARGEST,
        concurrency: int = 4,
        track: Track = untracked,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"`concurrency` is {concurrency}; expected at least 1")
        if largest < 1:
            raise ValueError(f"images of {largest} pixels are none; expected at least 1")
        self.dataset = dataset
        self.endpoint = endpoint
        self.answers = answers
        self.prompt = prompt
        self.largest = largest
        self.concurrency = concurrency
        self.track = track

    def ask(self, studies: Sequence[Study]) -> Iterator[Answered]:
        """Yield what the model writes of each study, in order; raises DataError where it does not
        answer, or an image cannot be read.
        """
        self.endpoint.check_key()
        answers = ask_each(
            self._ask_one,
            studies,
            concurrency=self.concurrency,
            track=self.track,
            title=f"asking {self.endpoint.model}",
        )
        for study, answer in zip(studies, answers, strict=True):
            yield Answered(study.id, answer, raw_report(self.dataset, study))

    def _ask_one(self, study: Study) -> str:
        body = self.endpoint.body(self.prompt, [self._png(image) for image in study.images])
        key = self.endpoint.key(body)
        if key not in self.answers:
            try:
                self.answers.keep(key, self.endpoint.ask(body).strip())
            except DataError as error:
                raise self.answers.interrupted(study.id, error) from error
        return self.answers[key]

    def _png(self, image: ImageRef) -> bytes:
        picture = Image.fromarray(self.dataset.open(image))
        picture.thumbnail((self.largest, self.largest), Image.Resampling.LANCZOS)
        file = BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def about(asking: Asking, data: str, split: str) -> Mapping[str, str | int]:
    """Return what is written beside the reports: who wrote them, shown what, asked what."""
    return {
        "model": asking.endpoint.model,
        "host": asking.endpoint.host,
        "prompt": asking.prompt,
        "largest image": asking.largest,
        "data": data,
        "split": split,
    }
