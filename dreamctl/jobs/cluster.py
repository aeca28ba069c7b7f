"""Working through a sweep with another engine's jobs: as many as there are runs waiting, no more.

Which job trains which run is settled in the run database when a job begins (`jobs.pull`). So this process may be killed
and started again, or run twice, like any other scheduler. Slurm's jobs outlive it, Ray's end with it; their runs
wait for the next one.
"""

from __future__ import annotations

import time
from typing import Protocol

from sqlalchemy.exc import OperationalError

from dreamctl.errors import BadInput, RunFailed
from dreamctl.jobs import launch
from dreamctl.jobs.scheduler import unanswered
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

_BARREN = 3  # jobs that end before they take a run on, after which something is wrong with all of them
_PATIENCE = 600.0  # seconds that an engine may refuse or be silent: its controller may be restarting


class Engine(Protocol):
    """What runs jobs: Slurm, Ray."""

    def submit(self, count: int) -> None:
        """Ask for so many jobs, each of which pulls a run of the sweep."""

    def jobs(self) -> set[str]:
        """The jobs of the sweep that wait, run or are about to end, by the names that runs carry as `job`.

        Raises `BadInput` when the engine does not answer.
        """

    def failure(self, job: str) -> str | None:
        """Why a job that is no longer among `jobs` ended, unless it came to its regular end."""

    def cancel(self, jobs: set[str], kill: bool = False) -> None:
        """End jobs: with SIGTERM, or at once."""


class Cluster:
    """One scheduler of one sweep on an engine. Call `step` about once a second until `done`."""

    def __init__(self, store: Store, sweep: Sweep, engine: Engine) -> None:
        self.store, self.sweep, self.engine = store, sweep, engine
        self.jobs = engine.jobs()  # an earlier scheduler may have left some
        self.stopping = self.killing = False
        self.trouble: str | None = None  # why the last step was not made
        self.mirror = launch.keep_mirror(store, None)
        self._barren = 0
        self._answered: float | None = None  # when the engine last did all that a step asked
        self._begun: set[tuple[str, int]] = set()  # runs that were seen running, and their attempts
        self._dismissed: set[str] = set()  # jobs without a run that were cancelled

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        if self.stopping:
            return not self.jobs
        try:
            counts = self.store.counts(self.sweep.id)
        except OperationalError:
            return False
        return not (counts.get("queued", 0) or counts.get("running", 0))

    def step(self) -> None:
        """Look after the jobs that have ended, then ask for as many as there are runs that wait for one.

        What the engine or the database refuses is asked again. Raises `RunFailed` when jobs end again and again before
        they take a run on, `BadInput` when the engine refuses the first step or does not answer for long.
        """
        try:
            self._step()
        except OperationalError as error:
            self.trouble = unanswered(error)
        except BadInput as error:
            if self._answered is None or time.monotonic() - self._answered > _PATIENCE:
                raise
            self.trouble = f"{error}; trying again"
        else:
            self.trouble, self._answered = None, time.monotonic()

    def stop(self) -> None:
        """Begin no more runs; let those at work end with a checkpoint."""
        self.stopping = True

    def kill(self) -> None:
        """End all jobs at once; checkpoints and episodes remain, and the runs count as stopped."""
        self.stopping = self.killing = True

    def _step(self) -> None:
        if self.mirror is not None:
            self.mirror.poll()  # one that has ended is waited for, and no zombie
        jobs = self.engine.jobs()
        for job in self.jobs - jobs:
            self._ended(job)
            self.jobs.remove(job)
        self.jobs = jobs
        self.store.reap()
        begun = {(run.id, run.attempt) for run in self._running()}
        if begun - self._begun:  # a mirror ends when nothing runs, and jobs may wait for days
            self._begun |= begun
            self.mirror = launch.keep_mirror(self.store, self.mirror)
        sweep = self.store.find_sweep(self.sweep.id)
        self.stopping = self.stopping or sweep.stopped
        if self.stopping:
            self._dismiss()
            if self.killing:
                self.engine.cancel(self.jobs, kill=True)
            return
        idle = len(self._idle())  # before the queue is read: a run taken on in between must not be asked for again
        counts = self.store.counts(self.sweep.id)
        if not counts.get("queued", 0):
            if not counts.get("running", 0):
                self._dismiss()  # there is nothing left for them
            return
        missing = counts["queued"] - idle
        if missing > 0 and not sweep.paused:
            self.engine.submit(missing)
            self.jobs |= self.engine.jobs()

    def _running(self) -> list[Run]:
        return [run for run in self.store.members(self.sweep.id) if run.status == "running" and run.job in self.jobs]

    def _idle(self) -> set[str]:
        """The jobs without a run: they wait or begin."""
        return self.jobs - {run.job for run in self._running()}

    def _dismiss(self) -> None:
        """End jobs that have no run yet; have the others stop."""
        for run in self._running():
            if not run.stop_requested:
                self.store.request_stop(run.id)
        idle = self._idle() - self._dismissed
        self.engine.cancel(idle)
        self._dismissed |= idle

    def _ended(self, job: str) -> None:
        """A job is gone: if it left a run behind, that one goes back to the queue."""
        failure = self.engine.failure(job)
        runs = self.store.runs(job=job)
        for run in runs:
            if run.status == "running":
                self.store.bury(run, f"job {job} is gone ({failure or 'ended'})")
        if self.stopping:  # most of them because we cancelled them
            return
        self._barren = self._barren + 1 if failure and not runs else 0
        if self._barren == _BARREN:
            raise RunFailed(f"{_BARREN} jobs ended before they took a run on; the last, {job}: {failure}")
