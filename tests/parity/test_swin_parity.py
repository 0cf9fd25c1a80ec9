"""`swin` with a published Swin's weights is that Swin."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resize_rel_pos_bias_table_simple
from timm.models.swin_transformer import SwinTransformer
from transformers import SwinConfig, SwinForImageClassification, SwinForMaskedImageModeling
from transformers import SwinModel as HuggingFaceSwin

from rrg_backbones.swin import Swin
from rrg_backbones.weights_swin import resample_table

SIZES = {"patch_size": 2, "depths": (2, 2, 3), "window": 4}


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    from transformers.utils import logging

    logging.disable_progress_bar()


def scramble(model):
    """Give every parameter a value that shows where it is."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def make_swin(weights, *, image_size=32, **options) -> Swin:
    sizes = {**SIZES, "dim": 16, "heads": (2, 4, 4), **options}
    return Swin(image_size=image_size, weights=str(weights), **sizes).eval()


def make_timm(*, image_size=32, window=4) -> SwinTransformer:
    return scramble(
        SwinTransformer(
            img_size=image_size,
            patch_size=2,
            window_size=window,
            embed_dim=16,
            depths=(2, 2, 3),
            num_heads=(2, 4, 4),
            num_classes=5,
        )
    )


def make_hugging_face(model=HuggingFaceSwin, *, image_size=32):
    config = SwinConfig(
        image_size=image_size,
        patch_size=2,
        window_size=4,
        embed_dim=16,
        depths=[2, 2, 3],
        num_heads=[2, 4, 4],
        encoder_stride=8,
    )
    return scramble(model(config))


def check_equal(ours: Swin, expected, images) -> None:
    """Compare tokens and summary with timm's `[b h w d]` or Hugging Face's `[b n d]`."""
    encoded = ours(images)
    tokens = expected.reshape(encoded.tokens.shape)
    torch.testing.assert_close(encoded.tokens, tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.pooled, tokens.mean(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("image_size", [32, 40, 24])  # windows that fit, are filled up, are cut
def test_features_are_timms(tmp_path, image_size):
    theirs = make_timm(image_size=image_size)
    save_file(theirs.state_dict(), tmp_path / "swin.safetensors")
    ours = make_swin(tmp_path / "swin.safetensors", image_size=image_size)
    assert ours.load_weights() == {name for name, _ in ours.named_parameters()}
    images = torch.randn(2, 3, image_size, image_size)
    check_equal(ours, theirs.forward_features(images), images)


def test_features_are_timms_from_a_folder_of_the_hub(tmp_path):
    theirs = make_timm()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "a_swin",
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = make_swin(tmp_path)
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    check_equal(ours, theirs.forward_features(images), images)
    assert (ours.mean, ours.std) == ((0.1, 0.2, 0.3), (0.4, 0.4, 0.4))


def test_features_are_those_of_microsofts_own_files(tmp_path):
    """They merge patches as a stage ends, call the head otherwise, and store what is computed."""
    theirs = make_timm()
    state = {}
    for key, value in theirs.state_dict().items():
        key = re.sub(
            r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", key
        )
        state[key.replace("head.fc.", "head.")] = value
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(16, 16, 16)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16).long()
    torch.save({"model": state}, tmp_path / "swin.pth")
    ours = make_swin(tmp_path / "swin.pth")
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    check_equal(ours, theirs.forward_features(images), images)


@pytest.mark.parametrize("window", [2, 5, 12])
def test_relative_positions_are_stretched_as_microsofts_loader_does(window):
    table, side = torch.randn(13 * 13, 4), 2 * window - 1
    expected = resize_rel_pos_bias_table_simple(table, (window, window), (side * side, 4))
    torch.testing.assert_close(resample_table(table, window), expected)


@pytest.mark.parametrize(("image_size", "window"), [(48, 6), (32, 3), (24, 4)])
def test_weights_fit_windows_of_another_size(tmp_path, image_size, window):
    state = make_timm().state_dict()
    save_file(state, tmp_path / "swin.safetensors")
    ours = make_swin(tmp_path / "swin.safetensors", image_size=image_size, window=window)
    ours.load_weights()
    theirs = make_timm(image_size=image_size, window=window)
    for name, parameter in theirs.named_parameters():
        if name.endswith("relative_position_bias_table"):
            state[name] = resample_table(state[name], (round(len(parameter) ** 0.5) + 1) // 2)
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, image_size, image_size)
    check_equal(ours, theirs.forward_features(images), images)


@pytest.mark.parametrize(
    "model", [HuggingFaceSwin, SwinForImageClassification, SwinForMaskedImageModeling]
)
def test_features_are_hugging_faces(tmp_path, model):
    theirs = make_hugging_face(model)
    theirs.save_pretrained(tmp_path)
    processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    ours = make_swin(tmp_path)
    assert ours.load_weights() == {name for name, _ in ours.named_parameters()}
    images = torch.randn(2, 3, 32, 32)
    body = theirs if model is HuggingFaceSwin else theirs.swin
    check_equal(ours, body(images).last_hidden_state, images)
    assert (ours.mean, ours.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def test_the_live_names_of_transformers_5_are_known_too(tmp_path):
    theirs = make_hugging_face()
    torch.save(theirs.state_dict(), tmp_path / "swin.pth")
    ours = make_swin(tmp_path / "swin.pth")
    ours.load_weights()
    images = torch.randn(2, 3, 32, 32)
    check_equal(ours, theirs(images).last_hidden_state, images)
