"""An adapter that gives the decoder fewer tokens to read."""

from torch import nn
from torch.nn.functional import avg_pool1d

from rrgcore.api import Adapter, Encoded, Visual


class PoolAdapter(Adapter):
    """H_j = W · mean of the tokens x_{s·j} … x_{s·j+s-1}, for a stride s.

    Tokens of an absent view do not count; a mean of nothing else is masked.
    """

    def __init__(self, *, image_dim: int, visual_dim: int, stride: int = 7) -> None:
        super().__init__()
        self.stride = stride
        self.project = nn.Linear(image_dim, visual_dim)

    def forward(self, image: Encoded, prepared: None = None) -> Visual:
        """Average what is real of each stretch of tokens."""
        tokens = image.tokens  # [b n d]
        if image.mask is None:
            return Visual(self.project(self._pool(tokens)))
        weights = image.mask[..., None].to(tokens)  # 1 where a token is real, else 0
        share = self._pool(weights)  # of the tokens under each mean, how many are real
        mean = self._pool(tokens * weights) / share.clamp(min=1e-6)
        return Visual(self.project(mean), share[..., 0] > 0)

    def _pool(self, x):
        return avg_pool1d(x.mT, self.stride, ceil_mode=True).mT
