"""Llama as the report writer: frozen, reading the images as tokens of its own prompt."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rrg_backbones import llama2_extras as extras
from rrg_backbones.llama2_config import check_options, check_same, config_of
from rrg_backbones.llama2_loading import hold_still, load_llm, make_llm
from rrg_backbones.llama2_looking import attention_to
from rrg_backbones.llama2_prompt import (
    INSTRUCTION,
    WORDS,
    check_tokenizer,
    prompt_around,
    prompt_ids,
    unwritten_ids,
)
from rrg_backbones.llama2_scoring import score_words
from rrgcore.api import (
    AttendsWriting,
    Decoded,
    Decoder,
    EmbedsTokens,
    Encoded,
    Generated,
    Generation,
    Pretrained,
    TextEncoder,
    Tokenizer,
    Tokens,
    UserError,
    Visual,
    WeightsError,
)


@final
class Llama2(Decoder, TextEncoder, EmbedsTokens, AttendsWriting, Pretrained):
    """L_CE = −1/L Σ_i log p(x_i | X̃*, X_P, x_<i), of a language model that stands still.

    It reads `<s>Human: <Img>` X̃* `</Img> {prompt} \\nAssistant:` and the report. Only the report
    and its end are asked for, and words are scored nowhere else; the loss is a mean over them where
    eq. 5 prints a sum.

    `weights` are a folder or hub name of any Llama (or Mistral). Sizes come from their config.json
    and are left out; without weights, or where that file is nowhere to be had, `dim`, `depth`,
    `heads`, `kv_heads`, `hidden`, `vocabulary` and `max_tokens` state them, and what is left out is
    Llama-2-7B's. Random values that are `frozen` teach nothing: state `frozen: false` without
    weights.

    A `frozen` model is held and computes in `dtype`, stays in eval mode and lets gradients through
    to the visual tokens; in float16 small ones vanish, unless the stage's precision is fp16, which
    scales them. `checkpoint` keeps no activations inside layers and computes them twice. `quantize`
    holds the layers' linear maps in 8 or 4 bits (bitsandbytes, CUDA), `lora_rank` trains low-rank
    matrices beside `lora_targets` (peft).

    As a text encoder it is its input embeddings and their mean (docs/papers/cmeaa.md, C9). With a
    tokenizer of words, the words of the default `prompt` are in the vocabulary; another prompt's
    may be unknown.

    CmEAA, §2.1, eq. 5 and appendix A.3; the wrapper is R2GenGPT's (C18).
    """

    words = WORDS

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        weights: str | None = None,
        frozen: bool = True,
        prompt: str = INSTRUCTION,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        checkpoint: bool = False,
        quantize: Literal["8bit", "4bit"] | None = None,
        lora_rank: int = 0,
        lora_alpha: float = 16.0,
        lora_dropout: float = 0.1,
        lora_targets: tuple[str, ...] = ("q_proj", "v_proj"),
        dim: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        kv_heads: int | None = None,
        hidden: int | None = None,
        vocabulary: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        check_options(weights, frozen, dtype, quantize, lora_rank)
        sizes = {
            **{"dim": dim, "depth": depth, "heads": heads, "kv_heads": kv_heads},
            **{"hidden": hidden, "vocabulary": vocabulary, "max_tokens": max_tokens},
        }
        config = config_of(weights, sizes, tokens=len(tokenizer))
        check_tokenizer(tokenizer, weights, rows=config.vocab_size)
        self.tokenizer = tokenizer
        self.weights = weights
        self.frozen = frozen
        self.quantize = quantize
        self.checkpoint = checkpoint
        self.dtype = getattr(torch, dtype)
        self.dim = self.text_dim = self.token_dim = config.hidden_size
        positions = config.max_position_embeddings
        self.max_tokens = positions if max_tokens is None else max_tokens
        self.llm = make_llm(
            config, dtype=self.dtype, empty=weights is not None, checkpoint=checkpoint
        )
        if quantize is not None and self._table.is_meta:  # to count needs no package
            extras.say_bytes(self.llm, quantize)
        elif quantize is not None:
            extras.quantize_linears(self.llm, quantize, dtype=self.dtype)
        self.llm.requires_grad_(not frozen)
        if lora_rank:
            extras.add_lora(
                self.llm,
                rank=lora_rank,
                alpha=lora_alpha,
                dropout=lora_dropout,
                targets=lora_targets,
            )
        before, after = prompt_ids(tokenizer, prompt)
        self._before: Tensor
        self._after: Tensor
        # the options say them anew: no checkpoint holds them
        self.register_buffer("_before", torch.tensor(before, dtype=torch.long), persistent=False)
        self.register_buffer("_after", torch.tensor(after, dtype=torch.long), persistent=False)
        self.train()  # a frozen model is born in eval

    def forward(self, visual: Visual, report: Tokens) -> Decoded:
        """Return the mean loss of the tokens after the report's first, the end included (eq. 5)."""
        with self._precision:
            logprobs = self._logprobs(visual, report)
        count = report.mask[:, 1:].sum()
        return Decoded(-logprobs.sum() / count.clamp(min=1), count)

    @torch.no_grad()
    def generate(self, visual: Visual, generation: Generation) -> list[Generated]:
        """Write reports through transformers' `generate`, without special tokens; their
        log-probabilities are the model's own, of a second look at the finished texts.
        """
        from rrg_backbones.llama2_writing import framed, write_ids  # imports transformers' search

        training = self.training
        self.eval()  # a layer that computes its activations twice has no cache
        with self._precision:
            prefix, mask = self._prefix(visual)
            room = self._room(prefix.shape[1])
            shorter = replace(
                generation,
                max_new_tokens=min(generation.max_new_tokens, room),
                min_new_tokens=min(generation.min_new_tokens, room),
            )
            rows = write_ids(
                self.llm,
                prefix,
                mask.long(),
                end=self.tokenizer.sep_id,
                forbidden=self._forbidden,
                generation=shorter,
            )
            written = framed(rows, first=self.tokenizer.cls_id, device=prefix.device)
            logprobs = self._logprobs(visual, written).split([len(row) for row in rows])
        self.train(training)
        return [
            Generated(self.tokenizer.decode(row), tuple(row), tuple(own.tolist()))
            for row, own in zip(rows, logprobs, strict=True)
        ]

    def encode_text(self, tokens: Tokens) -> Encoded:
        """Return input embeddings, and the mean of those that are real (CmEAA, eq. 13; C9)."""
        embedded = self.embed_tokens(tokens.ids.masked_fill(~tokens.mask, 0))
        share = tokens.mask / tokens.mask.sum(1, keepdim=True).clamp(min=1)
        pooled = (embedded * share[..., None]).sum(1)
        return Encoded(embedded, pooled, tokens.mask)

    def embed_tokens(self, ids: Int[Tensor, "*b t"]) -> Float[Tensor, "*b t c"]:
        """Look up input embeddings, as float32 whatever the table is held in."""
        return F.embedding(ids, self._table).float()

    @torch.no_grad()
    def writing_attention(self, visual: Visual, report: Tokens) -> Float[Tensor, "b l heads s n"]:
        """Return how much of each step's self-attention falls on the image's tokens.

        They stand in the prompt; what is missing to one lies on its words and the report's.
        """
        training = self.training
        self.eval()
        with self._precision:
            inputs, positions, length = self._inputs(visual, report)
            weights = attention_to(
                self.llm,
                {"inputs_embeds": inputs, **positions},
                rows=slice(length - 1, None),
                columns=slice(len(self._before), length - len(self._after)),
            )
        self.train(training)
        return weights

    def load_weights(self) -> frozenset[str]:
        """Read `weights` in place, a tensor at a time; quantized, they go to the device at once."""
        assert self.weights is not None, "there are no weights to load"
        if self.quantize and (reason := extras.why_not_quantize(self.quantize)):
            raise WeightsError(reason)
        check_same(self.weights, self.llm.config)
        names = load_llm(self.llm, self.weights, place=self._place)
        return frozenset(f"llm.{name}" for name in names)

    def train(self, mode: bool = True) -> "Llama2":
        """Set the mode; a frozen model stays in eval, but for what LoRA and `checkpoint` do in
        training.
        """
        super().train(mode)
        if self.frozen:
            hold_still(self.llm, training=mode)
        return self

    # ---- the model ----------------------------------------------------------------------------

    @property
    def _table(self) -> Tensor:
        return self.llm.model.embed_tokens.weight

    @property
    def _precision(self) -> AbstractContextManager[object]:
        """A model held in half computes in half: autocast would cast its weights at every use."""
        if self.dtype == torch.float32 or self._table.is_meta:  # which autocast does not know
            return nullcontext()
        return torch.autocast(self._table.device.type, enabled=False)

    def _prefix(self, visual: Visual) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """Return what stands before the report, and where it is real."""
        before, after = (F.embedding(ids, self._table) for ids in (self._before, self._after))
        return prompt_around(visual, before, after)

    def _logprobs(self, visual: Visual, report: Tokens) -> Float[Tensor, " m"]:
        """Return the log-probability of each real token after the first, report by report."""
        inputs, positions, length = self._inputs(visual, report)
        hidden = self.llm.model(
            inputs_embeds=inputs, use_cache=False, **positions
        ).last_hidden_state
        asked = report.mask[:, 1:]
        return score_words(
            self.llm.lm_head, hidden[:, length - 1 :][asked], report.ids[:, 1:][asked]
        )

    def _inputs(
        self, visual: Visual, report: Tokens
    ) -> tuple[Float[Tensor, "b n d"], dict[str, Tensor], int]:
        """Return the prompt with its image and the report behind it, where they stand if that must
        be said, and how long the prompt is.
        """
        prefix, mask = self._prefix(visual)
        length = prefix.shape[1]
        # the last token names nothing that comes after it, and padding is read nowhere
        ids, real = report.ids[:, 1:-1], report.mask[:, 1:-1]
        self._room(length, needed=ids.shape[1])
        read = F.embedding(ids.masked_fill(~real, 0), self._table)
        positions: dict[str, Tensor] = {}
        if visual.mask is not None:  # else causal attention alone never looks at padding
            mask = torch.cat([mask, real], dim=1)
            positions = {
                "attention_mask": mask.long(),
                "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
            }
        return torch.cat([prefix, read], dim=1), positions, length

    def _room(self, prefix: int, *, needed: int = 1) -> int:
        """Return how many tokens of a report have positions; raises UserError for too few."""
        assert self.max_tokens is not None, "a Llama has an end"
        if prefix + needed > self.max_tokens:
            raise UserError(
                f"the prompt and the images take {prefix} tokens and the report {needed}; llama2 "
                f"has positions for {self.max_tokens}: raise max_tokens, or give it fewer tokens"
            )
        return self.max_tokens - prefix

    def _place(self, name: str, value: Tensor) -> bool:
        if self.quantize is None:
            return False
        device = torch.device("cuda", torch.cuda.current_device())
        return extras.place_quantized(self.llm, name, value, dtype=self.dtype, device=device)

    @cached_property
    def _forbidden(self) -> list[int]:
        return unwritten_ids(self.tokenizer, len(self._table))
