"""A run folder of a stranger: it runs no code, leads nowhere else, is as it was or is refused."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from rrgcore import load_recipe, load_run
from rrgcore.check.torch_classes import known_classes
from rrgcore.checkpoint import ALIASES, LEFT_OUT, MODEL, load_model, save_model
from rrgcore.errors import RecipeError, RunError, UserError, WeightsError
from rrgcore.folder import RunFolder
from rrgcore.manifest import MANIFEST, SUM, Manifest, write_manifest
from rrgcore.optimizer_state import OPTIMIZER, load_optimizer, save_optimizer
from rrgcore.plugins import Discovered
from rrgcore.prediction.written import Written
from rrgcore.run import Run
from rrgcore.stage_state import (
    BEST,
    LAST,
    check_alike,
    check_at_most,
    check_position,
    check_same,
    read_state,
)
from rrgcore.tokens import PretrainedTokenizer, load_saved_tokenizer

TINY = Path(__file__).parent.parent / "tiny.yaml"
OUTSIDE = "../../outside"


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Path:
    """A copy of a finished run, to do with as one likes."""
    return shutil.copytree(finished.path, tmp_path / "copy")


def sealed(run: Path) -> None:
    """Write the manifests anew, as whoever changed the run on purpose would."""
    for checkpoint in (run / "checkpoints" / "best", *run.glob("checkpoints/*/*/")):
        if (path := checkpoint / MANIFEST).is_file():
            rules = json.loads(path.read_text())["cleaning"]
            Manifest.of(RunFolder(run), rules).write(checkpoint)


def edited(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file."""
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def resealed(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a manifest, and its sum with it."""
    value = json.loads(path.read_text())
    del value[SUM]
    write_manifest(path, change(value))


def refusal(run: Path, plugins: Discovered) -> str:
    """What is said to whoever loads the model."""
    with pytest.raises(UserError) as refused:
        load_run(run, plugins=plugins).model()
    return str(refused.value)


# ---- what a checkpoint belongs to ------------------------------------------------------------


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * at), len(data) - 1)] ^= 1
    path.write_bytes(data)


@dataclass(frozen=True)
class Change:
    """Something done to a run folder, and what is then said."""

    do: Callable[[Path], object]
    said: str

    def __str__(self) -> str:
        return self.said


BEST_ = "checkpoints/best"
CHANGES = [
    Change(
        lambda run: edited(run / "tokenizers/words/words.json", lambda v: {**v, "added": ["x"]}),
        "tokenizers/words/words.json is not what the checkpoint was saved with (expected ",
    ),
    Change(
        lambda run: (run / "tokenizers/words/tokenizer.json").write_text("{}"),
        "tokenizers/words/tokenizer.json was not there when the checkpoint was saved: remove it",
    ),
    Change(
        lambda run: (run / "tokenizers/words/words.json").unlink(),
        "tokenizers/words/words.json is gone since the checkpoint was saved",
    ),
    Change(
        lambda run: shutil.rmtree(run / "tokenizers"),
        "tokenizers/words, and no tokenizer is saved there",
    ),
    Change(
        lambda run: edited(run / "run.json", lambda v: {**v, "tokenizers": {}}),
        "run.json: tokenizers.words is gone since the checkpoint was saved",
    ),
    Change(
        lambda run: (run / "recipe.yaml").write_text(
            (run / "recipe.yaml").read_text().replace("seed: 3", "seed: 4")
        ),
        "recipe.yaml is not what the checkpoint was saved with (expected ",
    ),
    Change(lambda run: (run / "recipe.yaml").unlink(), "recipe.yaml"),
    Change(
        lambda run: flip(run / "artefacts/training.json"),
        "artefacts/training.json is not what the checkpoint was saved with",
    ),
    Change(
        lambda run: shutil.rmtree(run / "artefacts"),
        "artefacts/training.json is gone since the checkpoint was saved",
    ),
    Change(
        lambda run: ((run / "artefacts/ngrams").mkdir(), (run / "artefacts/ngrams/a").touch()),
        "artefacts/ngrams was not there when the checkpoint was saved",
    ),
    Change(
        lambda run: flip(run / BEST_ / MODEL, 0.9),
        f"{BEST_}/{MODEL} is not what the checkpoint was saved with (expected ",
    ),
    Change(
        lambda run: edited(run / BEST_ / "state.json", lambda v: {**v, "score": 1.0}),
        f"{BEST_}/state.json is not what the checkpoint was saved with",
    ),
    Change(
        lambda run: (run / BEST_ / "state.json").unlink(),
        f"{BEST_}/state.json is not there, though it was saved",
    ),
    Change(
        lambda run: (run / BEST_ / "more.safetensors").touch(),
        f"{BEST_}/more.safetensors was not saved with this checkpoint: remove it",
    ),
    Change(
        lambda run: (run / BEST_ / MANIFEST).unlink(),
        f"{MANIFEST} is not there: nothing tells whether this checkpoint is whole",
    ),
    Change(
        lambda run: edited(run / BEST_ / MANIFEST, lambda v: {**v, "recipe": "0" * 64}),
        f"{MANIFEST} is damaged: it is not as it was written",
    ),
    Change(
        lambda run: (run / BEST_ / MANIFEST).write_text("[]"),
        f"{MANIFEST} is damaged (it holds no JSON object)",
    ),
    Change(
        lambda run: resealed(run / BEST_ / MANIFEST, lambda v: {**v, "more": 1}),
        f"{MANIFEST} is damaged: what it says and should say differ in more",
    ),
    Change(
        lambda run: resealed(run / BEST_ / MANIFEST, lambda v: {**v, "tokenizers": {"words": 1}}),
        f"{MANIFEST} is damaged: tokenizers.words names no folder with files",
    ),
    Change(
        lambda run: resealed(
            run / BEST_ / MANIFEST, lambda v: {**v, "cleaning": {"none": "0" * 64}}
        ),
        "the cleaning rule 'none' is not what the checkpoint was saved with (expected 00000000",
    ),
    Change(
        lambda run: resealed(run / BEST_ / MANIFEST, lambda v: {**v, "cleaning": {"mine": ""}}),
        "names a cleaning rule 'mine', which this rrg does not have",
    ),
    Change(
        lambda run: edited(
            run / "run.json", lambda v: {**v, "pixels": {**v["pixels"], "std": [1, 1, 1]}}
        ),
        "run.json: pixels.std is not what the checkpoint was saved with (expected [0.5, 0.5, 0.5]",
    ),
    Change(
        lambda run: edited(
            run / "run.json", lambda v: {**v, "pixels": {"mean": [0] * 3, "forward": [0] * 3}}
        ),
        "run.json is damaged: pixels has no mean and std",
    ),
    Change(
        lambda run: edited(
            run / "run.json", lambda v: {**v, "pixels": {"mean": [0] * 3, "std": [1, 1, "x"]}}
        ),
        "run.json is damaged: pixels.std is no three numbers",
    ),
    Change(
        lambda run: shutil.rmtree(run / BEST_),
        f"{BEST_} is not there: the run has not saved this checkpoint",
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_is_not_as_it_was_is_refused_by_name(
    change: Change, copy: Path, plugins: Discovered
) -> None:
    change.do(copy)

    assert change.said in refusal(copy, plugins)


def test_a_run_that_goes_on_is_held_against_every_checkpoint_first(
    copy: Path, plugins: Discovered
) -> None:
    RunFolder(copy).update(state="stopped")
    edited(copy / "tokenizers/words/words.json", lambda value: {**value, "words": ["x"]})

    with pytest.raises(RunError, match=r"words\.json is not what the checkpoint was saved with"):
        load_recipe(TINY, plugins=plugins).run(copy)


def test_a_part_does_not_start_from_a_run_that_is_not_as_it_was(
    copy: Path, plugins: Discovered
) -> None:
    flip(copy / BEST_ / MODEL, 0.9)
    session = load_recipe(TINY, overrides=[f"init.encoder=run:{copy}"], plugins=plugins)

    with pytest.raises(RecipeError, match=r"(?s)init\.encoder.*is not what the checkpoint was"):
        session.check(images=False)


def test_what_a_run_writes_after_a_checkpoint_changes_nothing(
    copy: Path, plugins: Discovered
) -> None:
    for name in ("scores.json", "predictions.jsonl", "metrics.jsonl", "timing.jsonl"):
        (copy / name).write_text("")
    (copy / "artefacts" / "labels").mkdir()
    (copy / "artefacts" / "labels" / "test-blind.jsonl").write_text("")

    load_run(copy, plugins=plugins).model()


# ---- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../etc", "/etc", "C:\\x", "tokenizers/../../x", "", 3, "a\0"])
def test_a_tokenizer_outside_the_run_is_refused(
    name: object, copy: Path, plugins: Discovered
) -> None:
    edited(copy / "run.json", lambda value: {**value, "tokenizers": {"words": name}})

    assert "run.json: tokenizers.words names" in refusal(copy, plugins)


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "tokenizers/words", "tokenizers/words/words.json", BEST_, "artefacts"]
)
def test_a_link_that_leads_out_of_a_run_is_refused(
    name: str, copy: Path, plugins: Discovered
) -> None:
    outside = copy.parent / "outside"
    (copy / name).rename(outside)
    (copy / name).symlink_to(outside)

    assert f"{copy / name} is a link to {outside}, outside {copy}" in refusal(copy, plugins)


def test_links_inside_a_run_are_followed(copy: Path, plugins: Discovered) -> None:
    (copy / "tokenizers" / "words").rename(copy / "tokenizers" / "moved")
    (copy / "tokenizers" / "words").symlink_to("moved")

    load_run(copy, plugins=plugins).model()


def test_links_in_a_circle_are_refused(copy: Path, plugins: Discovered) -> None:
    (copy / "round").symlink_to("round")

    assert f"{copy / 'round'} is a link to round" in refusal(copy, plugins)


def test_a_run_s_recipe_extends_nothing(copy: Path, plugins: Discovered) -> None:
    recipe = copy / "recipe.yaml"
    (copy.parent / "outside.yaml").write_text("seed: 3\n")
    recipe.write_text(recipe.read_text() + "extends: ../outside.yaml\n")
    sealed(copy)

    assert "a run's own recipe is whole and extends nothing" in refusal(copy, plugins)


def test_a_tokenizer_that_the_run_has_not_saved_is_not_looked_for(
    copy: Path, plugins: Discovered
) -> None:
    recipe = copy / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("tokenizer: words", "tokenizer: /outside"))
    sealed(copy)

    assert "has not saved the tokenizer '/outside', which its recipe names" in refusal(
        copy, plugins
    )


@pytest.mark.parametrize("name", ["../../outside/best", "/outside/best"])
def test_a_checkpoint_outside_the_run_is_refused(name: str, finished: Run) -> None:
    with pytest.raises(RunError, match="is outside"):
        finished.model(f"../../{name}")


def test_a_stage_s_name_leads_nowhere(finished: Run) -> None:
    with pytest.raises(RunError, match="which is outside"):
        finished.folder.checkpoint("../../outside", "best")


# ---- code -----------------------------------------------------------------------------------


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """The folder of one of Hugging Face's tokenizers, as a run saves it."""
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart"]
    backend = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    backend.init_kwargs |= {
        "special_tokens_map_file": "/home/somebody/x.json",
        "name_or_path": "/home/somebody",
    }
    PretrainedTokenizer(backend=backend).save(tmp_path / "bert")
    return tmp_path / "bert"


def test_a_tokenizer_is_saved_without_what_leads_out_of_its_folder(pretrained: Path) -> None:
    assert "somebody" not in (pretrained / "tokenizer_config.json").read_text()
    assert load_saved_tokenizer(pretrained).encode("heart") == [2, 5, 3]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["evil.Evil", None]}),
        ("vocab_file", "/etc/passwd"),
        ("gguf_file", "../x.gguf"),
        ("fast_tokenizer_files", ["../tokenizer.9.json"]),
        ("init_inputs", [1]),
    ],
)
def test_a_tokenizer_that_names_code_or_files_is_refused(
    key: str, value: object, pretrained: Path
) -> None:
    (pretrained / "evil.py").write_text("raise SystemExit('code of a stranger')")
    edited(pretrained / "tokenizer_config.json", lambda found: {**found, key: value})

    with pytest.raises(WeightsError, match=rf"tokenizer_config\.json says `{key}`"):
        load_saved_tokenizer(pretrained)


@pytest.mark.parametrize("name", ["AutoModel", "pipeline", "os", 3, None])
def test_what_is_no_tokenizer_is_not_called(name: object, pretrained: Path) -> None:
    edited(pretrained / "tokenizer_config.json", lambda found: {**found, "tokenizer_class": name})
    with pytest.raises(WeightsError, match="is no tokenizer of transformers"):
        load_saved_tokenizer(pretrained)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "[" * 100_000])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_tokenizer_is_named(name: str, text: str, pretrained: Path) -> None:
    (pretrained / name).write_text(text)

    with pytest.raises(WeightsError, match="bert"):
        load_saved_tokenizer(pretrained)


@pytest.mark.parametrize("text", ["", "[]", '{"words": []}', '{"words": "abc", "special": []}'])
def test_a_damaged_vocabulary_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(text)

    with pytest.raises(WeightsError, match=r"words\.json is no vocabulary of rrg's"):
        load_saved_tokenizer(tmp_path)


# ---- state.json -----------------------------------------------------------------------------


def with_value(state: Mapping[str, Any], address: str, value: Any) -> dict[str, Any]:
    key, _, rest = address.partition(".")
    return {**state, key: with_value(state[key], rest, value) if rest else value}


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, [], {}, 10**400, float("nan")])
@pytest.mark.parametrize(
    "address",
    ["waiting", "metrics_lines", "position.step", "position.epoch", "position.batches"],
)
def test_a_count_that_is_none_is_refused(
    address: str, value: object, finished: Run, tmp_path: Path
) -> None:
    state = json.loads((finished.path / "checkpoints/align/last/state.json").read_text())
    path = tmp_path / "state.json"
    text = json.dumps(with_value(state, address, "HERE"))
    path.write_text(text.replace('"HERE"', str(value) if value == 10**400 else json.dumps(value)))

    with pytest.raises(RunError, match=rf"state\.json is damaged: {address} is .* whole number"):
        read_state(path, "align", LAST)


@pytest.mark.parametrize(
    ("address", "value", "said"),
    [
        ("best", float("inf"), "best is inf, not a finite number or null"),
        ("best", "1", "best is '1', not a finite number or null"),
        ("done", 1, "done is 1, not true or false"),
        ("unvalidated", None, "unvalidated is None, not true or false"),
        ("position", [1, 2, 3], "position"),
        ("schedule.rates", [], "schedule.rates is [], not a list of finite numbers"),
        ("schedule.rates", [float("nan")], "schedule.rates is [nan]"),
        ("schedule.scheduler", None, "schedule.scheduler"),
        ("optimizer", [], "optimizer is [], not an object"),
        ("stage", "generate", "is of the stage 'generate'; expected 'align'"),
        ("stage", ["align"], "is of the stage ['align']; expected 'align'"),
    ],
)
def test_a_state_that_is_none_is_refused(
    address: str, value: object, said: str, finished: Run, tmp_path: Path
) -> None:
    state = json.loads((finished.path / "checkpoints/align/last/state.json").read_text())
    path = tmp_path / "state.json"
    path.write_text(json.dumps(with_value(state, address, value)))

    with pytest.raises(RunError) as refused:
        read_state(path, "align", LAST)
    assert said in str(refused.value)


@pytest.mark.parametrize("key", ["best", "position", "optimizer", "schedule", "done"])
def test_a_state_that_does_not_say_is_refused(key: str, finished: Run, tmp_path: Path) -> None:
    state = json.loads((finished.path / "checkpoints/align/last/state.json").read_text())
    del state[key]
    (tmp_path / "state.json").write_text(json.dumps(state))

    with pytest.raises(RunError, match=rf"state\.json is damaged: it does not say {key}"):
        read_state(tmp_path / "state.json", "align", LAST)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "1" * 10_000, "\udcff"])
def test_a_state_that_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(RunError, match=r"state\.json is damaged"):
        read_state(tmp_path / "state.json", "align", BEST)


def test_a_position_beyond_the_data_is_refused(copy: Path, plugins: Discovered) -> None:
    RunFolder(copy).update(state="stopped")
    last = copy / "checkpoints/generate/last/state.json"
    beyond = {"epoch": 1, "batches": 99, "step": 3}
    edited(last, lambda state: {**state, "done": False, "position": beyond})
    sealed(copy)

    with pytest.raises(RunError, match=r"position\.batches is 99, and there are 5"):
        load_recipe(TINY, plugins=plugins).run(copy)


def at_step_two(state: dict[str, Any], address: str, value: object) -> dict[str, Any]:
    """A state of the first stage after two steps of three, with one value changed."""
    between = {**state, "waiting": 0, "unvalidated": False, "done": False}
    position = {"epoch": 0, "batches": 4, "step": 2}
    return with_value({**between, "position": position}, address, value)


@pytest.mark.parametrize(
    ("address", "value", "said"),
    [
        ("position.batches", 4, None),
        ("position.batches", 5, "position.batches is 5, and after step 2 it is 4. Is the run gone"),
        ("position.epoch", 1, "position.epoch is 1, and after step 2 it is 0"),
        ("position.step", 1, "position.batches is 4, and after step 1 it is 2"),
        ("waiting", 1, "waiting is 1, and there were at most 0 validations"),
        ("unvalidated", True, "unvalidated is true, and no epoch has ended there"),
    ],
)
def test_a_position_is_where_its_steps_lead(
    address: str, value: object, said: str | None, finished: Run, tmp_path: Path
) -> None:
    state = json.loads((finished.path / "checkpoints/align/last/state.json").read_text())
    state = at_step_two(state, address, value)
    if said is None:
        check_position(tmp_path, state, steps=6, each=3, by=2)
        return

    with pytest.raises(RunError) as refused:
        check_position(tmp_path, state, steps=6, each=3, by=2)
    assert said in str(refused.value)


@pytest.mark.parametrize("steps", [6, 7])
def test_a_stage_may_end_within_an_epoch(steps: int, tmp_path: Path) -> None:
    ended = {"epoch": -(-steps // 3), "batches": 0, "step": steps}
    state = {"position": ended, "waiting": 2, "unvalidated": True}

    check_position(tmp_path, state, steps=steps, each=3, by=2)


def test_a_position_that_says_more_is_refused(finished: Run, tmp_path: Path) -> None:
    state = json.loads((finished.path / "checkpoints/align/last/state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(with_value(state, "position.more", 1)))

    with pytest.raises(RunError, match=r"is damaged: position says 'more' as well"):
        read_state(tmp_path / "state.json", "align", LAST)


@pytest.mark.parametrize(
    ("stage", "address", "value", "said"),
    [
        (
            "generate",
            "rates",
            [1e300, 1e300],
            r"schedule\.rates\[0\] is 1e\+300, and this recipe's",
        ),
        ("generate", "steps", 7, r"schedule\.steps is 7, and this recipe's is 6 there"),
        (
            "generate",
            "scheduler.last_epoch",
            2.5,
            r"last_epoch is 2\.5, and this recipe's is 4 the",
        ),
        # the stage after it would go on with these rates
        (
            "align",
            "rates",
            [0.5, 0.5],
            r"align/last/state\.json: schedule\.rates\[0\] is 0\.5, and",
        ),
    ],
)
def test_a_schedule_is_where_its_steps_lead(
    stage: str, address: str, value: object, said: str, copy: Path, plugins: Discovered
) -> None:
    RunFolder(copy).update(state="stopped")
    edited(
        copy / f"checkpoints/{stage}/last/state.json",
        lambda state: with_value(state, f"schedule.{address}", value),
    )
    edited(copy / "checkpoints/generate/last/state.json", lambda state: {**state, "done": False})
    sealed(copy)

    with pytest.raises(RunError, match=said):
        load_recipe(TINY, plugins=plugins).run(copy)


def test_what_is_computed_again_may_be_rounded_otherwise(tmp_path: Path) -> None:
    expected = {"rates": (0.1, 0.2), "steps": 3, "by": None, "name": "x", "on": True}
    found = {**expected, "rates": [0.1 * (1 + 1e-9), 0.2]}
    check_same(tmp_path, "schedule", found, expected)

    for key, value in {"rates": [0.1, 0.3], "steps": 4, "by": 1, "name": "y", "on": False}.items():
        with pytest.raises(RunError, match=rf"schedule\.{key}.* is .*, and this recipe's is "):
            check_same(tmp_path, "schedule", {**found, key: value}, expected)


def test_what_there_is_can_be_reached(tmp_path: Path) -> None:
    check_at_most(tmp_path, {"position.step": (6, 6), "position.epoch": (0, 2)})


@pytest.mark.parametrize(
    "found",
    [
        {"rates": [1.0], "steps": 3},
        {"rates": [1.0, 2.0], "steps": 3, "more": 1},
        {"rates": [1.0, "2"], "steps": 3, "by": None},
        {"rates": [1.0, float("nan")], "steps": 3, "by": None},
        {"rates": [1.0, 2.0], "steps": 10**400, "by": None},
        {"rates": {"0": 1.0}, "steps": 3, "by": None},
        {"rates": [1.0, 2.0], "steps": True, "by": None},
        {"rates": [1.0, 2.0], "steps": 3, "by": {}},
        [],
    ],
)
def test_a_state_of_another_form_is_refused(found: object, tmp_path: Path) -> None:
    expected = {"rates": (0.1, 0.2), "steps": 0, "by": None}
    check_alike(tmp_path, "schedule", {"rates": [3, 0.5], "steps": 9, "by": 7}, expected)

    with pytest.raises(RunError, match=r"schedule.*; expected the like of"):
        check_alike(tmp_path, "schedule", found, expected)


# ---- safetensors ----------------------------------------------------------------------------


class Tied(nn.Module):
    """Two names for one layer, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(3, 3)
        self.user = nn.Sequential(self.shared, nn.Linear(3, 1))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.long))


def header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write a safetensors file's header otherwise, its length set right."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    new = json.dumps(change(json.loads(data[8 : 8 + size]))).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + size :])


def words(path: Path, **metadata: str) -> None:
    """Write other words beside the tensors."""
    with safe_open(path, framework="pt") as file:
        known = file.metadata()
    save_file(load_file(path), path, metadata={**known, **metadata})


def tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> None:
    """Write other tensors beside the same words."""
    with safe_open(path, framework="pt") as file:
        known = file.metadata()
    save_file(change(load_file(path)), path, metadata=known)


FILES = {
    "a length beyond the file": (
        lambda p: p.write_bytes(b"\xff" * 7 + b"\x7f" + p.read_bytes()[8:]),
        "is damaged",
    ),
    "a header that ends early": (lambda p: p.write_bytes(p.read_bytes()[:30]), "is damaged"),
    "data that end early": (lambda p: p.write_bytes(p.read_bytes()[:-4]), "is damaged"),
    "data that go on": (lambda p: p.write_bytes(p.read_bytes() + b"x" * 8), "is damaged"),
    "nothing": (lambda p: p.write_bytes(b""), "is damaged"),
    "a pickle": (lambda p: p.write_bytes(b"\x80\x04\x95" + b"." * 50), "is damaged"),
    "tensors that overlap": (
        lambda p: header(
            p, lambda h: {**h, "shared.bias": {**h["shared.bias"], "data_offsets": [0, 12]}}
        ),
        "is damaged",
    ),
    "a huge tensor": (
        lambda p: header(p, lambda h: {**h, "seen": {**h["seen"], "shape": [2**40, 2**40]}}),
        "is damaged",
    ),
    "a tensor of negative size": (
        lambda p: header(p, lambda h: {**h, "seen": {**h["seen"], "shape": [-2]}}),
        "is damaged",
    ),
    "a type that there is not": (
        lambda p: header(p, lambda h: {**h, "seen": {**h["seen"], "dtype": "X9"}}),
        "is damaged",
    ),
    "a header that is a list": (lambda p: header(p, lambda h: [h]), "is damaged"),
    "whole numbers for floats": (
        lambda p: tensors(p, lambda t: {**t, "shared.weight": t["shared.weight"].int()}),
        "shared.weight is int32, this model's is float32",
    ),
    "half as many bits": (
        lambda p: tensors(p, lambda t: {**t, "shared.bias": t["shared.bias"].half()}),
        "shared.bias is float16, this model's is float32",
    ),
    "another shape": (
        lambda p: tensors(p, lambda t: {**t, "shared.bias": torch.ones(4)}),
        "shared.bias is 4, this model's is 3",
    ),
    "the same many numbers in another shape": (
        lambda p: tensors(p, lambda t: {**t, "shared.weight": torch.ones(9)}),
        "shared.weight is 9, this model's is 3 × 3",
    ),
    "a tensor missing": (
        lambda p: tensors(p, lambda t: {k: v for k, v in t.items() if k != "seen"}),
        "1 tensors missing (seen)",
    ),
    "a tensor too many": (
        lambda p: tensors(p, lambda t: {**t, "../evil": torch.ones(1)}),
        "1 tensors too many (../evil)",
    ),
    "another name that leads nowhere": (
        lambda p: words(p, **{ALIASES: '{"user.0.weight": "gone", "user.0.bias": "shared.bias"}'}),
        "does not say that user.0.weight is shared.weight",
    ),
    "a name too many": (
        lambda p: words(
            p,
            **{
                ALIASES: '{"user.0.weight": "shared.weight", "user.0.bias": "shared.bias",'
                ' "seen": "shared.bias"}'
            },
        ),
        "says that seen is shared.bias, and here it is not",
    ),
    "other names that are no names": (
        lambda p: words(p, **{ALIASES: '{"user.0.weight": 3}'}),
        "its 'aliases' are no names of tensors",
    ),
    "other names that are no JSON": (lambda p: words(p, **{ALIASES: "{"}), "'aliases': "),
    "other names nested deeply": (lambda p: words(p, **{ALIASES: "[" * 99_999}), "'aliases': "),
    "weights of a part that there is not": (
        lambda p: words(
            p,
            **{
                LEFT_OUT: '[{"module": "parts.decoder", "weights": "x", "names": ["a"],'
                ' "fingerprint": "f"}]'
            },
        ),
        "names the weights 'x' for 'parts.decoder', and this model has no such part",
    ),
    "weights whose tensors there are not": (
        lambda p: words(
            p,
            **{
                LEFT_OUT: '[{"module": "shared", "weights": "x", "names": ["a"],'
                ' "fingerprint": "f"}]'
            },
        ),
        "was trained on the weights 'x', which it does not hold",
    ),
    "weights without names": (
        lambda p: words(p, **{LEFT_OUT: '[{"module": "shared"}]'}),
        "'left out' does not say which tensors of which weights",
    ),
    "weights that are one number": (
        lambda p: words(p, **{LEFT_OUT: "3"}),
        "'left out' does not say which tensors of which weights",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_of_weights_that_is_not_of_this_model_is_refused_and_fills_nothing(
    what: str, tmp_path: Path
) -> None:
    change, said = FILES[what]
    save_model(tmp_path, Tied())
    model = Tied()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    change(tmp_path / MODEL)

    with pytest.raises(RunError) as refused:
        load_model(tmp_path, model)
    assert str(tmp_path / MODEL) in str(refused.value)
    assert said in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def an_optimizer(*, size: int = 2, rate: float = 0.1) -> torch.optim.Optimizer:
    """One that took a step."""
    model = nn.Linear(size, size)
    optimizer = torch.optim.RAdam(
        [{"params": [model.weight], "lr": rate}, {"params": [model.bias]}], lr=rate
    )
    model(torch.ones(1, size)).sum().backward()
    optimizer.step()
    return optimizer


OPTIMIZERS = {
    "a moment missing": (
        lambda p, s: (tensors(p, lambda t: {k: t[k] for k in t if k != "0.exp_avg"}), s),
        "1 tensors missing (0.exp_avg)",
    ),
    "a moment missing, and not said": (
        lambda p, s: (
            tensors(p, lambda t: {k: t[k] for k in t if k != "0.exp_avg"}),
            {**s, "tensors": [k for k in s["tensors"] if k != "0.exp_avg"]},
        ),
        "holds exp_avg_sq, step of parameter 0, and this optimizer keeps exp_avg, exp_avg_sq, step",
    ),
    "a parameter that there is not": (
        lambda p, s: (
            tensors(p, lambda t: {**t, "9.exp_avg": torch.ones(2)}),
            {**s, "tensors": [*s["tensors"], "9.exp_avg"]},
        ),
        "9.exp_avg is of no parameter; there are 2",
    ),
    "another shape": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.exp_avg": torch.ones(3, 3)}), s),
        "0.exp_avg is (3, 3) of torch.float32, and its parameter is (2, 2)",
    ),
    "whole numbers": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.exp_avg": t["0.exp_avg"].int()}), s),
        "0.exp_avg is (2, 2) of torch.int32",
    ),
    "a group missing": (
        lambda p, s: (None, {**s, "param_groups": s["param_groups"][:1]}),
        "optimizer.param_groups is",
    ),
    "other parameters in a group": (
        lambda p, s: (
            None,
            {**s, "param_groups": [{**group, "params": [7]} for group in s["param_groups"]]},
        ),
        "optimizer.param_groups has other parameters",
    ),
    "a rate that is no number": (
        lambda p, s: (
            None,
            {**s, "param_groups": [{**g, "lr": "fast"} for g in s["param_groups"]]},
        ),
        "optimizer.param_groups[0].lr is 'fast'",
    ),
    "groups that are none": (
        lambda p, s: (None, {**s, "param_groups": 3}),
        "optimizer.param_groups is 3",
    ),
    "a state that is a list": (
        lambda p, s: (None, {**s, "state": []}),
        "optimizer.state is no object of objects",
    ),
    "a state of no parameter": (
        lambda p, s: (None, {**s, "state": {"-1": {"step": 1}}}),
        "optimizer.state.-1 is of no parameter",
    ),
    "a state that is no number": (
        lambda p, s: (None, {**s, "state": {"0": {"step": [1]}}}),
        "optimizer.state.0.step is no number",
    ),
    "a moment of one number": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.exp_avg": torch.zeros(())}), s),
        "0.exp_avg is () of torch.float32, and its parameter is (2, 2)",
    ),
    "a moment of one row": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.exp_avg": torch.zeros(1, 2)}), s),
        "0.exp_avg is (1, 2) of torch.float32",
    ),
    "a count of several": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.step": torch.ones(1)}), s),
        "0.step is (1,) of torch.float32",
    ),
    "a count below 0": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.step": torch.tensor(-1.0)}), s),
        "0.step is -1.0, which is no count",
    ),
    "a count that is none": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.step": torch.tensor(torch.nan)}), s),
        "0.step is nan, which is no count",
    ),
    "a count beyond the steps": (
        lambda p, s: (tensors(p, lambda t: {**t, "0.step": torch.tensor(9.0)}), s),
        "0.step is 9, and 1 steps were taken",
    ),
    "squares below 0": (
        lambda p, s: (tensors(p, lambda t: {**t, "1.exp_avg_sq": -torch.ones(2)}), s),
        "1.exp_avg_sq holds numbers below 0",
    ),
    "a moment of none, everywhere": (
        lambda p, s: (
            tensors(p, lambda t: {k: t[k] for k in t if not k.endswith("exp_avg")}),
            {
                **s,
                "tensors": [k for k in s["tensors"] if not k.endswith("exp_avg")],
                "state": {str(index): {"exp_avg": None} for index in range(2)},
            },
        ),
        "holds no exp_avg of parameter 0",
    ),
    "a moment that is a number in the text": (
        lambda p, s: (None, {**s, "state": {"0": {"exp_avg": 3}}}),
        "optimizer.state.0.exp_avg is no number that is kept",
    ),
    "other options": (
        lambda p, s: (
            None,
            {**s, "param_groups": [{**g, "betas": [0.9, 2.0]} for g in s["param_groups"]]},
        ),
        "optimizer.param_groups[0].betas[1] is 2.0, and this recipe's is 0.999 there",
    ),
    "no names": (lambda p, s: (None, {**s, "tensors": None}), "optimizer.tensors is no list"),
    "half a file": (lambda p, s: (p.write_bytes(p.read_bytes()[:-1]), s), "is damaged"),
}


@pytest.mark.parametrize("what", OPTIMIZERS)
def test_the_state_of_another_optimizer_is_refused(what: str, tmp_path: Path) -> None:
    change, said = OPTIMIZERS[what]
    state = json.loads(json.dumps(save_optimizer(tmp_path, an_optimizer().state_dict())))
    _, state = change(tmp_path / OPTIMIZER, state)

    with pytest.raises(RunError) as refused:
        load_optimizer(tmp_path, state, an_optimizer(), said_by=tmp_path / "state.json", steps=1)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "momentum"),
    [
        *((name, {}) for name in known_classes(torch.optim, torch.optim.Optimizer)),
        *((name, {"momentum": 0.9}) for name in ("SGD", "RMSprop")),
    ],
)
def test_the_state_of_whatever_optimizer_a_recipe_may_name_comes_back(
    name: str, momentum: dict[str, float], tmp_path: Path
) -> None:
    def after(steps: int) -> torch.optim.Optimizer:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        one = nn.Parameter(torch.ones(()))
        optimizer = getattr(torch.optim, name)([*model.parameters(), one], lr=0.1, **momentum)
        for _ in range(steps):
            (model(torch.ones(1, 3)) * one).sum().backward()
            optimizer.step()
        return optimizer

    expected, optimizer = after(2).state_dict(), after(0)
    plain = json.loads(json.dumps(save_optimizer(tmp_path, expected)))
    load_optimizer(tmp_path, plain, optimizer, said_by=tmp_path / "state.json", steps=2)

    found = optimizer.state_dict()["state"]
    assert found.keys() == expected["state"].keys()
    for index, values in expected["state"].items():
        assert found[index].keys() == values.keys()
        for key, value in values.items():
            assert value is None or torch.equal(found[index][key], value), key


def test_another_model_s_optimizer_is_refused(tmp_path: Path) -> None:
    state = json.loads(json.dumps(save_optimizer(tmp_path, an_optimizer().state_dict())))

    with pytest.raises(RunError, match=r"0\.exp_avg is \(2, 2\) .* its parameter is \(3, 3\)"):
        load_optimizer(tmp_path, state, an_optimizer(size=3), said_by=tmp_path / "state.json")


# ---- every file, anywhere -------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something to write a report for."""
    path = tmp_path_factory.mktemp("images") / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def damage(path: Path, rng: random.Random) -> str:
    """Flip a bit, cut the end off, or both; say which."""
    data = bytearray(path.read_bytes())
    ways = ["flip"] if len(data) < 2 else ["flip", "cut", "both"]
    way = rng.choice(ways)
    if way != "cut":
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
    if way != "flip":
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    return f"{path} ({way})"


def sweep(
    finished: Run,
    folder: Path,
    seed: int,
    act: Callable[[Path], object],
    *,
    files: int | None = None,
) -> Counter[str]:
    """Damage each file in turn, or so many of them; what is done with the run then is as ever, or
    it is refused by name.
    """
    expected = act(finished.path)
    rng = random.Random(seed)
    told: Counter[str] = Counter()
    sources = sorted(path for path in finished.path.rglob("*") if path.is_file())
    for source in sources if files is None else rng.sample(sources, files):
        copy = shutil.copytree(finished.path, folder / "run")
        what = damage(copy / source.relative_to(finished.path), rng)
        said = None
        try:
            assert act(copy) == expected, what
        except UserError as error:
            said = str(error)
        assert said is None or source.name in said, (what, said)
        told["as ever" if said is None else "refused"] += 1
        shutil.rmtree(copy)
    return told


def test_whatever_file_is_damaged_a_report_is_as_ever_or_refused(
    finished: Run, tmp_path: Path, image: Path, plugins: Discovered
) -> None:
    def write(run: Path) -> list[Written]:
        return load_run(run, plugins=plugins).predict([image])

    told = sweep(finished, tmp_path, seed=0, act=write, files=9)

    assert told["refused"] >= 3
    assert told["as ever"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_whatever_file_is_damaged_a_report_is_as_ever_or_refused_every_time(
    seed: int, finished: Run, tmp_path: Path, image: Path, plugins: Discovered
) -> None:
    sweep(
        finished,
        tmp_path,
        seed=100 + seed,
        act=lambda run: load_run(run, plugins=plugins).predict([image]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_file_is_damaged_scores_are_as_ever_or_refused(
    seed: int, finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    def scores(run: Path) -> dict[str, Any]:
        return load_run(run, plugins=plugins).evaluate().to_json()

    sweep(finished, tmp_path, seed=200 + seed, act=scores)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_file_is_damaged_a_run_goes_on_as_ever_or_is_refused(
    seed: int, finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    stopped = shutil.copytree(finished.path, tmp_path / "stopped")
    RunFolder(stopped).update(state="stopped")
    shutil.rmtree(stopped / "checkpoints" / "generate")
    shutil.rmtree(stopped / "checkpoints" / "best")

    def go_on(run: Path) -> Any:
        copy = shutil.copytree(run, tmp_path / "again")
        try:
            gone_on = load_recipe(TINY, plugins=plugins).run(copy)
            return [pair.prediction for pair in gone_on.predictions]
        finally:
            shutil.rmtree(copy)

    sweep(Run(RunFolder(stopped), plugins), tmp_path, seed=300 + seed, act=go_on)
