"""The Donsker-Varadhan bound on mutual information, and its gradient without a minibatch's bias."""

from math import log, log1p

import torch
from jaxtyping import Float
from torch import Tensor


def log_mean_exp(t: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """Return log(1/m Σ e^t), whatever the size of t."""
    return t.logsumexp(0) - log(len(t))


def donsker_varadhan(
    joint: Float[Tensor, " b"], marginal: Float[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Return mean T − log mean e^T̄, the critic's T of pairs and T̄ of what was paired at random.

    CmEAA, eq. 11-12. With pairs in both places, as algorithm 1 is printed, it could never exceed 0.
    """
    return joint.mean() - log_mean_exp(marginal)


def follow(
    average: Float[Tensor, "*n"], log_mean: Float[Tensor, "*n"], *, rate: float
) -> Float[Tensor, "*n"]:
    """Return the log of (1 − rate) · ema + rate · mean e^T̄, from and in logs: no e^T is formed."""
    return torch.logaddexp(average + log1p(-rate), log_mean + log(rate))


def corrected(
    joint: Float[Tensor, " b"], marginal: Float[Tensor, " m"], average: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return mean T − mean e^T̄ / ema, whose gradient is the bound's with ema in place of a mean.

    A minibatch's own mean in the denominator biases the gradient (Belghazi et al., 2018, §3.2).
    `average` is the log of ema.
    """
    return joint.mean() - (log_mean_exp(marginal) - average).exp()
