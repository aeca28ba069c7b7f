"""What the manager costs a run: `python -m benchmarks.manager [--steps 20000] [--json]`.

Trains `tiny` in a home that is thrown away, as a worker does, with the mirror to MLflow beside it. Prints the time from
the claim to the first update, and the CPU time of all that the manager adds: sign of life and metrics (a thread of the
worker); evaluations, predictions and checkpoints as they are recorded; the mirror's process, apart from its start
(imports, MLflow's schema: once for all runs).
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks.machine import describe
from dreamctl.jobs import launch, worker
from dreamctl.jobs.spec import parse
from dreamctl.store import open_store

_PARTS = {
    "flush": "sign of life, metrics",
    "evaluation": "evaluations, videos",
    "prediction": "predictions",
    "checkpoint": "checkpoints",
}
_MIRROR_STARTS = 30.0  # seconds within which the mirror has surely begun to copy


def measure(steps: int) -> dict[str, Any]:
    """One run; CPU seconds of each part, and when things happened."""
    spent: Counter[str] = Counter()
    moments: dict[str, float] = {}
    depth = threading.local()

    def timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any) -> Any:
            if getattr(depth, "inside", False):  # a checkpoint flushes: counted once
                return method(*arguments)
            depth.inside, start = True, time.thread_time()
            try:
                return method(*arguments)
            finally:
                depth.inside = False
                spent[name] += time.thread_time() - start

        return call

    for name in _PARTS:
        setattr(worker.StoreRecorder, name, timed(name, getattr(worker.StoreRecorder, name)))
    progress = worker.StoreRecorder.progress

    def watched(recorder: Any, env_steps: int, updates: int) -> None:
        moments.setdefault("agent begins", time.time())
        if updates:
            moments.setdefault("first update", time.time())
        if time.time() > claimed + _MIRROR_STARTS:
            moments.setdefault("mirror begun", cpu_seconds(mirror))
        progress(recorder, env_steps, updates)

    worker.StoreRecorder.progress = watched  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as home:
        store = open_store(home)
        run = launch.submit(store, parse("walker_stand", 0, "tiny", [f"steps={steps}"]))
        mirror = psutil.Process(launch.spawn_mirror(store).pid)
        claimed, cpu = time.time(), time.process_time()
        attempt = store.claim(run.id, "cpu")
        run = worker.work(store, run.id, "cpu", attempt)
        wall, cpu = time.time() - claimed, time.process_time() - cpu
        mirrored = cpu_seconds(mirror)
        begun = moments.get("mirror begun", mirrored)
        mirror.kill()
        mirror.wait()
    assert run.status == "finished", run.reason
    return {
        "steps": steps,
        "seconds": wall,
        "worker_cpu_seconds": cpu,
        "claim_to_agent_seconds": moments["agent begins"] - claimed,
        "claim_to_first_update_seconds": moments["first update"] - claimed,
        "manager_cpu_seconds": dict(spent),
        "mirror_start_cpu_seconds": begun,
        "mirror_cpu_seconds": mirrored - begun,
    }


def cpu_seconds(process: psutil.Process) -> float:
    """What a process has spent so far, of the user's time and the system's."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.steps) | {"machine": describe("cpu")}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(found["machine"])
    whole = found["worker_cpu_seconds"]
    print(f"tiny, {arguments.steps:,} environment steps: {found['seconds']:.0f} s, {whole:.0f} CPU-s in the worker")
    print(f"claim to the agent's first step {found['claim_to_agent_seconds']:.2f} s", end=", ")
    print(f"to its first update {found['claim_to_first_update_seconds']:.2f} s")
    parts = {_PARTS[name]: seconds for name, seconds in found["manager_cpu_seconds"].items()}
    for name, seconds in (parts | {"mirror": found["mirror_cpu_seconds"]}).items():
        print(f"{name:26} {seconds:8.2f} CPU-s {100 * seconds / whole:7.2f} %")
    print(f"mirror's start, once       {found['mirror_start_cpu_seconds']:8.2f} CPU-s")


if __name__ == "__main__":
    main()
