"""A run as one file: read, put together, written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from rrgcore import __version__
from rrgcore.errors import RunError, UserError
from rrgcore.files import read_json, write_text
from rrgcore.folder import METRICS, RECIPE, RUN, SCORES, TIMING, RunFolder, of_split
from rrgcore.model import ReportModel
from rrgcore.page.cautions import Caution, cautions
from rrgcore.page.changes import History, Origin, history
from rrgcore.page.charts import curve_charts
from rrgcore.page.curves import read_training
from rrgcore.page.facts import parts, timing, told
from rrgcore.page.illustrating import illustrated
from rrgcore.page.lines import read_lines
from rrgcore.page.render import render
from rrgcore.page.scores import baselines, observations, probes, protocols
from rrgcore.page.studies import browse, within
from rrgcore.plan import Plan
from rrgcore.portable import Portable
from rrgcore.registry import Registry
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.watch import Watcher

LARGEST = 20_000_000
"""Characters that the studies of a page may take: what is larger is no file to pass on."""
_DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


@final
@dataclass(frozen=True, slots=True)
class PageFile:
    """A page that was written."""

    path: Path
    bytes: int
    shown: int
    """Studies that are in it."""
    total: int
    """Studies that the split has."""
    with_images: int
    with_attention: int
    notes: Sequence[str]
    """What is absent from it, and why."""


def write_page(
    out: Path,
    *,
    folder: RunFolder,
    registry: Registry,
    plan: Callable[[], Plan],
    studies: Callable[[], Studies],
    model: Callable[[], ReportModel],
    split: Split,
    most: int,
    images: bool,
    attention: bool,
    recipe: str | Path | None,
    watcher: Watcher,
) -> PageFile:
    """Write a run as one HTML file, with at most so many studies of a split.

    Paths of this machine are written as in an export: whoever gets the page does not need them.
    What the run lacks (scores, while it is not finished), and what is no longer at hand (its data,
    a plugin), is left out of the page, which says why. Raises RunError for a file of the run that
    is damaged.
    """
    scores = folder.path / of_split(SCORES, split)
    record, portable = folder.record, Portable()
    checked, notes = _checked(plan)
    if checked is not None:  # its paths are known by then, whatever is in them
        portable.recipe(checked.recipe.values)
    lines = read_lines(folder, split) if most else []
    if most and not lines and folder.exported:
        notes.append("This is an export, which holds no report: make the page of the run itself.")
    elif most and not lines:
        again = f"rrg evaluate {folder.path}" + ("" if split == "test" else f" --split {split}")
        notes.append(f"The run has written no report of its {split} split: {again}")
    browser = None
    if lines:
        watcher.note(f"comparing the reports of {len(lines):,} studies")
        browser = browse(lines, registry, most=most)
        if images and checked is not None:
            browser = illustrated(
                browser, checked, studies, model if attention else None, split, watcher
            )
        if not images:
            notes.append("Images and attention were left out (--no-images).")
        browser = within(browser.written(portable.text), LARGEST)
        notes += browser.notes
    with _reading(folder.path / METRICS):
        select = checked.evaluation.select if checked is not None else ""
        training = read_training(folder.metrics(), select=select)
    with _reading(folder.path / RUN):
        origin = Origin.of(record)
        shown = portable.record(record)
        facts = {"state": record["state"], "facts": told(shown), "parts": parts(shown)}
    with _reading(folder.path / TIMING):
        took = timing(folder)
    with _reading(scores):
        card = read_json(scores) if scores.is_file() else None
        scored = _scored(card, checked, quotes=bool(most))
    past = history(origin, checked, registry, recipe=recipe)
    text = render(
        "page.html",
        {
            "version": __version__,
            "split": split,
            "about": _about(checked),
            "origin": Origin.of(shown),
            **facts,
            **scored,
            "timing": took,
            "training": training,
            "curves": curve_charts(training),
            "browser": browser,
            "withheld": not most,
            "notes": [portable.text(note) for note in notes],
            "history": past.written(portable.text),
            "recipe": [
                (portable.text(line), changed) for line, changed in _marked(folder, checked, past)
            ],
        },
    )
    write_text(out, text)
    cards = browser.cards if browser is not None else ()
    return PageFile(
        path=out,
        bytes=len(text.encode()),
        shown=len(cards),
        total=len(lines),
        with_images=sum(bool(each.pictures.views) for each in cards),
        with_attention=sum(bool(each.maps.words) for each in cards),
        notes=notes,
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file leads to into a RunError."""
    try:
        yield
    except _DAMAGE as error:
        raise RunError(f"{path} is damaged ({error!r})") from error


def _checked(plan: Callable[[], Plan]) -> tuple[Plan | None, list[str]]:
    """Return the run's plan, or none and why: a plugin that it needs may be absent."""
    try:
        return plan(), []
    except UserError as error:
        return None, [f"The run's recipe cannot be read with what is installed here: {error}"]


def _scored(card: Mapping[str, Any] | None, plan: Plan | None, *, quotes: bool) -> dict[str, Any]:
    """Return what a page shows of scores, of which there may be none."""
    if card is None:
        said = plan.cautions if plan is not None else []
        nothing = dict.fromkeys(("card", "protocols", "probes", "observations", "baselines"), ())
        return {**nothing, "cautions": [Caution("warning", text) for text in said]}
    return {
        "card": {"studies": int(card["studies"]), "references": int(card["references"])},
        "cautions": list(cautions(card, quotes=quotes)),
        "protocols": protocols(card),
        "probes": probes(card),
        "baselines": baselines(card, quotes=quotes),
        "observations": observations(card),
    }


def _about(plan: Plan | None) -> str:
    return " ".join(str(plan.recipe.values.get("about", "")).split()) if plan is not None else ""


def _marked(folder: RunFolder, plan: Plan | None, known: History) -> list[tuple[str, bool]]:
    """Return the lines of the run's recipe, and whether each says something that was changed."""
    path = folder.path / RECIPE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error})") from error
    changed: set[int] = set()
    if plan is not None and known.steps:
        origins = plan.recipe.origins
        changed = {
            line
            for change in known.steps[0].changes
            if (origin := origins.get(change.address)) is not None
            and (line := origin.line) is not None
        }
    return [(line, number in changed) for number, line in enumerate(lines, start=1)]
