"""`rrg annotate`: files of annotations beside the data, and what an annotator learned."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rrgcore.cli.annotating_data import annotators_of, as_typed, data_of
from rrgcore.cli.options import (
    DataName,
    DataOptions,
    Json,
    NoPlugins,
    PluginFiles,
    Variants,
    find_plugins,
    role,
)
from rrgcore.errors import DataError, RecipeError, UserError, WriteError
from rrgcore.interrupts import Interrupts
from rrgcore.settings import ROLES

if TYPE_CHECKING:
    from rrgcore.annotating import Annotated as Done
    from rrgcore.annotating.tally import Table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("annotate")(annotate)


def annotate(
    annotator: Annotated[
        str, typer.Argument(metavar="ANNOTATOR", help="As listed by: rrg list annotators")
    ],
    name: DataName,
    options: DataOptions = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ANNOTATOR.OPTION=VALUE", help="--set atlas.keys=10"),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", parser=role, help="train, val or test; all of them."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE|DIR", help="The data's own, unless said.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="What it learned goes here.")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Withhold reports, as where they are predicted.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    variant: Variants = None,
    as_json: Json = False,
    plugin: PluginFiles = None,
    no_plugin: NoPlugins = None,
) -> None:
    """Annotate a data set, and save what was learned from its training split.

    What was stopped goes on where it was when the same command is given again.
    """
    wanted = [each for each in ROLES if not split or each in split]
    found = find_plugins(plugin, no_plugin)
    kind = cast(Any, found.registry.get("annotator", annotator)).writes
    overrides = [
        f"annotations.{kind.slug}={annotator}",
        *(f"annotations.{kind.slug}.{rest}" for rest in _settings(settings, annotator)),
    ]
    try:
        data = data_of(name, options or (), variant or (), overrides, found)
        dataset = data.dataset()
        annotators = dict(annotators_of(data, kind))
    except RecipeError as error:
        raise as_typed(error, kind.slug, annotator) from error
    from rrgcore.annotating import (
        AnnotationOrder,
        annotate_dataset,
        sidecar_path,
        work_folder,
    )
    from rrgcore.cli.display import Display
    from rrgcore.watch import tracking

    given = data.recipe.values["data"]["annotations"][kind.slug]
    seed = data.recipe.values.get("seed", 0)
    order = AnnotationOrder(
        annotator=annotator,
        options={k: v for k, v in given.items() if k != "name"} if given != annotator else {},
        splits={role: data.settings.splits.get(role, role) for role in ROLES},
        wanted=wanted,
        limit=data.settings.limit,
        blind=blind,
        out=out and out.expanduser(),
        save=save and save.expanduser(),
        force=force,
    )
    try:
        with Display(quiet=as_json) as display, Interrupts() as stop, stop.let_through():
            done = annotate_dataset(
                dataset,
                annotators.pop(kind),
                order,
                others=annotators,
                seed=seed if isinstance(seed, int) else 0,
                device=_device(),
                track=tracking(display),
            )
    except (DataError, WriteError, KeyboardInterrupt) as error:
        target = sidecar_path(dataset, kind, order) or save
        if target is None or not (work := work_folder(target)).is_dir():
            raise
        kept = f"What was done is kept in {work}: the same command goes on from there"
        if isinstance(error, DataError):
            raise DataError(f"{error}\n{kept}") from error
        if isinstance(error, WriteError):
            raise error.told(
                f"What was done is kept in {work}",
                "give the same command again, which goes on from there",
            ) from error
        typer.echo(kept, err=True)
        raise
    if as_json:
        asked = {"annotator": annotator, "options": order.options, "data": name, "blind": blind}
        typer.echo(json.dumps({**asked, **done.to_json()}, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n".join(_tell(done, order.splits["train"], blind)))
        if dataset.caution:
            typer.echo(dataset.caution)


def _settings(given: Sequence[str] | None, annotator: str) -> Iterator[str]:
    """Yield OPTION=VALUE of each --set."""
    for setting in given or ():
        name, dot, rest = setting.partition(".")
        if not dot or "=" not in rest or name != annotator:
            raise UserError(f"--set {setting}: expected {annotator}.OPTION=VALUE")
        yield rest


def _device() -> str:
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if found is None else str(found)


# ---- what is told ---------------------------------------------------------------------------


def _tell(done: "Done", training: str, blind: bool) -> Iterator[str]:
    yield done.fingerprint
    if done.learned_from is not None:
        yield f"learned from the {len(done.learned_from.ids):,} studies of {training}, no others"
    if done.summary:
        yield ""
        yield from _table("", done.summary)
    if done.counts:
        yield ""
        yield from _table(done.slug, done.counts)
    yield ""
    if done.sidecar is not None:
        yield from _tell_sidecar(done, blind)
    if done.saved is not None:
        yield f"{done.saved}: {', '.join(sorted(path.name for path in done.saved.iterdir()))}"
        if done.sidecar is None:
            yield "No study was annotated: --out DIR does that too"


def _tell_sidecar(done: "Done", blind: bool) -> Iterator[str]:
    total = sum(done.studies.values())
    by_split = ", ".join(f"{count:,} {split}" for split, count in done.studies.items())
    before = f", {done.resumed:,} of them before" if done.resumed else ""
    yield f"{done.sidecar}: {total:,} studies ({by_split}){before}"
    if done.empty:
        yield f"{done.empty:,} of them say nothing"
    if blind:
        yield "Made of images alone: a model may read it where reports are to be predicted"
    else:
        way = "" if done.from_report else ". For one that may be read: --blind"
        yield f"Made of whole studies: no model reads it where reports are to be predicted{way}"


def _table(corner: str, rows: "Table") -> Iterator[str]:
    from rrgcore.data_check.report import NONE, table

    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    counts = {
        column: all(float(cells.get(column, 0)).is_integer() for cells in rows.values())
        for column in columns
    }

    def figure(value: int | float | None, column: str) -> str:
        if value is None:
            return NONE
        return f"{int(value):,}" if counts[column] else f"{value:.3f}"

    yield from table(
        [corner, *columns],
        [
            [row, *(figure(cells.get(column), column) for column in columns)]
            for row, cells in rows.items()
        ],
    )
