"""What can be known of a GPU without one: the update on tensors that have a device and no numbers.

Whatever asks for a number (and would make the GPU's queue run dry), or mixes devices, fails there.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from agent import capture, replay, training
from agent.config import METHODS, OBJECTIVES
from agent.dreamer import Dreamer
from benchmarks import kernels
from tests.agent.conftest import small

ROOT = Path(__file__).parents[2]
CASES = [*((method, "reconstruction") for method in METHODS), *(("dreamer", o) for o in list(OBJECTIVES)[1:])]


def agent_of(method="dreamer", objective="reconstruction", **changes):
    values = METHODS[method].values | dict(method=method, objective=objective, horizon=3, batch_length=3)
    return Dreamer(small(**values, **changes), kernels.ACTIONS, seed=0)


@pytest.mark.parametrize(("method", "objective"), CASES)
def test_an_update_stays_on_its_device(method, objective):
    agent = agent_of(method, objective)
    with kernels.pretended():
        kernels.move(agent, "xla:0")
        metrics = agent.learn(*kernels.arguments(agent.config, "xla:0"))
        assert all(value.device == agent.device and value.ndim == 0 for value in metrics.values())
        for optimizer in agent.optimizers.values():
            for parameter in optimizer.parameters:
                assert parameter.grad.device == agent.device and parameter.grad.stride() == parameter.stride()
    assert len(metrics) >= 5


def test_waiting_and_mixing_would_be_noticed():
    agent = agent_of()
    waits, mixes = agent.world_model.reward.forward, agent.world_model.encoder.forward
    with kernels.pretended():
        kernels.move(agent, "xla:0")
        given = kernels.arguments(agent.config, "xla:0")
        agent.world_model.reward.forward = lambda features: waits(features) * waits(features).mean().item()
        with pytest.raises(RuntimeError, match="local_scalar"):
            agent.learn(*given)
        agent.world_model.reward.forward = waits
        agent.world_model.encoder.forward = lambda images: mixes(images) + torch.zeros(1)
        with pytest.raises(RuntimeError, match="device"):
            agent.learn(*given)


def test_adams_counts_are_float32_in_float64_too(float64):
    """PyTorch's fused Adam reads them as that on CUDA; as float64 they gave NaN at the first update."""
    counts = [count for optimizer in agent_of().optimizers.values() for count in optimizer.steps]
    own = torch.optim.Adam([nn.Parameter(torch.zeros(1))], fused=True)  # PyTorch's own class does the same
    own.param_groups[0]["params"][0].grad = torch.ones(1)
    own.step()
    (state,) = own.state.values()
    assert {count.dtype for count in counts} == {state["step"].dtype} == {torch.float32}


def test_what_a_graph_reads_and_writes_stays_in_place_on_cuda(monkeypatch):
    """Parameters, Adam's state and its counts of steps, on the device; fused Adam that may be recorded.

    Forward and Adam; gradients are made up: autograd refuses CUDA in a build without it.
    """
    agent = agent_of(slow_value_every=100)
    monkeypatch.setattr(torch.autograd, "grad", lambda _, parameters: [torch.empty_like(p) for p in parameters])
    monkeypatch.setattr(nn.GRUCell, "forward", kernels.cell(kernels.Launches()))

    def held():
        moments = [t for o in agent.optimizers.values() for kept in (o.steps, o.means, o.squares) for t in kept]
        return [*agent.world_model.parameters(), *agent.behavior.parameters(), *moments]

    with kernels.pretended():
        kernels.move(agent, "cuda:0")
        given = kernels.arguments(agent.config, "cuda:0")
        agent.learn(*given)
        before = held()
        agent.behavior.copy_slow_value()
        metrics = agent.learn(*given)
        assert all(one is two for one, two in zip(before, held(), strict=True))
        assert {tensor.device for tensor in (*before, *metrics.values())} == {torch.device("cuda:0")}
    assert all(optimizer.on_gpu and optimizer.fused for optimizer in agent.optimizers.values())


ON_THE_WAY = (
    training.Run.learn,
    training.Run.update,
    replay.Replay.sample,
    replay.Replay.batches,
    replay.Replay._gathered,
    replay.Replay._moved,
    Dreamer.update,
    Dreamer.noise,
    capture.Captured,
    capture._Recording,
)


@pytest.mark.parametrize("function", ON_THE_WAY, ids=lambda function: function.__qualname__)
def test_nothing_waits_on_the_way_to_an_update(function):
    """What cannot run without a GPU, read: generators, batches, the recording. docs/performance.md lists the waits."""
    waits = re.compile(r"\.(item|cpu|tolist|numpy|nonzero|synchronize)\(|\b(float|bool|int)\(|\.to\((?!.*non_blocking)")
    assert not waits.search(inspect.getsource(function))


def test_kernels_grow_by_time_steps():
    """The count is linear in L and H, so small ones say what large ones have."""
    config = small(batch_length=6, horizon=5)
    found = kernels.measure(config)
    assert found["kernels"] == sum(kernels.count(config).kernels.values())
    assert 0 < found["sequential"] == 6 * found["scan_step"] + 5 * found["imagined_step"] < found["kernels"]


def test_learning_does_not_load_pytorchs_compiler():
    """It takes a second, and its triton crashes where Mesa has rendered in software before."""
    code = (
        "import sys; from tests.agent.conftest import random_batch, small; from agent.dreamer import Dreamer\n"
        "config = small(); agent = Dreamer(config, 2, 0); agent.update(random_batch(config, 2), 0)\n"
        "agent.load_state_dict(agent.state_dict())\n"
        "print({'torch._dynamo', 'torch._inductor', 'triton'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
