"""How a command says why it fails: alone, or as one of several processes."""

import os
import re
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any

import typer

from rrgcore.cli.options import is_main_process

MOMENT = timedelta(seconds=2)
"""For the main process to fail by the same."""
LOST = re.compile(r"connection (was )?(closed|reset)|broken pipe|ncclRemoteError", re.IGNORECASE)
"""Of gloo and NCCL, where the process at the other end is no more."""
KEY = "rrg/failure of the main process"
LEFT = "another process failed; its message is above, unless the system ended it"


def tell_failure(text: str, error: BaseException) -> None:
    """Print an error. Of several processes the main one prints its own, and each of the others what
    the main one does not say.
    """
    if is_main_process():
        typer.echo(text, err=True)
        _leave_word(text)
    elif not (is_of_another(error) or _is_told(text, error)):
        typer.echo(f"process {os.environ['RANK']}: {text}", err=True)


def is_of_another(error: BaseException) -> bool:
    """Whether an error is that another process does not answer any more."""
    return _is_connected() and isinstance(error, RuntimeError) and bool(LOST.search(str(error)))


def _is_told(text: str, error: BaseException) -> bool:
    """Whether another process tells an error."""
    each: BaseException | None = error
    while each is not None:
        if getattr(each, "of_all_processes", False):
            return True
        each = each.__cause__
    if not _is_connected():
        # so far all that run on a machine have seen the same, and its first one tells it
        return os.environ.get("LOCAL_RANK", "0") != "0"
    return _main_says(text)


def _is_connected() -> bool:
    if "torch" not in sys.modules:  # to import it for an error would take seconds
        return False
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def _leave_word(text: str) -> None:
    """Let the other processes know what the main one has said."""
    if _is_connected():
        # which may be gone, or the main process's own
        with suppress(RuntimeError, ValueError):
            _store().set(KEY, text)


def _main_says(text: str) -> bool:
    with suppress(RuntimeError, ValueError):
        _store().wait([KEY], MOMENT)
        return bool(_store().get(KEY).decode() == text)
    return False


def _store() -> Any:
    """Return the store that the processes met at: it asks nothing of whoever is busy."""
    import torch.distributed as dist

    return dist.distributed_c10d._get_default_store()
