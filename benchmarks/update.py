"""How long one update takes, fast against plain: `python -m benchmarks.update`.

Both do the same work on the same batch, interleaved, so that a noisy machine slows both; medians are of their times.
Sizes: `small` is the one at which other PyTorch implementations are known, `paper` the paper's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from agent.config import Config, make
from agent.device import resolve, tune
from agent.dreamer import Dreamer
from agent.world_model import Batch
from benchmarks.machine import describe
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


def measure(config: Config, device: str, repeat: int) -> dict[str, float]:
    """Median seconds of a fast and a plain update."""
    agent = Dreamer(config, ACTIONS, 0, device)
    plain = PlainDreamer(agent)
    batch = random_batch(config, device)
    times: dict[str, list[float]] = {"fast": [], "plain": []}
    for index in range(repeat + 4):  # four to warm up, and on a GPU to record
        start = time.perf_counter()
        agent.update(batch, index)["model/loss"].item()  # waits for the device
        between = time.perf_counter()
        plain.update(batch, agent.noise(batch, index), index)["model/loss"].item()
        times["fast"].append(between - start)
        times["plain"].append(time.perf_counter() - between)
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
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = resolve(arguments.device)
    tune(device)
    results = {size: measure(SIZES[size], device, arguments.repeat) for size in arguments.size or SIZES}
    machine = describe(device)
    if arguments.json:
        print(json.dumps({"machine": machine, "seconds": results}, indent=2))
        return
    print(f"{machine}\n\n{'size':8}{'fast':>10}{'plain':>10}{'ratio':>8}")
    for size, seconds in results.items():
        fast, plain = seconds["fast"], seconds["plain"]
        print(f"{size:8}{1000 * fast:8.1f}ms{1000 * plain:8.1f}ms{fast / plain:8.2f}")


if __name__ == "__main__":
    main()
