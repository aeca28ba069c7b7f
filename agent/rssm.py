"""The recurrent state space model of PlaNet (Hafner et al., 2018), Dreamer's latent dynamics (Eq. 1, Section 4).

A model state has a deterministic part h_t = GRU(h_{t-1}, s_{t-1}, a_{t-1}) and a stochastic part s_t. The prior
q(s_t | h_t) predicts it without the image; the posterior p(s_t | h_t, o_t) has seen it. The action that leads to o_t
enters the step to time t: `actions[t]` is a_{t-1} in the paper's count.
Shapes: B batch, L length, A action size, D deterministic, S stochastic, E embedding size; scans are time-major.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent.config import Config
from agent.networks import initialise


class State(NamedTuple):
    """A model state: deterministic [..., D], and a sample of the stochastic part with its Gaussian, all [..., S]."""

    deterministic: Tensor
    stochastic: Tensor
    mean: Tensor
    std: Tensor

    @property
    def features(self) -> Tensor:
        """What every head reads: [..., S + D]."""
        return torch.cat([self.stochastic, self.deterministic], -1)

    def detach(self) -> State:
        return State(*(part.detach() for part in self))

    def flatten(self) -> State:
        """[L, B, ...] -> [L * B, ...]."""
        return State(*(part.flatten(0, 1) for part in self))


class RSSM(nn.Module):
    """Latent dynamics. `observe` scans a sequence of posteriors, `imagine` rolls the prior out."""

    def __init__(self, config: Config, action_size: int, embedding: int) -> None:
        super().__init__()
        deterministic, stochastic, hidden = config.deterministic, config.stochastic, config.hidden
        self.min_std = config.min_std
        self.input = nn.Linear(stochastic + action_size, hidden)
        self.cell = nn.GRUCell(hidden, deterministic)
        self.prior_hidden = nn.Linear(deterministic, hidden)
        self.prior_out = nn.Linear(hidden, 2 * stochastic)
        self.posterior_hidden = nn.Linear(deterministic + embedding, hidden)
        self.posterior_out = nn.Linear(hidden, 2 * stochastic)
        initialise(self)

    def start(self, batch: int) -> State:
        """The state before the first observation: zeros."""
        weight = self.prior_out.weight
        deterministic = weight.new_zeros(batch, self.cell.hidden_size)
        zeros = weight.new_zeros(batch, weight.shape[0] // 2)
        return State(deterministic, zeros, zeros, zeros)

    def observe(self, embeddings: Tensor, actions: Tensor, noise: Tensor, state: State) -> tuple[State, State]:
        """Posteriors and priors along a sequence.

        embeddings: [L, B, E]; actions: [L, B, A], actions[t] led to embeddings[t]; noise: [L, B, S] standard normal;
        state: [B, ...] before the first observation. Returns posterior and prior, [L, B, ...]; the prior's
        `stochastic` is its mean (nothing samples from it here).

        What does not depend on the recurrence is computed for all steps at once, outside the scan: the projections
        of embeddings and actions, and the prior.
        """
        size = self.cell.hidden_size
        action_part = F.linear(actions, self.input.weight[:, -actions.shape[-1] :], self.input.bias).unbind()
        stochastic_weight = self.input.weight[:, : -actions.shape[-1]].t()
        embedding_part = F.linear(
            embeddings, self.posterior_hidden.weight[:, size:], self.posterior_hidden.bias
        ).unbind()
        state_weight = self.posterior_hidden.weight[:, :size].t()
        deterministic, stochastic = state.deterministic, state.stochastic
        steps = []
        for action, embedding, eps in zip(action_part, embedding_part, noise.unbind(), strict=True):
            deterministic = self.cell(F.elu_(torch.addmm(action, stochastic, stochastic_weight)), deterministic)
            hidden = F.elu_(torch.addmm(embedding, deterministic, state_weight))
            mean, std = self._gaussian(self.posterior_out(hidden))
            stochastic = mean + std * eps
            steps.append((deterministic, stochastic, mean, std))
        posterior = State(*(torch.stack(parts) for parts in zip(*steps, strict=True)))
        mean, std = self._prior(posterior.deterministic)
        return posterior, State(posterior.deterministic, mean, mean, std)

    def imagine_step(self, state: State, action: Tensor, noise: Tensor) -> State:
        """One step of the prior: action [N, A] taken in `state` [N, ...]; noise [N, S] standard normal."""
        x = F.elu_(self.input(torch.cat([state.stochastic, action], -1)))
        deterministic = self.cell(x, state.deterministic)
        mean, std = self._prior(deterministic)
        return State(deterministic, mean + std * noise, mean, std)

    def imagine(self, state: State, actions: Tensor, noise: Tensor) -> State:
        """The prior rolled out from `state` [N, ...] with given actions [H, N, A]; noise [H, N, S]: [H, N, ...]."""
        states = []
        for action, eps in zip(actions.unbind(), noise.unbind(), strict=True):
            state = self.imagine_step(state, action, eps)
            states.append(state)
        return State(*(torch.stack(parts) for parts in zip(*states, strict=True)))

    def _prior(self, deterministic: Tensor) -> tuple[Tensor, Tensor]:
        return self._gaussian(self.prior_out(F.elu_(self.prior_hidden(deterministic))))

    def _gaussian(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = outputs.chunk(2, -1)
        return mean, F.softplus(std.contiguous()) + self.min_std  # of short rows softplus is slow
