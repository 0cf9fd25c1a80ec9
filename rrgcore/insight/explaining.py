"""Drawing a run: every figure that it has the parts for, as PNGs and one file of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast, final

from rrgcore.errors import DataError, RunError, UserError
from rrgcore.files import read_json, write_bytes, write_json
from rrgcore.insight.figure import Figure
from rrgcore.insight.opened import OpenRun
from rrgcore.interfaces import Lacks
from rrgcore.layout import folder_name
from rrgcore.registry import Registry

NUMBERS: Final = "explain.json"
FOLDER: Final = "explain"
"""In the run's folder, unless another is named."""
LONGEST_NAME: Final = 160


@final
@dataclass(frozen=True, slots=True)
class Offer:
    """A figure, and whether a run can be drawn so."""

    name: str
    shows: str
    summary: str
    plugin: str
    why_not: str | None
    """None where it can."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "shows": self.shows,
            "summary": self.summary,
            "plugin": self.plugin,
            "why not": self.why_not,
        }


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was written."""

    figure: str
    path: Path
    caption: str
    numbers: Mapping[str, Any]
    said: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Explained:
    """What was drawn of a run, what was not, and where."""

    folder: Path
    pictures: Sequence[Picture]
    not_drawn: Mapping[str, str]
    """Figure to why not."""
    studies: Mapping[str, str]
    """The studies, and why each was chosen; empty where somebody named it."""
    how: str = ""
    """How they were chosen, where nobody named them."""

    def to_json(self) -> dict[str, Any]:
        """Return what explain.json says but for the run."""
        return {
            "studies": dict(self.studies),
            **({"chosen": self.how} if self.how else {}),
            "pictures": [
                {
                    "figure": each.figure,
                    "file": each.path.name,
                    "caption": each.caption,
                    "numbers": each.numbers,
                }
                for each in self.pictures
            ],
            "not drawn": dict(self.not_drawn),
        }


def offers(run: OpenRun, names: Sequence[str] = ()) -> list[Offer]:
    """List the figures, those of `names` alone if there are any, and ask each about the run."""
    found = []
    for name in names or run.registry.names("figure"):
        entry = run.registry.entry("figure", name)
        made = make_figure(run.registry, name)
        component = entry.component
        found.append(Offer(name, made.shows, component.summary, entry.plugin, made.why_not(run)))
    return found


def make_figure(registry: Registry, name: str) -> Figure:
    """Build a figure by name; raises RegistryError where there is none."""
    return cast(Figure, cast(Any, registry.get("figure", name))())


def draw_figures(
    run: OpenRun,
    folder: Path,
    *,
    figures: Sequence[str] = (),
    studies: Mapping[str, str],
    how: str = "",
    facts: Mapping[str, Any],
) -> Explained:
    """Draw the figures that were named, or all that the run has the parts for, into a folder.

    Writes a PNG a picture and, after each figure, `explain.json`, in which the pictures of before
    stay that are still there and of the same run. Raises RunError where a figure that was named
    cannot be drawn, or none of all can.
    """
    run.look_at(tuple(studies))
    asked = offers(run, figures)
    if not asked:
        raise RunError("no plugin that is here offers a figure; rrg's own is called insight")
    refused = {offer.name: offer.why_not for offer in asked if offer.why_not is not None}
    if refused and (figures or len(refused) == len(asked)):
        raise RunError("\n".join(f"{name} cannot be drawn: {why}" for name, why in refused.items()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}); name another with --out") from error
    pictures: list[Picture] = []
    explained = Explained(folder, pictures, refused, studies, how)
    before = _before(folder, facts)
    for offer in asked:
        if offer.name in refused:
            continue
        try:
            for picture in _written(offer.name, make_figure(run.registry, offer.name), run, folder):
                pictures.append(picture)
                write_json(folder / NUMBERS, {**facts, **_joined(before, explained.to_json())})
        except (DataError, Lacks) as error:
            if figures:
                raise RunError(f"{offer.name} cannot be drawn: {error}") from error
            refused[offer.name] = str(error)
    write_json(folder / NUMBERS, {**facts, **_joined(before, explained.to_json())})
    return explained


def _before(folder: Path, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what explain.json says already, where it is of the same run and can be read, of the
    pictures that are still there.
    """
    try:
        found = read_json(folder / NUMBERS)
    except (RunError, OSError, ValueError):
        return {}
    known = isinstance(found, dict) and all(found.get(key) == facts[key] for key in facts)
    if not known or not isinstance(found.get("pictures"), list):
        return {}
    there = {path.name for path in folder.iterdir()}
    pictures = [p for p in found["pictures"] if isinstance(p, dict) and p.get("file") in there]
    return {**found, "pictures": pictures}


def _joined(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is drawn now, and behind it the pictures of before that it did not draw again."""
    drawn = {picture["file"] for picture in now["pictures"]}
    kept = [p for p in before.get("pictures", ()) if p["file"] not in drawn]
    studies = {**before.get("studies", {}), **now["studies"]} if kept else now["studies"]
    return {**now, "studies": studies, "pictures": [*now["pictures"], *kept]}


def _written(name: str, figure: Figure, run: OpenRun, folder: Path) -> Iterator[Picture]:
    for each in figure.draw(run):
        path = folder / (
            f"{name}-{_short(folder_name(each.name))}.png" if each.name else f"{name}.png"
        )
        held = BytesIO()
        # without the program and its version: the same picture is the same file
        about = {"Software": None, "Description": each.caption}
        each.picture.savefig(held, format="png", metadata=about)
        write_bytes(path, held.getvalue())
        caption = f"{each.caption} {run.caution}".strip()
        yield Picture(name, path, caption, each.numbers, each.said)


def _short(name: str) -> str:
    """Return a name that a file may have, beside that of its figure: the most is 255 bytes."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 17]}-{blake2b(name.encode(), digest_size=8).hexdigest()}"
