"""Weights that are absent or do not fit: what is said, and what is never done in silence."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from rrg_backbones import weights as reading
from rrg_backbones.bert import Bert
from rrg_backbones.transformer import Transformer
from rrg_backbones.vit import ViT
from rrg_backbones.weights import read_checkpoint
from rrgcore import load_recipe
from rrgcore.api import Tokenizer, Trunk, TrunkCache, WeightsError, WordTokenizer
from rrgcore.build import build_model
from rrgcore.tokenizers import Tokenizers

TINY = Path(__file__).parent.parent / "tiny.yaml"
WORDS = [f"word{i}" for i in range(20)]
BERT = {"dim": 16, "depth": 2, "heads": 4}


class Words:
    """The tokenizer that BERT's weights came with, and one token more."""

    def __init__(self) -> None:
        self._words = WordTokenizer(words=WORDS, special=("[START]",))
        self.pad_id, self.cls_id, self.sep_id, self.mask_id = 0, 2, 3, 4

    def __len__(self):
        return len(self._words)

    def encode(self, text, *, max_tokens=None):
        return self._words.encode(text, max_tokens=max_tokens)

    def encode_words(self, words):
        return self._words.encode_words(words)

    def decode(self, ids):
        return self._words.decode(ids)

    def id_of(self, token):
        return self._words.id_of(token)

    def save(self, folder):
        self._words.save(folder)


def make_vit_state(*, dim=16, depth=2, patch_size=8, patches=16) -> dict[str, torch.Tensor]:
    shapes = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, patches + 1, dim),
        "patch_embed.proj.weight": (dim, 3, patch_size, patch_size),
        "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,),
        "norm.bias": (dim,),
        "head.weight": (5, dim),
        "head.bias": (5,),
    }
    for index in range(depth):
        block = {
            "norm1": (dim,),
            "attn.qkv": (3 * dim, dim),
            "attn.proj": (dim, dim),
            "norm2": (dim,),
            "mlp.fc1": (4 * dim, dim),
            "mlp.fc2": (dim, 4 * dim),
        }
        for name, shape in block.items():
            shapes[f"blocks.{index}.{name}.weight"] = shape
            shapes[f"blocks.{index}.{name}.bias"] = shape[:1]
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def make_bert_state(*, dim=16, depth=2, words=25, positions=32) -> dict[str, torch.Tensor]:
    shapes = {
        "embeddings.word_embeddings.weight": (words, dim),
        "embeddings.position_embeddings.weight": (positions, dim),
        "embeddings.token_type_embeddings.weight": (2, dim),
        "embeddings.LayerNorm.weight": (dim,),
        "embeddings.LayerNorm.bias": (dim,),
        "pooler.dense.weight": (dim, dim),
        "pooler.dense.bias": (dim,),
    }
    for index in range(depth):
        layer = {
            "attention.self.query": (dim, dim),
            "attention.self.key": (dim, dim),
            "attention.self.value": (dim, dim),
            "attention.output.dense": (dim, dim),
            "attention.output.LayerNorm": (dim,),
            "intermediate.dense": (4 * dim, dim),
            "output.dense": (dim, 4 * dim),
            "output.LayerNorm": (dim,),
        }
        for name, shape in layer.items():
            shapes[f"encoder.layer.{index}.{name}.weight"] = shape
            shapes[f"encoder.layer.{index}.{name}.bias"] = shape[:1]
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def make_vit(weights, *, stem="linear", patch_size=8, **trunk) -> ViT:
    trunk = Transformer(**{**BERT, "norm": "pre", "cross_layers": "all", **trunk})
    return ViT(image_size=32, patch_size=patch_size, trunk=trunk, stem=stem, weights=str(weights))


def make_bert(weights, *, tokenizer: Tokenizer | None = None, max_tokens=32, **trunk) -> Bert:
    return Bert(
        tokenizer=tokenizer or Words(),
        trunk=Transformer(**{**BERT, "cross_layers": "all", **trunk}),
        max_tokens=max_tokens,
        weights=str(weights),
    )


@pytest.fixture
def vit_weights(tmp_path):
    save_file(make_vit_state(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


@pytest.fixture
def bert_weights(tmp_path):
    save_file(make_bert_state(), tmp_path / "model.safetensors")
    config = {"num_attention_heads": 4, "hidden_act": "gelu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("trunk", "said"),
    [
        ({"norm": "post"}, "have norm: pre; the trunk has norm: post. Set norm: pre in the trunk"),
        ({"dim": 32}, "have dim: 16, hidden: 64; the trunk has dim: 32, hidden: 128."),
        ({"depth": 3}, "have depth: 2; the trunk has depth: 3."),
        ({"hidden": 32}, "have hidden: 64; the trunk has hidden: 32."),
    ],
)
def test_vit_weights_that_do_not_fit_the_trunk_name_both_sides(vit_weights, trunk, said):
    with pytest.raises(WeightsError, match=said):
        make_vit(vit_weights, **trunk).load_weights()


@pytest.mark.parametrize("options", [{"patch_size": 4}, {"stem": "conv"}])
def test_vit_weights_that_do_not_fit_the_stem_name_both_sides(vit_weights, options):
    with pytest.raises(WeightsError, match="Set patch_size: 8, stem: linear in vit"):
        make_vit(vit_weights, **options).load_weights()


@pytest.mark.parametrize(
    ("trunk", "said"),
    [
        ({"norm": "pre"}, "have norm: post; the trunk has norm: pre. Set norm: post in the trunk"),
        ({"heads": 2}, "have heads: 4; the trunk has heads: 2."),
        ({"depth": 1}, "have depth: 2; the trunk has depth: 1."),
    ],
)
def test_bert_weights_that_do_not_fit_the_trunk_name_both_sides(bert_weights, trunk, said):
    with pytest.raises(WeightsError, match=said):
        make_bert(bert_weights, **trunk).load_weights()


def test_heads_are_known_from_the_architecture_of_a_timm_folder(tmp_path):
    save_file(
        make_vit_state(dim=192, depth=12, patch_size=16, patches=4), tmp_path / "m.safetensors"
    )
    (tmp_path / "m.safetensors").rename(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224"}))
    sizes = {"dim": 192, "depth": 12, "patch_size": 16}
    make_vit(tmp_path, heads=3, **sizes).load_weights()
    with pytest.raises(WeightsError, match="have heads: 3; the trunk has heads: 4"):
        make_vit(tmp_path, heads=4, **sizes).load_weights()


def test_a_trunk_of_another_make_is_refused(vit_weights):
    class Other(Trunk):
        dim, context_dim, heads, norm = 16, 0, 4, "pre"

        def forward(self, x, *, mask=None, context=None, context_mask=None, causal=False):
            return x

        def begin(self, context=None, context_mask=None) -> TrunkCache:
            raise AssertionError

        def extend(self, x, cache):
            return x

        def attention(self, x, *, mask=None, context, context_mask=None, causal=False):
            return x

    vit = ViT(image_size=32, patch_size=8, trunk=Other(), weights=str(vit_weights))
    with pytest.raises(WeightsError, match="go into a `transformer`; this trunk is a Other"):
        vit.load_weights()


def test_a_part_the_module_has_no_place_for_is_refused(vit_weights):
    state = make_vit_state() | {"blocks.0.ls1.gamma": torch.ones(16)}
    save_file(state, vit_weights)
    with pytest.raises(WeightsError, match=r"'blocks.0.ls1.gamma', for which there is no place"):
        make_vit(vit_weights).load_weights()


def test_another_model_is_refused(bert_weights, vit_weights):
    with pytest.raises(WeightsError, match=r"have no 'patch_embed.proj.weight'"):
        make_vit(bert_weights).load_weights()
    with pytest.raises(WeightsError, match=r"have no 'embeddings.word_embeddings.weight'"):
        make_bert(vit_weights).load_weights()


def test_another_activation_is_refused(bert_weights):
    (bert_weights / "config.json").write_text(json.dumps({"hidden_act": "relu"}))
    with pytest.raises(WeightsError, match="were trained with relu; ours is gelu"):
        make_bert(bert_weights).load_weights()


def test_added_tokens_keep_their_random_rows(bert_weights):
    bert = make_bert(bert_weights)
    before = bert.embeddings.word.weight.detach().clone()
    loaded = bert.load_weights()
    theirs = make_bert_state()["embeddings.word_embeddings.weight"]
    assert len(bert.tokenizer) == len(theirs) + 1
    assert not torch.equal(bert.embeddings.word.weight[:-1], before[:-1])
    assert torch.equal(bert.embeddings.word.weight[-1], before[-1])
    assert {"embeddings.word.weight", "trunk.layers.1.attention.qkv.weight"} <= loaded
    assert not any(name.startswith("head.") or ".cross" in name for name in loaded)


def test_a_word_vocabulary_learns_its_own_rows(bert_weights):
    words = WordTokenizer(words=["only", "these"], special=("[START]",))
    bert = make_bert(bert_weights, tokenizer=words)
    before = bert.embeddings.word.weight.detach().clone()
    assert "embeddings.word.weight" not in bert.load_weights()
    assert torch.equal(bert.embeddings.word.weight, before)


def test_more_words_than_the_tokenizer_has_are_refused(bert_weights):
    save_file(make_bert_state(words=60), bert_weights / "model.safetensors")
    with pytest.raises(WeightsError, match="have 60 words; the tokenizer, 26"):
        make_bert(bert_weights).load_weights()


def test_positions_are_cut_and_never_invented(bert_weights):
    bert = make_bert(bert_weights, max_tokens=20)
    bert.load_weights()
    assert bert.embeddings.position.weight.shape == (20, 16)
    with pytest.raises(WeightsError, match="have 32 positions; max_tokens is 40"):
        make_bert(bert_weights, max_tokens=40).load_weights()


def test_a_separate_cross_trunk_starts_from_the_same_weights(bert_weights):
    cross = Transformer(**BERT, cross_layers="all")
    bert = Bert(
        tokenizer=Words(),
        trunk=Transformer(**BERT),
        cross_trunk=cross,
        max_tokens=32,
        weights=str(bert_weights),
    )
    bert.load_weights()
    for name, parameter in bert.trunk.named_parameters():
        assert torch.equal(parameter, cross.get_parameter(name))
        assert parameter is not cross.get_parameter(name)


def test_weights_in_several_files_are_put_together(bert_weights):
    state = make_bert_state()
    (bert_weights / "model.safetensors").unlink()
    files = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(state)}
    for file in set(files.values()):
        part = {name: state[name] for name in state if files[name] == file}
        save_file(part, bert_weights / file)
    index = bert_weights / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    assert read_checkpoint(str(bert_weights)).tensors.keys() == state.keys()


def test_a_checkpoint_of_a_training_run_is_unwrapped(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, tmp_path / "run.pth")
    assert read_checkpoint(str(tmp_path / "run.pth")).tensors.keys() == {"a"}


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path):
    torch.save({"a": Words()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="not a file of weights that can be read safely"):
        read_checkpoint(str(tmp_path / "evil.pth"))


def test_a_path_that_is_not_there_is_no_hub_name(tmp_path):
    with pytest.raises(WeightsError, match="are a path, and there is no such file or folder"):
        read_checkpoint(str(tmp_path / "vit.safetensors"))
    with pytest.raises(WeightsError, match="holds no weights: expected one of model"):
        read_checkpoint(str(tmp_path))


def test_weights_out_of_reach_say_how_to_bring_them(monkeypatch):
    monkeypatch.setattr(reading, "hub_reachable", lambda: False)
    name = "vit_base_patch16_224.augreg_in21k_ft_in1k"
    vit = make_vit(name)
    assert (vit.mean, vit.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with pytest.raises(WeightsError, match=f"hf download timm/{name} --local-dir DIR"):
        vit.load_weights()
    with pytest.raises(WeightsError, match="hf download bert-base-uncased --local-dir DIR"):
        make_bert("bert-base-uncased").load_weights()


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not reading.hub_reachable()
    monkeypatch.setattr(constants, "ENDPOINT", "this would be no address")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not reading.hub_reachable()


def test_a_misspelt_timm_name_is_found_before_anything_is_loaded():
    with pytest.raises(WeightsError, match=r"Did you mean 'vit_base_patch16_224\.augreg_in21k"):
        make_vit("vit_base_patch16_224.augreg_in21k_ft_in1kk")


def test_what_weights_want_of_pixels_is_known_without_reading_them():
    assert make_vit("vit_base_patch16_224.dino").mean == (0.485, 0.456, 0.406)


def test_damaged_weights_name_the_file(vit_weights):
    whole = vit_weights.read_bytes()
    vit_weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"vit\.safetensors is damaged \(.*\): fetch it again"):
        read_checkpoint(str(vit_weights))


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_a_damaged_config_names_the_file(bert_weights, text):
    (bert_weights / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"config\.json is damaged \(.*\): fetch it again"):
        read_checkpoint(str(bert_weights))


@pytest.mark.parametrize(
    ("index", "said"), [("{}", "it has no weight_map"), ('{"weight_map": {"a": "gone"}}', "gone")]
)
def test_a_damaged_index_is_named(tmp_path, index, said):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsError, match=said):
        read_checkpoint(str(tmp_path))


def test_a_trunk_that_is_its_own_cross_trunk_starts_from_weights(vit_weights, plugins):
    overrides = [
        f"model.encoder.weights={vit_weights}",
        "model.encoder.cross_trunk={ref: image_trunk}",
        "model.shared.image_trunk={depth: 2, heads: 4}",
        "model.shared.text_trunk.heads=4",
    ]
    plan = load_recipe(TINY, overrides=overrides, plugins=plugins).plan
    model = build_model(plan, Tokenizers(plan, lambda: ["the lungs are clear ."]))
    theirs = load_file(vit_weights)["blocks.1.mlp.fc1.weight"]
    assert torch.equal(model.part("shared.image_trunk").layers[1].ffn[0].weight, theirs)
