"""A run as one folder, or one zip, from which another machine predicts.

    recipe.yaml run.json              as the run's, without paths of this machine
    checkpoints/best tokenizers artefacts
    card.md
    scores.json                       the figures, without any report
    export.json                       what it needs beside it, and SHA-256 of every file

It is a run folder: whoever reads it holds it to what holds for every stranger's (rrgcore.manifest,
rrgcore.confined). The studies that it was trained on are named by hashes, and their reports and
annotations stay behind.
"""

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, final

from rrgcore import __version__
from rrgcore.card import CARD, make_card
from rrgcore.checkpoint import LeftOut, left_out_of
from rrgcore.digest import digest_of_file
from rrgcore.disk import make_folder, put_in_place, writing
from rrgcore.errors import RunError, UserError
from rrgcore.files import read_json, write_json, write_text, written_whole
from rrgcore.folder import (
    ARTEFACTS,
    CHECKPOINTS,
    EXPORT,
    RECIPE,
    RUN,
    SCORES,
    TOKENIZERS,
    RunFolder,
)
from rrgcore.manifest import ANSWERS, MANIFEST, Manifest, check_belongs, check_files, rules_of
from rrgcore.plan import Plan
from rrgcore.portable import WEIGHTS, Portable
from rrgcore.recipe import dump_recipe, load_recipe
from rrgcore.stage_state import BEST, read_state
from rrgcore.withheld import refuse_paths, refuse_training_data

FIGURES: Final = (
    "split", "studies", "references", "cautions", "protocols", "headline", "fingerprint",
    "intervals", "missing", "baselines", "details", "shuffled images", "probes", "judged",
)  # fmt: skip
"""Of scores.json; the rest quotes reports."""
OF_LEAKAGE: Final = ("verbatim", "distinct", "most_frequent_share", "empty")


@final
@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    files: Mapping[str, str]
    """Name to SHA-256."""
    bytes: int
    weights: Sequence[LeftOut]
    """Published weights that are needed beside it; `weights` is where they are looked for."""
    plugins: Sequence[str]
    """Plugins that do not come with rrg."""

    def to_json(self) -> dict[str, Any]:
        """Return what export.json says, and `rrg export --json`."""
        return {
            "rrg": __version__,
            "needs": {
                "weights": [
                    {"of": w.module, "weights": w.weights, "fingerprint": w.fingerprint}
                    for w in self.weights
                ],
                "plugins": list(self.plugins),
            },
            "files": dict(self.files),
        }


def export_run(
    run: RunFolder,
    plan: Plan,
    target: Path,
    *,
    zipped: bool = False,
    unfinished: bool = False,
    training_data: bool = False,
) -> Exported:
    """Write a run's export, whole or not at all; raises RunError where the run is not finished
    (unless `unfinished`), not as it was saved, or cannot do without training data (unless that may
    go along).
    """
    _check_state(run, unfinished)
    checkpoint = _best_of(run, plan)
    check_files(checkpoint)
    check_belongs(run, checkpoint)
    if zipped and target.suffix != ".zip":
        target = target.with_name(f"{target.name}.zip")
    if target.exists() and (zipped or not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target} is there already; name a folder that is new, or empty")
    if target.resolve().is_relative_to(run.path.resolve()):
        raise RunError(f"{target} is in the run folder itself; name a folder elsewhere")
    make_folder(target.parent)
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{target.parent} may not be written in; name a folder elsewhere")
    if zipped:
        with TemporaryDirectory(prefix=f".{target.stem}.", dir=target.parent) as place:
            root = Path(place, target.stem)
            root.mkdir()
            found = _write(run, plan, checkpoint, root, training_data)
            return replace(found, path=target, bytes=_zip(root, target))
    with written_whole(target) as root:
        found = _write(run, plan, checkpoint, root, training_data)
    return replace(found, path=target)


# ---- what there is --------------------------------------------------------------------------


def _check_state(run: RunFolder, unfinished: bool) -> None:
    if run.state != "finished" and not unfinished:
        raise RunError(
            f"{run.path} is not finished (it is {run.state}): nothing was tested. Go on with it: "
            f"rrg run {run.path / RECIPE} --out {run.path}; or export what there is: --unfinished"
        )


def _best_of(run: RunFolder, plan: Plan) -> Path:
    """Return the best checkpoint: of all stages, or of those that have one."""
    if run.best.is_dir():
        return run.best
    best: tuple[float, Path] | None = None
    for stage in plan.stages:
        path = run.checkpoint(stage, "best")
        if path.is_dir():
            score = read_state(path / "state.json", stage, BEST)["score"]
            value = float("-inf") if score is None else float(score)
            best = (value, path) if best is None or value >= best[0] else best
    if best is None:
        raise RunError(f"{run.path} has no best checkpoint yet: no validation was done")
    return best[1]


# ---- writing --------------------------------------------------------------------------------


def _write(
    run: RunFolder, plan: Plan, checkpoint: Path, root: Path, training_data: bool
) -> Exported:
    _copy(run, checkpoint, root)
    needed = [w for path in root.rglob(MANIFEST) for w in left_out_of(path.parent)]
    portable = Portable([each.weights for each in needed])
    _make_portable(root, portable)
    if not training_data:
        refuse_training_data(run, plan, root)
    _write_scores(run, root)
    write_text(root / CARD, make_card(run, plan, portable))
    refuse_paths(run, root, portable)
    plugins = run.record.get("plugins") or {}
    others = [n for n, from_ in plugins.items() if not str(from_).startswith("rrg ")]
    files = {
        path.relative_to(root).as_posix(): digest_of_file(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    size = sum((root / name).stat().st_size for name in files)
    weights = [w for path in sorted(root.rglob(MANIFEST)) for w in left_out_of(path.parent)]
    found = Exported(root, files, size, weights, others)
    write_json(root / EXPORT, found.to_json())
    return found


def _copy(run: RunFolder, checkpoint: Path, root: Path) -> None:
    """Copy what predicting takes; nothing that annotators said of studies."""

    def left_behind(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name in ANSWERS or name.startswith(".")}

    for name in (RECIPE, RUN):
        shutil.copyfile(run.path / name, root / name)
    # a stranger's run names no tokenizer outside its own folder
    for path in run.tokenizer_folders().values():
        shutil.copytree(path, root / TOKENIZERS / path.name)
    if run.artefacts.is_dir():
        shutil.copytree(run.artefacts, root / ARTEFACTS, ignore=left_behind)
        for path in sorted((root / ARTEFACTS).rglob("*/"), reverse=True):
            if not any(path.iterdir()):  # of an annotator that keeps answers alone
                path.rmdir()
    (root / CHECKPOINTS).mkdir()
    shutil.copytree(checkpoint, root / CHECKPOINTS / "best")


def _make_portable(root: Path, portable: Portable) -> None:
    """Take paths and ids out of a copy of a run folder, and of those that lie in it, and seal it
    anew.
    """
    for inner in sorted(root.glob(f"{ARTEFACTS}/given/*/{RECIPE}")):
        _make_portable(inner.parent, portable)
    values = load_recipe(root / RECIPE, alone=True).values
    write_text(root / RECIPE, dump_recipe(portable.recipe(values)))
    record = portable.record(read_json(root / RUN))
    write_json(root / RUN, record)
    artefacts = [
        path
        for path in (root / ARTEFACTS).rglob("*.json")
        if not any((root / place / RUN).is_file() for place in _above(path.relative_to(root)))
    ]
    tokenizers = (root / TOKENIZERS).rglob("*config.json")
    for path in (*artefacts, *tokenizers):
        portable.rewrite(path)
    for path in sorted(root.glob(f"{CHECKPOINTS}/**/{MANIFEST}")):
        rules = rules_of(path.parent)
        for tensors in path.parent.glob("*.safetensors"):
            portable.rewrite_header(tensors)
        Manifest.of(RunFolder(root), rules).write(path.parent)


def _above(path: Path) -> Sequence[Path]:
    """Return the folders that a relative path names on its way."""
    return [above for above in path.parents if above != Path()]


def _write_scores(run: RunFolder, root: Path) -> None:
    if (run.path / SCORES).is_file():
        found = read_json(run.path / SCORES)
        leakage = found.get("leakage") or {}
        figures: dict[str, Any] = {key: found[key] for key in FIGURES if key in found}
        figures["leakage"] = {key: leakage[key] for key in OF_LEAKAGE if key in leakage}
        figures["about baselines"] = {}
        write_json(root / SCORES, figures)


def _zip(root: Path, target: Path) -> int:
    beside = target.with_name(f".{target.name}.writing")
    try:
        with writing(target), zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    # weights do not get smaller
                    stored = path.suffix == ".safetensors"
                    kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                    archive.write(path, f"{root.name}/{path.relative_to(root).as_posix()}", kind)
        put_in_place(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return target.stat().st_size


def needs(exported: Exported) -> Iterator[str]:
    """Say what is needed beside an export, a sentence each."""
    for each in exported.weights:
        hub = "" if each.weights.startswith("$") else " (a name on Hugging Face's hub)"
        how = f"; {WEIGHTS} names the folder that it is in" if not hub else ""
        yield (
            f"It needs the weights '{each.weights}'{hub} of {each.module.removeprefix('parts.')}, "
            f"which stood still and are not in it: fingerprint {each.fingerprint}{how}"
        )
    for name in exported.plugins:
        yield f"It needs the plugin '{name}', which is not in it"
