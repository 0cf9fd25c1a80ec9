"""Write a new plugin: templates with the names filled in."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rrgcore.errors import UserError
from rrgcore.files import written_whole
from rrgcore.scaffold.kinds import BEGINNINGS
from rrgcore.scaffold.names import Names

FILES = {
    "common/pyproject.toml.txt": "pyproject.toml",
    "common/README.md.txt": "README.md",
    "common/gitignore.txt": ".gitignore",
    "common/init.py.txt": "{package}/__init__.py",
    "{kind}/component.py.txt": "{package}/{thing}.py",
    "{kind}/recipe.yaml.txt": "{plugin}.yaml",
    "{kind}/test.py.txt": "tests/test_{thing}.py",
    "common/test_recipe.py.txt": "tests/test_recipe.py",
}
"""Template to what it becomes. Within them `my_idea`, `my-idea` and `a_thing` are names."""


def write_plugin(names: Names, kind: str, where: Path) -> Path:
    """Write a plugin into `where`/rrg-<name>, whole or not at all, and return the folder.

    Raises UserError where there is something of that name.
    """
    folder = where / names.distribution
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name, or another --dir")
    if not where.is_dir():
        raise UserError(f"--dir {where} is no folder")
    try:
        with written_whole(folder) as beside:
            for name, text in _texts(names, kind):
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error})") from error
    return folder


def _texts(names: Names, kind: str) -> Iterator[tuple[str, str]]:
    beginning = BEGINNINGS[kind]
    filled = {"package": names.package, "plugin": names.plugin, "thing": names.thing, "kind": kind}
    words = {  # in this order: what stands for a sentence may hold names
        "A_USE": beginning.use,
        "A_FASTER": "".join(f'    "{override}",\n' for override in beginning.faster),
        "A_SUMMARY": beginning.summary,
        "A_CLASS": names.class_name(beginning.suffix),
        "A_KIND": kind,
        "my_idea": names.plugin,
        "my-idea": names.plugin.replace("_", "-"),
        "a_thing": names.thing,
    }
    for template, name in FILES.items():
        text = _template(template.format(**filled)).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        yield name.format(**filled), text


def _template(name: str) -> Traversable:
    found = files("rrgcore.scaffold") / "templates"
    for part in name.split("/"):
        found = found / part
    return found
