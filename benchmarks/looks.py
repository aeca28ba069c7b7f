"""A sweep with questions over three looks while schedulers and workers are killed: does it end as if left alone?

`python -m benchmarks.looks HOME [--kills 40] [--schedulers 2] [--slots 2]`; exit code 1 when it does not. Real
training of environments whose returns are known, through `dreamctl sweep`. Schedulers and workers get SIGKILL at random
moments, a third of the kills at each look; schedulers also, beyond these, in the moments when a look's runs have ended.
The sweep starts over until all kills are done. DREAMCTL_DB chooses another database than SQLite in the home.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from dreamctl.store import Store, open_store

NAME = "looks"
_KILL_EVERY = 8.0  # seconds, on average
_BETWEEN = 3  # kills between two looks, at most
ENVIRONMENT = '''
import numpy as np

class Box:
    def __init__(self, low, high, shape, dtype):
        self.low, self.high = np.full(shape, low, dtype), np.full(shape, high, dtype)
        self.shape, self.dtype = shape, np.dtype(dtype)

class Poor:
    """Its return depends on the episode's seed alone."""

    observation_space, action_space = Box(0, 255, (32, 32, 3), np.uint8), Box(-1, 1, (1,), np.float32)
    points = 100.0

    def reset(self, seed=None, options=None):
        self.reward = (self.points + np.random.default_rng(seed).normal(0, 10)) / 20
        return np.zeros((32, 32, 3), np.uint8), {}

    def step(self, action):
        return np.zeros((32, 32, 3), np.uint8), self.reward, False, False, {}

class Twin(Poor):
    points = 104.0

class Good(Poor):
    points = 700.0
'''
SWEEP = """
name: looks
tasks: ["known:Good", "known:Poor", "known:Twin"]
preset: smoke
seeds: {looks: [2, 3, 4]}
set: {steps: 120, episode_length: 20, updates: 2, batch_length: 5, eval_every: 60, checkpoint_every: 60}
grid: {horizon: [4, 5]}
questions:
  good:
    asks: Is the good one better?
    better: {task: "known:Good"}
    than: {task: "known:Poor"}
    floor: 0
  twin:
    asks: Is its twin better at each horizon?
    better: {task: "known:Twin"}
    than: {task: "known:Poor"}
    at_each: horizon
    floor: 0
"""
COMMAND = [sys.executable, "-m", "dreamctl", "sweep", "looks.yaml", "--max-attempts", "1000", "--cpu-slots"]


def outcome(store: Store) -> dict[str, Any]:
    """What must not depend on who was killed: runs and their evaluations, looks and answers; as JSON."""
    sweep = store.find_sweep(NAME)
    members = store.members(sweep.id)
    runs = {run.digest: [(e.env_steps, e.kind, e.returns) for e in store.evaluations(run.id)] for run in members}
    looks = [(look.number, look.seeds, look.version, look.answers) for look in store.looks(sweep.id)]
    return json.loads(json.dumps({"runs": runs, "looks": looks, "members": len(members), "all": len(store.runs())}))


def alone(folder: Path, slots: int) -> dict[str, Any]:
    """The sweep undisturbed, on SQLite."""
    environment = {key: value for key, value in os.environ.items() if key != "DREAMCTL_DB"}
    command = [*COMMAND, str(slots), "--home", str(folder / "alone")]
    subprocess.run(command, check=True, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    given = os.environ.pop("DREAMCTL_DB", None)
    try:
        return outcome(open_store(folder / "alone"))
    finally:
        os.environ |= {} if given is None else {"DREAMCTL_DB": given}


def under_fire(folder: Path, kills: dict[str, int], limit: int, schedulers: int, slots: int, rng: random.Random) -> int:
    """The sweep to its end, with kills up to the limit; returns how many schedulers ended in another way."""
    home = folder / "fire"
    store, log = open_store(home), (folder / "fire.log").open("ab")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([*COMMAND, str(slots), "--home", str(home)], cwd=folder, stdout=log, stderr=log)

    processes, bad, due = [start() for _ in range(schedulers)], 0, time.monotonic() + _KILL_EVERY
    ends: Counter[int] = Counter()  # kills between looks, by look
    while processes:
        time.sleep(0.02)
        for process in [process for process in processes if process.poll() is not None]:
            processes.remove(process)
            if process.returncode == -signal.SIGKILL:
                processes.append(start())
            bad += process.returncode not in (0, -signal.SIGKILL)
        sweeps = store.sweeps()
        at = len(store.looks(sweeps[0].id)) if sweeps else 0
        states = {status for _, status, _ in store.states(sweeps[0].id)} if sweeps else set()
        whom = None
        if states and not {"queued", "running"} & states:
            if rng.random() < 0.03 and ends[at] < _BETWEEN:  # about every second while it is so
                ends[at] += 1
                whom = "between looks"
        elif time.monotonic() > due and kills["workers"] + kills["schedulers"] < limit * (at + 1) / 3:
            due = time.monotonic() + rng.expovariate(1 / _KILL_EVERY)
            whom = rng.choice(["workers", "workers", "schedulers"])
        if whom:
            workers = [run.pid for run in store.runs(status="running")]
            pids = workers if whom == "workers" else [process.pid for process in processes]
            with suppress(ProcessLookupError, TypeError, IndexError):
                os.kill(rng.choice(pids), signal.SIGKILL)
                kills[whom] += 1
    return bad


def start_over(store: Store) -> None:
    """Remove the sweep and its runs."""
    for sweep in store.sweeps():
        store.remove_sweep(sweep.id)
    for run in store.runs():
        store.remove(run.id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--schedulers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.home.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "known.py").write_text(ENVIRONMENT)
    (folder / "looks.yaml").write_text(SWEEP)
    os.environ |= {"OMP_NUM_THREADS": "1", "DREAMCTL_MLFLOW": "off"}
    expected = alone(folder, arguments.slots)
    kills = {"workers": 0, "schedulers": 0, "between looks": 0}
    rng, began = random.Random(0), time.monotonic()
    sweeps = deaths = doubled = different = bad = 0
    while kills["workers"] + kills["schedulers"] < arguments.kills:
        store = open_store(folder / "fire")
        start_over(store)
        bad += under_fire(folder, kills, arguments.kills, arguments.schedulers, arguments.slots, rng)
        runs = store.runs()
        deaths += sum(run.deaths for run in runs)
        doubled += sum(run.attempt != run.deaths + 1 for run in runs)
        different += outcome(store) != expected
        sweeps += 1
    answers = {row["question"]: f"{row['answer']} at look {row['look'] + 1}" for row in expected["looks"][-1][3]}
    result = {
        **{f"kills, {whom}": count for whom, count in kills.items()},
        "sweeps": sweeps,
        "runs of each": expected["members"],
        "looks of each": len(expected["looks"]),
        "answers": answers,
        "workers lost": deaths,
        "claimed twice": doubled,
        "ended otherwise": bad,
        "sweeps with other runs, evaluations, looks or answers": different,
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(result, indent=2))
    sys.exit(bool(doubled or bad or different))


if __name__ == "__main__":
    main()
