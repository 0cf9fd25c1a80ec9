"""What another run must keep of a run whose model it asks."""

import shutil
from pathlib import Path
from typing import Final

from rrgcore.checkpoint import link_folder
from rrgcore.files import write_json
from rrgcore.folder import ARTEFACTS, CHECKPOINTS, GIVEN, RECIPE, RUN, TRAINING, RunFolder
from rrgcore.manifest import Manifest, check_belongs, check_files, rules_of

KEPT: Final = ("recipe", "state", "pixels", "packages", "plugins", "tokenizers")
"""Of run.json."""


def write_excerpt(run: RunFolder, checkpoint: str, target: Path) -> None:
    """Write a run folder that holds one checkpoint, and what its model is built with: recipe,
    tokenizers, what its components were given, and on which studies it was trained.

    Raises RunError for a checkpoint that is not as it was saved, or does not belong to the run.
    """
    source = run.path / CHECKPOINTS / checkpoint
    check_files(source)
    check_belongs(run, source)
    shutil.copyfile(run.path / RECIPE, target / RECIPE)
    record = run.record
    write_json(target / RUN, {key: record[key] for key in KEPT if key in record})
    for name in record["tokenizers"].values():
        shutil.copytree(run.path / name, target / name)
    (target / ARTEFACTS).mkdir()
    for name in (TRAINING, GIVEN):
        found, place = run.artefacts / name, target / ARTEFACTS / name
        if found.is_dir():
            shutil.copytree(found, place)
        elif found.is_file():
            shutil.copyfile(found, place)
    copy = target / CHECKPOINTS / checkpoint
    link_folder(source, copy)
    # in place of the source's, which tells of more artefacts
    Manifest.of(RunFolder(target), rules_of(source)).write(copy)
