"""The image encoders: shapes, masking, what patches know of each other."""

import pytest
import torch

from rrg_backbones.transformer import Transformer
from rrg_backbones.vit import ViT
from rrgcore.api import Encoded, ImageGivenText, UserError, VisualEncoder
from rrgcore.interfaces import Lacks, check_capability


def make_vit(*, norm="pre", cross_layers="all", context_dim=None, **options) -> ViT:
    trunk = Transformer(
        dim=16, depth=2, heads=4, norm=norm, cross_layers=cross_layers, context_dim=context_dim
    )
    return ViT(**{"image_size": 32, "patch_size": 8, "trunk": trunk, **options}).eval()


def make_text(*, dim=16) -> Encoded:
    tokens = torch.randn(2, 5, dim)
    return Encoded(tokens, tokens[:, 0], torch.tensor([[True] * 5, [True] * 3 + [False] * 2]))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_patches_come_after_cls(norm, stem):
    vit = make_vit(norm=norm, stem=stem)
    encoded = vit(torch.randn(2, 3, 32, 32))
    assert vit.grid == (4, 4)
    assert encoded.tokens.shape == (2, 1 + 16, vit.dim)
    torch.testing.assert_close(encoded.pooled, encoded.tokens[:, 0])
    assert encoded.mask is None


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_a_patch_is_embedded_from_its_own_pixels_alone(stem):
    vit = make_vit(stem=stem)
    images = torch.randn(1, 3, 32, 32)
    before = vit.stem(images)
    images[:, :, 8:16, 24:32] += 1.0  # second row, fourth column
    changed = (vit.stem(images) != before).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [4 + 3]


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_what_is_behind_the_mask_leaks_nowhere(stem):
    vit = make_vit(stem=stem)
    images, text = torch.randn(2, 3, 32, 32), make_text()
    patch_mask = torch.zeros(2, 16, dtype=torch.bool)
    patch_mask[:, 5] = True  # rows 8 to 16, columns 8 to 16
    before = vit.encode_given_text(images, patch_mask, text)
    images[:, :, 8:16, 8:16] = 100.0
    torch.testing.assert_close(
        vit.encode_given_text(images, patch_mask, text).tokens, before.tokens, atol=0, rtol=0
    )
    images[:, :, 8:16, 16:24] = 100.0
    assert not torch.equal(vit.encode_given_text(images, patch_mask, text).tokens, before.tokens)


def test_masked_patches_differ_by_their_place_only():
    vit = make_vit()
    nothing = torch.ones(1, 16, dtype=torch.bool)
    embedded = vit._embed(torch.randn(1, 3, 32, 32), nothing)[:, 1:]
    torch.testing.assert_close(embedded - vit.positions[:, 1:], vit.mask_token.expand(1, 16, 16))


def test_the_linear_stem_is_the_convolution_it_stands_for():
    stem = make_vit().stem
    images = torch.randn(2, 3, 32, 32)
    kernel = stem.project.weight.reshape(16, 3, 8, 8)
    expected = torch.nn.functional.conv2d(images, kernel, stem.project.bias, stride=8)
    torch.testing.assert_close(stem(images), expected.flatten(2).transpose(1, 2))


def test_the_text_is_read_where_it_is_real():
    vit = make_vit(context_dim=6)
    images, text = torch.randn(2, 3, 32, 32), make_text(dim=6)
    patch_mask = torch.rand(2, 16) > 0.5
    before = vit.encode_given_text(images, patch_mask, text).tokens
    text.tokens[1, 3:] = 9.0
    torch.testing.assert_close(vit.encode_given_text(images, patch_mask, text).tokens, before)
    text.tokens[1, :3] = 9.0
    after = vit.encode_given_text(images, patch_mask, text).tokens
    assert torch.equal(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


def test_alone_and_with_a_text_are_one_trunk():
    vit = make_vit()
    vit.encode_given_text(
        torch.randn(2, 3, 32, 32), torch.rand(2, 16) > 0.5, make_text()
    ).tokens.sum().backward()
    assert all(parameter.grad is not None for parameter in vit.parameters())


def test_a_cross_trunk_shares_nothing_with_the_trunk():
    cross = Transformer(dim=16, depth=1, heads=4, norm="pre", cross_layers="all")
    vit = make_vit(cross_layers="none", cross_trunk=cross)
    check_capability(vit, ImageGivenText)
    vit.encode_given_text(
        torch.randn(2, 3, 32, 32), torch.rand(2, 16) > 0.5, make_text()
    ).tokens.sum().backward()
    assert all(parameter.grad is None for parameter in vit.trunk.parameters())
    assert all(parameter.grad is not None for parameter in cross.parameters())


def test_without_cross_layers_it_can_see_and_not_read():
    vit = make_vit(cross_layers="none")
    check_capability(vit, VisualEncoder)
    with pytest.raises(Lacks, match="reads no text: set cross_layers: all"):
        check_capability(vit, ImageGivenText)


def test_options_that_make_no_encoder_are_refused():
    with pytest.raises(UserError, match="32 pixels cannot be cut into patches of 5"):
        make_vit(patch_size=5)
    with pytest.raises(UserError, match="7 pixels have no divisor"):
        make_vit(image_size=28, patch_size=7, stem="conv")
    other = Transformer(dim=8, depth=1, heads=4, norm="pre", cross_layers="all")
    with pytest.raises(UserError, match="cross_trunk has dim 8; the trunk has 16"):
        make_vit(cross_trunk=other)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match="an encoder made for image_size 32"):
        make_vit()(torch.randn(1, 3, 40, 40))


def test_pixels_are_normalised_to_one_half_where_no_weights_say_otherwise():
    vit = make_vit()
    assert vit.mean == vit.std == (0.5, 0.5, 0.5)


def test_sizes_are_those_of_vit_base():
    with torch.device("meta"):
        trunk = Transformer(dim=768, depth=12, heads=12, norm="pre")
        vit = ViT(image_size=224, patch_size=16, trunk=trunk)
    total = sum(parameter.numel() for parameter in vit.parameters())
    assert total - vit.mask_token.numel() == 85_798_656  # ViT has no mask token: 768 more
