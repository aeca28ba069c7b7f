"""Eqs. 4-6 against sums written out from the equations, and against numbers worked by hand."""

import pytest
import torch

from agent.returns import lambda_return, n_step_return, reward_sum


def brute_force_n_step(rewards, values, start, k, discount):
    """Eq. 5, literally: h = min(tau + k, t + H); sum of discounted rewards before h, and the value of s_h."""
    horizon = len(rewards)
    end = min(start + k, horizon)
    total = sum(discount ** (n - start) * rewards[n] for n in range(start, end))
    return total + discount ** (end - start) * values[end]


def brute_force_lambda(rewards, values, start, discount, lambda_):
    """Eq. 6 with the camera-ready's weights: (1 - lambda) sum_{n=1}^{H-1} lambda^(n-1) V_N^n + lambda^(H-1) V_N^H."""
    horizon = len(rewards)
    mixed = sum(lambda_ ** (n - 1) * brute_force_n_step(rewards, values, start, n, discount) for n in range(1, horizon))
    last = brute_force_n_step(rewards, values, start, horizon, discount)
    return (1 - lambda_) * mixed + lambda_ ** (horizon - 1) * last


@pytest.fixture(params=[2, 3, 8])
def trajectory(request):
    """rewards [H, N], values [H + 1, N] in float64."""
    generator = torch.Generator().manual_seed(request.param)
    rewards = torch.randn(request.param, 4, generator=generator, dtype=torch.float64)
    values = torch.randn(request.param + 1, 4, generator=generator, dtype=torch.float64)
    return rewards, values


@pytest.mark.parametrize(("discount", "lambda_"), [(0.99, 0.95), (0.9, 0.0), (0.97, 1.0), (1.0, 0.5)])
def test_lambda_return_is_equation_6(trajectory, discount, lambda_):
    rewards, values = trajectory
    expected = torch.stack(
        [brute_force_lambda(rewards, values, start, discount, lambda_) for start in range(len(rewards))]
    )
    torch.testing.assert_close(lambda_return(rewards, values, discount, lambda_), expected)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_n_step_return_is_equation_5(trajectory, k):
    rewards, values = trajectory
    expected = torch.stack([brute_force_n_step(rewards, values, start, k, 0.9) for start in range(len(rewards))])
    torch.testing.assert_close(n_step_return(rewards, values, k, 0.9), expected)


def test_reward_sum_is_equation_4(trajectory):
    _, rewards = trajectory
    expected = torch.stack([sum(rewards[n] for n in range(start, len(rewards))) for start in range(len(rewards))])
    torch.testing.assert_close(reward_sum(rewards), expected)


def test_returns_by_hand():
    """H 2, discount 1/2, lambda 1/2; rewards 1, 2; values 100 (never used: it is the start's own), 4, 8."""
    rewards = torch.tensor([[1.0], [2.0]])
    values = torch.tensor([[100.0], [4.0], [8.0]])
    # V(s_1) = 2 + 8/2 = 6; V(s_0) = 1 + (4/2 + 6/2)/2 = 3.5
    assert lambda_return(rewards, values, 0.5, 0.5).squeeze().tolist() == [3.5, 6.0]
    assert n_step_return(rewards, values, 1, 0.5).squeeze().tolist() == [3.0, 6.0]


def test_equal_estimates_stay_equal():
    """The weights of Eq. 6 sum to one (as printed in the submission they sum to lambda)."""
    horizon, reward, discount = 15, 1.0, 0.99
    value = reward / (1 - discount)  # every n-step return of this chain is `value`
    rewards = torch.full((horizon, 1), reward, dtype=torch.float64)
    values = torch.full((horizon + 1, 1), value, dtype=torch.float64)
    torch.testing.assert_close(lambda_return(rewards, values, discount, 0.95), values[:-1])
