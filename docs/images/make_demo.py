"""Take the picture of docs/demo.md: `demo.png`, of a demo that is running, in Debian's Chromium.

python docs/images/make_demo.py http://127.0.0.1:7860 effusion
"""

import sys
from pathlib import Path

from browser import opened, taken
from PIL import Image
from selenium.webdriver.support.wait import WebDriverWait

COLOURS = 256


def take(url: str, word: str) -> Image.Image:
    """Show an example, and where the model looked for a word."""
    with opened(url, width=1280, height=1060) as browser:
        wait = WebDriverWait(browser, 60)
        (example,) = wait.until(
            lambda _: browser.find_elements("css selector", '[data-part="example"]')
        )
        example.click()
        words = wait.until(lambda _: browser.find_elements("css selector", ".word"))
        next(each for each in words if each.text == word).click()
        browser.execute_script("document.activeElement.blur()")
        return taken(browser)


if __name__ == "__main__":
    picture = take(*sys.argv[1:]).quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(Path(__file__).parent / "demo.png", optimize=True)
