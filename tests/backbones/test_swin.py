"""Swin: its tokens, what learns, and weights that do not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rrg_backbones import weights as reading
from rrg_backbones.swin import Swin
from rrgcore import load_recipe
from rrgcore.api import UserError, WeightsError
from rrgcore.build import build_model
from rrgcore.errors import RecipeError
from rrgcore.tokenizers import Tokenizers

TINY = Path(__file__).parent.parent / "tiny.yaml"
SIZES = {
    "image_size": 32,
    "patch_size": 2,
    "window": 4,
    "dim": 8,
    "depths": (1, 2),
    "heads": (2, 4),
}


def make_swin(**options) -> Swin:
    return Swin(**{**SIZES, **options})


@pytest.fixture
def saved(tmp_path):
    """A small Swin's weights under timm's names."""
    path = tmp_path / "swin.safetensors"
    save_file(make_swin().body.state_dict(), path)
    return path


def test_swin_base_makes_49_tokens_of_1024():
    with torch.device("meta"):
        swin = Swin(image_size=224)
        encoded = swin(torch.empty(2, 3, 224, 224))
    assert encoded.tokens.shape == (2, 49, 1024)
    assert encoded.pooled.shape == (2, 1024)
    assert (swin.dim, swin.grid) == (1024, (7, 7))
    assert sum(parameter.numel() for parameter in swin.parameters()) == 86_743_224


def test_other_image_sizes_make_other_grids():
    with torch.device("meta"):
        for size, side in ((192, 6), (256, 8), (384, 12)):
            encoded = Swin(image_size=size, depths=(1, 1, 1, 1))(torch.empty(1, 3, size, size))
            assert encoded.tokens.shape == (1, side**2, 1024)


def test_tokens_are_row_by_row_and_the_summary_is_their_mean():
    swin = make_swin(window=1, depths=(1, 1)).eval()  # no token looks at another
    image = torch.randn(1, 3, 32, 32)
    before = swin(image)
    torch.testing.assert_close(before.pooled, before.tokens.mean(1))
    assert swin.grid == (8, 8)
    image[:, :, 4:8, 12:16] += 1.0  # second row, fourth column
    changed = (swin(image).tokens != before.tokens).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [8 + 3]


def test_tokens_are_normalised_last():
    tokens = make_swin().eval()(torch.randn(2, 3, 32, 32)).tokens
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 64), atol=1e-5, rtol=0)


def test_a_frozen_swin_stays_as_it_is_and_in_eval():
    swin = make_swin(frozen=True, drop_path=0.9).train()
    images = torch.randn(4, 3, 32, 32)
    assert not any(module.training for module in swin.modules())
    assert torch.equal(swin(images).tokens, swin(images).tokens)
    assert not any(parameter.requires_grad for parameter in swin.parameters())


def test_a_swin_that_a_recipe_freezes_stays_in_eval_too():
    swin = make_swin(drop_path=0.9)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(swin.train()(images).tokens, swin(images).tokens)
    swin.requires_grad_(False)
    assert torch.equal(swin.train()(images).tokens, swin(images).tokens)
    swin.requires_grad_(True)
    assert swin.train().training


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_checkpointing_changes_no_gradient(drop_path):
    plain = make_swin(drop_path=drop_path).train()
    saving = make_swin(drop_path=drop_path, checkpoint=True).train()
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 32, 32)
    for swin in (plain, saving):
        torch.manual_seed(1)
        swin(images).tokens.square().sum().backward()
    for ours, theirs in zip(saving.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"image_size": 34},
            "34 pixels is not a whole .* covers 4 × 4 .* nearest image_size is 32",
        ),
        ({"image_size": 1}, "nearest image_size is 4"),
        ({"heads": (2, 3)}, "stage 1 is 16 wide, which 3 heads cannot share"),
        ({"heads": (2,)}, r"depths \[1, 2\] and heads \[2\]: expected a number for each stage"),
        ({"depths": (), "heads": ()}, "expected a number for each stage"),
        ({"depths": (1, 0)}, "depths has 0; expected numbers above 0"),
        ({"window": 0}, "window has 0; expected numbers above 0"),
        ({"drop_path": 1.0}, "drop_path is 1.0; expected a share from 0 to below 1"),
    ],
)
def test_options_that_make_no_swin_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        make_swin(**options)


def test_a_size_between_two_is_sent_to_the_nearest():
    with pytest.raises(UserError, match=r"each covers 32 × 32 pixels\. The nearest.* is 256"):
        Swin(image_size=250)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match="an encoder made for image_size 32"):
        make_swin()(torch.randn(1, 3, 40, 40))


def test_pixels_are_normalised_as_on_imagenet_where_no_weights_say_otherwise(saved):
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for weights in (None, str(saved), "swin_base_patch4_window7_224.ms_in1k"):
        swin = make_swin(weights=weights)
        assert (swin.mean, swin.std) == imagenet


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 16}, "have dim: 8; swin has dim: 16. Set dim: 8 in swin"),
        ({"depths": (2, 2)}, r"have depths: \[1, 2\]; swin has depths: \[2, 2\]"),
        ({"heads": (4, 4)}, r"have heads: \[2, 4\]; swin has heads: \[4, 4\]"),
        ({"patch_size": 4}, "have patch_size: 2; swin has patch_size: 4"),
    ],
)
def test_weights_of_another_size_say_what_to_set(saved, options, said):
    with pytest.raises(WeightsError, match=said):
        make_swin(weights=str(saved), **options).load_weights()


def test_a_model_of_another_kind_is_refused(saved):
    state = make_swin().body.state_dict()
    save_file(state | {"layers.0.blocks.0.attn.logit_scale": torch.ones(2)}, saved)
    with pytest.raises(WeightsError, match=r"have 'layers.0.blocks.0.attn.logit_scale', for which"):
        make_swin(weights=str(saved)).load_weights()
    save_file({"cls_token": torch.ones(1, 1, 8)}, saved)
    with pytest.raises(WeightsError, match=r"have no 'patch_embed.proj.weight'"):
        make_swin(weights=str(saved)).load_weights()


def test_windows_that_grow_from_stage_to_stage_are_refused(saved):
    save_file(
        {
            **make_swin().body.state_dict(),
            "layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(9, 2),
        },
        saved,
    )
    with pytest.raises(WeightsError, match=r"windows of \[2, 4\] patches in their stages"):
        make_swin(weights=str(saved)).load_weights()


def test_a_configuration_that_timm_has_not_is_refused(saved):
    (saved.parent / "config.json").write_text(json.dumps({"hidden_act": "relu"}))
    with pytest.raises(WeightsError, match="have hidden_act: relu; ours is gelu"):
        make_swin(weights=str(saved)).load_weights()


def test_objectives_that_hide_patches_are_refused(plugins):
    overrides = ["model.encoder={name: swin}", "model.shared.image_trunk=off"]
    recipe = load_recipe(TINY, overrides=overrides, plugins=plugins)
    with pytest.raises(RecipeError, match="'mim' needs an encoder that is ImageGivenText; 'swin'"):
        _ = recipe.plan


def test_weights_fit_a_model_that_is_not_there_yet(saved):
    with torch.device("meta"):
        swin = make_swin(weights=str(saved))
    assert swin.load_weights() == {name for name, _ in swin.named_parameters()}


def test_weights_out_of_reach_say_how_to_bring_them(monkeypatch):
    monkeypatch.setattr(reading, "hub_reachable", lambda: False)
    for name, repository in (
        ("swin_base_patch4_window7_224.ms_in1k", "timm/swin_base_patch4_window7_224.ms_in1k"),
        ("microsoft/swin-base-patch4-window7-224", "microsoft/swin-base-patch4-window7-224"),
    ):
        with pytest.raises(WeightsError, match=f"hf download {repository} --local-dir DIR"):
            make_swin(weights=name).load_weights()


def test_a_misspelt_timm_name_is_found_before_anything_is_loaded():
    with pytest.raises(WeightsError, match=r"Did you mean 'swin_base_patch4_window7_224\.ms_in1k'"):
        make_swin(weights="swin_base_patch4_window7_224.ms_in1kk")


def test_a_recipe_names_it_and_its_sizes(plugins, saved):
    encoder = f"""{{name: swin, patch_size: 2, window: 4, dim: 8, depths: [1, 2], heads: [2, 4],
        weights: {saved}, frozen: true}}"""
    overrides = [
        f"model.encoder={encoder}",
        "model.shared.image_trunk=off",
        "objectives.mim=off",
    ]
    plan = load_recipe(TINY, overrides=overrides, plugins=plugins).plan
    model = build_model(plan, Tokenizers(plan, lambda: ["the lungs are clear ."]))
    assert isinstance(model.parts.encoder, Swin)
    assert model.parts.encoder.mean == (0.485, 0.456, 0.406)
    assert not any(parameter.requires_grad for parameter in model.parts.encoder.parameters())
