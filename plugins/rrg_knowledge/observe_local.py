"""The annotator `observe_local`."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from rrg_knowledge.observe_prompt import Questions
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.errors import WeightsError
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts, Workbench, artefacts_of

ENDS = 1 << 20
"""Bytes at each end of a weight file that its digest is made of: the whole takes minutes."""


@final
class ObserveByLocalModel(Annotator, HoldsArtefacts):
    """y_o as a language model on this machine answers that is asked with the probabilities and the
    report: Present and Uncertain are 1, Absent is 0 (CmEAA, A.1, with another model than GPT-4).

    `model` is a folder, or a hub name, of a causal model of transformers; it answers greedily, one
    study at a time, in at most `max_new_tokens`, and is asked in its chat template where its
    tokenizer has one. `prompt` has places for {probabilities} and {report}. An answer that does not
    say one of the three words of all 14 observations is an error, or is left to `on_bad: observe`.
    Its code must be transformers' own: none that comes with the weights is run.

    Raises WeightsError where the model is not there.
    """

    writes: ClassVar[type] = Labels
    reads: ClassVar[tuple[type, ...]] = (Probabilities, NearestReport)
    one_by_one: ClassVar[bool] = True

    def __init__(
        self,
        *,
        model: str,
        prompt: str | None = None,
        max_new_tokens: int = 400,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        on_bad: Annotator | None = None,
    ) -> None:
        if max_new_tokens < 1:
            raise ValueError(f"`max_new_tokens` is {max_new_tokens}; expected at least 1")
        path = Path(model).expanduser()
        self.model = str(path) if path.is_dir() else model
        self.max_new_tokens = max_new_tokens
        self.dtype = dtype
        self.on_bad = on_bad
        self.questions = Questions(prompt=prompt, on_bad=on_bad, model=path.name)
        self._bench: Workbench | None = None
        self._loaded: tuple[Any, Any] | None = None

    def read_given(self) -> None:
        """Look for a model that is a folder; raises WeightsError."""
        local = self.model.startswith(("/", ".", "~")) or self.model.count("/") > 1
        if local and not (Path(self.model).expanduser() / "config.json").is_file():
            raise WeightsError(
                f"there is no language model at {self.model} (it has no config.json)"
            )

    def artefacts(self) -> Sequence[Artefact]:
        """Return those of `on_bad`."""
        return artefacts_of(self.on_bad)

    def equip(self, bench: Workbench) -> None:
        """Take the device."""
        self._bench = bench
        if self.on_bad is not None:
            self.on_bad.equip(bench)

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield labels; raises DataError for an answer that cannot be read."""
        assert self._bench is not None, "an annotator is equipped before it works"
        asked = list(studies)
        answers: dict[str, str] = {}
        for study in self._bench.track(asked, f"asking {self.questions.model}", len(asked)):
            prompt = self.questions.prompt(study)
            if prompt not in answers:
                answers[prompt] = self._answer(prompt)
            yield self.questions.labels(study, answers[prompt])

    def fingerprint(self) -> str:
        """Return the model and a digest of its files, and which prompt it is asked with."""
        return (
            f"observe_local {self.questions.model} ({_digest(Path(self.model))}, "
            f"prompt {self.questions.digest})"
        )

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Count the answers that could not be read."""
        return self.questions.summary()

    def _answer(self, prompt: str) -> str:
        import torch

        assert self._bench is not None, "an annotator is equipped before it works"
        model, tokenizer = self._load()
        if tokenizer.chat_template:
            tokens = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
        else:
            tokens = tokenizer(prompt, return_tensors="pt")
        ids = tokens["input_ids"].to(self._bench.device)
        with torch.inference_mode():
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id or 0,
                # what the checkpoint would sample with, of which greedy search warns
                temperature=None,
                top_p=None,
                top_k=None,
            )
        answer: str = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        return answer

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            assert self._bench is not None, "an annotator is equipped before it works"
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.model, trust_remote_code=False)
                model = AutoModelForCausalLM.from_pretrained(
                    self.model, dtype=self.dtype, trust_remote_code=False
                )
            except (OSError, ValueError, ImportError) as error:
                raise WeightsError(
                    f"the language model '{self.model}' cannot be read: {error}"
                ) from error
            self._loaded = model.to(self._bench.device).eval(), tokenizer
        return self._loaded


def _digest(folder: Path) -> str:
    """Tell one model's files from another's: their names, sizes and ends; a hub name is itself."""
    if not folder.is_dir():
        return "by its hub name"
    digest = hashlib.sha256()
    for path in sorted(
        p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin")
    ):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(ENDS))
            file.seek(max(size - ENDS, 0))
            digest.update(file.read(ENDS))
    return f"sha256 {digest.hexdigest()[:12]}"
