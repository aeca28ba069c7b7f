"""What a GPU has to do in one update, counted without one: `python -m benchmarks.kernels [--size small] [--json]`.

The update runs on tensors that have shapes and a device but no numbers. Every operation that is not a view counts as
one kernel (the gradient of a convolution as one for each of its results; PyTorch's GRU cell, clipping and Adam by what
they launch on CUDA), with the bytes of its arguments and results. Both grow with the length L of a sequence and the
horizon H as a + b L + c H + d L H, so small ones suffice to know large ones: b and c are the kernels of one time step
of the posterior scan and of the imagination, forward and backward, which have to wait for each other.
"""

from __future__ import annotations

import argparse
import ctypes
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agent.config import Config
from agent.dreamer import Dreamer, Noise, Optimizer
from agent.world_model import Batch
from benchmarks.update import ACTIONS, SIZES

_NO_KERNEL = {"device", "_unsafe_view", "unsafe_split", "empty", "empty_like", "new_empty", "empty_strided"}
_PER_OPTIMIZER = 12  # of clipping and fused Adam, which take many tensors at once
_CUDA, _XLA, _META = 1, 9, 14  # c10::DeviceType


@contextmanager
def pretended() -> Iterator[None]:
    """Inside, tensors may be made on devices that are not there. They have no numbers: what asks for one fails.

    A build of PyTorch without CUDA knows nothing of its streams, which autograd asks for: those of "meta", which do
    nothing, stand in. Gradients of tensors on "cuda" it refuses all the same; "xla", which it also lacks, is as good.
    """
    c10 = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(c10, "_ZN3c104impl26device_guard_impl_registryE")
    before = list(guards)
    for kind in (_CUDA, _XLA):
        guards[kind] = guards[kind] or guards[_META]
    try:
        with FakeTensorMode(), torch.autograd.set_multithreading_enabled(False):
            yield
    finally:
        for kind in (_CUDA, _XLA):
            guards[kind] = before[kind]


def move(agent: Dreamer, device: str) -> None:
    """Give an agent parameters without numbers on `device`, inside `pretended`; its optimisers begin anew."""

    def twin(tensor: Tensor) -> Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)

    twins: dict[Tensor, nn.Parameter] = {}
    for model in filter(None, (agent.world_model, agent.behavior)):
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    twins.setdefault(parameter, nn.Parameter(twin(parameter), parameter.requires_grad))
                    module._parameters[name] = twins[parameter]
            module._buffers |= {name: twin(buffer) for name, buffer in module._buffers.items() if buffer is not None}
    agent.device = torch.device(device)
    for name, optimizer in agent.optimizers.items():
        if device.startswith("cuda"):
            agent.optimizers[name] = Optimizer([twins[p] for p in optimizer.parameters], optimizer.lr, agent.config)
        else:  # Adam takes no other device
            optimizer.parameters = [twins[p] for p in optimizer.parameters]
            optimizer.adam = lambda: None  # type: ignore[assignment]


def arguments(config: Config, device: str) -> tuple[Batch, Noise]:
    """A batch and its noise without numbers, inside `pretended`."""
    length, size, pixels, horizon = config.batch_length, config.batch_size, config.image_size, config.horizon
    images = torch.empty(length, size, pixels, pixels, 3, dtype=torch.uint8, device=device)
    shapes = [
        (length, size, config.stochastic),
        *((horizon, length * size, n) for n in (config.stochastic, ACTIONS)),
    ]
    batch = Batch(images, torch.empty(length, size, ACTIONS, device=device), torch.empty(length, size, device=device))
    return batch, Noise(*(torch.empty(shape, device=device) for shape in shapes))


class Launches(TorchDispatchMode):
    """Counts kernels by operation, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        schema = getattr(operation, "_schema", None)
        view = schema is not None and any(r.alias_info and not r.alias_info.is_write for r in schema.returns)
        if not view and operation.namespace == "aten" and name not in _NO_KERNEL:
            parts = sum(map(bool, args[-1])) if name == "convolution_backward" else 1
            self.note(name, parts, *tree_leaves((args, kwargs, result)))
        return result

    def note(self, name: str, count: int, *tensors: Any) -> None:
        """Add kernels that work on these tensors."""
        self.kernels[name] += count
        self.bytes += sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))


def cell(launches: Launches) -> Any:
    """`nn.GRUCell.forward` as it is on CUDA: two products and a kernel; backward a kernel and two sums of biases."""

    class Gates(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, gates: Tensor, own: Tensor, state: Tensor, *biases: Tensor) -> Tensor:
            ctx.save_for_backward(gates, own, *biases)
            launches.note("gru_gates", 1, gates, own, state, state, gates, state, state)  # and what backward needs
            return torch.empty_like(state)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
            gates, own, *biases = ctx.saved_tensors
            launches.note("gru_gates_backward", 3, gates, own, gradient, gates, own, gradient, gates, own)
            return *map(torch.empty_like, (gates, own, gradient)), *map(torch.empty_like, biases)

    def forward(self: nn.GRUCell, x: Tensor, state: Tensor) -> Tensor:
        products = x @ self.weight_ih.t(), state @ self.weight_hh.t()
        return Gates.apply(*products, state, self.bias_ih, self.bias_hh)

    return forward


def count(config: Config) -> Launches:
    """One update of that config."""
    agent, launches = Dreamer(config, ACTIONS, 0), Launches()
    with (
        pretended(),
        patch.object(nn.GRUCell, "forward", cell(launches)),
        patch.object(nn.utils, "clip_grad_norm_", lambda parameters, *_: parameters[0].new_empty(())),
    ):
        move(agent, "xla:0")
        given = arguments(config, "xla:0")
        with launches:
            agent.learn(*given)
    launches.kernels["clip and Adam"] += _PER_OPTIMIZER * len(agent.optimizers)
    return launches


def measure(config: Config) -> dict[str, Any]:
    """Kernels of an update in all, of one time step of the scan and of imagination, and bytes."""
    found = {
        (length, horizon): count(replace(config, batch_length=length, horizon=horizon))
        for length in (3, 4)
        for horizon in (3, 4)
    }
    kernels = {where: sum(launches.kernels.values()) for where, launches in found.items()}
    total, scan, step = _grown(kernels, config)
    return {
        "kernels": total,
        "scan_step": scan,
        "imagined_step": step,
        "sequential": scan * config.batch_length + step * config.horizon,
        "gigabytes": _grown({where: launches.bytes for where, launches in found.items()}, config)[0] / 1e9,
    }


def _grown(values: dict[tuple[int, int], int], config: Config) -> tuple[int, int, int]:
    """a + b L + c H + d L H at the config's L and H, from (L, H) in {3, 4} x {3, 4}; b and c where d is 0."""
    both = values[4, 4] - values[4, 3] - values[3, 4] + values[3, 3]
    b, c = values[4, 3] - values[3, 3] - 3 * both, values[3, 4] - values[3, 3] - 3 * both
    a = values[3, 3] - 3 * b - 3 * c - 9 * both
    length, horizon = config.batch_length, config.horizon
    return a + b * length + c * horizon + both * length * horizon, b, c


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: paper]")
    parser.add_argument("--operations", action="store_true", help="which, of an update with L 4 and H 4")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = {size: measure(SIZES[size]) for size in given.size or ["paper"]}
    if given.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'size':8}{'kernels':>9}{'a scan step':>13}{'an imagined step':>18}{'sequential':>12}{'GB':>8}")
    for size, found in results.items():
        values = (found["kernels"], found["scan_step"], found["imagined_step"], found["sequential"])
        print(f"{size:8}{values[0]:9,}{values[1]:13}{values[2]:18}{values[3]:12,}{found['gigabytes']:8.1f}")
        if given.operations:
            for name, number in count(replace(SIZES[size], batch_length=4, horizon=4)).kernels.most_common():
                print(f"    {name:32}{number:6}")


if __name__ == "__main__":
    main()
