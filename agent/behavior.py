"""Behaviour learning in imagination (Section 3): action model, value model and their losses.

Shapes: H horizon, N = L * B start states, F feature size, A action size. Choices where the paper is silent: the
action model reads detached features, as in the released code, so a trajectory's gradient reaches it through its
actions alone; both losses are means over time and trajectories, not sums (Adam does not feel the factor).
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent.config import Config
from agent.distributions import gaussian_entropy, tanh_log_density
from agent.networks import Dense, Scalar
from agent.returns import lambda_return, n_step_return, reward_sum
from agent.rssm import State
from agent.world_model import WorldModel


class ActionModel(Dense):
    """q(a_t | s_t), Eqs. 2-3: a tanh-transformed Gaussian."""

    def __init__(self, config: Config, features: int, action_size: int) -> None:
        super().__init__(features, 2 * action_size, config.action_layers, config.units)
        self.scale, self.min_std = config.action_mean_scale, config.action_min_std
        # softplus(0 + offset) = action_init_std: the standard deviation before any training
        self.offset = math.log(math.expm1(config.action_init_std))

    def gaussian(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation before the tanh: [..., F] -> two of [..., A]."""
        mean, std = super().forward(features).chunk(2, -1)
        if self.scale:
            mean = self.scale * torch.tanh(mean / self.scale)
        return mean, F.softplus(std + self.offset) + self.min_std

    def mode(self, features: Tensor) -> Tensor:
        """The action without noise, tanh(mean): [..., F] -> [..., A]."""
        return torch.tanh(self.gaussian(features)[0])

    def best(self, features: Tensor, noise: Tensor) -> Tensor:
        """Of the actions that noise [K, ..., A] makes, the one of greatest density: [..., F] -> [..., A].

        The released code's mode. With a wide Gaussian the density is greatest near -1 and 1, where tanh presses much of
        it together, while tanh(mean) may be 0.
        """
        mean, std = self.gaussian(features)
        raw = mean + std * noise
        chosen = tanh_log_density(raw, mean, std).argmax(0, keepdim=True)
        return torch.tanh(raw).take_along_dim(chosen.unsqueeze(-1), 0)[0]

    def sample(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """A reparameterised action, tanh(mean + std * noise) (Eq. 3), and the standard deviation: [..., A]."""
        mean, std = self.gaussian(features)
        return torch.tanh(mean + std * noise), std


class Imagination(NamedTuple):
    """Imagined trajectories: features [H + 1, N, F] from the start state on; std [H, N, A] of the action model."""

    features: Tensor
    std: Tensor


class Returns(NamedTuple):
    """Estimates of the return of imagined states, [H, N]: what the action model maximises, what the value learns."""

    action: Tensor
    value: Tensor


class Behavior(nn.Module):
    """Action model; with method `dreamer` a value model and the slow copy of it that the targets use."""

    weights: Tensor  # [H, 1], of imagined steps in both losses

    def __init__(self, config: Config, feature_size: int, action_size: int) -> None:
        super().__init__()
        self.config = config
        self.action = ActionModel(config, feature_size, action_size)
        self.value: Scalar | None = None
        if config.method == "dreamer":
            self.value = Scalar(feature_size, config.value_layers, config.units)
            self.slow_value = copy.deepcopy(self.value) if config.slow_value_every else self.value
        self.register_buffer("weights", self._weights(), persistent=False)

    def imagine(self, world_model: WorldModel, start: State, state_noise: Tensor, action_noise: Tensor) -> Imagination:
        """Roll the prior out from `start` [N, ...] with the action model's samples (Algorithm 1).

        state_noise: [H, N, S], action_noise: [H, N, A], standard normal.
        """
        state, features, stds = start, [start.features], []
        for eps_state, eps_action in zip(state_noise, action_noise, strict=True):
            action, std = self.action.sample(features[-1].detach(), eps_action)
            state = world_model.rssm.imagine_step(state, action, eps_state)
            features.append(state.features)
            stds.append(std)
        return Imagination(torch.stack(features), torch.stack(stds))

    def returns(self, world_model: WorldModel, features: Tensor) -> Returns:
        """The estimates that the config asks for, values by the slow copy; features: [H + 1, N, F]."""
        config = self.config
        if self.value is None:
            total = self._reward_sum(world_model, features)
            return Returns(total, total)
        rewards, values = world_model.reward(features[:-1]), self.slow_value(features)
        target = lambda_return(rewards, values, config.discount, config.return_lambda)
        match config.returns:
            case "n_step":
                return Returns(n_step_return(rewards, values, config.n_step, config.discount), target)
            case "rewards":
                return Returns(self._reward_sum(world_model, features), target)
        return Returns(target, target)

    def action_loss(self, returns: Tensor) -> Tensor:
        """The negative of Eq. 7: returns [H, N], with their graph through the dynamics."""
        return -(self.weights * returns).mean()

    def value_loss(self, features: Tensor, returns: Tensor) -> Tensor:
        """Eq. 8: squared distance to the returns, which carry no gradient, nor do the features.

        features: [H + 1, N, F]; returns: [H, N], V_lambda.
        """
        assert self.value is not None
        error = self.value(features[:-1].detach()) - returns.detach()
        return 0.5 * (self.weights * error.square()).mean()

    def metrics(self, imagined: Imagination, returns: Returns) -> dict[str, Tensor]:
        """What to watch of a behaviour update (scalars on the device)."""
        return {
            "imagined/return": returns.action.detach().mean(),
            "action/entropy": gaussian_entropy(imagined.std.detach()).mean(),
            "action/std": imagined.std.detach().mean(),
        }

    @torch.no_grad()
    def copy_slow_value(self) -> None:
        """Copy the value model into the one that the targets use (every `slow_value_every` updates)."""
        assert self.value is not None
        for slow, value in zip(self.slow_value.parameters(), self.value.parameters(), strict=True):
            slow.copy_(value)

    def _reward_sum(self, world_model: WorldModel, features: Tensor) -> Tensor:
        """V_R (Eq. 4): undiscounted rewards up to and with s_{t+H}: [H + 1, N, F] -> [H, N]."""
        return reward_sum(world_model.reward(features))[:-1]

    def _weights(self) -> Tensor:
        """[H, 1]: ones, or discount^step with `discount_weights`."""
        base = self.config.discount if self.config.discount_weights else 1.0
        return (base ** torch.arange(self.config.horizon)).unsqueeze(1)
