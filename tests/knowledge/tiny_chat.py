"""A language model of a few tokens, that says the same whatever it is asked."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rrgcore.chest import OBSERVATIONS

SAID = {**dict.fromkeys(OBSERVATIONS, "Absent"), "Edema": "Present", "Fracture": "Uncertain"}
LINES = [f"{name}: {word}\n" for name, word in SAID.items()]
BEGIN, END = "<|answer|>", "<|end|>"
TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}" + BEGIN + "{% endif %}"
)


def write_model(
    folder: Path, *, template: str | None = TEMPLATE, lines: Sequence[str] = LINES
) -> str:
    """Write a Llama whose every layer passes its input on, and whose output layer names one next
    token for each: after BEGIN come the lines, then the end.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    chain = [BEGIN, *dict.fromkeys(lines), END]
    vocabulary = {token: i for i, token in enumerate(["[UNK]", *chain])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token=END)
    tokenizer.add_special_tokens({"additional_special_tokens": [BEGIN]})
    tokenizer.add_tokens(list(chain[1:-1]))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)

    size = len(vocabulary)
    dim = size + size % 2
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=dim,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=2048,
        eos_token_id=vocabulary[END],
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1)
        model.model.embed_tokens.weight[:, :size] = torch.eye(size)
        for before, after in pairwise(chain):
            model.lm_head.weight[vocabulary[after], vocabulary[before]] = 1
        model.lm_head.weight[vocabulary[END], vocabulary["[UNK]"]] = 1
    model.save_pretrained(folder)
    return str(folder)
