"""The cross-entropy method against optima that are known."""

import types

import pytest
import torch

from agent.planner import Planner
from agent.rssm import RSSM, State
from tests.agent.conftest import small

HORIZON = 4


class Cart:
    """position' = position + action, reward -(position - goal)^2: the sum over a plan is quadratic in its actions."""

    def __init__(self, goal):
        self.goal = torch.tensor(goal)
        self.rssm = types.SimpleNamespace(imagine_step=self.step)
        self.rssm.imagine = lambda *arguments: RSSM.imagine(self.rssm, *arguments)

    @staticmethod
    def step(state, action, noise):
        position = state.stochastic + action
        return State(state.deterministic, position, position, torch.ones_like(position))

    def reward(self, features):
        return -(features[..., :2] - self.goal).square().sum(-1)


def plan(goal, seed=0, **changes):
    config = small(
        method="planet", returns="rewards", horizon=HORIZON, stochastic=2, candidates=500, elites=50, **changes
    )
    generator = torch.Generator().manual_seed(seed)
    start = State(torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2))
    return Planner(config, 2).plan(Cart(goal), start, lambda *shape: torch.randn(shape, generator=generator))


def test_the_known_optimum_is_found():
    """All the way in the first step, then no further."""
    best = torch.zeros(HORIZON, 2)
    best[0] = torch.tensor([0.7, -0.4])
    torch.testing.assert_close(plan([0.7, -0.4], iterations=10), best, atol=0.03, rtol=0)


def test_actions_stay_in_their_bounds():
    """Two steps and a half away: full speed, full speed, half."""
    got = plan([2.5, 0.0], iterations=10)
    assert got.abs().max() <= 1
    torch.testing.assert_close(got[:, 0], torch.tensor([1.0, 1.0, 0.5, 0.0]), atol=0.05, rtol=0)


def test_iterations_improve_a_plan():
    def cost(iterations):
        total = 0.0
        for seed in range(10):
            positions = plan([0.7, -0.4], seed, iterations=iterations).cumsum(0)
            total += (positions - torch.tensor([0.7, -0.4])).square().sum().item()
        return total

    costs = [cost(iterations) for iterations in (1, 2, 4, 8)]
    assert costs == sorted(costs, reverse=True) and costs[-1] < costs[0] / 20


def test_a_plan_depends_on_its_noise_alone():
    assert torch.equal(plan([0.7, -0.4], 3, iterations=2), plan([0.7, -0.4], 3, iterations=2))
    assert not torch.equal(plan([0.7, -0.4], 3, iterations=2), plan([0.7, -0.4], 4, iterations=2))


@pytest.mark.parametrize("elites", [1, 500])
def test_one_elite_and_all_elites_are_allowed(elites):
    config = small(method="planet", returns="rewards", horizon=2, candidates=500, elites=elites, stochastic=2)
    start = State(torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2))
    assert Planner(config, 2).plan(Cart([0.0, 0.0]), start, torch.randn).isfinite().all()
