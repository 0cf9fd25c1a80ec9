"""Where a Llama's weights come from, what is refused, and what is trained beside them."""

import json
import sys

import pytest
import torch
from torch import nn
from transformers import GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from rrg_backbones import llama2_extras, llama2_loading
from rrg_backbones.llama2 import Llama2
from rrgcore.api import (
    Generation,
    Tokens,
    UserError,
    Visual,
    WeightsError,
    WordTokenizer,
    load_tokenizer,
)
from rrgcore.checkpoint import LeftOut, fingerprint_of, load_model, save_model

from .tiny_llama import make_llama, make_report, write_llama


@pytest.fixture
def folder(tmp_path):
    return write_llama(tmp_path / "llama")


def build(folder, **options) -> Llama2:
    return Llama2(**{"tokenizer": load_tokenizer(str(folder)), "weights": str(folder), **options})


def rewrite(file, change) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


# ---- found, and fitted --------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_is_named_that_was_set(tmp_path, tied):
    llama = build(write_llama(tmp_path / "llama", tie_word_embeddings=tied))
    names = dict(llama.named_parameters(remove_duplicate=False))
    assert llama.load_weights() == names.keys()
    table, head = names["llm.model.embed_tokens.weight"], names["llm.lm_head.weight"]
    assert (table is head) == tied


def test_values_are_read_in_place_and_none_is_drawn_before(folder, monkeypatch):
    before = torch.get_rng_state()
    llama = build(folder)
    assert torch.equal(before, torch.get_rng_state())
    places = {name: p.data_ptr() for name, p in llama.named_parameters()}
    llama.load_weights()
    assert places == {name: p.data_ptr() for name, p in llama.named_parameters()}


def test_sizes_come_from_the_weights(folder):
    llama = build(folder, max_tokens=50)
    assert (llama.dim, llama.max_tokens, build(folder).max_tokens) == (32, 50, 96)
    assert len(llama.llm.model.layers) == 2


def test_sizes_that_differ_from_the_weights_are_refused(folder):
    with pytest.raises(
        WeightsError, match=r"have dim: 32, depth: 2; the recipe says dim: 64, depth: 4. Leave"
    ):
        build(folder, dim=64, depth=4)
    with pytest.raises(WeightsError, match="have max_tokens: 96; the recipe says max_tokens: 97"):
        build(folder, max_tokens=97)


def test_on_the_meta_device_only_names_and_shapes_are_compared(folder, monkeypatch):
    with torch.device("meta"):
        llama = build(folder)
    assert llama.load_weights() == dict(llama.named_parameters()).keys()
    assert all(p.is_meta for p in llama.parameters())


def test_weights_that_were_not_at_hand_at_first_must_be_what_was_built(folder, monkeypatch):
    config = folder / "config.json"
    text = config.read_text()
    config.unlink()
    llama = build(folder, dim=32, depth=2, heads=4, hidden=48, vocabulary=40)
    with pytest.raises(WeightsError, match=r"have no config.json, which says what they are"):
        llama.load_weights()
    config.write_text(text)
    with pytest.raises(WeightsError, match=r"have kv_heads: 2 \(not 4\), rms_norm_eps: .* again"):
        llama.load_weights()


def test_a_hub_name_is_looked_for_in_the_cache_and_then_asked_for(folder, tmp_path, monkeypatch):
    asked = []

    def download(name, *, allow_patterns, local_files_only):
        asked.append((name, local_files_only))
        if local_files_only:
            raise FileNotFoundError(name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(llama2_loading, "hub_reachable", lambda: True)
    llama = build(folder, weights="somebody/tiny-llama")
    assert llama.load_weights() == dict(llama.named_parameters()).keys()
    assert asked[:2] == [("somebody/tiny-llama", True), ("somebody/tiny-llama", False)]


def test_a_hub_name_that_is_nowhere_says_how_to_bring_it(folder, monkeypatch):
    monkeypatch.setattr(llama2_loading, "hub_reachable", lambda: False)
    with torch.device("meta"):
        llama = build(folder, weights="somebody/no-llama")
    with pytest.raises(WeightsError, match=r"hf download somebody/no-llama --local-dir DIR"):
        llama.load_weights()


# ---- refused ------------------------------------------------------------------------------------


def test_other_architectures_are_refused_by_name(tmp_path):
    options = {"n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 4}
    folder = write_llama(tmp_path / "gpt2", kind=GPT2Config, **options)
    with pytest.raises(WeightsError, match="are a gpt2; llama2 reads the architectures llama and"):
        build(folder)
    rewrite(folder / "config.json", lambda config: config.update(model_type="parrot"))
    with pytest.raises(WeightsError, match="are a parrot, which llama2 does not read"):
        build(folder)


def test_weights_that_are_quantized_already_are_refused(folder):
    method = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    rewrite(folder / "config.json", lambda config: config.update(method))
    with pytest.raises(WeightsError, match=r"are quantized already \(gptq\): name the original"):
        build(folder)


def test_a_path_without_weights_is_refused(folder, tmp_path):
    llama = build(folder)
    for name, said in (
        ("absent/or/gone", "are a path, and there is no such folder"),
        (str(folder / "model.safetensors"), "is a file; llama2 reads a folder"),
    ):
        with torch.device("meta"):
            llama = build(folder, weights=name)
        with pytest.raises(WeightsError, match=said):
            llama.load_weights()
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"holds no weights: expected model.safetensors"):
        build(folder).load_weights()


def test_a_missing_shard_a_missing_tensor_and_a_strange_one_are_named(folder):
    llama = build(folder)
    state = {name: tensor.clone() for name, tensor in llama.llm.state_dict().items()}
    (folder / "model.safetensors").unlink()
    for change, said in (
        ({"model.norm.weight": None}, "have no 'model.norm.weight' .1 tensors are missing"),
        ({"model.strange": torch.ones(2)}, "have 'model.strange', for which there is no place"),
        ({"model.norm.weight": torch.ones(7)}, r"have \(7,\) for 'model.norm.weight', which is"),
        ({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, None),
    ):
        changed = {name: t for name, t in (state | change).items() if t is not None}
        torch.save(changed, folder / "pytorch_model.bin")
        if said is None:  # as older checkpoints of Llama 2 have it
            llama.load_weights()
            continue
        with pytest.raises(WeightsError, match=said):
            llama.load_weights()
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"lacks model-00001-of-00002\.saf"):
        llama.load_weights()


def test_a_damaged_file_is_named(folder):
    llama = build(folder)
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"model.safetensors is damaged .* fetch it again"):
        llama.load_weights()


def test_a_vocabulary_of_words_is_refused_for_published_weights(folder):
    with pytest.raises(UserError, match=r"read their own tokens, not a vocabulary of words: set"):
        build(folder, tokenizer=WordTokenizer(words=["heart"]))


def test_tokens_that_others_added_need_no_row(folder):
    tokenizer = load_tokenizer(str(folder), special=[f"[OTHER{n}]" for n in range(30)])
    llama = build(folder, tokenizer=tokenizer)
    llama.load_weights()
    assert len(tokenizer) > llama.llm.lm_head.out_features
    report, image = make_report(llama), torch.randn(3, 5, 32)
    assert torch.equal(
        llama(Visual(image), report).loss, make_llama(folder)(Visual(image), report).loss
    )
    llama.generate(Visual(image), Generation(max_new_tokens=3))


def test_a_tokenizer_of_other_weights_is_refused(folder):
    backend = PreTrainedTokenizerFast.from_pretrained(folder)
    backend.add_tokens([f"word{n}" for n in range(30)])
    backend.save_pretrained(folder)
    (folder / "more").mkdir()
    whole = json.loads((folder / "tokenizer.json").read_text())
    words = whole["model"]["vocab"]
    words |= {f"more{n}": len(words) + n for n in range(30)}
    whole["added_tokens"] = [t for t in whole["added_tokens"] if t["id"] < 3]
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match=r"tokens and llama2 40 rows for them: name the weights'"):
        build(folder)


# ---- 8 and 4 bits -------------------------------------------------------------------------------


def test_quantizing_is_refused_where_it_cannot_run(folder, monkeypatch):
    for missing, said in (
        ("package", r"quantize: 4bit needs the package bitsandbytes: pip install .*\[llm\]"),
        ("device", "quantize: 4bit needs a CUDA device, and torch finds none on this machine"),
    ):
        found = None if missing == "package" else object()
        monkeypatch.setattr(llama2_extras, "find_spec", lambda name: found)  # noqa: B023
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(UserError, match=said):
            build(folder, quantize="4bit", dtype="bfloat16")
        with torch.device("meta"):
            counted = build(folder, quantize="4bit", dtype="bfloat16")
        with pytest.raises(WeightsError, match=said):  # `rrg check` loads on the meta device
            counted.load_weights()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantize": "8bit", "frozen": False}, "is for a model that stands still: leave frozen"),
        ({"quantize": "8bit", "weights": None}, "needs weights: random values teach nothing"),
        ({"quantize": "8bit"}, "computes in half precision: set dtype: bfloat16"),
        ({"lora_rank": 2, "frozen": False}, "lora_rank: 2 is for a model that stands still"),
        ({"lora_rank": -1}, "lora_rank is -1; expected 0"),
    ],
)
def test_options_that_exclude_each_other_are_refused(folder, options, said):
    with pytest.raises(UserError, match=said):
        build(folder, **options)


# ---- LoRA ---------------------------------------------------------------------------------------


def test_lora_is_refused_where_its_package_is_missing(folder, monkeypatch):
    monkeypatch.setattr(llama2_extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"lora_rank: 4 needs the package peft: pip install"):
        build(folder, lora_rank=4)


class Holder(nn.Module):
    """What stands around a decoder in a model."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder


def lora(folder, **options) -> Llama2:
    pytest.importorskip("peft")
    return make_llama(folder, lora_rank=2, **options)


def test_lora_trains_its_matrices_alone_and_begins_as_the_model(folder):
    llama, plain = lora(folder), make_llama(folder)
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(plain)
    assert torch.equal(llama(visual, report).loss, plain(visual, report).loss)
    trained = {name for name, p in llama.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 2  # layers, q and v, A and B
    assert all("lora_" in name for name in trained)
    count = sum(p.numel() for p in llama.parameters() if p.requires_grad)
    assert count == 2 * 2 * (32 + 32 + 32 + 16)  # v has two heads of four
    before = {name: p.clone() for name, p in llama.named_parameters()}
    optimizer = torch.optim.AdamW(llama.parameters(), lr=0.05)
    losses = []
    for _ in range(6):
        loss = llama.train()(visual, report).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    moved = {name for name, p in llama.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained


def test_lora_drops_out_in_training_and_nothing_else_does(folder):
    llama = lora(folder, lora_dropout=0.5, checkpoint=True)
    for name, parameter in llama.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(llama)
    assert torch.equal(*(llama.eval()(visual, report).loss for _ in range(2)))
    assert not torch.equal(*(llama.train()(visual, report).loss for _ in range(2)))
    training = {name for name, m in llama.train().llm.named_modules() if m.training}
    assert all(name.count(".") == 2 or ".lora_dropout." in name for name in training)


def test_lora_is_float32_beside_a_model_in_half_precision(folder):
    llama = lora(folder, dtype="bfloat16").train()
    kinds = {(p.requires_grad, p.dtype) for p in llama.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    with torch.autocast("cpu", torch.bfloat16):
        llama(Visual(torch.randn(3, 5, 32)), make_report(llama)).loss.backward()
    assert all(p.grad.dtype == torch.float32 for p in llama.parameters() if p.requires_grad)


def test_checkpoints_hold_lora_and_name_the_weights(folder, tmp_path):
    holder = Holder(lora(folder))
    for parameter in holder.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    still = dict(holder.decoder.named_parameters())
    still = {name: still[name] for name in holder.decoder.load_weights()}
    left_out = LeftOut("decoder", str(folder), tuple(still), fingerprint_of(still))
    (tmp_path / "checkpoint").mkdir()
    save_model(tmp_path / "checkpoint", holder, [left_out])
    assert (tmp_path / "checkpoint/model.safetensors").stat().st_size < 12_000
    other = Holder(build(folder, lora_rank=2).eval())
    load_model(tmp_path / "checkpoint", other)
    visual, report = Visual(torch.randn(3, 5, 32)), make_report(other.decoder)
    assert torch.equal(other.decoder(visual, report).loss, holder.decoder(visual, report).loss)


def test_linear_maps_that_are_not_there_are_refused_with_those_that_are(folder):
    with pytest.raises(UserError, match=r"no linear map 'query' in .* Known: down_proj, ga"):
        lora(folder, lora_targets=("query",))


def test_a_llama_is_built_without_the_extras(folder, monkeypatch):
    for package in ("peft", "bitsandbytes"):
        monkeypatch.setitem(sys.modules, package, None)
    assert make_llama(folder).dim == LlamaConfig.from_pretrained(folder).hidden_size


@pytest.mark.gpu
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("lora_rank", [0, 2])
def test_few_bits_are_close_and_let_gradients_through(folder, bits, lora_rank):
    pytest.importorskip("bitsandbytes")
    if not torch.cuda.is_available():
        pytest.skip("bitsandbytes needs a CUDA device")
    exact = make_llama(folder).cuda()
    few = make_llama(folder, quantize=bits, dtype="bfloat16", lora_rank=lora_rank).cuda().train()
    report = make_report(exact)
    report = Tokens(report.ids.cuda(), report.mask.cuda())
    image = torch.randn(3, 5, 32, device="cuda", requires_grad=True)
    loss = few(Visual(image), report).loss
    loss.backward()
    assert image.grad.abs().sum() > 0
    expected = exact(Visual(image.detach()), report).loss
    assert loss.item() == pytest.approx(expected.item(), rel=0.25)
    assert few.llm.state_dict().keys() == dict(few.llm.named_parameters()).keys()
    assert few.eval().generate(Visual(image.detach()), Generation(max_new_tokens=3))
