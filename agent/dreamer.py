"""The agent: one update of Algorithm 1's inner loop, and acting from images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from agent import seeds
from agent.behavior import Behavior
from agent.capture import Captured
from agent.config import Config
from agent.networks import in_bfloat16
from agent.planner import Planner
from agent.rssm import State
from agent.world_model import Batch, WorldModel, preprocess

_SAMPLES = 100  # actions to choose the "best" of


class Optimizer:
    """Adam on the parameters of one loss, its gradient clipped by norm; asks for no other gradient.

    By PyTorch's function, not its class, whose first object imports PyTorch's compiler: a second in each worker, and
    with CUDA builds a crash, because triton's LLVM does not load after that of Mesa's software renderer.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, config: Config) -> None:
        self.parameters, self.lr = list(parameters), lr
        self.epsilon, self.clip = config.adam_epsilon, config.gradient_clip
        self.fused, self.on_gpu = True, self.parameters[0].is_cuda
        # float32 whatever the parameters are: fused Adam on a GPU reads them as that
        self.steps = [torch.zeros((), dtype=torch.float32, device=parameter.device) for parameter in self.parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    def step(self, loss: Tensor) -> Tensor:
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        gradients = torch.autograd.grad(loss, self.parameters)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            # fused Adam walks through both memories alike: a gradient must lie as its parameter does
            same = gradient.stride() == parameter.stride()
            parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.adam()
        return norm

    @torch.no_grad()
    def adam(self) -> None:
        """One step of Adam with the gradients that the parameters have."""
        parameters: list[Tensor] = [*self.parameters]
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        adam(
            *(parameters, gradients, self.means, self.squares, [], self.steps),
            capturable=self.on_gpu,
            fused=self.fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Counts of steps and moments, named as by torch.optim.Adam."""
        kept = zip(self.steps, self.means, self.squares, strict=True)
        return {"state": {i: {"step": n, "exp_avg": m, "exp_avg_sq": s} for i, (n, m, s) in enumerate(kept)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave, in place, on any device."""
        for index, kept in state["state"].items():
            self.steps[index].copy_(kept["step"])
            self.means[index].copy_(kept["exp_avg"])
            self.squares[index].copy_(kept["exp_avg_sq"])


class Noise(NamedTuple):
    """Standard normal numbers of one update: posterior [L, B, S]; state [H, L * B, S], action [H, L * B, A]."""

    posterior: Tensor
    state: Tensor
    action: Tensor


class Dreamer:
    """World model and behaviour with their optimisers. Parameters start from `seed` alone, on any device."""

    def __init__(self, config: Config, action_size: int, seed: int, device: str = "cpu") -> None:
        self.config, self.action_size, self.seed, self.device = config, action_size, seed, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.integer(seed, "parameters"))
            self.world_model = WorldModel(config, action_size)
            self.behavior: Behavior | None = None  # PlaNet learns none
            if config.method != "planet":
                self.behavior = Behavior(config, self.world_model.feature_size, action_size).to(self.device)
        self.planner = Planner(config, action_size)
        self.world_model.to(self.device)
        if config.precision == "bfloat16":
            in_bfloat16(self.world_model)
            if self.behavior:
                in_bfloat16(self.behavior)
        self.optimizers = {"model": Optimizer(self.world_model.parameters(), config.model_lr, config)}
        if self.behavior:
            self.optimizers["action"] = Optimizer(self.behavior.action.parameters(), config.action_lr, config)
            if self.behavior.value:
                self.optimizers["value"] = Optimizer(self.behavior.value.parameters(), config.value_lr, config)
        self._learn = Captured(self.learn, self.device)

    def update(self, batch: Batch, index: int) -> dict[str, Tensor]:
        """Update number `index` (from 0) with a batch on the device.

        Returns metrics as scalars on the device, so that nothing waits for them; read them before the next update.
        """
        every = self.config.slow_value_every
        if self.behavior and self.behavior.value and every and index % every == 0:
            self.behavior.copy_slow_value()
        return self._learn(batch, self.noise(batch, index))

    def noise(self, batch: Batch, index: int) -> Noise:
        """The random numbers of update number `index`."""
        generator = seeds.torch_generator(self.device, self.seed, "update", index)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=self.device)

        config, (length, size) = self.config, batch.rewards.shape
        posterior = normal(length, size, config.stochastic)
        horizon = config.horizon if self.behavior else 0
        state = normal(horizon, length * size, config.stochastic)
        return Noise(posterior, state, normal(horizon, length * size, self.action_size))

    def learn(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Dynamics learning, then behaviour learning (the inner loop of Algorithm 1)."""
        world_model, behavior = self.world_model, self.behavior

        # Dynamics learning: theta
        loss, posterior, metrics = world_model.loss(batch, noise.posterior)
        metrics["model/gradient_norm"] = self.optimizers["model"].step(loss)

        # Behaviour learning: imagine from every posterior state; phi, then xi
        if behavior is None:
            return metrics
        imagined = behavior.imagine(world_model, posterior.detach().flatten(), noise.state, noise.action)
        returns = behavior.returns(world_model, imagined.features)
        action_loss = behavior.action_loss(returns.action)
        metrics["action/gradient_norm"] = self.optimizers["action"].step(action_loss)
        metrics |= {"action/loss": action_loss.detach()} | behavior.metrics(imagined, returns)
        if behavior.value:
            value_loss = behavior.value_loss(imagined.features, returns.value)
            metrics["value/gradient_norm"] = self.optimizers["value"].step(value_loss)
            metrics["value/loss"] = value_loss.detach()
        return metrics

    def act(self, state: State, noise: Callable[..., Tensor], how: str = "mode") -> Tensor:
        """The action in a posterior state [1, ...]: [1, A] in [-1, 1]. noise: gives standard normal tensors of a shape.

        Of the action model the "mode", a "sample" or the "best" of many samples; or the first action of a plan.
        """
        if self.behavior is None:
            return self.planner.plan(self.world_model, state, noise)[:1]
        match how:
            case "sample":
                return self.behavior.action.sample(state.features, noise(1, self.action_size))[0]
            case "best":
                return self.behavior.action.best(state.features, noise(_SAMPLES, 1, self.action_size))
        return self.behavior.action.mode(state.features)

    def policy(self, generator: torch.Generator, explore: bool = False) -> Policy:
        """A policy for one episode, of training or of evaluation."""
        return Policy(self, generator, explore)

    def vector(self) -> Tensor:
        """A copy of all parameters that acting depends on, in one tensor on the CPU: [P] float32."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters()]).cpu()

    def load_vector(self, vector: Tensor) -> None:
        """Inverse of `vector`."""
        parameters = list(self._parameters())
        for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
            parameter.data.copy_(part.view(parameter.shape))

    def _parameters(self) -> Iterable[nn.Parameter]:
        return chain(self.world_model.parameters(), self.behavior.action.parameters() if self.behavior else ())

    def state_dict(self) -> dict[str, Any]:
        """Parameters and optimisers: everything of the agent that changes."""
        return {
            "world_model": self.world_model.state_dict(),
            "behavior": self.behavior.state_dict() if self.behavior else {},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.world_model.load_state_dict(state["world_model"])
        if self.behavior:
            self.behavior.load_state_dict(state["behavior"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


class Policy:
    """Acts through one episode: filters the images into a posterior state and asks the agent for an action.

    Evaluation takes the action of `evaluate_from` as it is. Exploration adds Normal(0, exploration_noise) to that of
    `explore_from` and clips to [-1, 1].
    """

    def __init__(self, agent: Dreamer, generator: torch.Generator, explore: bool) -> None:
        self.agent, self.generator, self.explore = agent, generator, explore
        self.state = agent.world_model.rssm.start(1)
        self.action = torch.zeros(1, agent.action_size, device=agent.device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """image: [S, S, 3] uint8 -> action [A] float32 in [-1, 1]."""
        agent, model, config = self.agent, self.agent.world_model, self.agent.config
        embedding = model.encoder(preprocess(torch.from_numpy(image).to(agent.device).unsqueeze(0)))
        eps = self._noise(1, 1, config.stochastic)
        posterior, _ = model.rssm.observe(embedding.unsqueeze(0), self.action.unsqueeze(0), eps, self.state)
        self.state = posterior.flatten()
        action = agent.act(self.state, self._noise, config.explore_from if self.explore else config.evaluate_from)
        if self.explore:
            action = (action + config.exploration_noise * self._noise(1, agent.action_size)).clamp(-1, 1)
        self.action = action
        return action[0].cpu().numpy()

    def _noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.agent.device)
