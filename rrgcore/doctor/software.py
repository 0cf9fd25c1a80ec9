"""The software: packages, torch and its device, Java, extras, plugins, published weights."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, metadata, requires, version
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from rrgcore.doctor.finding import Finding
from rrgcore.errors import UserError
from rrgcore.extras import how_to_install
from rrgcore.installed import checkout, list_recipes
from rrgcore.licences import at_hand, named_weights
from rrgcore.plugins import GROUP, discover
from rrgcore.yaml_loader import plain, read_yaml

EXTRAS: Final[Mapping[str, str]] = {
    "demo": "rrg demo: a page to drop an image on",
    "dicom": "DICOM files",
    "llm": "language models in 8 or 4 bits, and LoRA",
    "scale": "training over several processes with DeepSpeed",
    "track": "rrg run --track: TensorBoard, Weights & Biases, MLflow",
}
"""What each is for; those for developers of rrg are left out."""
FOR_DEVELOPERS: Final = frozenset({"test", "docs", "dev"})
_TORCH: Final = """\
import json, torch
found = {"version": torch.__version__, "threads": torch.get_num_threads(), "devices": []}
if torch.accelerator.is_available():
    kind = torch.accelerator.current_accelerator().type
    for number in range(torch.accelerator.device_count()):
        about = {"name": kind}
        if kind == "cuda":
            of = torch.cuda.get_device_properties(number)
            about = {"name": of.name, "bytes": of.total_memory}
        torch.zeros(8, device=f"{kind}:{number}").sum().item()
        found["devices"].append(about)
elif torch.version.cuda:
    found["built for"] = f"CUDA {torch.version.cuda}"
print(json.dumps(found))
"""


def packages() -> Iterator[Finding]:
    """Hold the packages that rrg needs against those that are installed."""
    needed = [r for r in map(Requirement, requires("rrg") or ()) if _applies(r)]
    wrong = [text for requirement in needed if (text := _lacks(requirement))]
    if wrong:
        yield Finding(
            "packages", "broken", "; ".join(wrong), "pip install --upgrade rrg brings them"
        )
    else:
        yield Finding("packages", "ok", f"rrg {version('rrg')}, and the {len(needed)} it needs")


def torch(seconds: float) -> Iterator[Finding]:
    """Ask torch, in a process of its own: a driver may hang it, or end it."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _TORCH],
            capture_output=True,
            text=True,
            timeout=max(0.1, seconds - 0.5),
            check=False,
        )
    except subprocess.TimeoutExpired:
        remedy = "its driver may hang: nvidia-smi; CUDA_VISIBLE_DEVICES= does without the GPU"
        yield Finding("torch", "broken", f"gave no answer within {seconds:g} seconds", remedy)
        return
    if answer.returncode != 0:
        last = (answer.stderr.strip() or f"ended with status {answer.returncode}").splitlines()[-1]
        remedy = "install it anew (https://pytorch.org), for this machine's driver if it has a GPU"
        yield Finding("torch", "broken", last, remedy)
        return
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    yield Finding("torch", "ok", f"{found['version']}, {found['threads']} threads")
    for device in found["devices"]:
        size = f", {device['bytes'] / 1e9:.1f} GB" if "bytes" in device else ""
        yield Finding("device", "ok", f"{device['name']}{size}")
    if not found["devices"]:
        built = f", though it is built for {found['built for']}" if "built for" in found else ""
        text = f"no accelerator that torch can use{built}"
        remedy = "the recipes as they stand need none; the papers' settings do"
        yield Finding("device", "missing", text, remedy)


def java(seconds: float) -> Iterator[Finding]:
    """Ask for Java's version."""
    remedy = "METEOR is left out of scores without it: install a Java runtime, 8 or later"
    path = shutil.which("java")
    if path is None:
        yield Finding("Java", "missing", "not on the PATH", remedy)
        return
    try:
        answer = subprocess.run(
            [path, "-version"],
            capture_output=True,
            text=True,
            timeout=max(0.1, seconds - 0.5),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("Java", "missing", f"{path} does not answer ({type(error).__name__})", remedy)
        return
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    if answer.returncode != 0 or not lines:
        last = lines[-1] if lines else f"status {answer.returncode}"
        yield Finding("Java", "missing", f"{path} fails: {last}", remedy)
    else:
        yield Finding("Java", "ok", lines[0])


def extras() -> Iterator[Finding]:
    """List the optional extras, and which of their packages are not there."""
    wanted = [Requirement(each) for each in requires("rrg") or ()]
    for extra in metadata("rrg").get_all("Provides-Extra") or []:
        if extra in FOR_DEVELOPERS:
            continue
        own = [r for r in wanted if not _applies(r) and _applies(r, extra)]
        wrong = [text for requirement in own if (text := _lacks(requirement))]
        use = EXTRAS.get(extra, "what a plugin or command asks for")
        if wrong:
            remedy = f"for {use}: {how_to_install(extra)}"
            yield Finding(f"extra {extra}", "missing", "; ".join(wrong), remedy)
        else:
            yield Finding(f"extra {extra}", "ok", use)


def plugins(
    files: Sequence[Path], blocked: Sequence[str]
) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
    """Yield a look at each plugin by itself, and at last at all of them together."""
    good: list[Any] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name not in blocked:
            yield f"plugin {point.name}", partial(_plugin, point.name, good, points=[point])
    good_files: list[Any] = []
    for path in files:
        yield f"plugin {path.stem}", partial(_plugin, path.stem, good_files, files=[path])
    yield "plugins", partial(_together, good, good_files)
    yield "checkout", stale


def stale(where: Path | None = None) -> Iterator[Finding]:
    """Hold the plugins that a checkout offers against those that pip was told of: what has come
    with a later commit is not found until it is installed again.
    """
    where = where or checkout()
    if where is None or not (project := where / "pyproject.toml").is_file():
        return
    said = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    known = {point.name for point in entry_points(group=GROUP)}
    if gone := [name for name in said if name not in known]:
        text = f"it has plugins that are not installed: {', '.join(gone)}"
        yield Finding("checkout", "broken", text, f"pip install -e {where}")


def weights() -> Iterator[Finding]:
    """List the weights and tokenizers that installed recipes name, and whether they are here."""
    for name, (recipes, what) in named_by_recipes().items():
        place = at_hand(name)
        use = f"named by {', '.join(recipes)}"
        if place is not None:
            yield Finding(f"{what} {name}", "ok", use)
        elif "$" in name:
            remedy = f"{use}: set the variable, as `export NAME=DIR`"
            yield Finding(f"{what} {name}", "missing", "its variable is not set", remedy)
        else:
            remedy = f"{use}: fetched at first use where there is a network; else: hf download"
            yield Finding(f"{what} {name}", "missing", "not on this machine", remedy)


def named_by_recipes() -> dict[str, tuple[list[str], str]]:
    """Return what installed recipes name, variants included: recipes, and whether as weights."""
    found: dict[str, tuple[list[str], str]] = {}
    for recipe, path in list_recipes().items():
        node, _ = read_yaml(path.read_text(encoding="utf-8"), file=recipe)
        values: Any = plain(node) if node is not None else {}
        for key in ("weights", "tokenizer"):
            for each in named_weights(values, key):
                if each.name != "words":
                    recipes, _ = found.setdefault(each.name, ([], key))
                    if recipe not in recipes:
                        recipes.append(recipe)
    return found


# ---- helpers --------------------------------------------------------------------------------


def _plugin(
    name: str, good: list[Any], *, points: Sequence[Any] = (), files: Sequence[Path] = ()
) -> Iterator[Finding]:
    """Load one plugin; what could be loaded is added to those that are `good`."""
    try:
        found = discover(points=points, files=files).plugins[0]
    except UserError as error:
        way_out = f"--no-plugin {name}" if points else f"leave out --plugin {files[0]}"
        remedy = f"mend or uninstall it, or go without it: {way_out}"
        yield Finding(f"plugin {name}", "broken", str(error).splitlines()[0], remedy)
        return
    good += [*points, *files]
    count = len(found.components)
    yield Finding(
        f"plugin {name}", "ok", f"{count} components, from {found.origin} {found.version}"
    )


def _together(points: Sequence[Any], files: Sequence[Path]) -> Iterator[Finding]:
    """Look for what only several plugins can have wrong: one name for two components."""
    try:
        found = discover(points=points, files=files)
    except UserError as error:
        yield Finding("plugins", "broken", str(error).splitlines()[0], "leave one out: --no-plugin")
        return
    count = sum(1 for _ in found.registry.entries())
    yield Finding("plugins", "ok", f"{count} components of {len(found.plugins)} plugins")


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _lacks(requirement: Requirement) -> str | None:
    try:
        there = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    there = re.sub(r"\+.*", "", there)
    if requirement.specifier.contains(there, prereleases=True):
        return None
    return f"{requirement.name} is {there}; expected {requirement.specifier}"
