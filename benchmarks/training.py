"""Environment steps per second, end to end: `python -m benchmarks.training [--preset paper] [--overlap 0 --overlap 2]`.

Trains from the start, in a folder that is thrown away, and times `--episodes` episodes of the agent (with overlap: as
many more as make whole rounds of the players), after a first round that it does not time: a GPU records its graph then,
processes begin. No evaluations. With --parallel N, N such trainings at once.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from agent import training
from agent.config import make
from benchmarks.machine import available, describe


class Watch:
    """A recorder that only looks at the clock."""

    def __init__(self, first: int) -> None:
        self.first = first  # episodes that are not timed
        self.ends: list[float] = []  # of episodes
        self.phases: defaultdict[str, float] = defaultdict(float)

    def progress(self, env_steps: int, updates: int) -> None: ...

    def scalars(self, env_steps: int, values: Any) -> None:
        if values.get("train/updates"):
            self.ends.append(time.perf_counter())
            for name, value in values.items():
                if name.endswith("_seconds") and len(self.ends) > self.first:
                    self.phases[name[5:-8]] += value

    def evaluation(self, *_: Any) -> None: ...

    def prediction(self, *_: Any) -> None: ...

    def checkpoint(self, *_: Any) -> None: ...


def measure(preset: str, task: str, overlap: int, episodes: int, device: str, settings: dict[str, str]) -> dict:
    """Environment steps per second and the seconds of each phase in 1,000 of them."""
    base = make(preset, settings)
    players = max(1, overlap)  # episodes that were played at the same time end together: only whole rounds are timed
    timed = players * math.ceil(episodes / players)
    steps = (base.seed_episodes + players + timed) * base.episode_length
    quiet = {"steps": steps, "overlap": overlap, "eval_every": 10**9, "checkpoint_every": 10**9, "final_episodes": 1}
    watch = Watch(players)
    with tempfile.TemporaryDirectory() as folder:
        training.train(task, make(preset, settings | quiet), 0, Path(folder), watch, device)
    env_steps = timed * base.episode_length
    rate = env_steps / (watch.ends[-1] - watch.ends[players - 1])
    phases = {name: 1000 * seconds / env_steps for name, seconds in watch.phases.items()}
    return {"overlap": overlap, "env_steps_per_second": rate, "hours_per_million": 1e6 / rate / 3600, "phases": phases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--task", default="walker_walk")
    parser.add_argument("--overlap", type=int, action="append", help="may be given again [default: 0]")
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", type=available, default="auto")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.parallel > 1:
        command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--parallel", "1", "--json"]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(arguments.parallel)]
        each = [json.loads(process.communicate()[0]) for process in processes]
        found = each[0]
        for index, result in enumerate(found["results"]):
            result["env_steps_per_second"] = sum(one["results"][index]["env_steps_per_second"] for one in each)
            result["hours_per_million"] = 1e6 / result["env_steps_per_second"] / 3600
    else:
        device = arguments.device
        settings = dict(item.split("=", 1) for item in arguments.set)
        found = {"machine": describe(device), "preset": arguments.preset, "task": arguments.task}
        found["results"] = [
            measure(arguments.preset, arguments.task, overlap, arguments.episodes, device, settings)
            for overlap in arguments.overlap or [0]
        ]
    found["parallel"] = arguments.parallel
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['machine']}\n{found['preset']}, {found['task']}, {found['parallel']} at once")
    print(f"\n{'overlap':>8}{'env steps/s':>14}{'h per 1e6':>12}   seconds in 1,000 steps")
    for result in found["results"]:
        phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result["phases"].items())
        rate, hours = result["env_steps_per_second"], result["hours_per_million"]
        print(f"{result['overlap']:8}{rate:14.1f}{hours:12.2f}   {phases}")


if __name__ == "__main__":
    main()
