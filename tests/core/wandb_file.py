"""Reading what W&B writes offline: a log of protocol buffers in LevelDB's blocks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER, IDENTITY = 32768, 7, 7
FIRST, MIDDLE, LAST, FULL = 2, 3, 4, 1


def _records(data: bytes) -> Iterator[bytes]:
    at, parts = IDENTITY, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        piece = data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind == FULL:
            yield piece
        elif kind in (FIRST, MIDDLE):
            parts += piece
        elif kind == LAST:
            yield parts + piece
            parts = b""


def read_offline(folder: Path) -> dict[str, Any]:
    """The id of a run, its configuration, and each step's values."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("run-*.wandb")
    found: dict[str, Any] = {"config": {}, "history": {}}
    for data in _records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["id"] = record.run.run_id
        if kind in ("run", "config"):
            updates = record.run.config.update if kind == "run" else record.config.update
            found["config"] |= {_key(item): json.loads(item.value_json) for item in updates}
        if kind == "history":
            values = {_key(item): json.loads(item.value_json) for item in record.history.item}
            step = values.pop("_step")
            assert step not in found["history"], f"step {step} is there twice"
            found["history"][step] = values
    return found


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)
