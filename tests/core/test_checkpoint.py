"""Checkpoints: each tensor once, all or nothing, never pickle, refused where they do not fit."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from rrgcore import load_recipe
from rrgcore.checkpoint import (
    MODEL,
    fingerprint_of,
    link_folder,
    load_model,
    load_part,
    save_model,
)
from rrgcore.errors import RunError
from rrgcore.files import read_json, settle, write_text, written_whole
from rrgcore.interfaces import Pretrained
from rrgcore.optimizer_state import load_optimizer, save_optimizer
from rrgcore.plugins import Discovered
from rrgcore.pretrained import left_out
from rrgcore.run import Run

TINY = Path(__file__).parent.parent / "tiny.yaml"


class Tied(nn.Module):
    """Two names for one layer, and a buffer."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.shared = nn.Linear(size, size)
        self.user = nn.Sequential(self.shared, nn.Linear(size, 1))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.long))


def saved(folder: Path, module: nn.Module) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, module)
    return folder


def test_a_shared_tensor_is_stored_once_under_its_first_name(tmp_path: Path) -> None:
    stored = load_file(saved(tmp_path, Tied()) / MODEL)

    assert stored.keys() == {
        "shared.weight", "shared.bias", "user.1.weight", "user.1.bias", "seen",
    }  # fmt: skip


def test_a_model_is_read_back_and_still_shares(tmp_path: Path) -> None:
    one, other = Tied(), Tied()
    one.seen += 7
    load_model(saved(tmp_path, one), other)

    assert torch.equal(one.user[0].weight, other.user[0].weight)
    assert other.shared.weight is other.user[0].weight
    assert other.seen.tolist() == [7, 7]


def test_a_parameter_that_is_not_contiguous_keeps_its_values(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    one.weight = nn.Parameter(torch.arange(6.0).view(3, 2).T)
    load_model(saved(tmp_path, one), other)

    assert torch.equal(one.weight, other.weight)


def test_one_trunk_for_images_and_text_is_stored_once(tmp_path: Path, plugins: Discovered) -> None:
    overrides = [
        "model.shared.image_trunk=off",
        "model.encoder.trunk={ref: text_trunk}",
    ]
    run = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins).run(
        tmp_path / "run"
    )
    stored = load_file(run.folder.best / MODEL)
    model = run.model()

    assert sum("parts" in key and "trunk" in key for key in stored) == len(
        list(model.part("shared.text_trunk").parameters())
    )
    assert model.parts.encoder.trunk is model.parts.decoder.trunk  # type: ignore[union-attr]


def test_weights_of_other_shapes_are_refused_by_name(tmp_path: Path) -> None:
    folder = saved(tmp_path, Tied(3))

    with pytest.raises(RunError, match=r"shared.weight is 3 × 3, this model's is 4 × 4"):
        load_model(folder, Tied(4))


def test_another_recipes_checkpoint_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    folder = saved(tmp_path, nn.Sequential(nn.Linear(3, 3)))
    model = Tied()
    before = model.shared.weight.clone()

    with pytest.raises(
        RunError, match=r"5 tensors missing \(seen, .*2 tensors too many \(0.bias, 0.weight\)"
    ):
        load_model(folder, model)
    assert torch.equal(model.shared.weight, before)


@pytest.mark.parametrize("damage", [b"", b"not weights", None])
def test_a_damaged_file_is_named(damage: bytes | None, tmp_path: Path) -> None:
    path = saved(tmp_path, Tied()) / MODEL
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)

    with pytest.raises(RunError, match=r"model.safetensors is damaged"):
        load_model(tmp_path, Tied())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"model.safetensors is not there"):
        load_model(tmp_path, Tied())


def test_a_run_folder_holds_no_pickle(finished: Run) -> None:
    suffixes = {path.suffix for path in finished.path.rglob("*") if path.is_file()}

    assert suffixes == {".safetensors", ".json", ".jsonl", ".yaml", ".md"}


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write_half() -> None:
        with written_whole(tmp_path / "last") as folder:
            (folder / "a").write_text("new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert list(tmp_path.iterdir()) == []

    with written_whole(tmp_path / "last") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert (tmp_path / "last" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_folder_that_is_replaced_holds_nothing_old(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with written_whole(tmp_path / "last") as folder:
            (folder / name).write_text(name)

    assert [path.name for path in tmp_path.rglob("*")] == ["last", "b"]


def test_a_folder_that_lost_its_name_between_two_renames_gets_it_back(tmp_path: Path) -> None:
    (tmp_path / ".last.replaced").mkdir()
    settle(tmp_path / "last")

    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_an_optimizer_is_read_back_with_its_plain_values(tmp_path: Path) -> None:
    def an_optimizer() -> torch.optim.Optimizer:
        torch.manual_seed(1)
        model = nn.Linear(2, 2)
        model(torch.ones(1, 2)).sum().backward()
        return torch.optim.RAdam(model.parameters(), lr=0.1, betas=(0.8, 0.9))

    one, other = an_optimizer(), an_optimizer()
    one.step()
    plain = json.loads(json.dumps(save_optimizer(tmp_path, one.state_dict())))
    load_optimizer(tmp_path, plain, other, said_by=tmp_path / "state.json")

    one.step(), other.step()
    for mine, theirs in zip(
        one.state_dict()["state"].values(), other.state_dict()["state"].values(), strict=True
    ):
        assert mine.keys() == theirs.keys()
        assert torch.equal(mine["exp_avg"], theirs["exp_avg"])
    assert tuple(other.param_groups[0]["betas"]) == (0.8, 0.9)


def test_a_part_starts_from_another_run_though_its_trunk_is_stored_elsewhere(
    finished: Run,
) -> None:
    model = finished.model()
    wanted = {k: v.clone() for k, v in model.part("encoder").state_dict().items()}
    for parameter in model.part("encoder").parameters():
        nn.init.zeros_(parameter)
    load_part(finished.folder.best, "encoder", model.part("encoder"))

    for key, value in model.part("encoder").state_dict().items():
        assert torch.equal(value, wanted[key]), key


def test_a_part_that_the_other_run_lacks_is_named(finished: Run) -> None:
    with pytest.raises(RunError, match=r"init.adapter: .* holds no bias, weight of this part"):
        load_part(finished.folder.best, "adapter", nn.Linear(2, 2))


def test_a_run_can_start_a_part_from_another_run(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    overrides = [
        f"init.encoder=run:{finished.path}",
        "stages.align.freeze=[encoder]",
        "objectives.irc=off",
        "objectives.irm=off",
        "objectives.mim=off",
        "model.shared.joint=off",
    ]
    run = load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins).run(
        tmp_path / "run"
    )
    mine, theirs = run.model().part("encoder"), finished.model().part("encoder")

    for (name, one), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_second_name_for_a_checkpoint_stores_nothing_twice(finished: Run, tmp_path: Path) -> None:
    source = tmp_path / "one"
    saved(source, Tied())
    link_folder(source, tmp_path / "two")

    assert (tmp_path / "two" / MODEL).stat().st_ino == (source / MODEL).stat().st_ino


def test_names_of_shared_tensors_are_recorded_in_the_file(finished: Run) -> None:
    with safe_open(finished.folder.best / MODEL, framework="pt") as file:
        aliases: dict[str, Any] = json.loads(file.metadata()["aliases"])

    assert any(name.startswith("parts.encoder.trunk.") for name in aliases)
    assert set(aliases.values()) <= load_file(finished.folder.best / MODEL).keys()


def test_a_text_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))

    write_text(tmp_path / "run.json", "{}\n")

    assert done == ["fsync", "replace", "fsync"]  # and that it has the name, at the end
    assert (tmp_path / "run.json").read_text() == "{}\n"


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(RunError, match=r"run.json is damaged"):
        read_json(tmp_path / "run.json")


class Published(nn.Module, Pretrained):
    """A module with weights from a file, some of them trained on."""

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        self.weights = weights
        self.body = nn.Linear(3, 3, bias=False)
        self.head = nn.Linear(3, 2, bias=False)
        self.body.requires_grad_(False)

    def load_weights(self) -> frozenset[str]:
        assert self.weights is not None
        with torch.no_grad():
            self.body.weight.copy_(torch.load(self.weights)["body"])
        return frozenset({"body.weight"})


class Whole(nn.Module):
    def __init__(self, weights: str | None) -> None:
        super().__init__()
        self.part = Published(weights)


def published(path: Path, *, seed: int) -> str:
    torch.manual_seed(seed)
    torch.save({"body": torch.randn(3, 3)}, path)
    return str(path)


def with_left_out(tmp_path: Path) -> tuple[Path, Whole]:
    model = Whole(published(tmp_path / "w.pt", seed=1))
    out = left_out(model, [(model.part, model.part.load_weights())], started=[])
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_model(folder, model, out)
    return folder, model


def test_frozen_published_weights_are_named_and_not_held(tmp_path: Path):
    folder, _ = with_left_out(tmp_path)
    assert list(load_file(folder / "model.safetensors")) == ["part.head.weight"]


def test_what_was_left_out_is_read_from_the_weights_again(tmp_path: Path):
    folder, model = with_left_out(tmp_path)
    other = Whole(str(tmp_path / "w.pt"))
    load_model(folder, other)
    assert torch.equal(other.part.body.weight, model.part.body.weight)
    assert torch.equal(other.part.head.weight, model.part.head.weight)


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path):
    folder, _ = with_left_out(tmp_path)
    other = Whole(published(tmp_path / "w.pt", seed=2))
    expected = r"those here now are others \(expected the fingerprint \w{12}, found \w{12}\)"
    with pytest.raises(RunError, match=expected):
        load_model(folder, other)


def test_a_part_that_starts_from_such_a_run_reads_them_too(tmp_path: Path):
    model = Whole(published(tmp_path / "w.pt", seed=1))
    holder = nn.Module()
    holder.parts = nn.Module()
    holder.parts.decoder = model.part
    out = left_out(holder, [(model.part, model.part.load_weights())], started=[])
    save_model(tmp_path, holder, out)
    other = Published(str(tmp_path / "w.pt"))
    load_part(tmp_path, "decoder", other)
    assert torch.equal(other.body.weight, model.part.body.weight)


def test_what_is_trained_or_started_from_a_run_is_held(tmp_path: Path):
    model = Whole(published(tmp_path / "w.pt", seed=1))
    names = model.part.load_weights()
    assert left_out(model, [(model.part, names)], started=[model.part]) == ()
    model.part.body.requires_grad_(True)
    assert left_out(model, [(model.part, names)], started=[]) == ()


def test_a_fingerprint_tells_values_types_and_names():
    ones = {"a": torch.ones(4)}
    others = [{"b": torch.ones(4)}, {"a": torch.ones(4).half()}, {"a": torch.ones(2, 2)}]
    others += [{"a": torch.tensor([1.0, 1, 1, 1.001])}, {"a": torch.ones(4).bfloat16()}]
    assert len({fingerprint_of(each) for each in [ones, *others]}) == 6
