"""The update written without any thought of speed: the oracle of the fast one and the yardstick of the benchmarks.

Everything happens step by step as the paper writes it: images channels-first, transposed convolutions, whole weight
matrices inside the recurrences, the prior in the scan, torch.distributions, InfoNCE as a [N, N, F] tensor, one
`backward` per loss through everything that it reaches, Adam one parameter at a time.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from agent import objectives
from agent.dreamer import Dreamer, Noise
from agent.networks import Decoder, Encoder
from agent.rssm import RSSM
from agent.world_model import Batch


class PlainDreamer:
    """The same agent as a `Dreamer`, with its present parameters and fresh optimisers."""

    def __init__(self, agent: Dreamer) -> None:
        self.config = agent.config
        self.world_model, self.behavior = copy.deepcopy((agent.world_model, agent.behavior))
        if self.behavior is not None and self.behavior.value is not None and not self.config.slow_value_every:
            self.behavior.slow_value = self.behavior.value
        models = {"model": (self.world_model, self.config.model_lr)}
        if self.behavior is not None:
            models["action"] = (self.behavior.action, self.config.action_lr)
            if self.behavior.value is not None:
                models["value"] = (self.behavior.value, self.config.value_lr)
        self.optimizers = {
            name: torch.optim.Adam(model.parameters(), lr, eps=self.config.adam_epsilon, foreach=False)
            for name, (model, lr) in models.items()
        }

    def update(self, batch: Batch, noise: Noise, index: int) -> dict[str, Tensor]:
        """Update number `index`; the losses."""
        config, behavior = self.config, self.behavior
        if behavior is not None and behavior.value is not None:
            if config.slow_value_every and index % config.slow_value_every == 0:
                behavior.slow_value.load_state_dict(behavior.value.state_dict())
        loss, states = self.model_loss(batch, noise.posterior)
        self.step("model", loss)
        losses = {"model/loss": loss.detach()}
        if behavior is None:
            return losses
        deterministic = torch.cat([d for d, _ in states]).detach()
        stochastic = torch.cat([s for _, s in states]).detach()
        features = [torch.cat([stochastic, deterministic], -1)]
        for step in range(config.horizon):
            mean, std = behavior.action.gaussian(features[-1].detach())
            action = torch.tanh(mean + std * noise.action[step])
            deterministic = self.cell(deterministic, stochastic, action)
            mean, std = self.gaussian(self.rssm.prior_out(F.elu(self.rssm.prior_hidden(deterministic))))
            stochastic = mean + std * noise.state[step]
            features.append(torch.cat([stochastic, deterministic], -1))
        rewards = [self.world_model.reward(f) for f in features]
        weight = [config.discount**n if config.discount_weights else 1.0 for n in range(config.horizon)]
        targets: list[Tensor] = []
        if behavior.value is not None:
            values = [behavior.slow_value(f) for f in features]
            after = values[-1]
            for n in reversed(range(config.horizon)):
                after = rewards[n] + config.discount * (
                    (1 - config.return_lambda) * values[n + 1] + config.return_lambda * after
                )
                targets.insert(0, after)
        match config.returns:
            case "lambda":
                returns = targets
            case "rewards":
                returns = [sum(rewards[n:]) for n in range(config.horizon)]  # type: ignore[misc]
            case "n_step":
                returns = []
                for n in range(config.horizon):
                    end = min(n + config.n_step, config.horizon)
                    total = sum(config.discount ** (m - n) * rewards[m] for m in range(n, end))
                    returns.append(total + config.discount ** (end - n) * values[end])
        action_loss = -sum(weight[n] * returns[n].mean() for n in range(config.horizon)) / config.horizon
        self.step("action", action_loss)
        losses["action/loss"] = action_loss.detach()
        if behavior.value is not None:
            value_loss = noise.state.new_zeros(())
            for n in range(config.horizon):
                error = behavior.value(features[n].detach()) - targets[n].detach()
                value_loss = value_loss + 0.5 * weight[n] * (error**2).mean() / config.horizon
            self.step("value", value_loss)
            losses["value/loss"] = value_loss.detach()
        return losses

    def step(self, name: str, loss: Tensor) -> None:
        """One step of one optimiser; gradients that the loss leaves elsewhere are thrown away."""
        self.world_model.zero_grad()
        if self.behavior is not None:
            self.behavior.zero_grad()
        loss.backward(retain_graph=True)
        optimizer = self.optimizers[name]
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], self.config.gradient_clip)
        optimizer.step()

    @property
    def rssm(self) -> RSSM:
        return self.world_model.rssm

    def model_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Eq. 10 (or 12) and the posterior states, (deterministic, stochastic) for each step."""
        config, length = self.config, len(batch.images)
        images = batch.images.to(noise.dtype) / 255 - 0.5
        embeddings = torch.stack([encode(self.world_model.encoder, images[t]) for t in range(length)])
        count = images.shape[1]
        deterministic, stochastic = noise.new_zeros(count, config.deterministic), torch.zeros_like(noise[0])
        states, kls = [], []
        for t in range(length):
            deterministic = self.cell(deterministic, stochastic, batch.actions[t])
            prior = self.gaussian(self.rssm.prior_out(F.elu(self.rssm.prior_hidden(deterministic))))
            hidden = self.rssm.posterior_hidden(torch.cat([deterministic, embeddings[t]], -1))
            mean, std = self.gaussian(self.rssm.posterior_out(F.elu(hidden)))
            stochastic = mean + std * noise[t]
            kls.append(kl_divergence(Independent(Normal(mean, std), 1), Independent(Normal(*prior), 1)))
            states.append((deterministic, stochastic))
        features = torch.stack([torch.cat([s, d], -1) for d, s in states])
        reward = -Normal(self.world_model.reward(features), 1.0).log_prob(batch.rewards).mean()
        kl, free = torch.stack(kls), noise.new_tensor(config.free_nats)
        regulariser = (
            torch.maximum(kl, free).mean() if config.free_nats_per == "step" else torch.maximum(kl.mean(), free)
        )
        constant = Normal(0.0, 1.0).log_prob(noise.new_zeros(()))  # the losses leave it out
        loss = reward + constant + config.kl_scale * regulariser
        return loss + self.objective(features, images, embeddings), states

    def objective(self, features: Tensor, images: Tensor, embeddings: Tensor) -> Tensor:
        """The term that the representation objective adds."""
        objective = self.world_model.objective
        if isinstance(objective, objectives.Reconstruction):
            decoded = decode(objective.decoder, features.flatten(0, 1)).reshape(images.shape)
            return 0.5 * ((decoded - images) ** 2).sum((-3, -2, -1)).mean()
        if isinstance(objective, objectives.Contrastive):
            mean, std = objective.state(embeddings.flatten(0, 1)).chunk(2, -1)
            std = F.softplus(std) + objective.min_std
            density = Normal(mean[None], std[None]).log_prob(features.flatten(0, 1)[:, None]).sum(-1)
            return -torch.log_softmax(density, 1).diagonal().mean()
        return features.new_zeros(())

    def cell(self, deterministic: Tensor, stochastic: Tensor, action: Tensor) -> Tensor:
        return self.rssm.cell(F.elu(self.rssm.input(torch.cat([stochastic, action], -1))), deterministic)

    def gaussian(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = outputs.chunk(2, -1)
        return mean, F.softplus(std) + self.config.min_std


def encode(encoder: Encoder, images: Tensor) -> Tensor:
    """[N, S, S, 3] -> [N, E], channels first."""
    x = images.permute(0, 3, 1, 2).contiguous()
    for convolution in encoder.convolutions:
        x = F.relu(F.conv2d(x, convolution.weight.contiguous(), convolution.bias, stride=2))
    return x.permute(0, 2, 3, 1).flatten(1)


def decode(decoder: Decoder, features: Tensor) -> Tensor:
    """[N, F] -> [N, S, S, 3] by transposed convolutions."""
    x = decoder.dense(features)[:, :, None, None]
    layers = [decoder.first, *decoder.convolutions]
    for index, layer in enumerate(layers):
        x = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
        x = F.relu(x) if index < len(layers) - 1 else x
    return x.permute(0, 2, 3, 1)
