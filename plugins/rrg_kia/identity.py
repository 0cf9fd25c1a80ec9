"""Which studies say the very same: normal reports repeat, and are no negatives of each other."""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from jaxtyping import Int
from torch import Tensor

from rrgcore.api import Study


def identify_reports(studies: Sequence[Study]) -> Int[Tensor, " b"]:
    """Return 63 bits a study, equal where the reports are the same words, on every machine."""
    return torch.tensor([_identify(study.report or "") for study in studies], dtype=torch.long)


def _identify(report: str) -> int:
    text = " ".join(report.split())
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
