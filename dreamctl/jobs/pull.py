"""A job of a cluster's engine: takes the next waiting run of a sweep on, trains it here, ends.

`python -m dreamctl.jobs.pull SWEEP --home HOME --job NAME`. The run is chosen when the job begins, not when it is
submitted, so a job that waits long, begins twice or never loses nothing. SIGTERM (the engine takes the job back: time
limit, preemption, cancelled) ends it with a checkpoint, and the run waits again for another job.
"""

from __future__ import annotations

import argparse
import os
import sys

from agent.patience import patiently
from dreamctl.jobs import worker
from dreamctl.store import Run, Store, open_store
from dreamctl.store.database import may_recover


def pull(store: Store, sweep: str, job: str) -> Run | None:
    """Train the next waiting run of a sweep in this process, its output into the run's log; None when none waits."""
    from agent.device import resolve

    device = resolve("auto")

    def take() -> Run | None:
        store.reap()
        return store.claim_next(store.find_sweep(sweep).id, device, job)

    run = patiently(take, may_recover)
    if run is None:
        return None
    store.workplace(run.id)
    log = os.open(store.file(run.id, "log.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    print(f"attempt {run.attempt} in job {job} on {run.host}, CUDA_VISIBLE_DEVICES {gpus}", flush=True)
    return worker.work(store, run.id, device, run.attempt, give_back=f"job {job} was ended by its engine")


def main() -> None:
    """Entry point of a job."""
    parser = argparse.ArgumentParser(prog="python -m dreamctl.jobs.pull")
    parser.add_argument("sweep")
    parser.add_argument("--home", required=True)
    parser.add_argument("--job", required=True)
    arguments = parser.parse_args()
    store = patiently(lambda: open_store(arguments.home, create=False), may_recover)
    run = pull(store, arguments.sweep, arguments.job)
    sys.exit(1 if run is not None and run.status == "failed" else 0)


if __name__ == "__main__":
    main()
