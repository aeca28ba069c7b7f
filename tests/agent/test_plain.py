"""The fast update against the plain one, from the same state and noise, over 20 updates."""

import pytest
import torch

from agent.config import METHODS, OBJECTIVES
from agent.dreamer import Dreamer
from benchmarks.plain import PlainDreamer
from tests.agent.conftest import random_batch, small

ACTIONS = 2
VARIANTS = [
    *({"method": m, "objective": o} | METHODS[m].values for m in METHODS for o in OBJECTIVES),
    {"returns": "n_step", "n_step": 2},
    {"returns": "rewards"},
    {"free_nats_per": "mean", "discount_weights": True, "slow_value_every": 0, "action_mean_scale": 5.0},
    {"image_size": 64},
]  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_fast_and_plain_updates_agree(float64, changes):
    """In float64 they part by rounding alone."""
    config = small(**(dict(slow_value_every=7, free_nats=0.5) | changes | dict(horizon=4)))
    agent = Dreamer(config, ACTIONS, seed=0)
    plain = PlainDreamer(agent)
    for index in range(20):
        batch = random_batch(config, ACTIONS, seed=index)
        fast, slow = agent.update(batch, index), plain.update(batch, agent.noise(batch, index), index)
        for name, value in slow.items():
            torch.testing.assert_close(fast[name], value, rtol=1e-9, atol=1e-9)
    models = [(agent.world_model, plain.world_model), (agent.behavior, plain.behavior)]
    for one, two in models if agent.behavior else models[:1]:
        for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
