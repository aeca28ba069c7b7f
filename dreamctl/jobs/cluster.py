"""The scheduler of a sweep on Slurm or Ray: it submits as many jobs as there are runs waiting.

A job claims its run in the run database when it starts (`jobs.pull`). This process may therefore be killed and started
again, or run twice, like any other scheduler. Slurm's jobs outlive it; Ray's end with it, and their runs wait for the
next one.
"""

from __future__ import annotations

import time
from typing import Protocol

from sqlalchemy.exc import OperationalError

from dreamctl.errors import BadInput, RunFailed
from dreamctl.jobs import launch
from dreamctl.jobs.scheduler import Proceed, over, unanswered
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

_BARREN = 3  # after so many jobs in a row that failed before they claimed a run, the sweep ends
_PATIENCE = 600.0  # seconds for which an engine may fail: its controller may be restarting


class Engine(Protocol):
    """What runs jobs: Slurm or Ray."""

    def submit(self, count: int) -> None:
        """Submit `count` jobs, each of which claims a run of the sweep when it starts."""

    def jobs(self) -> set[str]:
        """The names (`Run.job`) of the sweep's jobs that are pending, running or ending.

        Raises `BadInput` if the engine does not answer.
        """

    def failure(self, job: str) -> str | None:
        """Why a job that is no longer in `jobs` failed; None if it ended normally."""

    def cancel(self, jobs: set[str], kill: bool = False) -> None:
        """End jobs: with SIGTERM, or at once."""


class Cluster:
    """One scheduler of one sweep on an engine. Call `step` about once a second until `done`.

    proceed: see `scheduler.Scheduler`.
    """

    def __init__(self, store: Store, sweep: Sweep, engine: Engine, proceed: Proceed | None = None) -> None:
        self.store, self.sweep, self.engine, self.proceed = store, sweep, engine, proceed
        self._over = proceed is None
        self.jobs = engine.jobs()  # an earlier scheduler may have left some
        self.stopping = self.killing = False
        self.trouble: str | None = None  # why the last step failed
        self.mirror = launch.keep_mirror(store, None)
        self._barren = 0
        self._answered: float | None = None  # when a step last succeeded
        self._begun: set[tuple[str, int]] = set()  # (run id, attempt) of runs seen running
        self._dismissed: set[str] = set()  # cancelled jobs that had no run

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        if self.stopping:
            return not self.jobs
        try:
            counts = self.store.counts(self.sweep.id)
        except OperationalError:
            return False
        return self._over and not (counts.get("queued", 0) or counts.get("running", 0))

    def step(self) -> None:
        """Handle the jobs that have ended, then submit one for every queued run that has none coming.

        If the engine or the database fails, sets `trouble`; call again. Raises `RunFailed` if several jobs in a row
        fail before they claim a run, and `BadInput` if the engine fails at the first step or for ten minutes.
        """
        try:
            self._step()
        except (OperationalError, OSError) as error:
            self.trouble = unanswered(error)
        except BadInput as error:
            if self._answered is None or time.monotonic() - self._answered > _PATIENCE:
                raise
            self.trouble = f"{error}; trying again"
        else:
            self.trouble, self._answered = None, time.monotonic()

    def stop(self) -> None:
        """Start no more runs; running ones write a checkpoint and end."""
        self.stopping = True

    def kill(self) -> None:
        """Kill all jobs. Checkpoints and episodes remain, and the runs count as stopped."""
        self.stopping = self.killing = True

    def _step(self) -> None:
        if self.mirror is not None:
            self.mirror.poll()  # so that it does not stay a zombie
        jobs = self.engine.jobs()
        for job in self.jobs - jobs:
            self._ended(job)
            self.jobs.remove(job)
        self.jobs = jobs
        self.store.reap()
        begun = {(run.id, run.attempt) for run in self._running()}
        if begun - self._begun:  # the mirror ends when nothing runs; jobs may pend for days
            self._begun |= begun
            self.mirror = launch.keep_mirror(self.store, self.mirror)
        sweep = self.store.find_sweep(self.sweep.id)
        self.stopping = self.stopping or sweep.stopped
        if self.stopping:
            self._dismiss()
            if self.killing:
                self.engine.cancel(self.jobs, kill=True)
            return
        idle = len(self._idle())  # before reading the queue, or a run claimed in between would get a second job
        counts = self.store.counts(self.sweep.id)
        if self.proceed:
            self._over = over(self.store, self.sweep, self.proceed)
            counts = self.store.counts(self.sweep.id)
        if not counts.get("queued", 0):
            if not counts.get("running", 0):
                self._dismiss()  # nothing is left for them
            return
        missing = counts["queued"] - idle
        if missing > 0 and not sweep.paused:
            self.engine.submit(missing)
            self.jobs |= self.engine.jobs()

    def _running(self) -> list[Run]:
        running = self.store.members(self.sweep.id, light=True, status="running")
        return [run for run in running if run.job in self.jobs]

    def _idle(self) -> set[str]:
        """The jobs without a run: they are pending or starting."""
        return self.jobs - {run.job for run in self._running()}

    def _dismiss(self) -> None:
        """Cancel jobs that have no run yet; ask the others to stop."""
        for run in self._running():
            if not run.stop_requested:
                self.store.request_stop(run.id)
        idle = self._idle() - self._dismissed
        self.engine.cancel(idle)
        self._dismissed |= idle

    def _ended(self, job: str) -> None:
        """Handle a job that is gone: a run that it left running is queued again. Raises `RunFailed`, see `step`."""
        failure = self.engine.failure(job)
        runs = self.store.runs(job=job)
        for run in runs:
            if run.status == "running":
                self.store.bury(run, f"job {job} is gone ({failure or 'ended'})")
        if self.stopping:  # most jobs end because we cancelled them
            return
        self._barren = self._barren + 1 if failure and not runs else 0
        if self._barren == _BARREN:
            raise RunFailed(f"{_BARREN} jobs in a row ended before they claimed a run; the last, {job}: {failure}")
