"""`compile: true`: the same names, the same reports, the same after a resumption.

What torch makes of graphs takes minutes and a C++ compiler; here they are run as they are found,
but for one slow test.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from rrgcore import compiling, load_recipe
from rrgcore.build import build_model
from rrgcore.compiling import as_written, compiled, regions
from rrgcore.errors import RecipeError
from rrgcore.interfaces import Trunk
from rrgcore.model import ReportModel
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.session import Session
from rrgcore.tokenizers import Tokenizers

# torch's compiler hides it by a way that `-W error` does not know
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

TINY = Path(__file__).parent.parent / "tiny.yaml"
COMPILE = "stages.align.compile=true"
RUNS = """
import sys
from pathlib import Path
from rrgcore import compiling, load_recipe
from rrgcore.watch import Watcher

calls = 0

def as_found(graph, inputs):
    def run(*args):
        global calls
        calls += 1
        return graph.forward(*args)
    return run

class Stops(Watcher):
    def step(self, step):
        raise KeyboardInterrupt

compiling.BACKEND = as_found
recipe, folder = sys.argv[1], Path(sys.argv[2])
small = ["data.train=6", "data.val=2", "data.test=2", "stages.align.accumulate=1"]
load_recipe(recipe, variants=["short"], overrides=small).run(folder / "plain")
assert not calls
session = load_recipe(recipe, variants=["short"], overrides=[*small, sys.argv[3]])
session.run(folder / "compiled")
assert calls
try:
    session.run(folder / "resumed", watcher=Stops())
except KeyboardInterrupt:
    session.run(folder / "resumed")
"""
"""In a process of its own: torch's compiler would look through every check of shapes."""


class Graphs:
    """A backend that runs graphs as they are, and keeps count of it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.calls += 1
            return graph.forward(*args)

        return run


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    graphs = Graphs()
    monkeypatch.setattr(compiling, "BACKEND", graphs)
    return graphs


def tiny(plugins: Discovered, *overrides: str) -> Session:
    return load_recipe(TINY, variants=["short"], overrides=overrides, plugins=plugins)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "best" / "model.safetensors")


def assert_same(run: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "predictions.jsonl"):
        assert (run / name).read_text() == (other / name).read_text(), name
    assert weights(run).keys() == weights(other).keys()
    for name, tensor in weights(run).items():
        assert torch.equal(tensor, weights(other)[name]), name


@pytest.mark.slow
def test_a_run_that_compiles_is_the_same_run_resumed_or_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNS, TINY, tmp_path, COMPILE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    assert not done.returncode, done.stderr
    assert_same(tmp_path / "compiled", tmp_path / "plain")
    assert_same(tmp_path / "resumed", tmp_path / "plain")


def model_of(plan: Plan) -> ReportModel:
    return build_model(plan, Tokenizers(plan, lambda: ["a word"]))


@final
class Plain(Trunk):
    """A trunk without checks of shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.context_dim, self.heads, self.norm = 16, 0, 1, "pre"
        self.map = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor, **options: Any) -> torch.Tensor:
        return self.map(x)

    begin = extend = attention = None


def test_what_is_not_training_is_not_compiled(graphs: Graphs, plugins: Discovered) -> None:
    model = model_of(tiny(plugins).plan)
    model.parts.encoder.trunk = Plain()
    images, present = torch.randn(2, 1, 3, 32, 32), torch.ones(2, 1, dtype=torch.bool)
    with compiled(model, True):
        with as_written(True):
            before = model.parts.encode_images(images, present)
        assert not graphs.calls
        after = model.parts.encode_images(images, present)
    assert graphs.calls
    assert torch.equal(before.tokens, after.tokens)


def test_a_stage_leaves_the_model_as_it_was(graphs: Graphs, plugins: Discovered) -> None:
    model = model_of(tiny(plugins).plan)
    names = list(model.state_dict())
    with compiled(model, True):
        assert all("forward" in vars(region) for region in regions(model))
        assert list(model.state_dict()) == names
    assert not any("forward" in vars(module) for module in model.modules())


def test_trunks_are_compiled_the_twins_too(plugins: Discovered) -> None:
    model = model_of(tiny(plugins).plan)
    found = list(regions(model))
    assert all(isinstance(region, Trunk) for region in found)
    assert len(found) == 4  # of images and of texts, and their momentum twins


def test_a_swin_is_compiled_whole_and_a_llama_layer_by_layer(plugins: Discovered) -> None:
    overrides = ["model.decoder.depth=2"]
    plan = load_recipe("cmeaa", variants=["tiny"], overrides=overrides, plugins=plugins).plan
    with torch.device("meta"):
        model = model_of(plan)
    assert [type(region).__name__ for region in regions(model)] == [
        "Swin",
        "LlamaDecoderLayer",
        "LlamaDecoderLayer",
    ]


def test_without_a_compiler_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plugins: Discovered
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RecipeError, match="no no-such-compiler here: install one") as caught:
        tiny(plugins, COMPILE).run(tmp_path / "run")
    assert [problem.address for problem in caught.value.problems] == ["stages.align.compile"]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_torch_makes_of_it_computes_the_same(plugins: Discovered) -> None:
    model = model_of(tiny(plugins).plan).eval()
    trunk = next(regions(model))
    texts = [torch.randn(3, length, 16, requires_grad=True) for length in (5, 9, 14)]

    def run() -> list[torch.Tensor]:
        found = []
        for text in texts:
            out = trunk(text, causal=True)
            found += [
                out,
                *torch.autograd.grad(
                    out.square().sum(), [text, *trunk.parameters()], allow_unused=True
                ),
            ]
        return [tensor for tensor in found if tensor is not None]

    plainly = run()
    with compiled(model, True):
        compiledly = run()
    for one, other in zip(plainly, compiledly, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
