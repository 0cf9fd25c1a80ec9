"""`vit` with a published ViT's weights is that ViT."""

import json

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from rrg_backbones.transformer import Transformer
from rrg_backbones.vit import ViT
from rrg_backbones.weights_vit import resample_positions


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    from transformers.utils import logging

    logging.disable_progress_bar()


def scramble(model):
    """Give every parameter a value that shows where it is."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def make_vit(weights, *, dim=48, depth=3, heads=3, hidden=None, eps=None, **options) -> ViT:
    trunk = Transformer(
        dim=dim, depth=depth, heads=heads, norm="pre", cross_layers="all", hidden=hidden, eps=eps
    )
    vit = ViT(image_size=32, patch_size=8, trunk=trunk, weights=str(weights), **options)
    return vit.eval()


def make_timm(*, dim=48, depth=3, heads=3, image_size=32, **options) -> VisionTransformer:
    return scramble(
        VisionTransformer(
            img_size=image_size,
            patch_size=8,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            num_classes=5,
            **options,
        )
    )


@pytest.mark.parametrize(("dim", "depth", "heads"), [(48, 3, 3), (32, 2, 4)])
def test_features_are_timms(tmp_path, dim, depth, heads):
    theirs = make_timm(dim=dim, depth=depth, heads=heads)
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    ours = make_vit(tmp_path / "vit.safetensors", dim=dim, depth=depth, heads=heads)
    loaded = ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        ours(images).tokens, theirs.forward_features(images), atol=1e-5, rtol=0
    )
    new = {name for name, _ in ours.named_parameters()} - loaded
    assert new == {"mask_token"} | {name for name, _ in ours.named_parameters() if ".cross" in name}


def test_features_are_timms_from_a_folder_of_the_hub(tmp_path):
    theirs = make_timm()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "a_vit",
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = make_vit(tmp_path)
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        ours(images).tokens, theirs.forward_features(images), atol=1e-5, rtol=0
    )
    assert ours.mean == (0.1, 0.2, 0.3)
    assert ours.std == (0.4, 0.4, 0.4)


def test_features_are_timms_on_another_grid(tmp_path):
    theirs = make_timm(image_size=56)
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    ours = make_vit(tmp_path / "vit.safetensors")
    ours.load_weights()
    theirs.set_input_size(img_size=(32, 32))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        ours(images).tokens, theirs.forward_features(images), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("grid", [(4, 4), (7, 7), (14, 14), (10, 6)])
def test_positions_are_stretched_as_timm_does(grid):
    positions = torch.randn(1, 50, 8)
    expected = resample_abs_pos_embed(positions, list(grid), old_size=[7, 7])
    torch.testing.assert_close(resample_positions(positions, grid), expected)


@pytest.mark.parametrize("model", [ViTModel, ViTForImageClassification])
def test_features_are_hugging_faces(tmp_path, model):
    config = ViTConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    theirs = scramble(model(config))
    theirs.save_pretrained(tmp_path)
    processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    ours = make_vit(tmp_path, hidden=64, eps=config.layer_norm_eps)
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    body = theirs.vit if model is ViTForImageClassification else theirs
    torch.testing.assert_close(
        ours(images).tokens, body(images).last_hidden_state, atol=1e-5, rtol=0
    )
    assert (ours.mean, ours.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def test_the_live_names_of_transformers_5_are_known_too(tmp_path):
    config = ViTConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    theirs = scramble(ViTModel(config))
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    ours = make_vit(tmp_path / "vit.pth", hidden=64, eps=config.layer_norm_eps)
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        ours(images).tokens, theirs(images).last_hidden_state, atol=1e-5, rtol=0
    )
