"""How long one update takes, fast against plain: `python -m benchmarks.update`.

All do the same work on the same batch, interleaved, so that a noisy machine slows all; medians are of their times.
`bfloat16` is `fast` with `precision=bfloat16`, `compiled` the same function by torch.compile (--compiled). On a GPU
`fast` is one recorded graph, `eager` the same function called.
Sizes: `small` is the one at which other PyTorch implementations are known, `paper` the paper's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from agent.config import Config, make
from agent.device import tune
from agent.dreamer import Dreamer
from agent.world_model import Batch
from benchmarks.machine import available, describe
from benchmarks.plain import PlainDreamer

ACTIONS = 6
SIZES: dict[str, Config] = {
    "tiny": make("tiny"),
    "small": make(
        "paper",
        dict(batch_size=16, batch_length=16, horizon=10, deterministic=64, stochastic=16, hidden=64, units=64, depth=8),
    ),
    "paper": make("paper"),
}


def measure(
    config: Config, device: str, repeat: int, compiled: bool = False, cpu_time: bool = False
) -> dict[str, float]:
    """Median seconds of an update in each way."""
    clock = time.process_time if cpu_time else time.perf_counter
    agent = Dreamer(config, ACTIONS, 0, device)
    plain = PlainDreamer(agent)
    batch = random_batch(config, device)
    half = Dreamer(replace(config, precision="bfloat16"), ACTIONS, 0, device)
    ways: dict[str, Callable[[int], dict[str, torch.Tensor]]] = {
        "fast": lambda index: agent.update(batch, index),
        "bfloat16": lambda index: half.update(batch, index),
    }
    if device.startswith("cuda"):
        eager = Dreamer(config, ACTIONS, 0, device)
        ways["eager"] = lambda index: eager.learn(batch, eager.noise(batch, index))
    if compiled:
        other = Dreamer(config, ACTIONS, 0, device)
        function = torch.compile(other.learn)
        ways["compiled"] = lambda index: function(batch, other.noise(batch, index))
    ways["plain"] = lambda index: plain.update(batch, agent.noise(batch, index), index)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(repeat + 4):  # four to warm up, and on a GPU to record
        for name, update in ways.items():
            start = clock()
            update(index)["model/loss"].item()  # waits for the device
            times[name].append(clock() - start)
    return {name: statistics.median(values[4:]) for name, values in times.items()}


def random_batch(config: Config, device: str) -> Batch:
    """A batch of noise."""
    shape = (config.batch_length, config.batch_size)
    images = torch.randint(0, 256, (*shape, config.image_size, config.image_size, 3), dtype=torch.uint8)
    batch = Batch(images, torch.rand(*shape, ACTIONS) * 2 - 1, torch.rand(shape))
    return Batch(*(part.to(device) for part in batch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: all]")
    parser.add_argument("--device", type=available, default="auto")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--compiled", action="store_true", help="also by torch.compile (needs a compiler)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="not wall time: on a machine that is used by others, too"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    tune(device)
    sizes = arguments.size or list(SIZES)
    how = (device, arguments.repeat, arguments.compiled, arguments.cpu_time)
    results = {size: measure(SIZES[size], *how) for size in sizes}
    machine = describe(device)
    if arguments.json:
        print(json.dumps({"machine": machine, "seconds": results}, indent=2))
        return
    ways = list(next(iter(results.values())))
    print(f"{machine}\n\n{'size':8}" + "".join(f"{way:>12}" for way in ways) + f"{'fast/plain':>14}")
    for size, seconds in results.items():
        print(f"{size:8}" + "".join(f"{1000 * seconds[way]:10.1f}ms" for way in ways), end="")
        print(f"{seconds['fast'] / seconds['plain']:14.2f}")


if __name__ == "__main__":
    main()
