"""What makes one number comparable with another."""

from dataclasses import dataclass
from typing import Final, final

CAPTION_TOOL: Final = (
    "BLEU of the corpus, ROUGE-L and CIDEr-D (document frequencies of these references) as "
    "pycocoevalcap 1.2"
)


@final
@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How the numbers beside it were made; equal fingerprints, comparable numbers."""

    protocol: str
    tokens: str
    pairs: int
    implementation: str
    """Whose formulas, with versions."""
    cleaning: str = "none"
    truncation: str = "none"

    def __str__(self) -> str:
        return "; ".join(
            [
                f"protocol {self.protocol}",
                f"cleaning {self.cleaning}",
                f"truncation {self.truncation}",
                f"tokens {self.tokens}",
                f"{self.pairs:,} pairs",
                self.implementation,
            ]
        )


def with_meteor(implementation: str, meteor: bool, *, how: str = "of the corpus") -> str:
    """Add METEOR to an implementation if it is asked for."""
    return f"{implementation}; METEOR 1.5 {how}" if meteor else implementation
