"""Images and attention for the studies of a page, as far as they are at hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rrgcore.data import ImageCache
from rrgcore.errors import UserError
from rrgcore.images.disk_cache import open_disk_cache
from rrgcore.interfaces import Lacks
from rrgcore.model import ReportModel
from rrgcore.page.lines import Line
from rrgcore.page.maps import Maps, attention_maps
from rrgcore.page.pictures import Pictures, take_pictures
from rrgcore.page.studies import Browser
from rrgcore.plan import Plan
from rrgcore.settings import Split
from rrgcore.studies import Studies
from rrgcore.watch import Watcher


def illustrated(
    browser: Browser,
    plan: Plan,
    open_studies: Callable[[], Studies],
    load_model: Callable[[], ReportModel] | None,
    split: Split,
    watcher: Watcher,
) -> Browser:
    """Give studies their images, and each generated word its attention, as far as they are at
    hand.
    """
    try:
        studies = open_studies()
        there = {study.id: study for study in studies[split]}
        references = studies.references(split)
    except UserError as error:
        note = f"Images are not shown: the data is not at hand ({error})"
        absent = Pictures(absent="the data is not at hand")
        cards = [replace(card, pictures=absent) for card in browser.cards]
        return replace(browser, cards=cards, notes=[*browser.notes, note])
    size = plan.data.image_size
    disk = open_disk_cache(plan.data.cache, size=size, note=watcher.note)
    pictures = take_pictures(
        [(card.line.id, card.line.reference) for card in browser.cards],
        there,
        references,
        ImageCache(studies.dataset, size=size, disk=disk),
        watcher,
    )
    cards = [replace(card, pictures=own) for card, own in zip(browser.cards, pictures, strict=True)]
    notes = list(browser.notes)
    if load_model is not None:
        seen = [card.line for card in cards if card.pictures.views]
        try:
            maps = _maps(seen, plan, studies, load_model(), split, watcher) if seen else {}
        except (Lacks, UserError) as error:
            maps = {}
            notes.append(f"No attention is shown: {_why(error, plan)}")
        cards = [replace(card, maps=maps.get(card.line.id, card.maps)) for card in cards]
    else:
        notes.append("Attention was left out (--no-attention).")
    return replace(browser, cards=cards, notes=notes)


def _maps(
    lines: Sequence[Line],
    plan: Plan,
    studies: Studies,
    model: ReportModel,
    split: Split,
    watcher: Watcher,
) -> dict[str, Maps]:
    """Return the maps of studies by id."""
    loader = studies.loader(model, split, training=False, batch_size=plan.evaluation.batch_size)
    own = {study.id: study for study in loader.studies}
    loader.studies = [own[line.id] for line in lines]
    found = attention_maps(model, loader, [line.prediction for line in lines], watcher)
    return {line.id: maps for line, maps in zip(lines, found, strict=True)}


def _why(error: Exception, plan: Plan) -> str:
    return (
        f"this run's decoder ({plan.decoder.name}) {error}"
        if isinstance(error, Lacks)
        else str(error)
    )
