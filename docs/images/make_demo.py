"""Take the picture of docs/demo.md: `demo.png`, of a demo that is running, in Debian's Chromium.

python docs/images/make_demo.py http://127.0.0.1:7860 effusion
"""

import sys
from io import BytesIO
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
SIZE = {"width": 1280, "height": 1060, "deviceScaleFactor": 1, "mobile": False}
COLOURS = 256


def take(url: str, word: str) -> Image.Image:
    """Show an example, and where the model looked for a word."""
    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or ""
    with TemporaryDirectory() as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        service = webdriver.ChromeService(which("chromedriver"))
        browser = webdriver.Chrome(options=options, service=service)
        wait = WebDriverWait(browser, 60)
        try:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
            browser.get(url)
            (example,) = wait.until(
                lambda _: browser.find_elements("css selector", '[data-part="example"]')
            )
            example.click()
            words = wait.until(lambda _: browser.find_elements("css selector", ".word"))
            next(each for each in words if each.text == word).click()
            browser.execute_script("document.activeElement.blur()")
            return Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        finally:
            browser.quit()


if __name__ == "__main__":
    taken = take(*sys.argv[1:]).quantize(COLOURS, dither=Image.Dither.NONE)
    taken.save(Path(__file__).parent / "demo.png", optimize=True)
