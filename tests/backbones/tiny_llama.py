"""A published Llama small enough to hold in the head: a tokenizer and weights in a folder."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from rrg_backbones.llama2 import Llama2
from rrg_backbones.llama2_prompt import WORDS as PROMPT
from rrgcore.api import Tokens, load_tokenizer, pad_sequences

UNK, BOS, EOS = 0, 1, 2
REPORT_WORDS = (
    *("the", "heart", "is", "enlarged", "no", "effusion", "seen"),
    *(".", "lungs", "are", "clear", "left", "right"),
)
VOCABULARY = ("<unk>", "<s>", "</s>", *PROMPT, *REPORT_WORDS)
ROWS = 40  # some of which are no token
REPORTS = ("the heart is enlarged . no effusion .", "lungs are clear .", "no effusion")


def write_llama(folder: Path, *, kind=LlamaConfig, dtype=torch.float32, **options) -> Path:
    """Write a Llama with random weights, and its tokenizer."""
    config = kind(
        **{
            **{"vocab_size": ROWS, "hidden_size": 32, "num_hidden_layers": 2},
            **{"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48},
            **{"max_position_embeddings": 96, "bos_token_id": BOS, "eos_token_id": EOS},
            "initializer_range": 0.3,  # large enough that a wrong place of anything shows
            **options,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data += 0.2 * torch.randn_like(parameter)
    model.to(dtype).save_pretrained(folder)
    words = models.WordLevel({word: id for id, word in enumerate(VOCABULARY)}, unk_token="<unk>")
    backend = Tokenizer(words)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


def make_llama(folder: Path, **options) -> Llama2:
    """Build the decoder on such a folder, with its weights."""
    llama = Llama2(**{"tokenizer": load_tokenizer(str(folder)), "weights": str(folder), **options})
    llama.load_weights()
    return llama.eval()


def make_report(llama: Llama2, *texts: str) -> Tokens:
    """Tokenize reports, padded with a token that is none of theirs."""
    rows = [llama.tokenizer.encode(text) for text in texts or REPORTS]
    lengths = torch.tensor([len(row) for row in rows])
    return Tokens(pad_sequences(rows, UNK), torch.arange(int(lengths.max())) < lengths[:, None])
