"""`rrg demo` itself: an address, and a page that works in a browser and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from rrgcore.build import make_dataset
from rrgcore.extras import how_to_install
from rrgcore.run import Run
from rrgcore.scoring import Pair

from .files import PATIENT, RAMP, bomb, dicom, encoded

DROP = """
const [selector, name, text] = arguments;
const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name));
const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
document.querySelector(selector).dispatchEvent(event);
"""
OVERLAY = 'return document.querySelector(".views canvas").toDataURL()'

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="rrg[demo] is not installed")


# ---- what it refuses ------------------------------------------------------------------------


def test_without_gradio_it_says_how_to_install_it(
    tmp_path: Path, rrg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = rrg("demo", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert how_to_install("demo") in answer.err


@needs_gradio
def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    tmp_path: Path, rrg: Callable[..., Any]
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        answer = rrg("demo", tmp_path / "no run", "--port", port)
    assert answer.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in answer.err
    assert "--port 0" in answer.err


@needs_gradio
@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_no_address_of_this_machine_is_told(
    host: str, tmp_path: Path, rrg: Callable[..., Any]
):
    answer = rrg("demo", tmp_path / "no run", "--host", host)
    assert answer.code == 2
    assert answer.err.startswith(f"--host {host}: is no address")


# ---- in a browser ---------------------------------------------------------------------------


class Demo:
    """The command in a process of its own, with a home and a folder for temporary files."""

    def __init__(self, run: Path, folder: Path) -> None:
        self.home, self.temporary = folder / "home", folder / "temporary"
        self._out, self._err = folder / "out", folder / "err"
        self.home.mkdir()
        self.temporary.mkdir()
        limits = ("--max-megabytes", "1", "--max-megapixels", "2")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rrgcore", "demo", str(run), "--port", "0", *limits],
                stdout=out,
                stderr=err,
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home), "TMPDIR": str(self.temporary)},
            )

    @property
    def said(self) -> str:
        return self._out.read_text() + self._err.read_text()

    def url(self) -> str:
        """Wait until it serves."""
        end = time.monotonic() + 120
        while time.monotonic() < end and self._process.poll() is None:
            if found := re.search(r"^http://127\.0\.0\.1:\d+", self.said, re.M):
                return found.group()
            time.sleep(0.1)
        raise AssertionError(f"it does not serve: {self.said}")

    def files(self) -> list[Path]:
        """What it has left, so far."""
        return [path for path in folders(self.home, self.temporary) if path.is_file()]

    def interrupt(self) -> int:
        """Press Ctrl-C; its exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(120)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def folders(*roots: Path) -> list[Path]:
    return [path for root in roots for path in root.rglob("*")]


@pytest.fixture
def demo(finished: Run, tmp_path: Path) -> Iterator[Demo]:
    """The finished run, served."""
    served = Demo(finished.path, tmp_path)
    yield served
    served.kill()


@needs_gradio
@pytest.mark.slow  # most of it is the start of a server and of a browser
def test_the_page_answers_what_is_dropped_on_it_and_keeps_nothing(
    demo: Demo, chromium: Any, finished: Run, tmp_path: Path
) -> None:
    """One test, since a browser and a server take seconds to start."""
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    from selenium.webdriver.support.wait import WebDriverWait

    wait = WebDriverWait(chromium, 120)
    study, film = written_about(finished)
    (tmp_path / "DOE_JANEQUILL.dcm").write_bytes(dicom(film))
    url = demo.url()

    def one(name: str) -> Any:
        return chromium.find_element("css selector", f'[data-part="{name}"]')

    def drop(name: str, data: bytes) -> None:
        """Drop a file of this name on the page."""
        text = b64encode(data).decode()
        chromium.execute_script(DROP, '[data-part="drop"]', name, text)

    def refused(name: str, data: bytes, sentence: str) -> None:
        drop(name, data)
        wait.until(lambda _: one("status").text == sentence, f"{name}: expected {sentence!r}")
        assert not one("result").is_displayed()

    chromium.get(url)
    wait.until(lambda _: chromium.find_elements("css selector", '[data-part="title"]'))
    body = chromium.find_element("css selector", "body")
    assert body.text.count("For research only") == 1
    assert "of up to 1 MB and 2 million pixels" in one("limits").text

    # a PNG, and where the model looked
    drop("film.png", encoded(film))
    wait.until(lambda _: one("result").is_displayed())
    assert one("report").text.split() == study.prediction.split()
    plain = chromium.execute_script(OVERLAY)
    chromium.find_elements("css selector", ".word")[0].click()
    wait.until(lambda _: one("looked").text.startswith(f"“{study.prediction.split()[0]}”, of"))
    assert chromium.execute_script(OVERLAY) != plain

    # what cannot be read
    text = b"DOE^JANEQUILL"
    kind = "Image 1: is no PNG, JPEG or DICOM file, whatever it is called."
    refused("JANEQUILL.png", text, kind)
    too_many = "Image 1: is 2000 × 2000 pixels; at most 2 million are read here."
    refused("bomb.png", bomb(2000), too_many)
    large = "Image 1: has 1.1 MB, and at most 1 are read."
    refused("large.png", encoded(RAMP) + bytes(1_100_000), large)

    # a patient's, chosen rather than dropped; and an example
    one("files").send_keys(str(tmp_path / "DOE_JANEQUILL.dcm"))
    wait.until(lambda _: one("result").is_displayed())
    assert one("report").text.split() == study.prediction.split()
    source = chromium.page_source
    one("example").click()
    wait.until(lambda _: one("reference").text)
    assert one("reference").text == finished.predictions[0].reference

    # nothing of anybody, anywhere; nothing from elsewhere
    told = [source, chromium.page_source, demo.said]
    told += [path.read_bytes().decode("latin-1") for path in demo.files()]
    told += [str(path) for path in folders(demo.home, demo.temporary)]
    for word in ("DOE", "JANEQUILL", *PATIENT.values()):
        assert not [text for text in told if word in text], word
    fetched = chromium.execute_script(
        "return performance.getEntriesByType('resource').map((each) => each.name)"
    )
    assert fetched
    assert [each for each in fetched if not each.startswith((url, "data:", "blob:"))] == []
    assert chromium.execute_script("return localStorage.length + sessionStorage.length") == 0
    assert upload_status(url) == 404

    # on a telephone, and in the dark
    papers = set()
    for width, scheme in ((390, "light"), (1280, "dark")):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        chromium.refresh()
        wait.until(lambda _: chromium.find_elements("css selector", '[data-part="title"]'))
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
        papers.add(one("drop").value_of_css_property("background-color"))
    assert len(papers) == 2

    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    assert demo.interrupt() == 130
    assert re.fullmatch(rf"{url}  \(Ctrl-C ends it\)\n", demo.said)
    assert [path for path in demo.temporary.rglob("*") if "rrg" in path.name] == []


def written_about(run: Run) -> tuple[Pair, np.ndarray]:
    """A test study of which the model writes something, and its image."""
    dataset = make_dataset(run.plan)
    written = {pair.id: pair for pair in run.predictions if pair.prediction}
    study = next(study for study in dataset.studies("test") if study.id in written)
    return written[study.id], dataset.open(study.images[0])


def upload_status(url: str) -> int:
    """What Gradio's own upload, which writes to the disk, answers."""
    asking = Request(f"{url}/gradio_api/upload", b"{}", {"content-type": "application/json"})
    with pytest.raises(HTTPError) as refused:
        urlopen(asking, timeout=20)
    refused.value.close()
    return refused.value.code
