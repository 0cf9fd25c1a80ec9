"""What components were given by their options, kept with the run that they are used in."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from rrgcore.files import written_whole
from rrgcore.supply import ReadsGiven


def kept_place(folder: Path, address: str) -> Path:
    """Return where a run keeps what the component at an address was given."""
    return folder / quote(address, safe="")


def keep_given(components: Iterable[tuple[str, object]], folder: Path) -> None:
    """Keep what components were given, each by its address, but for what is kept already."""
    for address, component in components:
        place = kept_place(folder, address)
        if isinstance(component, ReadsGiven) and _keeps(component) and not place.is_dir():
            with written_whole(place) as unfinished:
                component.keep_given(unfinished)


def _keeps(component: ReadsGiven) -> bool:
    return type(component).keep_given is not ReadsGiven.keep_given
