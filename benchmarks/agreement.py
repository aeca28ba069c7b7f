"""Whether the fast update and the plain one agree on a device, in float32: `python -m benchmarks.agreement`.

On a GPU the fast one is a recorded graph from the fourth update on; products are in float32, not TF32, for this. From
the same state and noise both drift apart by rounding alone. The largest differences must stay below the limits, or it
ends with 1: of losses relative to their size, of parameters relative to how far they have moved.
"""

from __future__ import annotations

import argparse
import json
import sys

import torch

from agent.capture import WARM_UP
from agent.config import Config
from agent.device import resolve, tune
from agent.dreamer import Dreamer
from benchmarks.machine import describe
from benchmarks.plain import PlainDreamer
from benchmarks.update import ACTIONS, SIZES, random_batch

UPDATES = WARM_UP + 7
LIMITS = {"losses": 0.01, "parameters": 0.1}


def measure(config: Config, device: str, updates: int) -> dict[str, float]:
    """The largest relative difference of losses at any update, and of parameters at the end."""
    agent = Dreamer(config, ACTIONS, 0, device)
    plain = PlainDreamer(agent)
    start, losses = agent.vector(), 0.0
    for index in range(updates):
        batch = random_batch(config, device)
        fast, slow = agent.update(batch, index), plain.update(batch, agent.noise(batch, index), index)
        for name, value in slow.items():
            size = max(abs(value.item()), 1.0)
            losses = max(losses, abs(fast[name].item() - value.item()) / size)
    end = agent.vector()
    agent.world_model, agent.behavior = plain.world_model, plain.behavior
    apart = (agent.vector() - end).norm() / (end - start).norm()
    return {"losses": losses, "parameters": apart.item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: small]")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = resolve(arguments.device)
    tune(device)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)  # of the batches
    found = {size: measure(SIZES[size], device, arguments.updates) for size in arguments.size or ["small"]}
    agree = all(values[key] < limit for values in found.values() for key, limit in LIMITS.items())
    if arguments.json:
        print(json.dumps({"machine": describe(device), "agree": agree, "differences": found}, indent=2))
    else:
        print(f"{describe(device)}\n\n{'size':8}{'losses':>12}{'parameters':>12}")
        for size, values in found.items():
            print(f"{size:8}{values['losses']:12.1e}{values['parameters']:12.1e}")
    sys.exit(None if agree else "the fast update and the plain one do not agree")


if __name__ == "__main__":
    main()
