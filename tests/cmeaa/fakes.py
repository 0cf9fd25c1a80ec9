"""What stands around CmEAA's components in their tests."""

from typing import Any, cast, final

import torch
from torch import Tensor, nn

from rrgcore.api import (
    Decoded,
    Decoder,
    EmbedsTokens,
    Encoded,
    Features,
    Generated,
    Generation,
    Tokens,
    Visual,
    WordTokenizer,
)
from rrgcore.testing import make_batch, make_parts, make_studies

NO_WORDS = WordTokenizer(words=[])


@final
class Table(Decoder, EmbedsTokens):
    """Embeds tokens by a given table, and does nothing else."""

    def __init__(self, rows: Tensor, tokenizer: WordTokenizer = NO_WORDS) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)
        self.dim = self.token_dim = self.text_dim = rows.shape[1]
        self.tokenizer = tokenizer

    def embed_tokens(self, ids: Tensor) -> Tensor:
        return self.rows[ids]

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        raise AssertionError("nothing is decoded here")

    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        raise AssertionError("nothing is generated here")


def features_of(alignment: Tensor, text: Encoded) -> Features:
    """Return features that say what the adapter and the text encoder would have."""
    features = Features(make_parts(), make_batch(make_studies()))
    seen = cast(Any, features.__dict__)
    seen["visual"] = Visual(torch.zeros(len(alignment), 1, 1), alignment=alignment)
    seen["text"] = text
    return features
