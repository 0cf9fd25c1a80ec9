"""The names of a new plugin: distribution, package, plugin, component and class, from one word."""

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import final

from rrgcore.errors import UserError

LONGEST = 20
"""Characters of a name, so that no line of what is written grows too long."""


@final
@dataclass(frozen=True, slots=True)
class Names:
    """What is called how, for the plugin `my_idea` with the component `my_idea.thing`."""

    plugin: str
    """my_idea: the entry point, and what components' names begin with."""
    thing: str
    """thing: the component's module, and the end of its name."""

    @property
    def distribution(self) -> str:
        """What pip calls it: rrg-my-idea."""
        return f"rrg-{self.plugin.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What Python imports: rrg_my_idea."""
        return f"rrg_{self.plugin}"

    @property
    def component(self) -> str:
        """What recipes call it: my_idea.thing."""
        return f"{self.plugin}.{self.thing}"

    def class_name(self, suffix: str) -> str:
        """Return the class's name: ThingAdapter."""
        return "".join(part.capitalize() for part in self.thing.split("_")) + suffix


def parse_name(text: str, *, thing: str, taken: Collection[str] = ()) -> Names:
    """Read `my-idea`, `rrg-my-idea`, `rrg_my_idea` or `my_idea.thing`.

    `thing` is the component's name unless one is said; `taken` are plugins that are there already.
    Raises UserError with what to call it instead.
    """
    plugin, dot, said = text.strip().partition(".")
    plugin = re.sub(r"^rrg[-_]", "", plugin).replace("-", "_")
    found = Names(plugin, said.replace("-", "_") if dot else thing)
    for part, what in ((found.plugin, "plugin"), (found.thing, "component")):
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", part) or keyword.iskeyword(part):
            near = re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_0123456789")
            hint = f", such as {near}" if near and not keyword.iskeyword(near) else ""
            raise UserError(
                f"'{part}' cannot name a {what}; expected small letters, digits and single dashes, "
                f"beginning with a letter{hint}"
            )
        if len(part) > LONGEST:
            raise UserError(
                f"'{part}' has {len(part)} characters; a {what}'s name has at most {LONGEST}"
            )
    if found.plugin in taken:
        raise UserError(
            f"a plugin is called '{found.plugin}' already (rrg plugins says which); choose another "
            "name, or uninstall that one"
        )
    return found
