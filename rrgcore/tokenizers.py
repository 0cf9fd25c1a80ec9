"""The tokenizers of a plan: of words, loaded by name, saved with a run, or stood in for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast, final

from rrgcore.errors import RunError, WeightsError
from rrgcore.interfaces import Decoder, TextMasking
from rrgcore.mirror import mirrored_text
from rrgcore.plan import Plan
from rrgcore.tokens import (
    AbsentTokenizer,
    Tokenizer,
    WordTokenizer,
    load_saved_tokenizer,
    load_tokenizer,
)

WORDS = "words"
"""The tokenizer whose vocabulary is the training reports'."""


@final
@dataclass
class Tokenizers:
    """Tokenizers by the name a recipe gives them, each loaded once."""

    plan: Plan
    texts: Callable[[], Iterable[str]] | None
    """The training reports; None where they are not at hand (then `words` is absent too)."""
    saved: Mapping[str, str] = field(default_factory=dict)
    """A folder for a name, where a run has saved the tokenizer."""
    loaded: dict[str, Tokenizer] = field(default_factory=dict)
    absent_allowed: bool = False
    """Whether a tokenizer that is not at hand may be stood in for by its size."""
    only_saved: bool = False
    """Whether those that a run has saved are all that there are: nothing else is looked for."""

    def __call__(self, name: str, *, size: int | None = None) -> Tokenizer:
        """Return the tokenizer of a name; raises WeightsError when it is absent, RunError where a
        run should have it.
        """
        if name not in self.loaded:
            self.loaded[name] = self._load(name, size)
        return self.loaded[name]

    @property
    def absent(self) -> tuple[str, ...]:
        """The names of those that are not at hand."""
        return tuple(k for k, v in self.loaded.items() if isinstance(v, AbsentTokenizer))

    def _load(self, name: str, size: int | None) -> Tokenizer:
        special = self._special
        if name in self.saved:
            return load_saved_tokenizer(Path(self.saved[name]), special=special)
        if self.only_saved:
            raise RunError(
                f"the run has not saved the tokenizer '{name}', which its recipe names: run.json "
                "is not as it was. Bring the run back from a copy"
            )
        if name == WORDS:
            if self.texts is not None:
                return self._of_words(list(self.texts()))
            return AbsentTokenizer(name=name, size=size or 1000)
        try:
            return load_tokenizer(name, special=special)
        except WeightsError:
            if self.absent_allowed and size is not None:
                return AbsentTokenizer(name=name, size=size)
            raise

    def _of_words(self, texts: Sequence[str]) -> WordTokenizer:
        """Learn the vocabulary; a flip asks for each word's other side too, however rare that is
        in the reports as they are.
        """
        learn = partial(
            WordTokenizer.of_texts,
            texts,
            min_count=self.plan.data.min_word_count,
            special=self._special,
        )
        words = learn(extra=self._extra)
        if self.plan.data.augment.flip:
            words = learn(extra=(*self._extra, *map(mirrored_text, words.tokens)))
        return words

    @cached_property
    def _special(self) -> tuple[str, ...]:
        blocks = self.plan.blocks()
        return tuple(
            dict.fromkeys(t for block in blocks for t in getattr(block.cls, "special_tokens", ()))
        )

    @cached_property
    def _extra(self) -> tuple[str, ...]:
        own = (b for b in self.plan.blocks() if issubclass(b.cls, (TextMasking, Decoder)))
        return tuple(word for block in own for word in cast(Any, block.cls).words)
