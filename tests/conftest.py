"""Fixtures that every test may use."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rrgcore.plugins import Discovered, discover

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("RRG_SHARED") or REPOSITORY.parent / "shared").expanduser()
TINY = Path(__file__).parent / "tiny.yaml"
CHROMIUM, DRIVER = "chromium", "chromedriver"
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Test in several processes, but for what is measured, and what is named one by one."""
    benchmark = "benchmark" in config.option.markexpr.replace("not benchmark", "")
    if benchmark or any("::" in word for word in config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(cores or 1, 4)
    # each computes in its share of the cores: more threads than cores slow each other down
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // workers)))
    return workers if workers > 1 else 0


LONGEST = ("faults/test_killed", "distributed/test_two", "core/test_training", "third_party/")
"""Begun first: whoever comes last to a long file works on while the other process has ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; `--no-loadscope-reorder` has xdist keep to that."""

    def place(item: pytest.Item) -> int:
        found = (n for n, name in enumerate(LONGEST) if f"tests/{name}" in item.nodeid)
        return next(found, len(LONGEST))

    items.sort(key=place)


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """Load a golden file: from the folder RRG_GOLDEN where it is set and has the file.

    Else from tests/golden.
    """

    def load(name: str) -> Any:
        folders = [Path(__file__).parent / "golden"]
        if os.environ.get("RRG_GOLDEN"):
            folders.insert(0, Path(os.environ["RRG_GOLDEN"]))
        path = next(path for folder in folders if (path := folder / f"{name}.json").is_file())
        return json.loads(path.read_text(encoding="utf-8"))

    return load


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of papers and real data: RRG_SHARED, else the one beside the checkout.

    Tests skip where it is absent.
    """
    if not SHARED.is_dir():
        pytest.skip(f"no real data: {SHARED} is absent (RRG_SHARED may name another folder)")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _own_image_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images with the tests, not with those of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RRG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def plugins() -> Discovered:
    """Every installed plugin, discovered once."""
    return discover()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, plugins: Discovered) -> Any:
    """A finished run of tests/tiny.yaml; tests read it and leave it as it is."""
    from rrgcore import load_recipe

    folder = tmp_path_factory.mktemp("finished") / "run"
    return load_recipe(TINY, plugins=plugins).run(folder)


# ---- commands -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def rrg(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Run a command as the console script does, in an empty folder; its status and what it said."""
    from rrgcore.cli import main

    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["rrg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), said.out, said.err)

    return call


# ---- data -----------------------------------------------------------------------------------


@pytest.fixture
def r2gen(tmp_path: Path) -> Path:
    """A folder in R2Gen's layout: 12, 4 and 4 studies of one image, with RadGraph and labels."""
    return write_r2gen(tmp_path / "r2gen")


@pytest.fixture(scope="session")
def r2gen_writer() -> Callable[[Path], Path]:
    """Write such a folder somewhere."""
    return write_r2gen


def write_r2gen(root: Path) -> Path:
    """Write such a folder."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    rows: dict[str, list[Mapping[str, Any]]] = {}
    sidecars: dict[str, list[str]] = {"radgraph": [], "labels": []}
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        rows[split] = []
        for number in range(count):
            id = f"{split}{number}"
            pixels = rng.integers(0, 256, (40, 32), dtype=np.uint8)
            # a file's name is not its study's id: who names one has not named the other
            scan = f"{split}_{number}.png"
            Image.fromarray(pixels).save(root / "images" / scan)
            side = ("left", "right")[number % 2]
            report = f"there is a small {side} pleural effusion . no pneumothorax . case {number} ."
            rows[split].append({"id": id, "report": report, "image_path": [scan]})
            sidecars["radgraph"].append(_line(id, _radgraph(report, side)))
            sidecars["labels"].append(_line(id, {"Pleural Effusion": 1, "Pneumothorax": 0}))
    (root / "annotation.json").write_text(json.dumps(rows))
    for slug, lines in sidecars.items():
        (root / "annotations" / f"{slug}.jsonl").write_text("".join(lines))
    return root


def _line(id: str, value: Any) -> str:
    return json.dumps({"id": id, "value": value}) + "\n"


def _radgraph(report: str, side: str) -> Mapping[str, Any]:
    def entity(tokens: str, label: str, at: int, relations: list[list[str]]) -> Mapping[str, Any]:
        place = {"start_ix": at, "end_ix": at}
        return {"tokens": tokens, "label": label, **place, "relations": relations}

    return {
        "text": report,
        "entities": {
            "1": entity(side, "ANAT-DP", 4, [["modify", "2"]]),
            "2": entity("pleural", "ANAT-DP", 5, []),
            "3": entity("effusion", "OBS-DP", 6, [["located_at", "2"]]),
            "4": entity("pneumothorax", "OBS-DA", 9, []),
        },
    }


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Any]:
    """Debian's Chromium, without a window, its console kept.

    Tests skip where it or its driver is absent.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which(CHROMIUM), shutil.which(DRIVER)
    if not (browser and driver):
        pytest.skip(f"{CHROMIUM} or {DRIVER} is absent (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()
