"""What the cache of a BERT decoder is worth: the same reports by transformers, and without a cache.

One set of weights: a `BertLMHeadModel` with cross-attention, saved, and read by `bert`. All of them
write the same texts. Without a cache the trunk reads the whole text, and projects the image for
each beam, again for every word: as R2Gen does.
"""

import tempfile
from functools import partial
from typing import final

import torch
from rows import at_least, tell
from stopwatch import clock, medians, use_threads
from torch import Tensor
from transformers import BertConfig, BertLMHeadModel, DynamicCache, EncoderDecoderCache
from transformers.utils import logging

from rrg_backbones.bert import START, Bert
from rrg_backbones.transformer import Transformer
from rrgcore.api import Generation, Trunk, TrunkCache, Visual, WordTokenizer

STUDIES, DIM, HEADS, DEPTH, VOCABULARY, LENGTH, BEAMS = 16, 512, 8, 3, 1_000, 60, 3
SHORT = 20
"""Words of the reports that are compared with those of a decoder without a cache."""
IMAGES = (197, 49)
"""Visual tokens: a ViT-B/16's of 224 pixels, and a Swin's. The table has the first."""


@final
class Everything(TrunkCache):
    """All that was read, and nothing that was made of it."""

    def __init__(self, context: Tensor) -> None:
        self.length = 0
        self.context = context
        self.x = context.new_empty(len(context), 0, DIM)

    def select(self, rows: Tensor) -> None:
        self.x, self.context = self.x[rows], self.context[rows]


@final
class Forgetful(Trunk):
    """A trunk that keeps nothing between decoding steps."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.dim, self.context_dim = trunk.dim, trunk.context_dim
        self.heads, self.norm = trunk.heads, trunk.norm

    def forward(self, x: Tensor, **options: Tensor | bool | None) -> Tensor:
        return self.trunk(x, **options)

    def begin(
        self, context: Tensor | None = None, context_mask: Tensor | None = None
    ) -> TrunkCache:
        assert context is not None, "a report is written of an image"
        assert context_mask is None, "every study here has all its images"
        return Everything(context)

    def extend(self, x: Tensor, cache: TrunkCache) -> Tensor:
        assert isinstance(cache, Everything), "a cache goes back to the trunk that began it"
        cache.x = torch.cat([cache.x, x], dim=1)
        cache.length = cache.x.shape[1]
        return self.trunk(cache.x, context=cache.context, causal=True)[:, -x.shape[1] :]

    def attention(self, x: Tensor, **options: Tensor | bool | None) -> Tensor:
        return self.trunk.attention(x, **options)


def make_decoders() -> tuple[Bert, Bert, BertLMHeadModel]:
    """The same decoder with a cache, without one, and as transformers has it."""
    special = len(WordTokenizer(words=[], special=(START,)))
    words = [f"word{i}" for i in range(VOCABULARY - special)]
    tokenizer = WordTokenizer(words=words, special=(START,))
    theirs = BertLMHeadModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=DIM,
            num_hidden_layers=DEPTH,
            num_attention_heads=HEADS,
            intermediate_size=4 * DIM,
            initializer_range=0.08,  # large enough that words depend on the image
            is_decoder=True,
            add_cross_attention=True,
        )
    ).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        decoders = []
        for keeps in (True, False):
            trunk = Transformer(dim=DIM, depth=DEPTH, heads=HEADS, cross_layers="all")
            bert = Bert(tokenizer=tokenizer, trunk=trunk, weights=folder)
            bert.load_weights()
            # to a published BERT [START] is a stranger, and gets a value of its own
            bert.embeddings.word.weight.data = theirs.get_input_embeddings().weight.data.clone()
            if not keeps:
                bert.trunk = Forgetful(trunk)
            decoders.append(bert.eval())
    cached, uncached = decoders
    return cached, uncached, theirs


def write_with(theirs: BertLMHeadModel, bert: Bert, images: Tensor, length: int) -> list[list[int]]:
    """Let transformers write, under the rules of `bert`."""
    tokenizer = bert.tokenizer
    first = torch.full((len(images), 1), tokenizer.id_of(START))
    return theirs.generate(
        first,
        attention_mask=torch.ones_like(first),
        encoder_hidden_states=images,
        past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
        use_cache=True,
        do_sample=False,
        num_beams=BEAMS,
        min_new_tokens=length,
        max_new_tokens=length,
        suppress_tokens=bert._forbidden,
        pad_token_id=tokenizer.pad_id,
        eos_token_id=tokenizer.sep_id,
    )[:, 1:].tolist()


def check_alike(cached: Bert, uncached: Bert, theirs: BertLMHeadModel, images: Tensor) -> None:
    """Compare what all three write, in double precision: no rounding decides between two words."""
    for decoder in (cached, uncached, theirs):
        decoder.double()
    visual = Visual(images.double())
    written = ids(cached, visual, LENGTH)
    assert written == write_with(theirs, cached, visual.tokens, LENGTH), "transformers differs"
    assert ids(cached, visual, SHORT) == ids(uncached, visual, SHORT), "without a cache it differs"
    assert len({tuple(row) for row in written}) > 1, "every image has the same report"
    for decoder in (cached, uncached, theirs):
        decoder.float()


def ids(bert: Bert, visual: Visual, length: int) -> list[list[int]]:
    generation = Generation(beams=BEAMS, min_new_tokens=length, max_new_tokens=length)
    return [list(report.ids) for report in bert.generate(visual, generation)]


def main() -> None:
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    use_threads()
    torch.manual_seed(0)
    cached, uncached, theirs = make_decoders()
    generation = Generation(beams=BEAMS, min_new_tokens=LENGTH, max_new_tokens=LENGTH)
    found: dict[int, dict[str, float]] = {}
    for tokens in IMAGES:
        images = torch.randn(STUDIES, tokens, DIM)
        check_alike(cached, uncached, theirs, images)
        visual = Visual(images)
        calls = {
            "cached": partial(cached.generate, visual, generation),
            "theirs": partial(write_with, theirs, cached, images, LENGTH),
        }
        found[tokens] = medians(calls, rounds=7, clock=clock)
        if tokens == IMAGES[0]:
            calls = {
                "cached": calls["cached"],
                "uncached": partial(uncached.generate, visual, generation),
            }
            again = medians(calls, rounds=5, uncounted=0, clock=clock)
            saved = again["uncached"] / again["cached"]
    faster, faster_49 = (each["theirs"] / each["cached"] for each in found.values())
    what = (
        f"`bert` decoder, beam {BEAMS}, {LENGTH} new tokens, batch {STUDIES}, width {DIM}, "
        f"{DEPTH} layers"
    )
    milliseconds = 1000 * found[IMAGES[0]]["cached"] / STUDIES
    tell(
        f"decoding: {faster:.2f} × as fast as transformers with its cache ({faster_49:.2f} × of "
        f"{IMAGES[1]} visual tokens), {saved:.1f} × as fast as without one; "
        f"{milliseconds:.0f} ms a report of {LENGTH} words",
        [
            at_least(
                f"{what}, {IMAGES[0]} visual tokens",
                "transformers' `BertLMHeadModel.generate` with cross-attention and cache, same "
                "weights, same output",
                1.5,
                faster,
                f"{faster_49:.2f} × of {IMAGES[1]} visual tokens",
            ),
            at_least(
                "the same, per report",
                "the whole prefix read again at each step, as R2Gen does",
                15,
                saved,
                f"{milliseconds:.0f} ms a report",
            ),
        ],
    )


if __name__ == "__main__":
    main()
