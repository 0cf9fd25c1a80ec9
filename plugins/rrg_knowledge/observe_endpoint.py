"""The annotator `observe_endpoint`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

from rrg_knowledge.observe_prompt import Questions, Unreadable, read_answer
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.endpoint import Answers, Endpoint, ask_each
from rrgcore.errors import DataError, UserError
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts, Track, Workbench, artefacts_of, untracked


@final
class ObserveByEndpoint(Annotator, HoldsArtefacts):
    """y_o as a language model answers that is asked with the probabilities and the report: Present
    and Uncertain are 1, Absent is 0 (CmEAA, A.1).

    **Reports leave this machine**, unless the endpoint runs on it. It is any that speaks OpenAI's
    chat completions, by `url` (…/v1). `key_variable` names the environment variable that holds the
    key; the key is never stored. The model is asked at temperature 0; `request` adds to what is
    sent (`{max_tokens: 400}`), and takes out what it sets to null. `prompt` has places for
    {probabilities} and {report}; unless said, it is ours: Figure 4 of the paper is not printed as
    text.

    Answers are kept in the file `cache` by what was asked (a digest of it, not the report), so that
    who is stopped goes on and nobody is asked twice. Where the server is busy, slow or answers
    nonsense it is asked again, `retries` times, after `wait` seconds and twice as long each time.
    An answer that does not say one of the three words of all 14 observations is an error, or is
    left to `on_bad: observe`, which the source of each label then says.
    """

    writes: ClassVar[type] = Labels
    reads: ClassVar[tuple[type, ...]] = (Probabilities, NearestReport)

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key_variable: str | None = None,
        prompt: str | None = None,
        request: Mapping[str, Any] | None = None,
        cache: str = "~/.cache/rrg/answers.jsonl",
        concurrency: int = 4,
        timeout: float = 120.0,
        retries: int = 6,
        wait: float = 1.0,
        on_bad: Annotator | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"`concurrency` is {concurrency}; expected at least 1")
        self.endpoint = Endpoint(
            url=url,
            model=model,
            key_variable=key_variable,
            request=request,
            timeout=timeout,
            retries=retries,
            wait=wait,
        )
        self.questions = Questions(prompt=prompt, on_bad=on_bad, model=model)
        self.answers = Answers(Path(cache).expanduser())
        self.concurrency = concurrency
        self.on_bad = on_bad
        key = f", with the key in ${key_variable}" if key_variable is not None else ""
        self.reaches = f"sends probabilities and reports to {self.endpoint.url}{key}"
        self._track: Track = untracked

    def artefacts(self) -> Sequence[Artefact]:
        """Return those of `on_bad`."""
        return artefacts_of(self.on_bad)

    def equip(self, bench: Workbench) -> None:
        """Show how far it is."""
        self._track = bench.track
        if self.on_bad is not None:
            self.on_bad.equip(bench)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield labels; raises DataError where the endpoint does not answer, or not readably."""
        asked = list(studies)
        keys = [self.endpoint.key(self._body(study)) for study in asked]
        missing = {
            key: study for key, study in zip(keys, asked, strict=True) if key not in self.answers
        }
        if missing:
            self._ask(missing)
        for key, study in zip(keys, asked, strict=True):
            yield self.questions.labels(study, self.answers[key])

    def fingerprint(self) -> str:
        """Return the model, where it is, and which prompt it is asked with."""
        return (
            f"observe_endpoint {self.endpoint.model} at {self.endpoint.host} "
            f"(prompt {self.questions.digest})"
        )

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Count the answers that could not be read."""
        return self.questions.summary()

    def _body(self, study: Study) -> dict[str, Any]:
        return self.endpoint.body(self.questions.prompt(study))

    def _ask(self, missing: Mapping[str, Study]) -> None:
        """Ask about each of these studies, some at a time, and keep the answers."""
        self.endpoint.check_key()
        title = f"asking {self.endpoint.model}"
        if not self.endpoint.is_here:
            title += f" (reports go to {self.endpoint.where})"
        ask_each(
            self._ask_one,
            list(missing.items()),
            concurrency=self.concurrency,
            track=self._track,
            title=title,
        )

    def _ask_one(self, asked: tuple[str, Study]) -> None:
        key, study = asked
        try:
            answer = self.endpoint.ask(self._body(study))
        except UserError as error:
            raise self.answers.interrupted(study.id, error) from error
        if self.on_bad is None:
            try:
                read_answer(answer)
            except Unreadable as error:  # not kept: next time it may do better
                raise DataError(self.questions.refusal(study, answer, error)) from error
        self.answers.keep(key, answer)
