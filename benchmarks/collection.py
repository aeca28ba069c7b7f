"""What a decision costs: `python -m benchmarks.collection [--task walker_walk ...] [--json]`.

Milliseconds of the policy (encoder, one posterior step, action model; one thread, on the CPU) at the sizes `tiny` and
`paper`, and for each task of a decision's physics and of one image in every rendering quality. Medians; the qualities
interleaved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agent import seeds, tasks
from agent.config import make
from agent.dreamer import Dreamer
from agent.environment import Environment
from benchmarks.machine import describe

TASKS = ("cartpole_balance", "walker_walk", "cheetah_run", "quadruped_walk", "finger_spin")
QUALITIES = ("exact", "default", "fast")


def milliseconds(repeat: int, *actions: Callable[[], Any], clock: Callable[[], float]) -> list[float]:
    """Median time of each action by `clock`, in seconds, the actions in turn."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repeat):
        for mine, action in zip(times, actions, strict=True):
            start = clock()
            action()
            mine.append(1000 * (clock() - start))
    return [statistics.median(mine) for mine in times]


def acting(preset: str, repeat: int, clock: Callable[[], float]) -> float:
    """One decision of an untrained policy."""
    config = make(preset)
    agent = Dreamer(config, 6, 0)
    policy = agent.policy(seeds.torch_generator("cpu", 0, "benchmark"), explore=True)
    image = np.zeros((config.image_size, config.image_size, 3), np.uint8)
    return milliseconds(repeat, lambda: policy(image), clock=clock)[0]


def rendering(name: str, repeat: int, clock: Callable[[], float]) -> dict[str, float]:
    """Physics of one decision at action repeat 2, and an image of 64x64 in every quality."""
    task = tasks.get(name)
    worlds = [Environment(task, make("paper", {"render": quality})) for quality in QUALITIES]
    rng = np.random.default_rng(0)
    for world in worlds:
        world.reset(0)

    def physics() -> None:
        for _ in range(2):
            worlds[0].simulator.step(action)

    def follow() -> None:  # not counted: the same scene in every quality
        nonlocal action
        for world in worlds[1:]:
            for _ in range(2):
                world.simulator.step(action)
        action = rng.uniform(-1, 1, len(action))

    action = np.zeros(worlds[0].action_size)
    drawn = (world.simulator.image for world in worlds)
    moved, _, *images = milliseconds(repeat, physics, follow, *drawn, clock=clock)
    return {"physics": moved} | dict(zip(QUALITIES, images, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", help="may be given again")
    parser.add_argument("--repeat", type=int, default=100)
    parser.add_argument(
        "--cpu-time", action="store_true", help="not wall time: on a machine that is used by others, too"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    policies = {preset: acting(preset, arguments.repeat, clock) for preset in ("tiny", "paper")}
    found = {name: rendering(name, arguments.repeat, clock) for name in arguments.task or TASKS}
    if arguments.json:
        print(json.dumps({"machine": describe("cpu"), "policy_ms": policies, "tasks_ms": found}, indent=2))
        return
    print(describe("cpu"))
    print("policy: " + ", ".join(f"{preset} {ms:.2f} ms" for preset, ms in policies.items()))
    print(f"\n{'task':24}{'physics':>10}" + "".join(f"{quality:>10}" for quality in QUALITIES) + "   ms")
    for name, ms in found.items():
        print(f"{name:24}" + "".join(f"{value:10.2f}" for value in ms.values()))


if __name__ == "__main__":
    main()
