"""Fixtures that every test may use."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """Load a golden file: from the folder RRG_GOLDEN where it is set and has the file, else tests/golden."""

    def load(name: str) -> Any:
        folders = [Path(__file__).parent / "golden"]
        if os.environ.get("RRG_GOLDEN"):
            folders.insert(0, Path(os.environ["RRG_GOLDEN"]))
        path = next(path for folder in folders if (path := folder / f"{name}.json").is_file())
        return json.loads(path.read_text(encoding="utf-8"))

    return load


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of papers and real data beside a checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data beside the checkout: {SHARED} is absent")
    return SHARED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
