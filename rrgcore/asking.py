"""Reports by somebody else's model: images of a data set are shown to one that has a URL."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, final

from PIL import Image

from rrgcore import __version__
from rrgcore.endpoint import Answers, Endpoint, Refused, ask_each
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
    error: str | None = None
    """Why there is no report, and never will be."""


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
        """Yield what the model writes of each study, in order; one whose images cannot be read, or
        that the server refuses, has an error. Raises DataError where the server does not answer.
        """
        self.endpoint.check_key()
        title = f"asking {self.endpoint.model}"
        if not self.endpoint.is_here:
            title += f" (images go to {self.endpoint.where})"
        yield from ask_each(
            self._ask_one, studies, concurrency=self.concurrency, track=self.track, title=title
        )

    def _ask_one(self, study: Study) -> Answered:
        reference = raw_report(self.dataset, study)
        try:
            pictures = [self._png(image) for image in study.images]
        except DataError as error:
            return Answered(study.id, "", reference, str(error))
        body = self.endpoint.body(self.prompt, pictures)
        key = self.endpoint.key(body)
        if key not in self.answers:
            try:
                self.answers.keep(key, self.endpoint.ask(body).strip())
            except Refused as error:
                return Answered(study.id, "", reference, str(error))
            except DataError as error:
                raise self.answers.interrupted(study.id, error) from error
        return Answered(study.id, self.answers[key], reference)

    def _png(self, image: ImageRef) -> bytes:
        picture = Image.fromarray(self.dataset.open(image))
        picture.thumbnail((self.largest, self.largest), Image.Resampling.LANCZOS)
        file = BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def about(asking: Asking, data: str, split: str, studies: int) -> Mapping[str, Any]:
    """Return what is written beside the reports: who wrote them, shown what, asked what and how."""
    request = asking.endpoint.body(asking.prompt)
    return {
        "model": asking.endpoint.model,
        "url": asking.endpoint.url,
        "prompt": asking.prompt,
        "request": {name: value for name, value in request.items() if name != "messages"},
        "largest image": asking.largest,
        "studies": studies,
        "rrg": __version__,
        "data": data,
        "split": split,
    }
