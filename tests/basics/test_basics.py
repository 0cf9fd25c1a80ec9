"""The plainest adapters and the report objective."""

import pytest
import torch
from torch import nn

from rrg_basics.adapters import IdentityAdapter, LinearAdapter
from rrg_basics.plugin import rrg_components
from rrg_basics.report import ReportGeneration
from rrgcore.api import (
    Batch,
    Decoded,
    Decoder,
    Encoded,
    Features,
    Generated,
    Generation,
    Parts,
    Tokens,
    Visual,
    VisualEncoder,
)
from rrgcore.registry import Registry

IMAGE = Encoded(
    tokens=torch.randn(2, 4, 6),
    pooled=torch.randn(2, 6),
    mask=torch.tensor([[True] * 4, [True, True, False, False]]),
)


def test_identity_passes_tokens_and_mask_on():
    visual = IdentityAdapter(image_dim=6, visual_dim=6)(IMAGE)
    assert visual.tokens is IMAGE.tokens
    assert visual.mask is IMAGE.mask


def test_identity_refuses_unequal_widths_and_names_linear():
    with pytest.raises(ValueError, match=r"6 wide and the decoder reads 8; take adapter 'linear'"):
        IdentityAdapter(image_dim=6, visual_dim=8)


def test_linear_projects_every_token_and_keeps_the_mask():
    adapter = LinearAdapter(image_dim=6, visual_dim=8)
    visual = adapter(IMAGE)
    weight, bias = adapter.project.weight, adapter.project.bias
    torch.testing.assert_close(visual.tokens, IMAGE.tokens @ weight.T + bias)
    assert visual.mask is IMAGE.mask


def test_linear_normalises_after_the_projection_when_asked():
    tokens = LinearAdapter(image_dim=6, visual_dim=64, norm=True)(IMAGE).tokens
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.std(-1, correction=0), torch.ones(2, 4), atol=1e-3, rtol=0)
    assert sum(p.numel() for p in LinearAdapter(image_dim=6, visual_dim=64).parameters()) == 7 * 64


class Flat(VisualEncoder):
    """One token: the image's mean."""

    dim, grid = 1, (1, 1)
    mean = std = (0.5, 0.5, 0.5)

    def forward(self, images: torch.Tensor) -> Encoded:
        pooled = images.mean((1, 2, 3)).unsqueeze(1)
        return Encoded(pooled.unsqueeze(1), pooled)


class Constant(Decoder):
    """A loss that depends on what it read; counts how often it is asked."""

    dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.calls = 0

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        self.calls += 1
        return Decoded(self.scale * visual.tokens.mean(), report.mask.sum())

    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        return []


def test_the_report_objective_is_the_decoders_loss_over_its_tokens():
    decoder = Constant()
    parts = Parts(
        encoder=Flat(), adapter=IdentityAdapter(image_dim=1, visual_dim=1), decoder=decoder
    )
    report = Tokens(torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.bool))
    batch = Batch(
        ids=("a", "b"),
        images=torch.full((2, 1, 3, 4, 4), 0.5),
        present=torch.ones(2, 1, dtype=torch.bool),
        report=report,
        text=report,
    )
    features = Features(parts, batch)
    output = ReportGeneration()(features)
    assert output.loss.item() == pytest.approx(1.5)
    assert output.count == 6
    output.loss.backward()
    assert decoder.scale.grad is not None
    ReportGeneration()(features)
    assert decoder.calls == 1, "an objective pulls what was computed already"


@pytest.mark.parametrize("component", rrg_components(), ids=lambda c: f"{c.kind}-{c.name}")
def test_every_component_is_what_it_is_declared_to_be(component):
    registry = Registry()
    registry.add(component, plugin="basics")
    assert registry.get(component.kind, component.name).__doc__
