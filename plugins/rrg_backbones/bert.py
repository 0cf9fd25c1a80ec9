"""KIA's text encoders and decoder: one set of embeddings, one trunk, three ways to run it."""

from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rrg_backbones.beam import Writer, beam_search
from rrg_backbones.init import reset
from rrg_backbones.sampling import sample_texts
from rrg_backbones.weights import set_parameters
from rrg_backbones.weights_bert import read_bert
from rrgcore.api import (
    Attends,
    AttendsWriting,
    CrossModal,
    Decoded,
    Decoder,
    EmbedsTokens,
    Encoded,
    Generated,
    Generation,
    MayLack,
    Pretrained,
    TextGivenImage,
    Tokenizer,
    Tokens,
    Trunk,
    TrunkCache,
    UserError,
    Visual,
)

START = "[START]"


@final
class Bert(
    Decoder,
    TextGivenImage,
    EmbedsTokens,
    Attends,
    AttendsWriting,
    CrossModal,
    Pretrained,
    MayLack,
):
    """X_0 = LN(word + position + type), then a trunk: T-Enc alone, T-CMEnc with an image, T-Dec.

    L_RG = −1/N Σ_i log P(x_i | x_<i, v): the report is read with [START] in place of its [CLS]
    (BLIP's habit) and each position names the next token, [SEP] the last of them. It is a mean
    where eq. 8 prints a sum, so that the five terms stay comparable. Words are scored by BERT's own
    head, tied to the word embedding.

    T-CMEnc is the same trunk, or `cross_trunk` where nothing is to be shared. `vocabulary` is the
    rows of the word embedding where weights have more than the tokenizer. A `post` trunk gets
    normalised embeddings, as BERT's; a `pre` trunk normalises them itself, as GPT-2's. `weights`
    are a Hugging Face BERT, by name, file or folder, and need `norm: post`.

    KIA, §3.1, eq. 1 and 8.
    """

    special_tokens = (START,)

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        trunk: Trunk,
        cross_trunk: Trunk | None = None,
        vocabulary: int | None = None,
        max_tokens: int = 512,
        weights: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        rows = len(tokenizer) if vocabulary is None else vocabulary
        if rows < len(tokenizer):
            raise UserError(
                f"vocabulary {rows} is too small for the tokenizer: it has {len(tokenizer)} tokens"
            )
        if cross_trunk is not None and cross_trunk.dim != trunk.dim:
            raise UserError(f"cross_trunk has dim {cross_trunk.dim}; the trunk has {trunk.dim}")
        self.tokenizer = tokenizer
        self.weights = weights
        self.max_tokens = max_tokens
        self.text_dim = self.token_dim = trunk.dim
        self.dim = trunk.context_dim or trunk.dim
        self.trunk = trunk
        self.cross_trunk = cross_trunk
        self.embeddings = TextEmbeddings(
            rows=rows, max_tokens=max_tokens, dim=trunk.dim, norm=trunk.norm, dropout=dropout
        )
        self.head = WordHead(rows=rows, dim=trunk.dim)
        self._start = tokenizer.id_of(START)

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        """Return the mean loss of the tokens after [START], the [SEP] included (KIA, eq. 8)."""
        # padding is at the end, where a causal text never looks: no mask, and the faster attention
        hidden = self.trunk(
            self.embeddings(report.with_first(self._start).ids[:, :-1]),
            context=visual.tokens,
            context_mask=visual.mask,
            causal=True,
        )
        real = report.mask[:, 1:]
        logits = self.token_logits(hidden[real])
        count = real.sum()
        total = F.cross_entropy(logits.float(), report.ids[:, 1:][real], reduction="sum")
        return Decoded(total / count.clamp(min=1), count)

    @torch.no_grad()
    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        """Write reports of at most `max_tokens` tokens, without special tokens or unknown words."""
        write = sample_texts if generation.sample else beam_search
        most = min(generation.max_new_tokens, self.max_tokens)
        found = write(
            _Writer(self, visual, most),
            torch.full((len(visual.tokens),), self._start, device=visual.tokens.device),
            end=self.tokenizer.sep_id,
            forbidden=self._forbidden,
            generation=replace(generation, max_new_tokens=most),
        )
        return [
            Generated(self.tokenizer.decode(best.ids), best.ids, best.logprobs) for best in found
        ]

    def encode_text(self, tokens: Tokens) -> Encoded:
        """Encode texts alone (T-Enc); the summary is position 0."""
        hidden = self.trunk(self.embeddings(tokens.ids), mask=tokens.mask)
        return Encoded(hidden, hidden[:, 0], tokens.mask)

    def encode_text_given(self, tokens: Tokens, image: Encoded) -> Encoded:
        """Encode texts with the images' tokens (T-CMEnc)."""
        hidden = self._reader(
            self.embeddings(tokens.ids),
            mask=tokens.mask,
            context=image.tokens,
            context_mask=image.mask,
        )
        return Encoded(hidden, hidden[:, 0], tokens.mask)

    def token_logits(self, hidden: Float[Tensor, "m d"]) -> Float[Tensor, "m vocab"]:
        """Score every word at gathered positions."""
        return self.head(hidden, self.embeddings.word.weight)

    def embed_tokens(self, ids: Int[Tensor, "*b t"]) -> Float[Tensor, "*b t c"]:
        """Look up word embeddings, without position or norm."""
        return self.embeddings.word(ids)

    def attention(self, tokens: Tokens, image: Encoded) -> Float[Tensor, "b l heads t n"]:
        """Return where T-CMEnc looks at the image, for each token."""
        return self._reader.attention(
            self.embeddings(tokens.ids),
            mask=tokens.mask,
            context=image.tokens,
            context_mask=image.mask,
        )

    def writing_attention(self, visual: Visual, report: Tokens) -> Float[Tensor, "b l heads s n"]:
        """Return where T-Dec looks at the image, for each token that it names."""
        return self.trunk.attention(
            self.embeddings(report.with_first(self._start).ids[:, :-1]),
            context=visual.tokens,
            context_mask=visual.mask,
            causal=True,
        )

    def load_weights(self) -> frozenset[str]:
        """Read `weights`; cross-attention and the rows of added tokens keep their random values."""
        assert self.weights is not None, "there are no weights to load"
        trunks = {"trunk": self.trunk}
        if self.cross_trunk is not None:
            trunks["cross_trunk"] = self.cross_trunk
        values = read_bert(
            self.weights,
            trunks=trunks,
            tokenizer=self.tokenizer,
            max_tokens=self.max_tokens,
            words=self.embeddings.word.weight,
            bias=self.head.bias,
        )
        return set_parameters(self, values, self.weights)

    def cross_modal(self) -> list[nn.Module]:
        """Return what T-Enc does without: the head, and a `cross_trunk` of its own."""
        separate = self.cross_trunk is not None and self.cross_trunk is not self.trunk
        return [self.head, *([self._reader] if separate else [])]

    def lacks(self, capability: type) -> str | None:
        """Say that no layer of the trunk reads an image."""
        if capability in (Decoder, AttendsWriting) and not self.trunk.context_dim:
            return "reads no image: set cross_layers: all in its trunk"
        if capability in (TextGivenImage, Attends) and not self._reader.context_dim:
            return "reads no image: set cross_layers: all in its trunk, or give it a cross_trunk"
        return None

    @property
    def _reader(self) -> Trunk:
        return self.trunk if self.cross_trunk is None else self.cross_trunk

    @cached_property
    def _forbidden(self) -> list[int]:
        """Ids that are never written: special tokens but [SEP], [UNK], rows that are no token."""
        size = len(self.tokenizer)
        ids = {id for id in range(size) if not self.tokenizer.decode([id])}
        with suppress(KeyError):
            ids.add(self.tokenizer.id_of("[UNK]"))
        ids.update(range(size, self.embeddings.word.num_embeddings))
        return sorted(ids - {self.tokenizer.sep_id})


@final
class TextEmbeddings(nn.Module):
    """BERT's: word + position + type, normalised where the trunk wants it so."""

    def __init__(self, *, rows: int, max_tokens: int, dim: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.word = nn.Embedding(rows, dim)
        self.position = nn.Embedding(max_tokens, dim)
        self.token_type = nn.Embedding(2, dim)
        self.norm = nn.LayerNorm(dim, 1e-12) if norm == "post" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        for table in (self.word, self.position, self.token_type):
            nn.init.trunc_normal_(table.weight, std=0.02)

    def forward(self, ids: Int[Tensor, "b t"], *, first: int = 0) -> Float[Tensor, "b t d"]:
        """Embed tokens whose positions begin at `first`."""
        last = first + ids.shape[1]
        if last > self.position.num_embeddings:
            raise UserError(
                f"a text of {last} tokens, and positions for {self.position.num_embeddings}: "
                "set max_tokens of bert, or data.max_report_tokens"
            )
        x = self.word(ids) + (self.position.weight[first:last] + self.token_type.weight[0])
        return self.dropout(self.norm(x))


@final
class WordHead(nn.Module):
    """BERT's masked-word head: dense, GELU, LN, then the word embedding once more, and a bias."""

    def __init__(self, *, rows: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, 1e-12)
        self.bias = nn.Parameter(torch.zeros(rows))
        reset(self, dim=dim)

    def forward(
        self, hidden: Float[Tensor, "m d"], words: Float[Tensor, "vocab d"]
    ) -> Float[Tensor, "m vocab"]:
        """Score every word."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), words, self.bias)


@final
class _Writer(Writer):
    """T-Dec in the course of writing: the images projected once, a cache for what is written."""

    def __init__(self, bert: Bert, visual: Visual, most: int) -> None:
        self.bert = bert
        self.cache: TrunkCache = bert.trunk.begin(visual.tokens, visual.mask)
        self.cache.room = most

    def step(self, tokens: Int[Tensor, " r"]) -> Float[Tensor, "r vocab"]:
        x = self.bert.embeddings(tokens[:, None], first=self.cache.length)
        return self.bert.token_logits(self.bert.trunk.extend(x, self.cache)[:, 0])

    def select(self, rows: Int[Tensor, " s"]) -> None:
        self.cache.select(rows)
