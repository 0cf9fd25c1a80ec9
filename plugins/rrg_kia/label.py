"""Label-guided masking: a text that states 14 observations, with every statement hidden."""

from collections.abc import Mapping
from typing import Literal, final

from numpy.random import Generator

from rrg_kia.words import WordPieces
from rrgcore.api import Labels, MaskedText, Study, TextMasking, Tokenizer
from rrgcore.chest import ORDERS

OPENING = ("In", "this", "radiology", "image")
PRESENT, ABSENT = "present", "absent"
ALPHABETICAL = ORDERS["alphabetical"]

Uncertain = Literal["absent", "present"]


@final
class LabelMasking(TextMasking):
    """R_m = "In this radiology image, atelectasis is [MASK], cardiomegaly is [MASK], …" (KIA,
    §3.2).

    The text stands alone, not after the report, which would give the answers away. What is not
    mentioned is absent; what is uncertain is absent too, unless `uncertain` says otherwise. The
    paper gives no order: alphabetical, or another one for each draw. Punctuation marks are words of
    their own here. With [CLS] and [SEP] the text is 70 tokens of whole words, and more of
    WordPieces; where fewer are allowed (`data.max_report_tokens`), its last observations are never
    asked for.
    """

    reads = (Labels,)
    words = tuple(
        sorted(
            {
                *OPENING,
                *(word for name in ALPHABETICAL for word in name.lower().split()),
                "is",
                PRESENT,
                ABSENT,
                ",",
                ".",
            }
        )
    )

    def __init__(
        self,
        *,
        uncertain: Uncertain = "absent",
        order: Literal["alphabetical", "shuffled"] = "alphabetical",
    ) -> None:
        self.uncertain: Uncertain = uncertain
        self.order = order

    def mask_text(
        self, study: Study, tokenizer: Tokenizer, rng: Generator, *, max_tokens: int
    ) -> MaskedText:
        """Write the label report and hide its 14 statuses."""
        order = list(ALPHABETICAL)
        if self.order == "shuffled":
            rng.shuffle(order)
        words = label_words(study[Labels].values, uncertain=self.uncertain, order=order)
        statuses = {at for at, word in enumerate(words) if word in (PRESENT, ABSENT)}
        pieces = WordPieces.of_words(words, tokenizer, max_tokens=max_tokens)
        return pieces.hide(statuses, tokenizer)


def label_words(
    values: Mapping[str, int],
    *,
    uncertain: Uncertain = "absent",
    order: tuple[str, ...] | list[str] = ALPHABETICAL,
) -> tuple[str, ...]:
    """Return the label report, each punctuation mark a word."""
    status = {1: PRESENT, 0: ABSENT, -1: uncertain}
    words = [*OPENING]
    for name in order:
        words += [",", *name.lower().split(), "is", status[values.get(name, 0)]]
    return (*words, ".")
