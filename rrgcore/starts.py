"""Parts that start from another run: where its weights are, and what it had learned from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from rrgcore.errors import RunError
from rrgcore.folder import RunFolder
from rrgcore.manifest import check_belongs, check_files
from rrgcore.plan import Plan
from rrgcore.provenance import Artefact, Provenance
from rrgcore.supply import HoldsArtefacts


def checkpoint_of(source: str) -> Path:
    """Return the best checkpoint of the run that `init` names; raises RunError, also where the run
    is not as it was when that was saved.
    """
    folder = folder_of(source)
    check_files(folder.best)
    check_belongs(folder, folder.best)
    return folder.best


def folder_of(source: str) -> RunFolder:
    """Return the run that `init` names; raises RunError."""
    if not source.startswith("run:"):
        raise RunError(
            f"init: '{source}' is no run; expected run:PATH (published weights are an option of "
            "the component: `weights`)"
        )
    return RunFolder.open(source.removeprefix("run:"))


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
