"""Returns of imagined trajectories (Section 3, Eqs. 4-6), as pure functions.

Index 0 is the start state s_t, index H the last imagined state s_{t+H}. `rewards[n]` belongs to state s_{t+n}, so
the return of a state begins with that state's own reward, and bootstraps with the value of a later state.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reward_sum(rewards: Tensor) -> Tensor:
    """V_R, Eq. 4: the undiscounted sum of rewards to the horizon.

    rewards: [H + 1, N] of s_t .. s_{t+H}. Returns [H + 1, N].
    """
    return rewards.flip(0).cumsum(0).flip(0)


def n_step_return(rewards: Tensor, values: Tensor, k: int, discount: float) -> Tensor:
    """V_N^k, Eq. 5: rewards of up to k steps, then the value; near the horizon as many steps as there are.

    rewards: [H, N] of s_t .. s_{t+H-1}; values: [H + 1, N] of s_t .. s_{t+H}. Returns [H, N].
    """
    horizon = len(rewards)
    returns = []
    for start in range(horizon):
        end = min(start + k, horizon)
        total = values[end]
        for step in reversed(range(start, end)):
            total = rewards[step] + discount * total
        returns.append(total)
    return torch.stack(returns)


def lambda_return(rewards: Tensor, values: Tensor, discount: float, lambda_: float) -> Tensor:
    """V_lambda, Eq. 6 with the weights of the camera-ready, which sum to one, as a backward recursion.

    V_lambda(s) = r(s) + discount * ((1 - lambda) v(s') + lambda V_lambda(s')), and v at the horizon.
    rewards: [H, N] of s_t .. s_{t+H-1}; values: [H + 1, N] of s_t .. s_{t+H}. Returns [H, N].
    """
    inputs = rewards + discount * (1 - lambda_) * values[1:]
    total = values[-1]
    returns = []
    for step in reversed(range(len(rewards))):
        total = inputs[step] + discount * lambda_ * total
        returns.append(total)
    return torch.stack(returns[::-1])
