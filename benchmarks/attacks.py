"""What a home must outlast, tried for real: `python -m benchmarks.attacks HOME [ATTACK ...] [--seconds 600]`.

    locked    the database is locked for --seconds while a run trains, beside one that nothing disturbs
    writers   8 processes write metrics as fast as they can, each 100 times what a run writes, for a tenth of --seconds
    points    a run with 5 million points: what `show` takes, how much memory reading them for MLflow does
    memory    a run's worker is killed by the kernel for the memory it takes (a control group), and goes on
    wal       the write-ahead log is removed under a run at work
    limit     no file may grow beyond 200 kB (RLIMIT_FSIZE) in a run's worker, then it may
    quota     the user's disk quota is used up for 30 s while a run trains (as root, with btrfs-progs)

Prints JSON; exit code 1 when something was lost. HOME should be new; a run trains for seconds, on the CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from dreamctl.jobs import launch
from dreamctl.jobs.spec import parse
from dreamctl.store import Point, Run, Store, open_store

SETTINGS = ["steps=2000", "episode_length=40", "updates=2", "batch_length=5", "eval_every=400", "checkpoint_every=400"]
WRITERS, RATE, STEPS, NAMES = 8, 10, 10, 20  # processes; transactions a second, where a run makes one; points in each
POINTS = 5_000_000


def begun(store: Store, seed: int) -> tuple[Run, subprocess.Popen[bytes]]:
    """A run whose worker has made updates."""
    run = launch.submit(store, parse("pendulum_swingup", seed, "smoke", SETTINGS))
    process = launch.spawn(store, run.id, "cpu")
    while store.get(run.id).updates == 0 and process.poll() is None:
        time.sleep(0.05)
    return run, process


def record(store: Store, run: Run) -> dict[str, Any]:
    """What is known of how a run learned."""
    names = [name for name in store.last_scalars(run.id) if not name.startswith("time/")]
    return {
        "points": {(name, p.step): p.value for name in names for p in store.scalars(run.id, name)},
        "evaluations": {e.env_steps: e.returns for e in store.evaluations(run.id)},
        "checkpoints": [c.path for c in store.checkpoints(run.id)],
    }


def compared(store: Store, run: Run, seed: int) -> dict[str, Any]:
    """A run beside one of the same seed that nothing disturbed."""
    other, process = begun(store, seed)
    process.wait()
    found, expected = record(store, run), record(store, other)
    return {
        "status": store.get(run.id).status,
        "points": len(expected["points"]),
        "lost_points": sum(found["points"].get(key) != value for key, value in expected["points"].items()),
        "lost_evaluations": sum(found["evaluations"].get(k) != v for k, v in expected["evaluations"].items()),
        "same_checkpoints": found["checkpoints"] == expected["checkpoints"],
        "wrong": store.get(run.id).status != "finished" or found != expected,
    }


def locked(store: Store, seconds: float) -> dict[str, Any]:
    """Another process holds the write lock."""
    run, process = begun(store, 1)
    with closing(sqlite3.connect(store.home / "dreamctl.db", isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = store.get(run.id).env_steps
        time.sleep(seconds)
        trained = len(list((store.folder(run.id) / "episodes").glob("*.npz"))) * 40
        alive, known = process.poll() is None, store.get(run.id).env_steps
        other.rollback()
    process.wait()
    warnings = [line for line in (store.folder(run.id) / "log.txt").read_text().splitlines() if "warning" in line]
    return {
        "seconds": seconds,
        "worker_alive_at_the_end": alive,
        "env_steps_on_record": [before, known],
        "env_steps_trained_meanwhile": trained - before,
        "warnings": len(warnings),
    } | compared(store, run, 1)


def write(home: Path, run_id: str, attempt: int, writer: int, seconds: float, done: Any) -> None:
    """Write for so long; how many transactions, and the slowest."""
    store, count, slowest, begin = open_store(home), 0, 0.0, time.monotonic()
    while time.monotonic() - begin < seconds:
        steps = range(STEPS * count, STEPS * (count + 1))
        points = [Point(f"w{writer}-{name}", step, float(step), 0.0) for step in steps for name in range(NAMES)]
        start = time.monotonic()
        store.heartbeat(run_id, attempt, env_steps=count, updates=count, scalars=points)
        slowest, count = max(slowest, time.monotonic() - start), count + 1
        time.sleep(max(0.0, begin + count / RATE - time.monotonic()))
    done.put((writer, count, slowest))


def writers(store: Store, seconds: float) -> dict[str, Any]:
    """One run and its attempt for all: the lock is what they meet at."""
    run = launch.submit(store, parse("pendulum_swingup", 2, "smoke", []))
    attempt, context = store.claim(run.id, "cpu"), multiprocessing.get_context("spawn")
    done = context.Queue()
    arguments = [(store.home, run.id, attempt, writer, seconds / 10, done) for writer in range(WRITERS)]
    processes = [context.Process(target=write, args=each) for each in arguments]
    for process in processes:
        process.start()
    found = [done.get(timeout=seconds) for _ in processes]
    written = sum(count for _, count, _ in found) * STEPS * NAMES
    stored = sum(len(store.scalars(run.id, f"w{writer}-{name}")) for writer, _, _ in found for name in range(NAMES))
    store.finish(run.id, attempt, "stopped")
    return {
        "seconds": seconds / 10,
        "transactions_per_second": sum(count for _, count, _ in found) / (seconds / 10),
        "points_per_second": written / (seconds / 10),
        "points_written": written,
        "points_stored": stored,
        "slowest_seconds": max(slowest for _, _, slowest in found),
        "wrong": written != stored or any(process.exitcode for process in processes),
    }


def points(store: Store, seconds: float) -> dict[str, Any]:
    """Written as a worker writes, 10,000 at a time."""
    run = launch.submit(store, parse("pendulum_swingup", 3, "smoke", []))
    attempt, begin = store.claim(run.id, "cpu"), time.perf_counter()
    for start in range(0, POINTS // NAMES, 500):
        batch = [
            Point(f"m{name}", step, float(step), 0.0) for step in range(start, start + 500) for name in range(NAMES)
        ]
        store.heartbeat(run.id, attempt, env_steps=start, updates=start, scalars=batch)
    wrote = time.perf_counter() - begin
    store.finish(run.id, attempt, "stopped")
    begin = time.perf_counter()
    last = store.last_scalars(run.id)
    found = time.perf_counter() - begin
    from dreamctl.store.mirror import Mirror

    before, count = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in Mirror(store, lambda *_: None)._new(store.get(run.id), {}):
        count += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "points_written": POINTS,
        "points_per_second": POINTS / wrote,
        "last_points_seconds": found,
        "points_read_for_mlflow": count,
        "memory_for_that_mib": grown / 1024,
        "wrong": count != POINTS or len(last) != NAMES,
    }


def memory(store: Store, seconds: float) -> dict[str, Any]:
    """A control group that is made too small while the run learns."""
    group = Path("/sys/fs/cgroup/memory/dreamctl-attack")
    try:
        group.mkdir(exist_ok=True)
        run, process = begun(store, 4)
        (group / "cgroup.procs").write_text(str(process.pid))
        (group / "memory.limit_in_bytes").write_text(str(2 << 20))
    except OSError as error:
        return {"skipped": f"no control group can be made here: {error}", "wrong": False}
    code = process.wait()
    store.reap()
    reason, status = store.get(run.id).reason, store.get(run.id).status
    group.rmdir()
    launch.spawn(store, run.id, "cpu").wait()
    return {"worker_exit_code": code, "told": reason, "status_then": status} | compared(store, run, 4)


def wal(store: Store, seconds: float) -> dict[str, Any]:
    """Its name alone goes: who has it open writes on."""
    run, process = begun(store, 5)
    (store.home / "dreamctl.db-wal").unlink()
    process.wait()
    store._engine.dispose()
    again = open_store(store.home)
    with closing(sqlite3.connect(store.home / "dreamctl.db")) as raw:
        sound = raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    if again.get(run.id).status != "finished":
        again.reap()
        launch.spawn(again, run.id, "cpu").wait()
    return {"database_sound": sound} | compared(again, run, 5)


def limit(store: Store, seconds: float) -> dict[str, Any]:
    """The worker's own limit, lowered while it learns and then raised."""
    run, process = begun(store, 6)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    time.sleep(15)
    alive = process.poll() is None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    process.wait()
    reason = store.get(run.id).reason
    if store.get(run.id).status != "finished":
        launch.spawn(store, run.id, "cpu").wait()
    return {"alive_under_the_limit": alive, "told": reason} | compared(store, run, 6)


def quota(store: Store, seconds: float) -> dict[str, Any]:
    """A Btrfs file system in a file; its quotas hold for root as well."""
    place, image = store.home / "mounted", store.home / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    try:
        for command in (["mkfs.btrfs", "-q", str(image)], ["mount", "-o", "loop", str(image), str(place)]):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return {"skipped": f"no file system with quotas can be mounted here: {error}", "wrong": False}
    try:
        subprocess.run(["btrfs", "quota", "enable", place], check=True)
        subprocess.run(["btrfs", "subvolume", "create", place / "home"], check=True, stdout=subprocess.DEVNULL)
        there = open_store(place / "home")
        run, process = begun(there, 7)
        subprocess.run(["btrfs", "qgroup", "limit", "64k", "0/256", place], check=True)
        time.sleep(30)
        alive = process.poll() is None
        subprocess.run(["btrfs", "qgroup", "limit", "none", "0/256", place], check=True)
        process.wait()
        log = (there.folder(run.id) / "log.txt").read_text()
        told = [line for line in log.splitlines() if "over after" in line]  # before that, the log cannot grow either
        return {"alive_without_quota": alive, "told": told} | compared(there, run, 7)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


ATTACKS = {each.__name__: each for each in (locked, writers, points, memory, wal, limit, quota)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = {}
    for name in arguments.attacks:
        found[name] = ATTACKS[name](open_store(arguments.home / name), arguments.seconds)
        print(json.dumps({name: found[name]}, indent=2), flush=True)
    sys.exit(any(each["wrong"] for each in found.values()))


if __name__ == "__main__":
    main()
