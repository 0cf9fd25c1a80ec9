"""rrg and rrg-hello, built and installed for real, once; nothing is fetched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .environment import OFFLINE, Environment

REPOSITORY = Path(__file__).resolve().parents[2]
HELLO = REPOSITORY / "docs" / "examples" / "rrg-hello"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "rrgcore", "plugins", "recipes")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that sees the running one's packages; nobody installs more into it."""
    folder = tmp_path_factory.mktemp("stranger")
    made = Environment(folder)
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True, timeout=120
    )
    where = made.output("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    packages = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    # plain lines: an editable install of this checkout, which would hide the wheel, stays unseen
    (Path(where.strip()) / "running.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    (folder / "rrg").mkdir()
    for name in SOURCES:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / "rrg" / name, **({"ignore": LEFT_OUT} if source.is_dir() else {}))
    shutil.copytree(HELLO, folder / "rrg-hello", ignore=LEFT_OUT)
    made.output("python", "-m", "pip", "install", "-q", *OFFLINE, "./rrg", "./rrg-hello")
    return made
