"""CheXbert's architecture written down once more, in small, and files as it was published in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel

TEXT = "the heart is enlarged no pleural effusion . mild edema of lungs are clear"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()]
ORDER = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)


class Reference(nn.Module):
    """The architecture as it is published, written down once more and run one text at a time."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config)
        widths = [4] * 13 + [2]
        self.linear_heads = nn.ModuleList(nn.Linear(config.hidden_size, width) for width in widths)

    @torch.no_grad()
    def label(self, tokens: list[int]) -> dict[str, int]:
        hidden = self.bert(torch.tensor([tokens])).last_hidden_state[:, 0]
        found = [int(head(hidden).argmax()) for head in self.linear_heads]
        values = [{0: None, 1: 1, 2: 0, 3: -1}[each] for each in found]
        return {name: v for name, v in zip(ORDER, values, strict=True) if v is not None}


def make_reference(*, positions: int = 64, dim: int = 32) -> Reference:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=positions,
    )
    reference = Reference(config)
    for name, parameter in reference.named_parameters():
        if "LayerNorm" not in name:  # transformers' own first values make all texts look alike
            nn.init.normal_(parameter, std=0.3 if "self.query" in name else 1.0)
    return reference.eval()


def checkpoint(reference: Reference, prefix: str = "module.") -> dict[str, Any]:
    """What CheXbert's training script saves, with the prefix of DataParallel."""
    state = {prefix + name: tensor for name, tensor in reference.state_dict().items()}
    optimizer = torch.optim.Adam(reference.parameters())
    return {
        "epoch": 8,
        "model_state_dict": state,
        "optimizer_state_dict": optimizer.state_dict(),
    }


def write_tokenizer(folder: Path, *, words: Sequence[str] = VOCABULARY, lower: bool = True) -> str:
    """Write a tokenizer as bert-base-uncased's, of a few words."""
    folder.mkdir(parents=True)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower}
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return str(folder)


def write_chexbert(folder: Path) -> dict[str, Any]:
    """Write weights and tokenizer, and return the options that name them."""
    tokenizer = write_tokenizer(folder / "uncased")
    torch.save(checkpoint(make_reference()), folder / "chexbert.pth")
    weights = str(folder / "chexbert.pth")
    return {"weights": weights, "tokenizer": tokenizer, "heads": 4, "device": "cpu"}
