"""Online planning in latent space by the cross-entropy method (PlaNet, Hafner et al., 2018; the paper's baseline).

A plan is a Gaussian over action sequences. It is fitted, some iterations over, to those of its samples that the world
model promises most reward; the first action of its mean is taken, and the next decision plans anew. Choices where
PlaNet is silent: samples are clipped to [-1, 1] before they are tried and fitted to, as in its code; a sequence is
tried with one sample of the prior; the standard deviation of the elites is the population's.
Shapes: H planning horizon, J candidates, A action size, S stochastic size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agent.config import Config
from agent.returns import reward_sum
from agent.rssm import State
from agent.world_model import WorldModel


class Planner:
    """Acts by planning; learns nothing itself."""

    def __init__(self, config: Config, action_size: int) -> None:
        self.config, self.action_size = config, action_size

    def plan(self, world_model: WorldModel, state: State, noise: Callable[..., Tensor]) -> Tensor:
        """The mean of the best action sequences from `state` [1, ...]: [H, A], in [-1, 1].

        noise: gives standard normal tensors of a shape.
        """
        config = self.config
        start = State(*(part.expand(config.candidates, -1) for part in state))
        mean = torch.zeros(config.horizon, 1, self.action_size, device=state.stochastic.device)
        std = torch.ones_like(mean)
        for _ in range(config.iterations):
            proposals = noise(config.horizon, config.candidates, self.action_size)
            actions = (mean + std * proposals).clamp(-1, 1)
            state_noise = noise(config.horizon, config.candidates, config.stochastic)
            imagined = world_model.rssm.imagine(start, actions, state_noise)
            returns = reward_sum(world_model.reward(imagined.features))[0]
            elites = actions[:, returns.topk(config.elites).indices]
            std, mean = torch.std_mean(elites, dim=1, correction=0, keepdim=True)
        return mean.squeeze(1)
