"""A picture that a command is told to write: where it may go, and how it gets there whole."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rrgcore.errors import UserError
from rrgcore.files import write_bytes

if TYPE_CHECKING:  # a command that draws nothing does not wait for it
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg")


def check_figure_file(path: Path | None) -> None:
    """Raise UserError for a file that a picture cannot be written to."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--figure {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise UserError(f"--figure {path} {what}; name a file")


def write_figure(figure: "Figure", path: Path) -> None:
    """Write it as PNG or SVG, as its file's name ends; the same picture is the same file."""
    from matplotlib import rc_context

    held = BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    about: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "rrg"}):
        figure.savefig(held, format=kind, metadata=about)
    write_bytes(path, held.getvalue())
