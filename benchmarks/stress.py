"""Many very short runs through several schedulers while schedulers and workers are killed: is anything lost?

`python -m benchmarks.stress HOME [--runs 200] [--schedulers 2] [--slots 2]`; exit code 1 when something is. Real
training, a few updates each. DREAMCTL_DB chooses another database than SQLite in the home. Prints kills, claims, what
was lost or doubled, and how long claims took.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from dreamctl.jobs.scheduler import Scheduler, enroll
from dreamctl.jobs.slots import Slot
from dreamctl.jobs.spec import parse
from dreamctl.store import Store, open_store

NAME = "stress"
SETTINGS = ["steps=240", "episode_length=40", "updates=3", "batch_length=5", "eval_every=80", "checkpoint_every=80"]
EPISODES, EVALUATIONS = 6, 3  # of each run
_KILL_EVERY = 8.0  # seconds, on average


def schedule(home: Path, slots: int) -> None:
    """A scheduler that notes how long its claims take."""
    store = open_store(home)
    claim = store.claim_next
    log = (home / "claims.log").open("a")

    def timed(sweep_id: str, device: str):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        run = claim(sweep_id, device)
        if run is not None:
            log.write(f"{run.id} {run.attempt} {time.perf_counter() - start}\n")
            log.flush()
        return run

    store.claim_next = timed  # type: ignore[method-assign]
    scheduler = Scheduler(store, store.find_sweep(NAME), [Slot("cpu", {"OMP_NUM_THREADS": "1"})] * slots)
    while not scheduler.done:
        scheduler.step()
        time.sleep(0.2)


def stress(home: Path, runs: int, schedulers: int, slots: int) -> dict[str, float]:
    """Run the sweep under fire; what happened."""
    store = open_store(home)
    cells = [parse("pendulum_swingup", seed, "smoke", SETTINGS) for seed in range(runs)]
    sweep = enroll(store, NAME, cells, {}, max_attempts=1000)
    command = [sys.executable, "-m", "benchmarks.stress", str(home), "--slots", str(slots), "--scheduler"]
    processes = [subprocess.Popen(command) for _ in range(schedulers)]
    rng, began = random.Random(0), time.monotonic()
    kills = {"schedulers": 0, "workers": 0}
    shot = time.monotonic()
    while (counts := store.counts(sweep.id)).get("queued", 0) + counts.get("running", 0):
        time.sleep(0.5)
        for index, process in enumerate(processes):
            if process.poll() is not None:
                processes[index] = subprocess.Popen(command)
        if time.monotonic() - shot > rng.expovariate(1 / _KILL_EVERY) + 0.5:
            shot = time.monotonic()
            victim = rng.choice(["workers", "workers", "schedulers"])
            pids = (
                [p.pid for p in processes] if victim == "schedulers" else [r.pid for r in store.runs(status="running")]
            )
            if pids:
                with suppress(ProcessLookupError, TypeError):
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    kills[victim] += 1
    for process in processes:
        process.wait()
    return {f"kills_{who}": count for who, count in kills.items()} | {"seconds": time.monotonic() - began}


def check(store: Store, home: Path, runs: int) -> dict[str, float]:
    """What was lost or doubled, by the records."""
    members = store.members(store.find_sweep(NAME).id)
    claims = [line.split() for line in (home / "claims.log").read_text().splitlines()]
    times = [float(seconds) for _, _, seconds in claims]
    wrong_points = wrong_evaluations = 0
    for run in members:
        returns = store.scalars(run.id, "train/return")
        wrong_points += [point.step for point in returns] != [40 * k for k in range(1, EPISODES + 1)]
        found = [(e.env_steps, e.kind) for e in store.evaluations(run.id)]
        wrong_evaluations += found != [(80, "training"), (160, "training"), (240, "final")]
    with store._engine.connect() as connection:
        sound = (
            store._engine.dialect.name != "sqlite"
            or connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        )
    return {
        "runs": runs,
        "lost": runs - sum(run.status == "finished" for run in members),
        "claims": sum(run.attempt for run in members),
        # each claim but the first follows a death: a second worker on a living run would be one too many
        "claimed_twice": sum(run.attempt != run.deaths + 1 for run in members),
        "runs_with_wrong_metrics": wrong_points,
        "runs_with_wrong_evaluations": wrong_evaluations,
        "database_sound": sound,
        "claim_median_ms": 1000 * statistics.median(times),
        "claim_worst_ms": 1000 * max(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--schedulers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--scheduler", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scheduler:
        schedule(arguments.home, arguments.slots)
        return
    happened = stress(arguments.home, arguments.runs, arguments.schedulers, arguments.slots)
    result = happened | check(open_store(arguments.home), arguments.home, arguments.runs)
    print(json.dumps(result, indent=2))
    wrong = ("lost", "claimed_twice", "runs_with_wrong_metrics", "runs_with_wrong_evaluations")
    sys.exit(any(result[key] for key in wrong) or not result["database_sound"])


if __name__ == "__main__":
    main()
