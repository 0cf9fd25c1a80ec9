"""What a saved batch may build: it is data, and may come from a stranger."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import accelerate.utils.dataclasses
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from rrgcore import load_saved_batch
from rrgcore.errors import RunError
from rrgcore.faults.batches import save_batch
from rrgcore.files import read_json, write_json
from rrgcore.plugins import discover
from rrgcore.types import Batch, Tokens

PLUGIN = """
from typing import NamedTuple
from rrgcore import Component, hookimpl
from torch import Tensor

class Drawn(NamedTuple):
    rows: Tensor

@hookimpl
def rrg_components():
    return [Component("metric", "drawn", "a_plugin_of_drawings:Drawn", "Draws.")]
"""


def a_batch(prepared: Any) -> Batch:
    tokens = Tokens(torch.tensor([[1, 2]]), torch.tensor([[True, True]]))
    present = torch.tensor([[True]])
    return Batch(("a",), torch.zeros(1, 1, 3, 2, 2), present, tokens, tokens, {"adapter": prepared})


def building(folder: Path, name: str, values: Mapping[str, Any]) -> Path:
    """Save a batch with another class in it than was saved."""
    save_batch(folder, a_batch(None), {})
    saved = read_json(folder / "batch.json")
    held = {key: {"value": value} for key, value in values.items()}
    saved["batch"]["fields"]["prepared"] = {"class": name, "fields": held}
    write_json(folder / "batch.json", saved)
    return folder


@pytest.mark.parametrize("module", ["accelerate.utils.dataclasses", "rrgcore.job", "rrgcore.wide"])
def test_a_class_of_others_is_not_built_wherever_it_is_found(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one changes the environment of the process when it is made."""
    found = accelerate.utils.dataclasses.FullyShardedDataParallelPlugin
    if module != found.__module__:  # where one of ours has imported it
        monkeypatch.setattr("rrgcore.job.FullyShardedDataParallelPlugin", found, raising=False)
    options = {"fsdp_version": 1, "cpu_ram_efficient_loading": True}
    folder = building(tmp_path, f"{module}:{found.__name__}", options)
    before = dict(os.environ)

    with pytest.raises(RunError, match=found.__name__):
        load_saved_batch(folder).batch  # noqa: B018
    assert dict(os.environ) == before


def test_a_class_of_a_plugin_file_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a_plugin_of_drawings.py"
    file.write_text(PLUGIN)
    monkeypatch.setitem(sys.modules, file.stem, None)
    monkeypatch.delitem(sys.modules, file.stem)
    found = discover(files=[file])
    drawn = sys.modules[file.stem].Drawn
    save_batch(tmp_path, a_batch(drawn(torch.arange(3))), {})
    back = load_saved_batch(tmp_path).batch.prepared["adapter"]

    assert found.plugins[-1].name == file.stem
    assert type(back) is drawn
    assert torch.equal(back.rows, torch.arange(3))


def test_packed_sequences_are_built(tmp_path: Path) -> None:
    packed = pack_sequence([torch.arange(3), torch.arange(2)])
    save_batch(tmp_path, a_batch(packed), {})
    back = load_saved_batch(tmp_path).batch.prepared["adapter"]

    assert type(back) is PackedSequence
    assert torch.equal(back.data, packed.data)
