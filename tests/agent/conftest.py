"""Small configs and helpers for the agent's tests."""

import pytest
import torch

from agent.config import Config, make
from agent.world_model import Batch

torch.set_num_threads(1)  # the models here are too small to share out

# the GPU's half of a matrix runs wherever there is one; a machine without cannot run it
DEVICES = ["cpu", pytest.param("cuda:0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]

SMALL = dict(
    deterministic=6, stochastic=3, hidden=5, depth=2, units=7, batch_size=3, batch_length=5, horizon=4, image_size=32
)


def small(**changes) -> Config:
    """A config so small that finite differences are cheap."""
    return make("paper", SMALL | changes)


def random_batch(config: Config, action_size: int, seed: int = 0) -> Batch:
    """A batch of noise in the right shapes."""
    generator = torch.Generator().manual_seed(seed)
    shape = (config.batch_length, config.batch_size)
    images = torch.randint(
        0, 256, (*shape, config.image_size, config.image_size, 3), generator=generator, dtype=torch.uint8
    )
    actions = torch.rand(*shape, action_size, generator=generator) * 2 - 1
    return Batch(images, actions.to(torch.get_default_dtype()), torch.rand(shape, generator=generator))


@pytest.fixture
def float64():
    """Everything built inside the test is float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
