"""Closed forms for the two distributions in use: the diagonal Gaussian and its tanh-transform.

torch.distributions is the oracle in the tests; here its per-call overhead and validation would dominate small models.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def gaussian_kl(mean: Tensor, std: Tensor, mean_to: Tensor, std_to: Tensor) -> Tensor:
    """KL[N(mean, std^2) || N(mean_to, std_to^2)] in nats, summed over the last axis: [..., S] -> [...]."""
    ratio = (std / std_to).square()
    distance = ((mean - mean_to) / std_to).square()
    return 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)


def gaussian_entropy(std: Tensor) -> Tensor:
    """Entropy of a diagonal Gaussian in nats: [..., S] -> [...]."""
    return (0.5 + 0.5 * math.log(2 * math.pi) + std.log()).sum(-1)


def tanh_log_density(raw: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log-density of action = tanh(raw), raw ~ N(mean, std^2) (Eq. 3), summed over the last axis.

    Takes `raw`, not the action: the inverse of tanh has no finite value at +-1, where float32 actions do arrive.
    log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)) holds without cancellation. [..., A] -> [...].
    """
    log_normal = -0.5 * ((raw - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
    log_slope = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
    return (log_normal - log_slope).sum(-1)
