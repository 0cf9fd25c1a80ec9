"""Pages that are followed from their top to their end, each in a folder of its own."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from rrgcore.settings import StageSettings

from .pages import DOCS, fences

QUICKSTART = DOCS / "quickstart.md"
GUIDES = DOCS / "guides"
TUTORIALS = (QUICKSTART, *sorted(GUIDES.glob("*.md")))
PAPERS = frozenset({"iu_xray", "mimic_cxr"})
"""Variants that start from published weights."""
SMALL = (
    "data.image_size=32",
    "data.batch_size=2",
    "model.shared.image_trunk={dim: 16, depth: 1, heads: 2}",
    "model.shared.text_trunk={dim: 16, depth: 1, heads: 2}",
    "model.shared.joint.dim=8",
    "generation={beams: 1, max_new_tokens: 8}",
    "objectives.irc.queue=0",
)
"""What makes seconds of the minutes or hours that a page's own run takes, with `short`."""


def short(stages: Mapping[str, StageSettings]) -> list[str]:
    """An epoch of each stage, or two steps."""
    return [
        word
        for name, stage in stages.items()
        for kind, most in [("epochs", 1) if stage.epochs else ("steps", 2)]
        for word in (f"stages.{name}.{kind}={most}", f"stages.{name}.evaluate_every={most}")
    ]


def steps(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Iterate over what a reader does: ("save", [file, text]) and ("rrg", words), in order."""
    for block in fences(page):
        if block.language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block.text)):
            yield "save", [named[1], block.text]
        elif block.language == "bash" and block.not_run is None:
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["rrg"]:
                    yield "rrg", words[1:]
