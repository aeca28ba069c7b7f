"""Representation objectives (Section 4): what shapes the latent state besides the reward. Losses are in nats.

An objective is a module that is given the posterior states of a batch, the images they came from and the images'
embeddings, and returns its loss and the metrics worth recording. `build` makes the one that a config asks for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from agent.config import Config
from agent.distributions import gaussian_kl
from agent.networks import Decoder, Dense, embedding_size
from agent.rssm import State


def kl_regulariser(posterior: State, prior: State, free_nats: float, per: str) -> tuple[Tensor, Tensor]:
    """The KL term of Eq. 10, posterior against prior, with free nats; and the plain mean KL for the record.

    Below `free_nats` the regulariser is constant: for each time step's KL (`per` "step", as in PlaNet) or for the
    mean over batch and time ("mean", as in the released code). States are [L, B, ...]; returns two scalars.
    """
    kl = gaussian_kl(posterior.mean, posterior.std, prior.mean, prior.std)
    limited = kl.clamp(min=free_nats).mean() if per == "step" else kl.mean().clamp(min=free_nats)
    return limited, kl.mean()


def unit_gaussian_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood under a unit-variance Gaussian, without its constant (Eq. 10: images and rewards).

    Both [L, B, ...]; a sum over everything behind L and B, a mean over those: a scalar.
    """
    length, batch = target.shape[:2]
    return 0.5 * mse_loss(prediction, target, reduction="sum") / (length * batch)


class Reconstruction(nn.Module):
    """Eqs. 10-11: an image decoder q(o_t | s_t), a Gaussian of unit variance around its mean image."""

    def __init__(self, config: Config, features: int) -> None:
        super().__init__()
        self.decoder = Decoder(features, config.image_size, config.depth)

    def forward(self, features: Tensor, images: Tensor, embeddings: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """features: [L, B, F]; images: [L, B, S, S, 3] in [-0.5, 0.5]. The loss and its metrics, scalars."""
        decoded = self.decoder(features.flatten(0, 1)).unflatten(0, images.shape[:2])
        loss = unit_gaussian_loss(decoded, images)
        return loss, {"model/image_loss": loss.detach()}


class Contrastive(nn.Module):
    """Eqs. 12-13: a state model q(s_t | o_t), a Gaussian over the model state given one image's embedding.

    A CNN: the encoder's convolutions, then three dense layers. The model state is all of it, stochastic and
    deterministic.
    """

    LAYERS = 3  # Appendix B: "all other functions"

    def __init__(self, config: Config, features: int) -> None:
        super().__init__()
        self.min_std = config.min_std
        embedding = embedding_size(config.image_size, config.depth)
        self.state = Dense(embedding, 2 * features, self.LAYERS, config.units)

    def forward(self, features: Tensor, images: Tensor, embeddings: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """features: [L, B, F]; embeddings: [L, B, E]. The loss and its metrics, scalars."""
        mean, std = self.state(embeddings.flatten(0, 1)).chunk(2, -1)
        loss = info_nce(features.flatten(0, 1), mean, softplus(std) + self.min_std)
        return loss, {"model/contrastive_loss": loss.detach()}


def info_nce(states: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The negative of J_NCE in Eq. 12: -mean_i [log q(s_i | o_i) - log sum_j q(s_i | o_j)], the sum over all N images,
    its own included. states [N, F]; mean and std [N, F] of q(. | o_j). A scalar, log N for a state model that knows
    nothing.

    All N^2 log-densities are two matrix products of the expanded square, which is why they are taken in float64.
    """
    states, mean, std = states.double(), mean.double(), std.double()
    precision = std.pow(-2)
    per_image = (mean.square() * precision + 2 * std.log() + math.log(2 * math.pi)).sum(-1)
    distance = states.square() @ precision.t() - 2 * states @ (mean * precision).t()
    log_density = -0.5 * (distance + per_image)  # [N, N]: of state i given image j
    return (log_density.logsumexp(1) - log_density.diagonal()).mean().to(torch.get_default_dtype())


class RewardOnly(nn.Module):
    """No term of its own: the reward model and the KL are all that shapes the model state."""

    def forward(self, features: Tensor, images: Tensor, embeddings: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Zero, a scalar."""
        return features.new_zeros(()), {}


def build(config: Config, features: int) -> nn.Module:
    """The objective that `config` names; features: F."""
    match config.objective:
        case "reconstruction":
            return Reconstruction(config, features)
        case "contrastive":
            return Contrastive(config, features)
        case "reward":
            return RewardOnly()
    raise ValueError(config.objective)
