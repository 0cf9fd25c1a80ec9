"""CheXbert, from its published weights."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from rrgcore.annotations import Labels
from rrgcore.chest import NO_FINDING, ORDERS
from rrgcore.digest import digest_of_file
from rrgcore.errors import DataError, WeightsError
from rrgcore.study import Study
from rrgcore.supply import Annotator
from rrgcore.tokens import Tokenizer, load_tokenizer

ORDER: Final = ORDERS["chexbert"]
"""One head an observation; the last, No Finding, has two classes and the others four."""
CLASSES: Final = (None, 1, 0, -1)
"""What a head's class stands for: blank, positive, negative, uncertain."""
MAX_TOKENS: Final = 512

_HOW = (
    "The file chexbert.pth is published at https://huggingface.co/StanfordAIMI/RRG_scorers "
    "(the link of https://github.com/stanfordmlgroup/CheXbert is dead).\n"
    "Where there is a network:  hf download StanfordAIMI/RRG_scorers chexbert.pth --local-dir DIR\n"
    "then bring DIR here and set weights: DIR/chexbert.pth"
)
_UNREAD: Final = ("bert.pooler.", "bert.embeddings.position_ids")
"""Saved with the weights and of no effect on labels."""


@final
class CheXbertNetwork(nn.Module):
    """logits_o = W_o h_[CLS] + b_o: BERT, and a linear head for each observation on its [CLS]."""

    def __init__(self, *, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)
        widths = [2 if name == NO_FINDING else len(CLASSES) for name in ORDER]
        self.linear_heads = nn.ModuleList(nn.Linear(config.hidden_size, width) for width in widths)

    def forward(self, tokens: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b 14"]:
        """Return the class of each observation, in the order of ORDER."""
        summary = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state[:, 0]
        return torch.stack([head(summary).argmax(dim=-1) for head in self.linear_heads], dim=1)


@final
class CheXbertLabeler(Annotator):
    """CheXbert (Smit et al., EMNLP 2020): labels of a report by BERT and 14 heads.

    `weights` is the published chexbert.pth, `tokenizer` bert-base-uncased by hub name or folder.
    Sizes are read off the weights, but for the `heads` of attention, which leave no trace in their
    shapes: BERT-base has 12. A text is read as CheXbert reads it: white space collapsed, cut to 512
    tokens with the [SEP] kept; an empty one is [CLS] [SEP], and labelled. `device` "auto" is an
    accelerator where there is one. Labels do not depend on `batch_size`, but for ties that rounding
    decides.

    Raises WeightsError for weights or a tokenizer that are absent or do not fit.
    """

    writes: ClassVar[type] = Labels
    from_report = True

    def __init__(
        self,
        *,
        weights: str,
        tokenizer: str = "bert-base-uncased",
        batch_size: int = 16,
        device: str = "auto",
        heads: int = 12,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected a positive number")
        self.batch_size = batch_size
        self.device = _device(device)
        self.weights = Path(weights).expanduser()
        self.heads = heads
        self._tokenizer_name = tokenizer
        self._digest: str | None = None

    def read_given(self) -> None:
        """Read weights and tokenizer; raises WeightsError."""
        _ = self.network, self.tokenizer

    @cached_property
    def network(self) -> CheXbertNetwork:
        """The network, filled."""
        if not self.weights.is_file():
            raise WeightsError(f"there are no weights of CheXbert at {self.weights}.\n{_HOW}")
        return _load(self.weights, self.heads)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, which fits the network."""
        found = load_tokenizer(self._tokenizer_name)
        _check_tokenizer(found, self._tokenizer_name, self.network.bert.config)
        return found

    def annotate(self, studies: Iterable[Study]) -> Iterator[Labels]:
        """Yield labels; raises DataError for a study without a report."""
        texts = [_report(study) for study in studies]
        # of like length together, so that little is padding
        encoded = [self._encode(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        classes: dict[int, Sequence[int]] = {}
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            classes |= zip(rows, self._classes([encoded[i] for i in rows]), strict=True)
        for i in range(len(texts)):
            yield _labels(classes[i])

    def fingerprint(self) -> str:
        """Return the weights by content, since their file may be called anything."""
        if self._digest is None:
            self._digest = digest_of_file(self.weights)[:12]
        return f"CheXbert {self.weights.name} (sha256 {self._digest}), {MAX_TOKENS} tokens"

    def _encode(self, text: str) -> list[int]:
        longest = min(MAX_TOKENS, self.network.bert.config.max_position_embeddings)
        return self.tokenizer.encode(" ".join(text.split()), max_tokens=longest)

    @torch.inference_mode()
    def _classes(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        longest = max(map(len, rows))
        padded = [[*row, *[self.tokenizer.pad_id] * (longest - len(row))] for row in rows]
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(longest) < lengths[:, None]
        network = self.network.to(self.device)
        found: list[list[int]] = network(
            torch.tensor(padded, device=self.device), mask.to(self.device)
        ).tolist()
        return found


def _labels(classes: Sequence[int]) -> Labels:
    said = zip(ORDER, (CLASSES[each] for each in classes), strict=True)
    return Labels({name: value for name, value in said if value is not None})


def _report(study: Study) -> str:
    if study.report is None:
        raise DataError(f"study '{study.id}' has no report that CheXbert could label")
    return study.report


def _device(name: str) -> torch.device:
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise ValueError(f"device '{name}' is none that torch knows: {error}") from error
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _check_tokenizer(tokenizer: Tokenizer, name: str, config: BertConfig) -> None:
    if len(tokenizer) > config.vocab_size:
        raise WeightsError(
            f"the tokenizer '{name}' has {len(tokenizer)} tokens; the weights, "
            f"{config.vocab_size}. CheXbert's is bert-base-uncased"
        )
    if tokenizer.encode("Effusion") != tokenizer.encode("effusion"):
        raise WeightsError(
            f"the tokenizer '{name}' tells upper from lower case; CheXbert's is bert-base-uncased"
        )


def _load(path: Path, heads: int) -> CheXbertNetwork:
    """Build the network in the sizes of its weights, and fill it."""
    tensors = _read(path)
    config = _config(tensors, path, heads)
    with torch.random.fork_rng(devices=[]):  # first values are drawn, and overwritten at once
        network = CheXbertNetwork(config=config)
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise _misfit(path, f"lacks {_some(missing)}")
    if strange := sorted(tensors.keys() - wanted.keys()):
        raise _misfit(path, f"has {_some(strange)}, for which CheXbert has no place")
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape:
            raise _misfit(
                path,
                f"has {tuple(tensors[name].shape)} for '{name}'; expected {tuple(tensor.shape)}",
            )
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors by their names in CheXbert, without DataParallel's prefix."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch guesses of a file that it then refuses
            data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path} {_unreadable(error)}.\n{_HOW}") from error
    found = data.get("model_state_dict") if isinstance(data, Mapping) else None
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        held = ", ".join(map(str, data)) if isinstance(data, Mapping) else type(data).__name__
        raise _misfit(path, f"holds no 'model_state_dict' of tensors (it holds {_short(held)})")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_UNREAD)}


def _unreadable(error: Exception) -> str:
    """Say what is wrong with a file in our own words: torch's advise to read it unsafely."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return "is no checkpoint of PyTorch, or a damaged one"
    return (
        f"holds more than tensors ({found[1]}), which may run a program when it is read, and is "
        "not read"
    )


def _config(tensors: Mapping[str, Tensor], path: Path, heads: int) -> BertConfig:
    def size(name: str, axis: int) -> int:
        if name not in tensors or tensors[name].dim() != 2:
            raise _misfit(path, f"has no matrix '{name}'")
        return tensors[name].shape[axis]

    dim = size("bert.embeddings.word_embeddings.weight", 1)
    if heads < 1 or dim % heads:
        raise WeightsError(
            f"{path} is {dim} wide, which {heads} heads of attention cannot share. BERT-base is "
            "768 wide and has 12; set `heads` to what these weights were trained with"
        )
    layer = "bert.encoder.layer."
    numbers = {name.removeprefix(layer).split(".")[0] for name in tensors if name.startswith(layer)}
    return BertConfig(
        vocab_size=size("bert.embeddings.word_embeddings.weight", 0),
        hidden_size=dim,
        num_hidden_layers=len(numbers),
        num_attention_heads=heads,
        intermediate_size=size(f"{layer}0.intermediate.dense.weight", 0),
        max_position_embeddings=size("bert.embeddings.position_embeddings.weight", 0),
        type_vocab_size=size("bert.embeddings.token_type_embeddings.weight", 0),
    )


def _misfit(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path} is not CheXbert's: it {what}.\n{_HOW}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
