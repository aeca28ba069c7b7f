"""The world model (Section 4): encoder, latent dynamics, reward model and the representation objective."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from agent import objectives
from agent.config import Config
from agent.networks import Encoder, Scalar, embedding_size
from agent.objectives import kl_regulariser, unit_gaussian_loss
from agent.rssm import RSSM, State


class Batch(NamedTuple):
    """Sequences of experience, time-major. `actions[t]` led to `images[t]` and brought `rewards[t]`.

    images: [L, B, S, S, 3] uint8; actions: [L, B, A] float32; rewards: [L, B] float32. At the first observation of
    an episode action and reward are zero.
    """

    images: Tensor
    actions: Tensor
    rewards: Tensor


def preprocess(images: Tensor) -> Tensor:
    """uint8 images to floats in [-0.5, 0.5] (Appendix B)."""
    return images.to(torch.get_default_dtype()).div_(255).sub_(0.5)


class WorldModel(nn.Module):
    """p(s_t | s_{t-1}, a_{t-1}, o_t), q(s_t | s_{t-1}, a_{t-1}) and q(r_t | s_t) of Eq. 1, and their loss."""

    def __init__(self, config: Config, action_size: int) -> None:
        super().__init__()
        self.config = config
        self.feature_size = config.stochastic + config.deterministic
        self.encoder = Encoder(config.image_size, config.depth)
        self.rssm = RSSM(config, action_size, embedding_size(config.image_size, config.depth))
        self.reward = Scalar(self.feature_size, config.reward_layers, config.units)
        self.objective = objectives.build(config, self.feature_size)

    def loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, State, dict[str, Tensor]]:
        """The negative of Eq. 10 for a batch; noise: [L, B, S] standard normal.

        Returns the loss, the posterior states [L, B, ...] (with their graph) and metrics (scalars on the device).
        """
        images = preprocess(batch.images)
        length, size = images.shape[:2]
        embeddings = self.encoder(images.flatten(0, 1)).unflatten(0, (length, size))
        posterior, prior = self.rssm.observe(embeddings, batch.actions, noise, self.rssm.start(size))
        features = posterior.features
        objective, metrics = self.objective(features, images, embeddings)
        reward = unit_gaussian_loss(self.reward(features), batch.rewards)
        limited, kl = kl_regulariser(posterior, prior, self.config.free_nats, self.config.free_nats_per)
        loss = objective + reward + self.config.kl_scale * limited
        metrics |= {"model/loss": loss.detach(), "model/reward_loss": reward.detach(), "model/kl": kl.detach()}
        return loss, posterior, metrics
