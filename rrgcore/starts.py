"""Parts that start from another run: where its weights are, and what it had learned from."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, cast, final

from rrgcore.errors import RunError
from rrgcore.folder import CHECKPOINTS, RunFolder
from rrgcore.manifest import check_belongs, check_files
from rrgcore.plan import Plan
from rrgcore.provenance import Artefact, Provenance
from rrgcore.supply import HoldsArtefacts

SOURCE: Final = re.compile(r"run:(?P<run>.+?)(?:@(?P<stage>[^@/]+)/(?P<which>best|last))?", re.S)


def checkpoint_of(source: str) -> Path:
    """Return the checkpoint that `init` names, a run's best unless it says which; raises RunError,
    also where the run is not as it was when that was saved.
    """
    folder, said = folder_of(source), _read(source)
    checkpoint = folder.best
    if said["stage"] is not None:
        which = cast(Literal["best", "last"], said["which"])
        checkpoint = folder.checkpoint(said["stage"], which)
        if not checkpoint.is_dir():
            there = sorted(path.parent for path in folder.path.glob(f"{CHECKPOINTS}/*/last"))
            raise RunError(
                f"init: '{source}': the run has no stage '{said['stage']}' that was saved. There: "
                f"{', '.join(path.name for path in there) or 'none'}"
            )
    check_files(checkpoint)
    check_belongs(folder, checkpoint)
    return checkpoint


def folder_of(source: str) -> RunFolder:
    """Return the run that `init` names; raises RunError."""
    return RunFolder.open(_read(source)["run"])


def _read(source: str) -> re.Match[str]:
    if (found := SOURCE.fullmatch(source)) is None:
        raise RunError(
            f"init: '{source}' is no run; expected run:PATH or run:PATH@STAGE/last (published "
            "weights are an option of the component: `weights`)"
        )
    return found


def starts_of(plan: Plan) -> Iterator[tuple[str, object]]:
    """Return the runs that parts start from as holders of what those runs learned from.

    One that was made before runs kept a record is let through: nothing is known against it.
    """
    for part, source in plan.init.items():
        if (learned := folder_of(source).training) is not None:
            yield f"init.{part}", StartedFrom(source, learned)


@final
class StartedFrom(HoldsArtefacts):
    """A part that goes on from another run, which was trained on that run's studies."""

    def __init__(self, source: str, learned: Provenance) -> None:
        self.source = source
        self.learned = learned

    def artefacts(self) -> Sequence[Artefact]:
        """Return the run."""
        return [Artefact(f"'{self.source}'", self.learned)]
