"""Of which code a run is: the packages its numbers depend on, and the commit of a checkout."""

import subprocess
from importlib.metadata import PackageNotFoundError, version

from rrgcore.installed import checkout

PACKAGES = ("rrg", "torch", "torchvision", "transformers", "timm", "accelerate", "safetensors")


def package_versions() -> dict[str, str | None]:
    """Return the versions of the packages that a run's numbers depend on."""
    return {name: _version(name) for name in PACKAGES}


def commit_of_checkout() -> str | None:
    """Return the commit of the checkout that rrg runs from, where it runs from one."""
    here = checkout()
    if here is None or not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return found.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
