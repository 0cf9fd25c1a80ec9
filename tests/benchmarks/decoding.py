"""What the cache of a small BERT decoder is worth: the same reports, written with it and without.

Without it the trunk reads the whole text, and projects the image, again for every word.
"""

from functools import partial
from typing import final

import torch
from stopwatch import medians
from torch import Tensor

from rrg_backbones.bert import START, Bert
from rrg_backbones.transformer import Transformer
from rrgcore.api import Generated, Generation, Trunk, TrunkCache, Visual, WordTokenizer

STUDIES, PATCHES, DIM, WORDS, LENGTH = 16, 100, 128, 300, 60


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


def make_decoders() -> tuple[Bert, Bert]:
    """The same decoder twice, with the cache and without; its size is the small recipe's."""
    tokenizer = WordTokenizer(words=[f"word{i}" for i in range(WORDS)], special=(START,))
    trunk = Transformer(dim=DIM, depth=2, heads=4, norm="post", cross_layers="all")
    cached = Bert(tokenizer=tokenizer, trunk=trunk)
    uncached = Bert(tokenizer=tokenizer, trunk=Forgetful(trunk))
    uncached.embeddings, uncached.head = cached.embeddings, cached.head
    return cached.eval(), uncached.eval()


def ids(reports: list[Generated]) -> list[tuple[int, ...]]:
    return [report.ids for report in reports]


def main() -> None:
    torch.set_num_threads(1)  # threads wait for each other, and so for whatever else is running
    torch.manual_seed(0)
    cached, uncached = make_decoders()
    images = torch.randn(STUDIES, PATCHES, DIM)
    figures = []
    for beams, said in ((1, "greedily"), (3, "with 3 beams")):
        generation = Generation(beams=beams, max_new_tokens=LENGTH, min_new_tokens=LENGTH)
        # in double precision no rounding decides between two words
        exact = Visual(images.double())
        written = ids(cached.double().generate(exact, generation))
        assert written == ids(uncached.double().generate(exact, generation)), (
            "with a cache other reports are written than without one"
        )
        visual = Visual(images)
        seconds = medians(
            {
                "cached": partial(cached.float().generate, visual, generation),
                "uncached": partial(uncached.float().generate, visual, generation),
            },
            rounds=5,
        )
        ratio, milliseconds = seconds["uncached"] / seconds["cached"], 1000 * seconds["cached"]
        figures.append(f"{ratio:.1f} × as fast {said} ({milliseconds:.0f} ms)")
    print(
        f"decoding: with its cache {' and '.join(figures)}; "
        f"{STUDIES} reports of {LENGTH} words in a batch"
    )


if __name__ == "__main__":
    main()
