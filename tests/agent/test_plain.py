"""The fast update against the plain one, from the same state and noise, over 20 updates."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from agent.config import METHODS, OBJECTIVES
from agent.dreamer import Dreamer
from agent.world_model import Batch
from benchmarks.plain import PlainDreamer
from tests.agent.conftest import DEVICES, random_batch, small

ACTIONS = 2
# Where a default equals another or does nothing, a mistake would not show: three learning rates, a clip and an epsilon
# that are felt, a scale and an offset that are not one.
TELLING = dict(
    model_lr=1e-3, value_lr=2e-3, action_lr=5e-4, gradient_clip=0.1, adam_epsilon=1e-3, kl_scale=0.7, free_nats=0.5,
    action_init_std=0.8, action_min_std=0.01, min_std=0.2, slow_value_every=7,
)  # fmt: skip
VARIANTS = [
    *({"method": m, "objective": o} | METHODS[m].values for m in METHODS for o in OBJECTIVES),
    {"returns": "n_step", "n_step": 2},
    {"returns": "rewards"},
    {"free_nats_per": "mean", "discount_weights": True, "slow_value_every": 0, "action_mean_scale": 5.0},
    {"image_size": 64},
]  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_fast_and_plain_updates_agree(float64, changes, device):
    """In float64 they part by rounding alone; on a GPU the fast one is a recorded graph from the fourth on."""
    config = small(**(TELLING | changes | dict(horizon=4)))
    agent = Dreamer(config, ACTIONS, seed=0, device=device)
    plain = PlainDreamer(agent)
    clipped = set()
    for index in range(20):
        batch = Batch(*(part.to(device) for part in random_batch(config, ACTIONS, seed=index)))
        fast, slow = agent.update(batch, index), plain.update(batch, agent.noise(batch, index), index)
        for name, value in slow.items():
            torch.testing.assert_close(fast[name], value, rtol=1e-9, atol=1e-9)
        clipped |= {name for name in agent.optimizers if fast[f"{name}/gradient_norm"] > config.gradient_clip}
    assert clipped == agent.optimizers.keys()
    models = [(agent.world_model, plain.world_model), (agent.behavior, plain.behavior)]
    for one, two in models if agent.behavior else models[:1]:
        for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


class Kinds(TorchDispatchMode):
    """Notes the types of numbers that operations gave."""

    def __init__(self):
        super().__init__()
        self.seen = defaultdict(set)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.seen[operation.overloadpacket.__name__].add(result.dtype)
        return result


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_products_in_bfloat16(objective):
    """Convolutions and dense heads alone."""
    config = small(objective=objective, free_nats=0.0)
    agent = Dreamer(config, ACTIONS, seed=0)
    half = Dreamer(replace(config, precision="bfloat16"), ACTIONS, seed=0)
    for index in range(5):
        batch = random_batch(config, ACTIONS, seed=index)
        full = agent.update(batch, index)
        with Kinds() as kinds:
            found = half.update(batch, index)
        for name, value in full.items():
            assert found[name].dtype == torch.float32, name
            assert float(found[name]) == pytest.approx(float(value), rel=0.03, abs=0.01), name
    assert kinds.seen["convolution"] == {torch.bfloat16} and torch.bfloat16 in kinds.seen["addmm"]
    for name in ("softplus", "log", "tanh", "sigmoid", "mse_loss", "_fused_adam_", "logsumexp"):
        assert torch.bfloat16 not in kinds.seen[name], name
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in half.world_model.parameters())
    encoder = agent.world_model.encoder
    assert not encoder.products_in_bfloat16 and encoder(torch.zeros(1, *batch.images.shape[2:])).dtype == torch.float32


def test_bfloat16_is_for_updates_alone():
    """An agent acts, and predicts what it sees, with the bits of float32."""
    config = small(free_nats=0.0)
    image = np.random.default_rng(0).integers(0, 256, (config.image_size, config.image_size, 3), np.uint8)
    actions = []
    for precision in ("float32", "bfloat16"):
        agent = Dreamer(replace(config, precision=precision), ACTIONS, seed=0)
        policy = agent.policy(torch.Generator().manual_seed(0))
        with Kinds() as kinds:
            actions.append(np.stack([policy(image) for _ in range(3)]))
        assert not any(torch.bfloat16 in dtypes for dtypes in kinds.seen.values())
    np.testing.assert_array_equal(*actions)
