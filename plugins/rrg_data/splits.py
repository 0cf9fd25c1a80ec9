"""Splits by a hash, for data that come with none."""

import hashlib
from collections.abc import Sequence

from rrgcore.settings import Split


def split_by_hash(patient: str, shares: Sequence[int] = (7, 1, 2)) -> Split:
    """Choose train, val or test in these proportions, the same whenever and wherever a patient is
    seen, so that no patient is in two.
    """
    part = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") % sum(shares)
    train, val, _ = shares
    return "train" if part < train else "val" if part < train + val else "test"
