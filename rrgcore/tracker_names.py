"""Which trackers there are, and whether they are installed. Imports no torch."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from rrgcore.errors import UserError, did_you_mean
from rrgcore.extras import how_to_install

TRACKERS: Final = ("tensorboard", "wandb", "mlflow")
"""Each is the name of the package that it needs, too."""


def check_trackers(asked: Iterable[str]) -> tuple[str, ...]:
    """Return the trackers that are asked for, each once, lists taken apart at commas; raises
    UserError for one that is unknown or not installed.
    """
    names = tuple(dict.fromkeys(name for text in asked for name in re.split(r"[,\s]+", text)))
    names = tuple(filter(None, names))
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"--track {name}: no such tracker.{did_you_mean(name, TRACKERS)} "
                f"There are: {', '.join(TRACKERS)}"
            )
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name is no package
            raise UserError(
                f"--track {name}: {name} is not installed. Type: {how_to_install('track')}"
            )
    return names
