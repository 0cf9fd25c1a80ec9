"""A joint space of two linear maps."""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from rrgcore.api import JointSpace


@final
class Projections(JointSpace):
    """f_I = W_I·[CLS]_I / ‖·‖ and f_R = W_R·[CLS]_R / ‖·‖, each with a bias (KIA, §3.3; ALBEF)."""

    def __init__(self, *, image_dim: int, text_dim: int, dim: int = 256) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim is {dim}; expected a width above 0")
        self.dim = dim
        self.image = nn.Linear(image_dim, dim)
        self.text = nn.Linear(text_dim, dim)

    def project_image(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map an image's summary to the space, at unit length."""
        return normalize(self.image(pooled), dim=-1)

    def project_text(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Map a text's summary to the space, at unit length."""
        return normalize(self.text(pooled), dim=-1)
