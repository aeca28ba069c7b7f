"""Working through a sweep: claims waiting runs for free slots, watches their workers, gives dead ones' runs back.

The queue is in the run database, so any number of schedulers may share a sweep, and one that dies loses nothing: its
workers go on, and the next scheduler finds them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dreamctl.jobs import launch
from dreamctl.jobs.slots import Slot
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

_ENDED = ("finished", "failed", "stopped")


@dataclass
class Job:
    """A run in a slot; process: its worker, None when another scheduler has started it."""

    run: Run
    process: subprocess.Popen[bytes] | None


def enroll(
    store: Store,
    name: str,
    cells: Sequence[RunSpec],
    parts: Sequence[Mapping[str, Any]],
    max_attempts: int,
    retry_failed: bool = False,
) -> Sweep:
    """Store a sweep: a run for each cell that has none, stopped ones (and failed ones, if told) back in the queue.

    One at a time, so that two schedulers that start together do not both make a cell's run. parts: what was asked
    for, as JSON.
    """
    from filelock import FileLock

    store.reap()
    with FileLock(store.home / "enroll.lock"):
        sweep = store.open_sweep(name, parts, max_attempts)
        runs = [existing(store, cell) or launch.submit(store, cell) for cell in cells]
        store.enroll(sweep.id, [run.id for run in runs])
        again = ("stopped", "failed") if retry_failed else ("stopped",)
        store.requeue([run.id for run in runs if run.status in again])
    return sweep


def existing(store: Store, cell: RunSpec) -> Run | None:
    """The run that does what a cell does and has come furthest, if there is one."""
    place = ("finished", "running", "queued", "stopped", "failed")
    twins = store.runs(digest=cell.digest)
    return min(twins, key=lambda run: (place.index(run.status), -run.env_steps), default=None)


def inline(store: Store, sweep: Sweep) -> None:
    """Train the waiting runs of a sweep one after the other in this process; ends with the first that is stopped."""
    from agent.device import resolve
    from dreamctl.jobs import worker

    device = resolve("auto")
    while run := store.claim_next(sweep.id, device):
        if worker.work(store, run.id, device, run.attempt).status == "stopped":
            return


class Scheduler:
    """One scheduler of one sweep. Call `step` about once a second until `done`."""

    def __init__(self, store: Store, sweep: Sweep, slots: Sequence[Slot]) -> None:
        self.store, self.sweep, self.slots = store, sweep, list(slots)
        self.jobs: dict[int, Job] = {}  # by slot
        self.stopping = False
        self.mirror: subprocess.Popen[bytes] | None = None
        for run in store.orphans():
            free = [i for i, slot in enumerate(self.slots) if slot.device == run.device and i not in self.jobs]
            if free:
                self.jobs[free[0]] = Job(run, None)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        if self.jobs:
            return False
        counts = self.store.counts(self.sweep.id)
        return self.stopping or not (counts.get("queued", 0) or counts.get("running", 0))

    def step(self) -> None:
        """Look after the workers, then fill the free slots."""
        for index, job in list(self.jobs.items()):
            if self._ended(job):
                del self.jobs[index]
        self.store.reap()
        for index, slot in enumerate(self.slots):
            if index in self.jobs or self.stopping:
                continue
            run = self.store.claim_next(self.sweep.id, slot.device)
            if run is None:
                break
            worker = launch.spawn(self.store, run.id, slot.worker_device, run.attempt, slot.environment)
            self.jobs[index] = Job(run, worker)
            self.mirror = launch.keep_mirror(self.store, self.mirror)

    def stop(self) -> None:
        """Claim no more; let the workers end with a checkpoint."""
        self.stopping = True
        for job in self.jobs.values():
            if job.process is None:
                self.store.request_stop(job.run.id)
            else:
                job.process.terminate()

    def kill(self) -> None:
        """End the workers at once; their checkpoints and episodes remain, and their runs count as stopped."""
        self.stopping = True
        for job in self.jobs.values():
            self.store.request_stop(job.run.id)  # so that it is not put back in the queue
            with suppress(ProcessLookupError):
                os.kill(job.process.pid if job.process else self.store.get(job.run.id).pid or 0, signal.SIGKILL)

    def _ended(self, job: Job) -> bool:
        run = self.store.get(job.run.id)
        theirs = run.status in _ENDED or run.attempt != job.run.attempt
        if job.process is None:
            return theirs or run.status == "queued"
        if job.process.poll() is None:
            return False
        if not theirs and run.status == "running":  # it died, perhaps before it took the run over
            self.store.bury(run, f"the worker died ({_cause(job.process.returncode)})")
        return True


def _cause(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
