"""What a component does to raw studies, in the loading worker."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rrgcore.interfaces import MaskingStrategy, Prepares
from rrgcore.testing.modules import alike, tensors_of
from rrgcore.testing.subject import Subject
from rrgcore.types import move

ORDER = (2, 0, 3, 1)


def check_prepares(s: Subject, component: Prepares[Any]) -> Subject:
    """Check `prepare`; returns the subject with studies that carry what the component reads."""
    said = component.annotations_read()
    for whose, reads in (
        ("it", component.reads),
        *(
            (f"its {type(masking).__name__}", masking.reads)
            for masking in s.nested(component, MaskingStrategy)  # type: ignore[type-abstract]
        ),
    ):
        missing = ", ".join(kind.__name__ for kind in reads if kind not in said)
        s.expect(
            not missing,
            f"{whose} reads {missing}, which annotations_read() leaves out: studies would come "
            "without",
        )
    s = s.reading(said)
    order = [row % len(s.studies) for row in ORDER] if len(s.studies) == len(ORDER) else []
    order = order or list(reversed(range(len(s.studies))))
    with s.keeping_global_randomness("prepare"), s.trying("prepare"):
        first = component.prepare(s.studies, s.rngs())
        second = component.prepare(s.studies, s.rngs())
    s.expect(
        alike(first, second), "prepare returns something else for the same studies and generators"
    )
    shuffled = replace(s, studies=[s.studies[row] for row in order])
    with s.trying("prepare of the studies in another order"):
        third = component.prepare(shuffled.studies, shuffled.rngs())
    s.expect(
        alike(_rows(first, order, len(order)), list(tensors_of(third))),
        "prepare returns something else for a study in another place of the batch: take each "
        "study's own generator, rngs[i] for studies[i]",
    )
    with s.trying("moving what prepare returned to a device"):
        move(first, "cpu")
    return s


def _rows(prepared: Any, order: Sequence[int], rows: int) -> list[torch.Tensor]:
    """Return each tensor with its rows in another order, where it has a row a study."""
    index = torch.tensor(order)
    return [t[index] if t.ndim and len(t) == rows else t for t in tensors_of(prepared)]
