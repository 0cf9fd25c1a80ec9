"""The recipes and tables that are installed with rrg, by name. Reads none of them."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "rrg_recipes"
"""The import package as which the folder `recipes` is installed."""
ABLATIONS = "ablations/"
"""Where in it the tables of `rrg ablate` are, which are no recipes."""


def checkout() -> Path | None:
    """Return the checkout that rrg runs from, where it runs from one."""
    here = Path(__file__).resolve().parent.parent
    return here if (here / "pyproject.toml").is_file() else None


def list_recipes() -> dict[str, Path]:
    """Return the recipes that are installed with rrg, by name: kia_graph, mixed/vit_irc_llama."""
    return {name: file for name, file in installed().items() if not name.startswith(ABLATIONS)}


def list_ablations() -> dict[str, Path]:
    """Return the tables that are installed with rrg, by name: ablations/kia_table3."""
    return {name: path for name, path in installed().items() if name.startswith(ABLATIONS)}


def installed() -> dict[str, Path]:
    """Return what is installed with rrg: recipes, and tables of ablations among them."""
    spec = find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    found = {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for folder in map(Path, folders)
        for file in folder.rglob("*.yaml")
    }
    return dict(sorted(found.items()))
