"""What a stack of layers keeps between decoding steps."""

from typing import final

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rrg_backbones.attention import KeysValues
from rrgcore.api import TrunkCache


@final
class Cache(TrunkCache):
    """Keys and values of the tokens held, by layer, and of the contexts they read.

    To take memory anew at every step, and move all that is held to it, took a third of a search.
    With `room` it is taken once, and rows that change places move only what is not theirs already:
    the beams of a study begin alike. Nothing learns from what is held.
    """

    def __init__(
        self, *, context: list[KeysValues | None], allowed: Bool[Tensor, "b 1 1 m"] | None
    ) -> None:
        self.length = 0
        self.context = context
        self.allowed = allowed
        self._held: list[Float[Tensor, "r 2 heads room c"] | None] = [None] * len(context)
        # which row wrote what a row holds: equal numbers in a column are equal keys and values
        self._writer: Int[Tensor, "r t"] | None = None
        first = next((item for item in context if item is not None), None)
        # which context each row reads: the beams of a study read one copy
        self._source = None if first is None else torch.arange(first.shape[1], device=first.device)

    def hold(self, layer: int, new: KeysValues) -> KeysValues:
        """Add a layer's next tokens and return all that it holds; `grow` once all layers have."""
        rows, last = new.shape[1], self.length + new.shape[3]
        new = rearrange(new.detach(), "kv r heads n c -> r kv heads n c")
        held = self._held[layer]
        if held is None or held.shape[3] < last:
            wider = new.new_empty(*new.shape[:3], max(last, self.room), new.shape[4])
            if held is not None:
                wider[:, :, :, : self.length] = held[:rows, :, :, : self.length]
            held = self._held[layer] = wider
        held[:rows, :, :, self.length : last] = new
        return rearrange(held[:rows, :, :, :last], "r kv heads t c -> kv r heads t c")

    def grow(self, new: Float[Tensor, "r n d"]) -> None:
        """Count tokens that every layer holds by now."""
        rows = torch.arange(len(new), device=new.device)[:, None].expand(-1, new.shape[1])
        self._writer = rows if self._writer is None else torch.cat([self._writer, rows], dim=1)
        self.length += new.shape[1]

    def select(self, rows: Int[Tensor, " s"]) -> None:
        """Keep these rows, in this order; contexts are copied only where rows leave their study."""
        if self._writer is not None:
            self._move(self._writer, rows)
        if self._source is not None:
            self._read(self._source, rows)

    def _move(self, writer: Int[Tensor, "r t"], rows: Int[Tensor, " s"]) -> None:
        """Bring to each row what it goes on from, as far as it holds something else."""
        self._writer = writer[rows]
        begins = 0
        if len(rows) <= len(writer):
            other = (self._writer != writer[: len(rows)]).any(0)
            begins = int(other.int().argmax()) if bool(other.any()) else self.length
        for layer, held in enumerate(self._held):
            if held is None or begins == self.length:
                continue
            moved = held[:, :, :, begins : self.length].index_select(0, rows)
            if len(rows) > len(held):
                held = held.new_empty(len(rows), *held.shape[1:])
                self._held[layer] = held
            held[: len(rows), :, :, begins : self.length] = moved

    def _read(self, source: Int[Tensor, " r"], rows: Int[Tensor, " s"]) -> None:
        """Let rows read the contexts of those they go on from."""
        read = source.unique_consecutive()
        kept, counts = source[rows].unique_consecutive(return_counts=True)
        if bool((counts != counts[0]).any()):
            kept, counts = source[rows], torch.ones_like(rows)
        self._source = torch.arange(len(kept), device=rows.device).repeat_interleave(counts)
        if torch.equal(kept, read):
            return
        self.context = [
            None if item is None else item.index_select(1, kept) for item in self.context
        ]
        if self.allowed is not None:
            self.allowed = self.allowed.index_select(0, kept)
