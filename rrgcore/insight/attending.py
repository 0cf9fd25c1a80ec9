"""Where a model looks at an image for each word: attention laid on the patches of each view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, final

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from rrgcore.features import Features
from rrgcore.interfaces import Attends, AttendsWriting, KeepsPlaces, Lacks, check_capability
from rrgcore.model import ReportModel
from rrgcore.types import Batch, Tokens, pad_sequences

Step = Literal["writes", "reads"]
"""Of a word's two steps, which is asked: the one that names it, or the one that then reads it."""


@final
@dataclass(frozen=True, slots=True)
class Heads:
    """Which layers and heads a map is a mean over; all of them where it says none."""

    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.layers is None and self.heads is None:
            return "all layers and heads"
        layers = "all layers" if self.layers is None else f"layer {_listed(self.layers)}"
        heads = "all heads" if self.heads is None else f"head {_listed(self.heads)}"
        return f"{layers}, {heads}"


ALL = Heads()


@final
@dataclass(frozen=True, slots=True)
class Attended:
    """Where the words of one text looked."""

    words: tuple[str, ...]
    weights: Float[np.ndarray, "l heads words views rows columns"]
    """As the model has them: what is missing to one lies on other tokens than patches, and the
    patches of a view that the study lacks have none. The mean over a word's tokens.
    """

    def maps(self, heads: Heads = ALL) -> Float[np.ndarray, "words views rows columns"]:
        """Return a map a word that sums to one over all patches of all views.

        Weights are averaged as they are, so a layer or head counts by how much it looks at all.
        """
        mean = self._mean(heads)
        total = mean.sum((1, 2, 3), keepdims=True)
        maps: Float[np.ndarray, "words views rows columns"] = mean / np.where(total > 0, total, 1)
        return maps

    def share(self, heads: Heads = ALL) -> Float[np.ndarray, " words"]:
        """Return how much of each word's attention falls on patches."""
        shares: Float[np.ndarray, " words"] = self._mean(heads).sum((1, 2, 3))
        return shares

    def __getitem__(self, words: Sequence[int]) -> "Attended":
        """Select words."""
        return Attended(tuple(self.words[word] for word in words), self.weights[:, :, list(words)])

    def _mean(self, heads: Heads) -> Float[np.ndarray, "words views rows columns"]:
        chosen = self.weights
        if heads.layers is not None:
            chosen = chosen[list(heads.layers)]
        if heads.heads is not None:
            chosen = chosen[:, list(heads.heads)]
        mean: Float[np.ndarray, "words views rows columns"] = chosen.mean((0, 1))
        return mean


def check_attends_writing(model: ReportModel) -> None:
    """Raise Lacks, saying why, unless the writing decoder's looks can be laid on the image."""
    if not isinstance(model.parts.decoder, AttendsWriting):
        raise Lacks("does not tell where it looks as it writes (AttendsWriting)")
    check_capability(model.parts.decoder, AttendsWriting)
    if not isinstance(model.parts.adapter, KeepsPlaces):
        raise Lacks(
            "reads visual tokens of an adapter that does not promise to keep their places "
            "(KeepsPlaces): nobody can say which patch one is"
        )


@torch.no_grad()
def attend_writing(
    model: ReportModel,
    batch: Batch,
    reports: Sequence[Sequence[int]],
    *,
    step: Step = "writes",
) -> list[Attended]:
    """Return where the decoder looked for each word of reports, one a study of the batch.

    A report is the ids that were written (`Generated.ids`), its end included or not. Raises Lacks
    where the model cannot tell (`check_attends_writing`).
    """
    check_attends_writing(model)
    decoder = model.parts.decoder
    tokenizer = decoder.tokenizer
    rows = [[tokenizer.cls_id, *ids] for ids in reports]
    mask = pad_sequences([[1] * len(row) for row in rows], 0).bool()
    report = Tokens(pad_sequences(rows, tokenizer.pad_id), mask)
    device = batch.images.device
    features = Features(model.parts, batch)
    training = model.training
    model.eval()
    weights = cast(AttendsWriting, decoder).writing_attention(
        features.visual, Tokens(report.ids.to(device), report.mask.to(device))
    )
    model.train(training)
    placed = place(weights, model, batch)
    found = []
    for row, ids in enumerate(reports):
        text, words = words_of_tokens(tokenizer.decode, ids)
        # row i of the weights is of the step that names written token i and has read token i - 1;
        # of a report that was cut, no step reads the last token
        later = step == "reads"
        tokens = [[min(token + later, len(ids) - 1) for token in each] for each in words]
        found.append(Attended(text, _merged(placed[row], tokens)))
    return found


@torch.no_grad()
def attend_reading(
    model: ReportModel,
    batch: Batch,
    texts: Tokens,
    asked: Sequence[Sequence[Sequence[int]]] | None = None,
) -> list[Attended]:
    """Return where T-CMEnc looks for words of texts that it reads with the images.

    `asked` are the tokens of each word in each text, `[MASK]`s say; without, every word that they
    spell. Raises Lacks for a text encoder that cannot tell.
    """
    encoder = model.parts.text_encoder
    check_capability(encoder, Attends)
    training = model.training
    model.eval()
    weights = cast(Attends, encoder).attention(texts, Features(model.parts, batch).image)
    model.train(training)
    placed = place(weights, model, batch)
    found = []
    for row, (ids, mask) in enumerate(zip(texts.ids.tolist(), texts.mask.tolist(), strict=True)):
        decode = encoder.tokenizer.decode
        if asked is None:
            text, words = words_of_tokens(decode, ids[: sum(mask)])
        else:
            words = [list(tokens) for tokens in asked[row]]
            text = tuple(decode([ids[at] for at in tokens]) or "[MASK]" for tokens in words)
        found.append(Attended(text, _merged(placed[row], words)))
    return found


def place(
    weights: Float[Tensor, "b l heads s n"], model: ReportModel, batch: Batch
) -> Float[Tensor, "b l heads s v r c"]:
    """Lay weights over the encoder's tokens on the patches of each view.

    Patches come last, row by row. Where views were averaged into one, each view that is there gets
    an equal part of a patch's weight. Raises Lacks where there are more or fewer tokens than the
    encoder makes.
    """
    rows, columns = model.parts.encoder.grid
    views = batch.present.shape[1]
    apart = views if model.parts.views == "concat" else 1
    count = weights.shape[-1]
    if count % apart or count // apart < rows * columns:
        raise Lacks(
            f"attends to {count} visual tokens, which are not the {rows} × {columns} patches of "
            f"{apart} view(s): nobody can say which patch one is"
        )
    split = rearrange(weights, "b l h s (v n) -> b l h s v n", v=apart)[..., -rows * columns :]
    placed = rearrange(split, "b l h s v (r c) -> b l h s v r c", r=rows)
    if apart != views:
        share = batch.present / batch.present.sum(1, keepdim=True)
        placed = torch.einsum("blhsrc,bv->blhsvrc", placed[:, :, :, :, 0], share.to(placed))
    here: Bool[Tensor, "b 1 1 1 v 1 1"] = rearrange(batch.present, "b v -> b 1 1 1 v 1 1")
    return placed * here


def words_of_tokens(
    decode: Callable[[Sequence[int]], str], ids: Sequence[int]
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return the words that tokens spell, cut at white space, and the tokens of each.

    What decodes to nothing belongs to no word. The tokens' own text tells, so that it holds for any
    tokenizer, and for what was written rather than what the tokenizer would have made of it.
    """
    whole = decode(ids)
    ends = [_shared(decode(ids[: count + 1]), whole) for count in range(len(ids))]
    words: list[str] = []
    tokens: list[list[int]] = []
    at = 0
    for word in whole.split():
        start = whole.index(word, at)
        at = start + len(word)
        words.append(word)
        tokens.append(
            [
                token
                for token, (first, last) in enumerate(zip([0, *ends], ends, strict=False))
                if first < at and last > start
            ]
        )
    return tuple(words), tokens


def _merged(
    placed: Float[Tensor, "l heads s v r c"], words: Sequence[Sequence[int]]
) -> Float[np.ndarray, "l heads words v r c"]:
    """Average the tokens of each word."""
    if not words:
        return placed[:, :, :0].cpu().float().numpy()
    rows = [placed[:, :, list(tokens)].mean(2) for tokens in words]
    return torch.stack(rows, dim=2).cpu().float().numpy()


def _shared(text: str, whole: str) -> int:
    """Count the characters with which both begin."""
    for at, (one, other) in enumerate(zip(text, whole, strict=False)):
        if one != other:
            return at
    return min(len(text), len(whole))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
