"""The annotations of studies: from annotators, from the studies themselves, from the data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Annotator, Dataset

NOTHING: Mapping[Any, Any] = MappingProxyType({})


def list_annotations(annotator: Annotator, studies: Sequence[Study]) -> list[Any]:
    """Ask an annotator."""
    return list(annotator.annotate(studies))


Annotate = Callable[[Annotator, Sequence[Study]], list[Any]]


def gather_annotations(
    dataset: Dataset,
    studies: Sequence[Study],
    kinds: Sequence[type],
    annotators: Mapping[type, Annotator] = NOTHING,
    *,
    make: bool = True,
    advice: Mapping[type, str] = NOTHING,
    annotate: Annotate = list_annotations,
) -> list[Study]:
    """Return the studies with every annotation that components read, and that annotators build on.

    Each kind comes from the annotator that the recipe names for it, else from the study itself,
    else from the data. Raises DataError naming a study that lacks one, and what to write; `advice`
    is what else there is to do about a kind. Unless `make`, annotators are not asked, and what they
    build on is gathered alone. `annotate` is how one is asked.
    """
    gathered = list(studies)
    for kind in in_order(kinds, annotators):
        if kind in annotators and not make:
            continue
        if kind in annotators:
            made = annotate(annotators[kind], gathered)
            assert len(made) == len(gathered), (
                f"{type(annotators[kind]).__name__} made {len(made)} annotations of "
                f"{len(gathered)} studies; an annotator yields one for each, in order"
            )
        else:
            made = [
                study.annotations[kind]
                if kind in study.annotations
                else dataset.annotation(study, kind)
                for study in gathered
            ]
        _check_none_missing(kind, gathered, made, advice.get(kind))
        gathered = [
            study.annotated({kind: value}) for study, value in zip(gathered, made, strict=True)
        ]
    return gathered


def in_order(kinds: Iterable[type], annotators: Mapping[type, Annotator]) -> list[type]:
    """List the kinds and what their annotators read, the latter first; raises DataError for
    annotators that wait for each other.
    """
    order: list[type] = []

    def visit(kind: type, above: tuple[type, ...]) -> None:
        if kind in above:
            circle = " needs ".join(map(slug_of, (*above[above.index(kind) :], kind)))
            raise DataError(f"these annotators wait for each other: {circle}")
        if kind in order:
            return
        if kind in annotators:
            for needed in annotators[kind].reads:
                visit(needed, (*above, kind))
        order.append(kind)

    for kind in kinds:
        visit(kind, ())
    return order


def needed_by(kinds: Iterable[type], annotators: Mapping[type, Annotator]) -> list[type]:
    """List the kinds and what their annotators read, nearest first."""
    found = list(dict.fromkeys(kinds))
    for kind in found:
        reads = annotators[kind].reads if kind in annotators else ()
        found += [needed for needed in reads if needed not in found]
    return found


def _check_none_missing(
    kind: type, studies: Sequence[Study], made: Sequence[Any], advice: str | None
) -> None:
    missing = [study.id for study, value in zip(studies, made, strict=True) if value is None]
    if not missing:
        return
    slug = slug_of(kind)
    others = f" and {len(missing) - 1:,} more of {len(studies):,}" if len(missing) > 1 else ""
    more = f".\n{advice}" if advice else ""
    raise DataError(
        f"study '{missing[0]}'{others} has no {slug} annotation ({kind.__name__}), which a "
        f"component of this recipe reads.\nEither name an annotator that makes it, under "
        f"data.annotations.{slug}, or write it beside the data: annotations/{slug}.jsonl, a line "
        f'{{"id": "{missing[0]}", "value": …}} for each study{more}'
    )


def slug_of(kind: type) -> str:
    """Name an annotation class as recipes and sidecars do."""
    return getattr(kind, "slug", kind.__name__.lower())
