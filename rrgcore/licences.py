"""Under which terms data and weights may be used, as far as that is known here.

What is not known is said to be: nobody's licence is guessed.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, final

from rrgcore.scoring.published import ARCHIVES

UNKNOWN: Final = "unknown: look it up"
DATA: Final[Mapping[str, str]] = {
    "iu_xray": (
        "IU X-Ray (Open-i, Indiana University): CC BY-NC-ND 4.0; de-identified, and open to anybody"
    ),
    "mimic_cxr": (
        "MIMIC-CXR: PhysioNet Credentialed Health Data License and its data use agreement; for "
        "credentialed users, who may not pass on reports, images or what shows them"
    ),
}
"""Of the archives whose studies are known by their ids."""
WEIGHTS: Final[Mapping[str, str]] = {
    "*/llama-2-*": "Llama 2 Community License Agreement, and Meta's acceptable use policy",
    "*/*llama-3*": "the Llama 3 community licence of its release, and Meta's acceptable use policy",
    "mistralai/mistral-7b-*": "Apache-2.0",
    "tinyllama/*": "Apache-2.0",
    "bert-base-*": "Apache-2.0",
    "google-bert/bert-base-*": "Apache-2.0",
    "emilyalsentzer/bio_clinicalbert": "MIT",
    "microsoft/swin-*": "Apache-2.0 by its model card; MIT by the paper's repository",
    "google/vit-*": "Apache-2.0",
    "vit_*.augreg_*": "Apache-2.0 (timm)",
    "swin_*.ms_*": "MIT (timm, weights by Microsoft)",
    "*.ra_in1k": "Apache-2.0 (timm)",
    "test_*": "Apache-2.0 (timm)",
}
"""Of published weights by name, in small letters; `timm/` before a name is left out."""


@final
@dataclass(frozen=True, slots=True)
class Named:
    """Weights, or a tokenizer, that a recipe names."""

    address: str
    name: str

    @property
    def is_path(self) -> bool:
        """Whether it can only be meant as a path."""
        return _is_path(self.name)


def terms_of_ids(ids: Sequence[str]) -> str:
    """Return the terms of the archive whose studies look like these, or nothing."""
    known = (name for name, look in ARCHIVES.items() if ids and all(map(look.match, ids)))
    return DATA.get(next(known, ""), "")


def licence_of(name: str) -> str:
    """Return the licence of published weights: by name, else as the model card beside them says."""
    plain = name.lower().removeprefix("timm/")
    for pattern, licence in WEIGHTS.items():
        if fnmatchcase(plain, pattern):
            return licence
    place = at_hand(name)
    card = place / "README.md" if place is not None and place.is_dir() else None
    if card is not None and card.is_file():
        head = card.read_text(encoding="utf-8", errors="replace")[:5000]
        if found := re.search(r"^license(?:_name)?:[ ]*([\w.\-+ ]+)$", head, re.MULTILINE):
            return f"{found[1].strip()}, as its model card says"
    return UNKNOWN


def named_weights(values: Any, key: str, above: str = "") -> Iterator[Named]:
    """Find what a recipe's values name under a key (`weights`, `tokenizer`), with the address."""
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        address = f"{above}.{name}" if above else str(name)
        if name == key and isinstance(value, str):
            yield Named(address, value)
        else:
            yield from named_weights(value, key, address)


# ---- at hand --------------------------------------------------------------------------------


def at_hand(name: str) -> Path | None:
    """Return where weights of a name are on this machine: a path, or Hugging Face's cache, which is
    looked at without its client and without a network. None where they are not.
    """
    path = Path(os.path.expanduser(name))
    if os.path.exists(path):
        return path
    if _is_path(name):
        return None
    names = [name, f"timm/{name}", f"google-bert/{name}"] if "/" not in name else [name]
    for each in names:
        folder = hub_cache() / f"models--{each.replace('/', '--')}" / "snapshots"
        for snapshot in sorted(folder.glob("*/")) if folder.is_dir() else ():
            if any(snapshot.iterdir()):
                return snapshot
    return None


def hub_cache() -> Path:
    """Return where Hugging Face's client keeps what it fetched."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    place = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expanduser(place or os.path.join(home, "hub")))


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~", "$")) or name.count("/") > 1
