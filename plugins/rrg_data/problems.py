"""Everything that is wrong with a data set, told at once."""

from typing import final

from rrgcore.errors import DataError

SHOWN = 20


@final
class Problems:
    """Collects sentences, each once, and raises them together."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Note a problem."""
        self.sentences.append(sentence)

    def check_none(self, source: str, advice: str = "", *, rest: object = None) -> None:
        """Raise DataError if there are any: the first twenty, the others counted.

        The error has all of them, and `rest`, the data set without what they are about.
        """
        if not self.sentences:
            return
        count = len(self.sentences)
        head = f"{source}: {'1 problem' if count == 1 else f'{count:,} problems'}"
        shown = [f"  {sentence}" for sentence in self.sentences[:SHOWN]]
        others = [f"  … and {count - SHOWN:,} more"] if count > SHOWN else []
        text = "\n".join([head, *shown, *others, *([advice] if advice else [])])
        raise DataError(text, problems=self.sentences, rest=rest)
