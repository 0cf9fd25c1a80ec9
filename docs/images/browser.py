"""Debian's Chromium without a window, for the pictures of pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from selenium import webdriver

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


@contextmanager
def opened(url: str, *, width: int, height: int, mobile: bool = False) -> Iterator[Any]:
    """Open a page in a window of so many pixels."""
    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or ""
    with TemporaryDirectory() as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        service = webdriver.ChromeService(which("chromedriver"))
        browser = webdriver.Chrome(options=options, service=service)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        try:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(url)
            yield browser
        finally:
            browser.quit()


def taken(browser: Any) -> Image.Image:
    """Return what the window shows."""
    return Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
