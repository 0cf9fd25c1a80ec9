"""`rrg data cache`: the decoded images that are kept between runs. Imports no torch."""

import json
from datetime import datetime
from typing import Annotated

import typer

from rrgcore.cli.options import Json
from rrgcore.errors import UserError


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what no process uses just now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say where decoded images are kept and what they take, or remove them."""
    from rrgcore.images.cache_folder import PLACE, clear_folder, image_folder, rooms

    folder = image_folder()
    if folder is None:
        raise UserError(f"no images are kept: {PLACE} is off, or this system has no place for them")
    removed, in_use = clear_folder(folder) if clear else (0, 0)
    there = rooms(folder)
    total = sum(room.bytes for room in there)
    if as_json:
        found = {
            "folder": str(folder),
            "bytes": total,
            "rooms": [
                {
                    "name": room.name,
                    "size": room.size,
                    "images": room.images,
                    "bytes": room.bytes,
                    "used": _when(room.used),
                }
                for room in there
            ],
            **({"removed": removed, "in_use": in_use} if clear else {}),
        }
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    typer.echo(f"{folder} ({PLACE} names another)")
    if clear:
        typer.echo(f"{_megabytes(removed)} removed")
    for room in there:
        typer.echo(
            f"  {room.size} pixels: {room.images:,} images, {_megabytes(room.bytes)}, "
            f"last used {_when(room.used)}"
        )
    if in_use:
        typer.echo("A process uses what is left")
    elif not there:
        typer.echo("Nothing is kept there")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="minutes")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
