"""The scheduler of a sweep: it claims queued runs for free slots, starts their workers and watches them.

The queue is in the run database, so any number of schedulers may share a sweep. If one dies, nothing is lost: its
workers continue, and the next scheduler finds them.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import OperationalError

from agent.patience import disk_may_recover
from dreamctl.errors import BadRecord, UnknownRun
from dreamctl.jobs import launch, looks
from dreamctl.jobs.slots import Slot
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

_ENDED = ("finished", "failed", "stopped")
_PASSING = {  # what keeps any worker from being started, for a while: no memory, no processes, no room on the disk
    *(errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
}
_POLL = 1.0  # seconds
_REST = 10.0  # seconds until another worker is tried

Proceed = Callable[[], bool]  # what a sweep does when nothing waits or runs; whether something does afterwards


@dataclass
class Job:
    """A run in a slot.

    process: its worker, None if another scheduler started it. failure: why no worker could be started; passing:
    whether the next one may be.
    """

    run: Run
    process: subprocess.Popen[bytes] | None
    failure: str | None = None
    passing: bool = False


def enroll(
    store: Store,
    name: str,
    cells: Sequence[RunSpec],
    plan: Mapping[str, Any],
    max_attempts: int,
    retry_failed: bool = False,
    same_code: bool = False,
) -> Sweep:
    """Store a sweep, create the runs that its cells lack, and queue stopped ones (`retry_failed`: also failed ones,
    but not those that have diverged: that is their outcome).

    plan: what the cells were made from, as JSON. If it has questions they are registered first, and the runs are those
    that its looks want by now (`jobs.looks`), whatever `cells` are. same_code: see `launch.existing`.
    """
    store.reap(wait=True)
    with store.alone():  # or two that start together would both create a cell's run
        sweep = store.open_sweep(name, {**plan, "same_code": True} if same_code else plan, max_attempts)
        if plan.get("questions"):
            cells = looks.begin(store, sweep)
        runs = launch.runs_of(store, cells, same_code)
        store.enroll(sweep.id, [run.id for run in runs])
        again = ("stopped", "failed") if retry_failed else ("stopped",)
        store.requeue([run.id for run in runs if run.standing in again])
    return sweep


def inline(store: Store, sweep: Sweep, proceed: Proceed | None = None) -> None:
    """Train the queued runs of a sweep one by one in this process, until one is stopped. proceed: see `Scheduler`."""
    from agent.device import resolve
    from dreamctl.jobs import worker

    device = resolve("auto")
    while True:
        while run := store.claim_next(sweep.id, device):
            if worker.work(store, run.id, device, run.attempt).status == "stopped":
                return
        if proceed is None or not proceed():
            return
        if not store.counts(sweep.id).get("queued", 0) or store.find_sweep(sweep.id).paused:
            time.sleep(_POLL)  # others train the rest
            store.reap()


class Scheduler:
    """One scheduler of one sweep. Call `step` about once a second until `done`.

    proceed: called when no run is queued or running; it may queue more (`looks.proceed`).
    """

    def __init__(self, store: Store, sweep: Sweep, slots: Sequence[Slot], proceed: Proceed | None = None) -> None:
        self.store, self.sweep, self.slots = store, sweep, list(slots)
        self.proceed = proceed
        self._over = proceed is None  # whether no more runs will be queued by it
        self.jobs: dict[int, Job] = {}  # by slot
        self.stopping = False
        self.trouble: str | None = None  # why the last step failed
        self._rest = 0.0  # until when no worker is started
        self.mirror: subprocess.Popen[bytes] | None = None
        self._keep_mirror()
        for run in store.orphans():
            free = [i for i, slot in enumerate(self.slots) if slot.device == run.device and i not in self.jobs]
            if free:
                self.jobs[free[0]] = Job(run, None)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        if self.jobs:
            return False
        try:
            counts = self.store.counts(self.sweep.id)
        except OperationalError:
            return False
        return self.stopping or self._over and not (counts.get("queued", 0) or counts.get("running", 0))

    def step(self) -> None:
        """Check the workers, then fill the free slots. If that fails for now, sets `trouble`; call again."""
        try:
            self.trouble = self._step()
            if self.proceed and not self.jobs and not self.stopping:
                self._over = over(self.store, self.sweep, self.proceed)
        except (OperationalError, OSError) as error:
            self.trouble = unanswered(error)

    def stop(self) -> None:
        """Claim no more runs; ask the workers to write a checkpoint and end."""
        self.stopping = True
        self._request_stop()  # or a run whose worker does not handle the signal yet would be queued
        for job in self.jobs.values():
            if job.process is not None:
                job.process.terminate()

    def kill(self) -> None:
        """Kill the workers. Checkpoints and episodes remain, and the runs count as stopped."""
        self.stopping = True
        for job in self.jobs.values():
            if job.process is not None:
                job.process.kill()  # first, because a worker that is suspended may hold the database's lock
        self._request_stop()
        for job in self.jobs.values():
            if job.process is None:
                self.store.kill(job.run.id)

    def _step(self) -> str | None:
        if self.mirror is not None:
            self.mirror.poll()  # so that it does not stay a zombie
        for index, job in list(self.jobs.items()):
            if self._ended(job):
                del self.jobs[index]
        self.store.reap()
        if not self.stopping and self.store.find_sweep(self.sweep.id).stopped:
            self.stop()
        if time.monotonic() < self._rest:
            return self.trouble
        for index, slot in enumerate(self.slots):
            if index in self.jobs or self.stopping:
                continue
            run = self.store.claim_next(self.sweep.id, slot.device)
            if run is None:
                break
            try:
                worker = launch.spawn(self.store, run.id, slot.worker_device, run.attempt, slot.environment)
                self.jobs[index] = Job(run, worker)
            except (OSError, BadRecord) as error:
                passing = isinstance(error, OSError) and error.errno in _PASSING
                self.jobs[index] = Job(run, None, f"its worker could not be started: {error}", passing)
                if passing:
                    self._rest = time.monotonic() + _REST
                    return f"no worker can be started ({error}); trying again"
            self._keep_mirror()
        return None

    def _keep_mirror(self) -> None:
        with suppress(OSError):  # with the next worker
            self.mirror = launch.keep_mirror(self.store, self.mirror)

    def _request_stop(self) -> None:
        with suppress(OperationalError):  # the signal suffices
            self.store.request_stop(*(job.run.id for job in self.jobs.values()))

    def _ended(self, job: Job) -> bool:
        code = job.process.poll() if job.process else None  # before reading the run: a dead worker changes it no more
        try:
            run = self.store.get(job.run.id)
        except UnknownRun:  # ended and removed
            return True
        theirs = run.status in _ENDED or run.attempt != job.run.attempt
        if job.failure and not theirs:
            self.store.finish(run.id, run.attempt, "queued" if job.passing else "failed", job.failure)
            return True
        if job.process is None:
            return theirs or run.status == "queued"
        if code is None:
            return False
        if not theirs and run.status == "running":  # the worker died, perhaps before it took the run over
            self.store.bury(run, f"the worker died ({_cause(code)})")
        return True


def over(store: Store, sweep: Sweep, proceed: Proceed) -> bool:
    """Whether nothing of a sweep is queued or running, and `proceed` has nothing to add."""
    counts = store.counts(sweep.id)
    return not (counts.get("queued", 0) or counts.get("running", 0)) and not proceed()


def unanswered(error: OperationalError | OSError) -> str:
    """The message about a database or a disk that fails for now. Raises the error if it will not pass."""
    if isinstance(error, OSError):
        if not disk_may_recover(error):
            raise error
        return f"the home cannot be written to ({error.strerror}); trying again"
    return f"the run database does not answer ({error.orig}); trying again"


def _cause(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
