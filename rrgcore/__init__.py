"""rrg: radiology report generation from interchangeable parts.

Importing this package imports no torch, so that plugins can be listed in a blink; what needs torch
is loaded when it is first asked for.
"""

from importlib import import_module
from typing import Any

from rrgcore.plugins import discover, hookimpl
from rrgcore.registry import Component

__version__ = "0.1.0"

_LAZY = {
    "load_recipe": "rrgcore.session",
    "load_run": "rrgcore.run",
    "load_saved_batch": "rrgcore.faults.batches",
    "score": "rrgcore.scoring.judging",
}

__all__ = ["Component", "__version__", "discover", "hookimpl", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rrgcore' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
