"""What the page is answered: a report and what belongs to it, or why there is none."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, cast, final

from rrgcore.build import make_dataset
from rrgcore.demo.drawing import draw
from rrgcore.demo.uploads import VIEWS, Grey, Limits, read_images
from rrgcore.errors import UserError, printable
from rrgcore.plan import Plan
from rrgcore.prediction.predictor import Predictor
from rrgcore.study import Study
from rrgcore.supply import Dataset

Failed = Callable[[Exception], None]
"""Is told of what is nobody's mistake; the page says its kind alone."""


@final
class Examples:
    """Studies of nobody, one after another, and the first again after the last."""

    def __init__(self, dataset: Dataset, studies: Sequence[Study]) -> None:
        self._dataset = dataset
        self._studies: Iterator[Study] = cycle(studies)

    def next(self) -> tuple[str, list[Grey], str]:
        """Return a study's id, its images, and what its report says."""
        study = next(self._studies)
        images = [self._dataset.open(image) for image in study.images[:VIEWS]]
        return study.id, images, study.report or ""


def make_examples(plan: Plan) -> Examples | None:
    """Return examples from a plan's test split; None where its studies may be of patients."""
    if not cast(type[Dataset], plan.dataset.cls).of_nobody:
        return None
    dataset = make_dataset(plan)
    studies = dataset.studies(plan.data.splits.get("test", "test"))
    return Examples(dataset, studies) if studies else None


@final
class Answers:
    """Answers the page, one request at a time; never raises what a request could cause."""

    def __init__(
        self, predictor: Predictor, limits: Limits, examples: Examples | None, failed: Failed
    ) -> None:
        self.predictor = predictor
        self.limits = limits
        self.examples = examples
        self._failed = failed

    def report(self, payload: object) -> dict[str, Any]:
        """Answer images that were dropped."""
        return self._told(lambda: self._report(read_images(payload, self.limits)))

    def example(self) -> dict[str, Any]:
        """Answer the wish for an example."""
        return self._told(self._example)

    def _report(self, images: list[Grey]) -> dict[str, Any]:
        written, attended = self.predictor.attend(images)
        return draw(written, attended, images)

    def _example(self) -> dict[str, Any]:
        if self.examples is None:
            return {"error": "there are no examples: the run's studies may be of patients"}
        id, images, reference = self.examples.next()
        return {**self._report(images), "example": id, "reference": reference}

    def _told(self, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return answer()
        except UserError as error:
            return {"error": printable(str(error))}
        except Exception as error:  # a model can fail in any way, and the page is to go on
            self._failed(error)
            kind = type(error).__name__
            return {"error": f"the model failed ({kind}); `rrg demo --debug` shows where"}
