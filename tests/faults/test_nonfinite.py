"""A number that is none stops a run: what it says, and what it leaves behind."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file, save_file

from rrgcore import load_recipe, load_run, load_saved_batch
from rrgcore.engine import Step
from rrgcore.errors import RunError
from rrgcore.faults.batches import save_batch
from rrgcore.faults.culprits import by_part, not_finite
from rrgcore.faults.nonfinite import Finite, NonFiniteLoss
from rrgcore.faults.stops import Scene, infinite_buffers, last_saved, state_of
from rrgcore.folder import RunFolder
from rrgcore.images import resize
from rrgcore.plugins import Discovered, discover
from rrgcore.session import Session
from rrgcore.types import Batch, Losses, MaskedText, ObjectiveOutput, Tokens
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"
POISON = Path(__file__).parent / "poison.py"
STUDY = "phantom-train-00003"


@pytest.fixture(scope="module")
def poison() -> Discovered:
    return discover(files=[POISON])


def session(poison: Discovered, *overrides: str, **options: Any) -> Session:
    said = ", ".join(f"{key}: {value}" for key, value in options.items())
    return load_recipe(
        TINY,
        variants=["short"],
        overrides=[f"objectives.poison={{name: poison, {said}}}", *overrides],
        plugins=poison,
    )


def stopped(given: Session, out: Path) -> NonFiniteLoss:
    with pytest.raises(NonFiniteLoss) as caught:
        given.run(out)
    return caught.value


@pytest.fixture(scope="module")
def lost(poison: Discovered, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two epochs of three steps that stops in the second, and what it said."""
    out = tmp_path_factory.mktemp("lost") / "run"
    given = session(poison, "stages.align.epochs=2", how="loss", after=3)
    return out, str(stopped(given, out))


def saved_in(out: Path) -> Path:
    (found,) = (out / "nonfinite").iterdir()
    return found


# ---- what it says -----------------------------------------------------------------------------


def test_the_objective_the_studies_the_step_and_what_to_type_are_said(
    lost: tuple[Path, str],
) -> None:
    out, text = lost
    folder = saved_in(out)
    facts = load_saved_batch(folder).facts
    studies = ", ".join(study["id"] for study in facts["studies"])
    number, step = facts["batch_in_epoch"], facts["step"]

    assert STUDY in studies
    assert folder.name == f"step-{step}"
    assert text == (
        f"objective 'poison' is nan on these studies: {studies} (stage align, epoch 2, step "
        f"{step}, batch {number} of the epoch).\n"
        f"The batch is saved in {folder}, its images as PNG and the weights that met it: "
        f"rrgcore.load_saved_batch('{folder}').\n"
        "Nothing was updated. The last checkpoint is that of stage align after step 3: "
        f"{out}/checkpoints/align/last. As it is, the run comes to this step again; what may keep "
        "it finite, as overrides of a new run:\n"
        "  stages.align.optimizer.lr=0.005   half the learning rate\n"
        "  stages.align.clip=1               largest norm of the gradient; it has none now"
    )


def test_the_run_is_stopped_and_its_last_checkpoint_as_it_was(lost: tuple[Path, str]) -> None:
    out, _ = lost
    last = load_file(out / "checkpoints/align/last/model.safetensors")

    assert json.loads((out / "run.json").read_text())["state"] == "stopped"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in last.values())


def test_the_command_says_so_without_a_traceback(rrg: Callable[..., Any], tmp_path: Path) -> None:
    objective = f"objectives.poison={{name: poison, study: {STUDY}}}"
    command = ("run", TINY, objective, "--plugin", POISON, "--out", tmp_path / "run")
    said = rrg(*command)

    assert said.code == 2
    assert said.err.startswith("objective 'poison' is nan on these studies: ")
    assert "There is no checkpoint yet." in said.err
    assert "Traceback" not in said.err
    # it left a batch to be looked at: the folder stays, though nothing was trained
    assert saved_in(tmp_path / "run").name.startswith("step-")


def test_the_run_comes_to_the_same_step_again_and_keeps_what_it_left_before(
    lost: tuple[Path, str], poison: Discovered, tmp_path: Path
) -> None:
    out = shutil.copytree(lost[0], tmp_path / "run")
    before = saved_in(out)
    first = (before / "batch.json").read_bytes()
    again = stopped(session(poison, "stages.align.epochs=2", how="loss", after=3), out)

    assert f"{before}_2" in str(again)
    assert (before / "batch.json").read_bytes() == first
    assert (out / f"nonfinite/{before.name}_2/batch.json").read_bytes() == first


def test_a_gradient_is_traced_to_its_objective_and_its_parameters(
    poison: Discovered, tmp_path: Path
) -> None:
    """The loss is finite, and so are all the other objectives' gradients; clipping hides them."""
    given = session(poison, "stages.align.clip=0.5", how="gradient")
    text = str(stopped(given, tmp_path / "run"))
    saved = load_saved_batch(saved_in(tmp_path / "run"))

    assert re.match(r"the gradient's norm is nan on these studies: phantom-train-", text)
    assert re.search(r"^It is the gradient of batch \d of the epoch: .*" + STUDY, text, re.M)
    (line,) = (line for line in text.splitlines() if line.startswith("Of objective"))
    assert line.startswith("Of objective 'poison' it is not finite in shared.image_trunk (")
    assert "encoder (" in line
    assert "objectives.poison (scale)" in line
    assert "decoder" not in line
    assert "stages.align.clip=0.25   " in text
    assert STUDY in saved.batch.ids
    assert list(saved.facts["gradients_not_finite"]) == ["poison"]
    assert saved.facts["gradient_norm"] == "nan"


def test_of_several_batches_in_a_step_the_one_to_blame_is_saved(
    poison: Discovered, tmp_path: Path
) -> None:
    given = session(poison, "stages.align.accumulate=5", how="gradient")
    text = str(stopped(given, tmp_path / "run"))
    saved = load_saved_batch(saved_in(tmp_path / "run"))

    named = re.search(r"of batch (\d) of the epoch: (.*)", text)
    assert named is not None
    assert saved.facts["batch_in_epoch"] == int(named[1])
    assert ", ".join(saved.batch.ids) == named[2]
    assert STUDY in saved.batch.ids


def test_a_norm_that_float32_cannot_hold_is_told_from_a_gradient_that_is_none(
    poison: Discovered, tmp_path: Path
) -> None:
    given = session(poison, "stages.align.accumulate=1", how="norm")
    text = str(stopped(given, tmp_path / "run"))

    assert "the gradient's norm is inf on these studies" in text
    assert re.search(
        r"squares add up to more than float32 holds: the largest is \d.*e\+2\d, in \S+ \(", text
    )


def test_weights_that_are_infinite_themselves_are_named(poison: Discovered, tmp_path: Path) -> None:
    text = str(stopped(session(poison, how="weights", after=2), tmp_path / "run"))

    assert text.startswith("objective 'poison' is inf on these studies: phantom-train-")
    assert "step 3" in text
    assert "Weights that are not finite: objectives.poison (scale)." in text


def test_weights_that_a_step_made_infinite_are_not_saved(
    poison: Discovered, tmp_path: Path
) -> None:
    """The third step is the first epoch's last, after which `last` would be written."""
    given = session(poison, "stages.align.epochs=2", how="weights", after=3)
    text = str(stopped(given, tmp_path / "run"))

    assert text.startswith(
        "weights are not finite after the step (stage align, epoch 1, step 3).\n"
        "Weights that are not finite: objectives.poison (scale).\n"
        "They were not saved. There is no checkpoint yet. "
    )
    assert not (tmp_path / "run").exists()


def test_weights_that_are_infinite_are_not_saved_when_somebody_stops_the_run(
    poison: Discovered, tmp_path: Path
) -> None:
    """The fourth step is the second epoch's first: nothing else looks at it."""
    notes: list[str] = []

    class Stops(Watcher):
        def step(self, step: Step) -> None:
            if step.position.step == 4:
                signal.raise_signal(signal.SIGTERM)

        def note(self, text: str) -> None:
            notes.append(text)

    given = session(poison, "stages.align.epochs=2", how="weights", after=4)
    with pytest.raises(KeyboardInterrupt):
        given.run(tmp_path / "run", watcher=Stops())
    last = tmp_path / "run/checkpoints/align/last"

    assert notes[-2] == (
        "weights are not finite after the step (stage align, epoch 2, step 4): they were not "
        f"saved. The last checkpoint is that of stage align after step 3: {last}"
    )
    assert notes[-1].startswith("stopped; to go on: rrg run")
    assert json.loads((last / "state.json").read_text())["position"]["step"] == 3
    saved = load_file(last / "model.safetensors")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.values())


class Masked(torch.nn.Module):
    """A mask that is infinite by design, a buffer that training moves, and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.tied = self.weight
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.tensor(0))


def test_buffers_are_looked_at_but_for_those_that_are_infinite_by_design(
    accelerator: Accelerator,
) -> None:
    model = Masked()
    given = infinite_buffers(model)
    scene: Any = SimpleNamespace(stage="align", accelerator=accelerator, by_design=given)
    Scene.check_weights(scene, state_of(model), 0, 1)
    model.mean.fill_(torch.nan)

    assert given == {"mask"}
    assert list(state_of(model)) == ["weight", "mask", "mean", "count"]
    assert not_finite(state_of(model)) == ["mask", "mean"]
    with pytest.raises(
        NonFiniteLoss, match=r"not finite after the step \(stage align, epoch 1, st"
    ):
        Scene.check_weights(scene, state_of(model), 0, 1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("type", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_value_that_is_none_is_found_wherever_it_is(value: float, type: torch.dtype) -> None:
    tensors = {str(at): torch.ones(3, 5, dtype=type) for at in range(15)}
    for at, tensor in enumerate(tensors.values()):
        tensor.view(-1)[at] = value

    whole = {"one": torch.ones(3), "none": torch.ones(0), "id": torch.ones(2).long()}
    assert not_finite({**tensors, **whole}) == list(tensors)


def test_a_state_that_is_damaged_is_no_last_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/align/last"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"stage": "align", "position": {}}')

    assert last_saved(RunFolder(tmp_path), ["align", "generate"]) == "There is no checkpoint yet"


def test_parameters_are_named_by_the_parts_of_a_recipe() -> None:
    names = [
        *("parts.encoder.norm.weight", "parts.shared.text_trunk.layers.0.up.weight"),
        *(f"objectives.irc.twin.{letter}" for letter in "abcde"),
    ]
    assert by_part(names) == (
        "encoder (norm.weight); shared.text_trunk (layers.0.up.weight); "
        "objectives.irc (twin.a, twin.b, twin.c and 2 more)"
    )


# ---- what it leaves ---------------------------------------------------------------------------


def test_what_is_saved_can_be_read_by_a_person(lost: tuple[Path, str], poison: Discovered) -> None:
    out, _ = lost
    folder = saved_in(out)
    saved = load_saved_batch(folder)
    studies = {study["id"]: study for study in saved.facts["studies"]}
    given = session(poison, "stages.align.epochs=2", how="loss", after=3)
    source = {study.id: study for study in listed(given)["train"]}

    assert {path.name for path in folder.iterdir()} == {
        "batch.json",
        "batch.safetensors",
        "model.safetensors",
        *(name for study in studies.values() for name in study["images"]),
    }
    for id, study in studies.items():
        assert study["report"] == source[id].report
        (name,) = study["images"]
        shown = np.asarray(Image.open(folder / name).convert("L"))
        original = resize(listed(given).dataset.open(source[id].images[0]), 32)
        assert (shown == original).all()
    facts = saved.facts
    assert facts["losses"]["poison"] == "nan"
    assert facts["losses"]["mim"] > 0
    assert (facts["stage"], facts["epoch"], facts["seed"]) == ("align", 1, 3)
    assert facts["lr"] == pytest.approx(1e-2 * 0.9)
    assert facts["tensors"]["images"]["shape"] == [2, 1, 3, 32, 32]
    assert "prepared.objectives.mlm.labels" in facts["tensors"]


def listed(given: Session) -> Any:
    from rrgcore.studies import Studies

    return Studies(given.plan)


def test_the_saved_batch_and_the_last_checkpoint_give_the_same_again(
    lost: tuple[Path, str], poison: Discovered
) -> None:
    out, _ = lost
    saved = load_saved_batch(saved_in(out))
    model = load_run(out, plugins=poison).model("align/last")
    losses = saved.forward(model)

    assert bool(losses.outputs["poison"].loss.isnan())
    assert bool(losses.outputs["mim"].loss.isfinite())


def test_with_the_weights_of_the_step_every_loss_is_as_it_was(
    lost: tuple[Path, str], poison: Discovered
) -> None:
    """Dropout is on: the random numbers are those of the step too."""
    out, _ = lost
    saved = load_saved_batch(saved_in(out))
    model = load_run(out, plugins=poison).model("align/last")
    saved.load_weights(model)
    outputs = saved.forward(model).outputs

    found = {
        name: float(output.loss.detach()) for name, output in outputs.items() if name != "poison"
    }
    there = {name: loss for name, loss in saved.facts["losses"].items() if name in found}
    assert found == there
    assert len(found) == 5


def test_a_folder_that_holds_no_batch_is_refused(lost: tuple[Path, str]) -> None:
    out, _ = lost
    name = saved_in(out).name

    with pytest.raises(RunError, match=rf"no saved batch; it has {name}: name one of them"):
        load_saved_batch(out / "nonfinite")
    with pytest.raises(RunError, match=r"expected RUN/nonfinite/step-…"):
        load_saved_batch(out / "checkpoints")


def a_batch(prepared: Any) -> Batch:
    tokens = Tokens(torch.tensor([[1, 2]]), torch.tensor([[True, True]]))
    present = torch.tensor([[True]])
    return Batch(("a",), torch.zeros(1, 1, 3, 2, 2), present, tokens, tokens, {"adapter": prepared})


def test_whatever_components_prepare_comes_back(tmp_path: Path) -> None:
    masked = MaskedText(
        torch.ones(1, 2).long(), torch.tensor([[True, False]]), -torch.ones(1, 2).long()
    )
    prepared = {
        "texts": ["a", None],
        "pair": (masked, 3),
        "numbers": [1.5, float("-inf"), True],
        "array": np.arange(3),
    }
    save_batch(tmp_path, a_batch(prepared), {})
    found = load_saved_batch(tmp_path).batch
    back = found.prepared["adapter"]

    assert found.text is found.report
    assert back["texts"] == ["a", None]
    assert back["numbers"] == [1.5, float("-inf"), True]
    assert isinstance(back["pair"], tuple)
    assert isinstance(back["pair"][0], MaskedText)
    assert torch.equal(back["pair"][0].mask, masked.mask)
    assert (back["array"] == np.arange(3)).all()


def test_what_is_no_data_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    save_batch(tmp_path, a_batch({"function": print}), {})

    with pytest.raises(RunError, match=r"a builtins:builtin_function_or_method in it could not be"):
        load_saved_batch(tmp_path).batch  # noqa: B018


@pytest.mark.parametrize("name", ["os:system", "antigravity:x", "subprocess:Popen", "rrgcore.x"])
def test_a_saved_batch_brings_no_code_into_the_process(name: str, tmp_path: Path) -> None:
    save_batch(tmp_path, a_batch(None), {})
    text = (tmp_path / "batch.json").read_text()
    (tmp_path / "batch.json").write_text(text.replace("rrgcore.types:Tokens", name))
    before = set(sys.modules)

    with pytest.raises(RunError):
        load_saved_batch(tmp_path).batch  # noqa: B018
    assert not {"antigravity"} & (set(sys.modules) - before)


def test_a_saved_batch_that_is_damaged_is_refused(tmp_path: Path) -> None:
    save_batch(tmp_path, a_batch(None), {})
    save_file({"images": torch.zeros(1)}, tmp_path / "batch.safetensors")

    with pytest.raises(RunError, match=r"is damaged"):
        load_saved_batch(tmp_path).batch  # noqa: B018


# ---- the look itself --------------------------------------------------------------------------


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_scaler_sees_to_its_own_overflow_until_it_scales_no_more(
    norm: float, accelerator: Accelerator
) -> None:
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    accelerator.scaler.scale(torch.ones(()))  # its scale is made when it is first wanted
    Finite("align", accelerator).check_gradient(0, 1, norm)

    accelerator.scaler.update(0.5)
    with pytest.raises(NonFiniteLoss, match=rf"norm is {norm} .*stage align, epoch 1, step 1\)"):
        Finite("align", accelerator).check_gradient(0, 1, norm)


def test_a_sum_that_overflows_though_no_objective_does_is_told(accelerator: Accelerator) -> None:
    large = torch.tensor(3e38)
    outputs = {name: ObjectiveOutput(large, torch.tensor(1)) for name in ("one", "other")}
    losses = Losses(large + large, outputs)

    with pytest.raises(NonFiniteLoss, match=r"sum of the objectives is inf on these studies: a \("):
        Finite("align", accelerator).check_losses(0, 1, 1, a_batch(None), losses, {})


def test_of_many_studies_the_message_names_some_and_counts_the_rest(
    accelerator: Accelerator,
) -> None:
    batch = replace(a_batch(None), ids=tuple(f"s{i}" for i in range(100)))
    losses = Losses(torch.tensor(torch.nan), {})

    with pytest.raises(NonFiniteLoss, match=r": s0, s1, .*, s63 and 36 more \(stage align"):
        Finite("align", accelerator).check_losses(0, 1, 1, batch, losses, {})


@pytest.mark.slow
def test_of_two_processes_both_stop_where_one_finds_something(tmp_path: Path) -> None:
    """Each has one study of a batch; who went on alone would wait for the other for hours."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"),
        *("-m", "rrgcore", "run", str(TINY), "--plugin", str(POISON), "--out"),
        *(str(tmp_path / "run"), "objectives.poison={name: poison, after: 1}"),
        *("--variant", "short", "stages.align.epochs=2"),
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert said.returncode != 0
    assert re.search(rf"^process [01]: objective 'poison' is nan on .*{STUDY}", said.stderr, re.M)
    steps = {path.name for path in (tmp_path / "run/nonfinite").iterdir()}
    assert steps == {"step-2", "step-2-process-1"}
