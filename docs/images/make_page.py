"""Take the pictures of docs/page.md: `page_*.png`, of a finished run, in Debian's Chromium.

python docs/images/make_page.py RUN
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from selenium import webdriver

import rrgcore

HERE = Path(__file__).parent
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
WIDE, NARROW, HEIGHT, GAP = 1280, 390, 844, 24
COLOURS = 240
SHOW_WORD = """
const study = document.querySelectorAll(".study:not([hidden])")[arguments[0]];
const word = [...study.querySelectorAll(".attends .w")].find((w) => w.textContent === arguments[1]);
word.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
study.scrollIntoView();
"""


@contextmanager
def opened(page: Path, *, width: int, dark: bool) -> Iterator[Any]:
    """Open a page in a window of so many pixels."""
    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or ""
    with TemporaryDirectory() as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        service = webdriver.ChromeService(which("chromedriver"))
        browser = webdriver.Chrome(options=options, service=service)
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width == NARROW}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get(page.resolve().as_uri())
        try:
            yield browser
        finally:
            browser.quit()


def taken(browser: Any) -> Image.Image:
    """Return what the window shows."""
    return Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")


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
        with opened(page, width=WIDE, dark=False) as browser:
            save(taken(browser), "scores")
            scrolled(browser, "training")
            save(taken(browser), "training")
        with opened(page, width=WIDE, dark=True) as browser:
            browser.execute_script(SHOW_WORD, 0, "effusion")
            save(taken(browser), "studies")
        phones = Image.new("RGB", (3 * NARROW + 2 * GAP, HEIGHT), "#888888")
        for number, section in enumerate(("scores", "observations", "study-1")):
            with opened(page, width=NARROW, dark=number == 1) as browser:
                scrolled(browser, section)
                phones.paste(taken(browser), (number * (NARROW + GAP), 0))
        save(phones, "phone")


if __name__ == "__main__":
    main(*sys.argv[1:])
