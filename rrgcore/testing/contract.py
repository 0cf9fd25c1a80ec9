"""The contract of every component, whoever wrote it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from rrgcore.features import Parts
from rrgcore.plugins import Discovered, discover
from rrgcore.signatures import check_value, options_of
from rrgcore.study import Study
from rrgcore.testing.adapters import check_adapter
from rrgcore.testing.annotators import check_annotator
from rrgcore.testing.datasets import check_dataset
from rrgcore.testing.decoders import check_decoder
from rrgcore.testing.encoders import check_encoder
from rrgcore.testing.figures import check_figure
from rrgcore.testing.maskings import check_masking
from rrgcore.testing.metrics import check_metric
from rrgcore.testing.objectives import check_objective
from rrgcore.testing.parts import check_part
from rrgcore.testing.published import check_published
from rrgcore.testing.samples import make_studies
from rrgcore.testing.sources import check_source
from rrgcore.testing.subject import Subject

CHECKS: Mapping[str, Callable[[Subject], None]] = {
    "encoder": check_encoder,
    "adapter": check_adapter,
    "objective": check_objective,
    "masking": check_masking,
    "decoder": check_decoder,
    "part": check_part,
    "dataset": check_dataset,
    "source": check_source,
    "metric": check_metric,
    "published": check_published,
    "annotator": check_annotator,
    "figure": check_figure,
}
"""For each kind, what its components must do."""


def check_component(
    kind: str,
    name: str,
    /,
    *,
    plugins: Discovered | None = None,
    studies: Sequence[Study] | None = None,
    parts: Parts | None = None,
    **options: Any,
) -> None:
    """Check that a component keeps the contract of its kind.

    It is built by itself from small values: what a model wires comes from fakes, and a nested
    component without a default is a fake too. `options` are its own, as a recipe would say them; a
    nested one may also be an object, and a wired name (`image_size=56`) sets the size of the fakes.
    `studies` replace the samples, for a component that reads annotations of its own or reports of a
    certain form; `parts` the fakes, for one that asks of them what they cannot do
    (`make_parts(encoder=…)`). `plugins` are those that `rrgcore.discover` finds, unless given:
    `discover(files=["my_idea.py"])`.

    Raises AssertionError that says what is wrong, chained to what the component raised, if it did.
    A name that nobody offers is a RegistryError.
    """
    registry = (plugins or discover()).registry
    summary = registry.entry(kind, name).component.summary
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        samples = make_studies() if studies is None else studies
        subject = Subject.find(kind, name, options, registry, samples, parts)
        _check_declaration(subject, summary)
        CHECKS[kind](subject)


def _check_declaration(s: Subject, summary: str) -> None:
    """Check what `rrg list`, the documentation and recipes need to know of any component."""
    s.expect(
        bool(summary.strip()) and "\n" not in summary,
        f"its summary is {summary!r}; expected one line for `rrg list`",
    )
    s.expect(
        bool((s.cls.__dict__.get("__doc__") or "").strip()),
        f"{s.cls.__name__} has no docstring: a sentence of what it is, then its source",
    )
    s.expect(
        not inspect.isabstract(s.cls),
        f"{s.cls.__name__} is abstract: it defines no "
        f"{', '.join(sorted(getattr(s.cls, '__abstractmethods__', ())))}",
    )
    for option in options_of(s.cls).values():
        if option.required or option.component is not None or option.is_tokenizer:
            continue
        try:
            check_value(option.annotation, option.default)
        except (ValueError, TypeError) as error:
            s.refuse_from(error, f"the default of option '{option.name}': {error}")
