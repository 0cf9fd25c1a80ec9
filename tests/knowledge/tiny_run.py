"""A run folder with a model that was never trained: what `nearest_by_run` reads of one."""

import json
from pathlib import Path

from rrgcore import load_recipe
from rrgcore.build import build_model
from rrgcore.checkpoint import link_folder, save_model
from rrgcore.folder import RunFolder
from rrgcore.job import listed_studies
from rrgcore.manifest import Manifest
from rrgcore.resolve import resolved
from rrgcore.tokenizers import Tokenizers

TINY = Path(__file__).parent.parent / "tiny.yaml"


def write_run(path: Path, *, record: bool = True) -> Path:
    """Write what a run of tests/tiny.yaml would leave; `record`: the studies it was trained on."""
    session = load_recipe(TINY)
    plan = session.plan
    studies = listed_studies(plan)
    tokenizers = Tokenizers(plan, lambda: studies.reports("train"))
    model = build_model(plan, tokenizers)
    encoder = model.parts.encoder
    facts = {"pixels": {"mean": list(encoder.mean), "std": list(encoder.std)}}
    folder = RunFolder.create(path, session.recipe, resolved(plan), facts)
    names = {}
    for number, (name, tokenizer) in enumerate(tokenizers.loaded.items()):
        names[name] = f"tokenizers/{number}"
        tokenizer.save(path / names[name])
    folder.update(tokenizers=names)
    if record:
        (path / "artefacts").mkdir()
        learned = studies.provenance().to_json()
        (path / "artefacts" / "training.json").write_text(json.dumps(learned))
    manifest = Manifest.of(folder, studies.cleaning)
    for stage in plan.stages:
        folder.checkpoint(stage, "best").mkdir(parents=True)
        save_model(folder.checkpoint(stage, "best"), model)
        manifest.write(folder.checkpoint(stage, "best"))
    link_folder(folder.checkpoint(stage, "best"), folder.best)
    return path
