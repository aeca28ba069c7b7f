"""Whether the fast update and the plain one agree on a device: `python -m benchmarks.agreement`.

Both are made in float32 (products not in TF32, for this) and in float64, from the same state, batches and noise; on a
GPU the fast ones are recorded graphs from the fourth update on. All are held against the plain one in float64: losses
relative to their size, parameters relative to how far they have moved. The fast one in float64 must equal it up to
`LIMIT`. In float32 Adam's first steps are as long for a gradient that is mere rounding as for any other, so parameters
drift apart in either; the fast one's must not be further off than `FACTOR` times the plain one's. Else it ends with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from agent.capture import WARM_UP
from agent.config import Config
from agent.device import tune
from agent.dreamer import Dreamer, Noise
from agent.world_model import Batch
from benchmarks.machine import available, describe
from benchmarks.plain import PlainDreamer
from benchmarks.update import ACTIONS, SIZES, random_batch

UPDATES = WARM_UP + 7
LIMIT = 1e-6
FACTOR = 3.0


class Given(Dreamer):
    """A `Dreamer` with the noise that it is given."""

    given: Noise

    def noise(self, batch: Batch, index: int) -> Noise:
        return self.given


@contextmanager
def in_float64() -> Iterator[None]:
    """What is made is made of float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def measure(config: Config, device: str, updates: int) -> dict[str, dict[str, float]]:
    """How far `fast`, `plain` and `fast64` are from the plain update in float64: the losses, and the parameters."""
    fast = Given(config, ACTIONS, 0, device)
    with in_float64():
        fast64 = Given(config, ACTIONS, 0, device)
        fast64.load_state_dict(fast.state_dict())
        exact = PlainDreamer(fast64)
    plain = PlainDreamer(fast)
    start, names = fast64.vector(), ("fast", "plain", "fast64")
    losses: dict[str, list[float]] = {way: [] for way in names}
    for index in range(updates):
        batch = random_batch(config, device)
        fast.given = noise = Dreamer.noise(fast, batch, index)
        found = {"fast": fast.update(batch, index), "plain": plain.update(batch, noise, index)}
        with in_float64():
            batch = Batch(batch.images, batch.actions.double(), batch.rewards.double())
            fast64.given = noise = Noise(*(part.double() for part in noise))
            found["fast64"], right = fast64.update(batch, index), exact.update(batch, noise, index)
        for name, value in right.items():
            for way in names:
                losses[way].append(abs(found[way][name].item() - value.item()) / max(abs(value.item()), 1.0))
    end = parameters(exact)
    moved = (end - start).norm()
    ends = {"fast": fast.vector(), "plain": parameters(plain), "fast64": fast64.vector()}
    apart = {way: ((ends[way] - end).norm() / moved).item() for way in names}
    return {way: {"losses": float(np.max(losses[way])), "parameters": apart[way]} for way in names}  # NaN stays NaN


def parameters(plain: PlainDreamer) -> Tensor:
    """All parameters that acting depends on, as `Dreamer.vector` has them."""
    models = [plain.world_model, *([plain.behavior.action] if plain.behavior else [])]
    return torch.cat([p.detach().reshape(-1) for model in models for p in model.parameters()]).cpu()


def agree(found: dict[str, dict[str, float]]) -> bool:
    """Whether what was measured is within `LIMIT` and `FACTOR`."""
    exactly = all(value < LIMIT for value in found["fast64"].values())  # not of NaN
    return exactly and found["fast"]["parameters"] <= FACTOR * found["plain"]["parameters"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: small]")
    parser.add_argument("--device", type=available, default="auto")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    tune(device)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)  # of the batches
    found = {size: measure(SIZES[size], device, arguments.updates) for size in arguments.size or ["small"]}
    well = all(map(agree, found.values()))
    if arguments.json:
        print(json.dumps({"machine": describe(device), "agree": well, "differences": found}, indent=2))
    else:
        print(f"{describe(device)}\n\n{'size':8}{'update':8}{'losses':>12}{'parameters':>12}")
        for size, ways in found.items():
            for way, values in ways.items():
                print(f"{size:8}{way:8}{values['losses']:12.1e}{values['parameters']:12.1e}")
    sys.exit(None if well else "the fast update and the plain one do not agree")


if __name__ == "__main__":
    main()
