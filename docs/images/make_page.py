"""Take the pictures of docs/page.md: `page_*.png`, of a finished run, in Debian's Chromium.

python docs/images/make_page.py RUN
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from browser import opened, taken
from PIL import Image

import rrgcore

HERE = Path(__file__).parent
WIDE, NARROW, HEIGHT, GAP = 1280, 390, 844, 24
COLOURS = 240
SHOW_WORD = """
const study = document.querySelectorAll(".study:not([hidden])")[arguments[0]];
const word = [...study.querySelectorAll(".attends .w")].find((w) => w.textContent === arguments[1]);
word.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
study.scrollIntoView();
"""


@contextmanager
def shown(page: Path, *, width: int, dark: bool) -> Iterator[Any]:
    """Open a page in a window of so many pixels, light or dark."""
    url = page.resolve().as_uri()
    with opened(url, width=width, height=HEIGHT, mobile=width == NARROW) as browser:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield browser


def scrolled(browser: Any, section: str) -> None:
    """Scroll to a section."""
    browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture of few colours."""
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(HERE / f"page_{name}.png", optimize=True)


def main(run: str) -> None:
    """Take them all."""
    with TemporaryDirectory() as folder:
        page = rrgcore.load_run(run).page(Path(folder) / "page.html").path
        with shown(page, width=WIDE, dark=False) as browser:
            save(taken(browser), "scores")
            scrolled(browser, "training")
            save(taken(browser), "training")
        with shown(page, width=WIDE, dark=True) as browser:
            browser.execute_script(SHOW_WORD, 0, "effusion")
            save(taken(browser), "studies")
        phones = Image.new("RGB", (3 * NARROW + 2 * GAP, HEIGHT), "#888888")
        for number, section in enumerate(("scores", "observations", "study-1")):
            with shown(page, width=NARROW, dark=number == 1) as browser:
                scrolled(browser, section)
                phones.paste(taken(browser), (number * (NARROW + GAP), 0))
        save(phones, "phone")


if __name__ == "__main__":
    main(*sys.argv[1:])
