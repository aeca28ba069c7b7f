"""Sweeps: named queues of runs. Schedulers can share one; a run may belong to several sweeps and is trained once.

The queue of a sweep is its runs with the status `queued`, in the order of their positions. Claiming one is a single
statement. A scheduler claims a run in its own name, and the worker takes it over (`adopt`) under the same attempt
number; if either dies, `reap` finds the run like that of any dead worker.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, case, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from dreamctl.errors import BadInput, BadRecord, HomeError, StaleAttempt, UnknownRun
from dreamctl.store import paths, processes
from dreamctl.store.models import Run, Sweep, SweepRun
from dreamctl.store.queries import Queries, left_out

LEASE = 60.0  # seconds without a heartbeat after which a worker that cannot be seen from here counts as silent
_LATE = 10.0  # seconds without a heartbeat after which a worker is checked; it should send one every second
_AGAIN = 5.0  # seconds for which it must stay silent to count as dead: clocks jump, machines wake up
REMOVING = ".removing-"  # prefix of a removed run's folder
_TAIL = 20  # last lines of a dead worker's log to keep


class SweepQueue(Queries):
    """The part of the store for sweeps, queued runs and runs that have lost their worker."""

    def __init__(self, home: Path, engine: Engine, read_only: bool = False) -> None:
        super().__init__(home, engine, read_only)
        self._silent: dict[tuple[Any, ...], float] = {}  # silent workers, and when we first saw them so

    # Sweeps

    def open_sweep(self, name: str, plan: Mapping[str, Any], max_attempts: int) -> Sweep:
        """The sweep of that name, created if it does not exist; it is no longer paused or stopped."""
        values = {"spec": dict(plan), "paused": False, "stopped": False, "max_attempts": max_attempts}
        row = dict(id=secrets.token_hex(4), name=name, created_at=time.time(), **values)
        with self._write() as session:
            statement = self._insert(Sweep).values(row).on_conflict_do_update(index_elements=["name"], set_=values)
            session.execute(statement)
        return self.find_sweep(name)

    def enroll(self, sweep_id: str, run_ids: Sequence[str]) -> None:
        """Replace the members of a sweep by these runs, in this order."""
        rows = [
            dict(sweep_id=sweep_id, run_id=run_id, position=position)
            for position, run_id in enumerate(dict.fromkeys(run_ids))
        ]
        with self._write() as session:
            session.execute(delete(SweepRun).where(SweepRun.sweep_id == sweep_id))
            session.execute(self._insert(SweepRun), rows)

    def sweeps(self) -> list[Sweep]:
        """All sweeps, oldest first."""
        with Session(self._engine) as session:
            return list(session.scalars(select(Sweep).order_by(Sweep.created_at)))

    def find_sweep(self, reference: str) -> Sweep:
        """The sweep of that name or id. Raises `UnknownRun`."""
        with Session(self._engine) as session:
            found = session.scalar(select(Sweep).where(or_(Sweep.name == reference, Sweep.id == reference)))
        if found is None:
            names = ", ".join(sweep.name for sweep in self.sweeps()) or "none yet"
            raise UnknownRun(f"no sweep {reference!r} in {self.home} (there are: {names})")
        return found

    def sweeps_of(self, run_id: str) -> list[Sweep]:
        """The sweeps that a run belongs to, oldest first."""
        statement = select(Sweep).join(SweepRun).where(SweepRun.run_id == run_id).order_by(Sweep.created_at)
        with Session(self._engine) as session:
            return list(session.scalars(statement))

    def members(self, sweep_id: str, light: bool = False, **filters: str) -> list[Run]:
        """The runs of a sweep, in order; what they lack and the filters are as in `runs`."""
        statement = select(Run).join(SweepRun).where(SweepRun.sweep_id == sweep_id).order_by(SweepRun.position)
        with Session(self._engine) as session:
            return list(session.scalars(statement.filter_by(**filters).options(*left_out(light))))

    def states(self, sweep_id: str) -> list[Any]:
        """(id, status, attempt) of the runs of a sweep, in order."""
        statement = select(Run.id, Run.status, Run.attempt).join(SweepRun).where(SweepRun.sweep_id == sweep_id)
        with self._engine.connect() as connection:
            return list(connection.execute(statement.order_by(SweepRun.position)))

    def totals(self, sweep_id: str) -> dict[str, tuple[int, int, int]]:
        """For each status: how many runs of a sweep have it, their environment steps done, and those to train for.

        Runs that have diverged are not among the failed ones (`Run.standing`).
        """
        sums = (func.count(), func.sum(Run.env_steps), func.sum(Run.steps))
        standing = case((Run.diverged & (Run.status == "failed"), "diverged"), else_=Run.status)
        statement = select(standing, *sums).join(SweepRun).where(SweepRun.sweep_id == sweep_id).group_by(standing)
        with self._engine.connect() as connection:
            return {status: (runs, done, steps) for status, runs, done, steps in connection.execute(statement)}

    def counts(self, sweep_id: str) -> dict[str, int]:
        """How many runs of a sweep have each status."""
        return {status: runs for status, (runs, _, _) in self.totals(sweep_id).items()}

    def pause(self, sweep_id: str, paused: bool) -> None:
        """Keep schedulers from claiming runs of a sweep, or let them again."""
        with self._write() as session:
            session.execute(update(Sweep).where(Sweep.id == sweep_id).values(paused=paused, stopped=False))

    def stop_sweep(self, sweep_id: str) -> list[Run]:
        """Ask the schedulers of a sweep to end and its running runs to stop; returns those runs."""
        with self._write() as session:  # from here on nothing is claimed, so no running run is missed
            session.execute(update(Sweep).where(Sweep.id == sweep_id).values(stopped=True))
        running = self.members(sweep_id, status="running")
        with self._write() as session:
            theirs = Run.id.in_([run.id for run in running]) & (Run.status == "running")
            session.execute(update(Run).where(theirs).values(stop_requested=True))
        return running

    def note_mlflow(self, sweep_id: str, mlflow_run: str) -> None:
        """Record which MLflow run represents a sweep."""
        with self._write() as session:
            session.execute(update(Sweep).where(Sweep.id == sweep_id).values(mlflow_run=mlflow_run))

    # The queue

    def requeue(self, run_ids: Sequence[str]) -> int:
        """Queue stopped and failed runs again, with their count of lost workers reset; returns how many."""
        waiting = Run.id.in_(run_ids) & Run.status.in_(("stopped", "failed"))
        with self._write() as session:
            values = dict(status="queued", reason=None, diverged=False, finished_at=None, deaths=0, log_tail=None)
            return session.execute(update(Run).where(waiting).values(**values)).rowcount  # type: ignore[attr-defined]

    def withdraw(self, run_ids: Sequence[str]) -> set[str]:
        """Take queued runs out of the queues of their sweeps: they count as stopped. Returns their ids."""
        waiting = (Run.id.in_(run_ids), Run.status == "queued", exists().where(SweepRun.run_id == Run.id))
        values = {"status": "stopped", "finished_at": time.time()}
        with self._write() as session:
            return set(session.scalars(update(Run).where(*waiting).values(**values).returning(Run.id)))

    def claim_next(self, sweep_id: str, device: str, job: str | None = None) -> Run | None:
        """Claim the first queued run of a sweep for a worker of this scheduler; None if none is queued.

        It is one statement, so only one of several schedulers gets the run. job: the engine's job in which this
        process runs; then it claims for itself.
        """
        first = (
            select(Run.id)
            .join(SweepRun)
            .join(Sweep)
            .where(SweepRun.sweep_id == sweep_id, Run.status == "queued")
            .where(Sweep.paused.is_(False), Sweep.stopped.is_(False))
            .order_by(SweepRun.position)
            .limit(1)
            .with_for_update(skip_locked=True, of=Run)
            .scalar_subquery()
        )
        values = claimed(device, by_scheduler=job is None, job=job)
        statement = update(Run).where(Run.id == first, Run.status == "queued").values(**values).returning(Run)
        with self._write() as session:
            return session.scalar(statement.execution_options(synchronize_session=False))

    def adopt(self, run_id: str, attempt: int) -> None:
        """Take over a run that a scheduler has claimed for this process. Raises `StaleAttempt`."""
        owned = (Run.id == run_id, Run.attempt == attempt, Run.status == "running")
        values = processes.this_process() | sign_of_life()
        with self._write() as session:
            done = session.scalar(update(Run).where(*owned).values(**values).returning(Run.id))
        if done is None:
            raise StaleAttempt(f"run {run_id} no longer belongs to attempt {attempt}")

    def orphans(self) -> list[Run]:
        """Runs whose worker is alive on this machine but whose scheduler is gone."""
        return [
            run
            for run in self.runs(status="running")
            if run.scheduler_pid is not None
            and processes.is_alive(run.pid, run.process_started, run.process_space)
            and processes.is_alive(run.scheduler_pid, run.scheduler_started, run.process_space) is False
        ]

    def kill(self, run_id: str) -> None:
        """Kill the worker of a run, if its process is visible from here."""
        run = self.get(run_id)
        processes.kill(run.pid, run.process_started, run.process_space)

    # Dead workers

    def refreshed(self, runs: list[Run]) -> list[Run]:
        """These runs, with the state of those whose worker turns out to be dead read again.

        For reading commands: it checks only workers with a late heartbeat, and only of runs that are shown.
        """
        late = [run for run in runs if run.status == "running" and time.time() - (run.heartbeat_at or 0) > _LATE]
        dead = {run.id for run in self._looked(late)[0]} if late and not self.read_only else set()
        return [self.get(run.id) if run.id in dead else run for run in runs]

    def reap(self, wait: bool = False) -> list[Run]:
        """Bury the runs whose worker is dead; returns them.

        A worker on this machine is dead if its process has ended. One elsewhere (another machine or container) is dead
        if it sent no heartbeat for `LEASE` and is still silent at a second look, `_AGAIN` later. Periodic callers get
        that second look by calling again; with `wait` this call waits for it.
        """
        dead, silent = self._looked(self.runs(status="running", light=True))
        if silent and wait:
            time.sleep(_AGAIN)
            dead += self._looked(self.runs(status="running", light=True))[0]
        return dead

    def _looked(self, running: list[Run]) -> tuple[list[Run], bool]:
        """Bury the runs whose workers are dead; returns them, and whether other workers are silent."""
        dead, silent = [], {}
        for run in running:
            reason = "the worker died (killed, or the machine went down)"
            lives = processes.is_alive(run.pid, run.process_started, run.process_space)
            if lives is None and abs(time.time() - (run.heartbeat_at or 0)) > LEASE:
                key = (run.id, run.attempt, run.heartbeat_at)
                silent[key] = self._silent.get(key, time.monotonic())
                if time.monotonic() - silent[key] >= _AGAIN:
                    lives, reason = False, f"no heartbeat from {run.host} for more than {LEASE:.0f} seconds"
            if lives is False and self.bury(run, reason):
                dead.append(run)
        self._silent = silent
        return dead, bool(silent)

    def bury(self, run: Run, reason: str) -> bool:
        """Take a run from its dead worker: queue it again, or mark it as failed, with the last lines of its log.

        It fails if it is in no sweep or has lost as many workers as its sweeps allow; if it had been asked to stop, it
        counts as stopped. False if another process was faster, or the worker has sent a heartbeat since `run` was read.
        """
        tail = self._tail(run.id)
        allowed = select(func.max(Sweep.max_attempts)).join(SweepRun).where(SweepRun.run_id == run.id)
        owned = (Run.id == run.id, Run.attempt == run.attempt, Run.status == "running")
        unchanged = (Run.pid == run.pid, Run.heartbeat_at == run.heartbeat_at)
        with self._write() as session:
            again = run.deaths + 1 < (session.scalar(allowed) or 0) and not run.stop_requested
            values = {
                "status": "queued" if again else "stopped" if run.stop_requested else "failed",
                "reason": reason,
                "log_tail": tail,
                "deaths": run.deaths + 1,
                "finished_at": None if again else time.time(),
                "stop_requested": False,
            }
            return session.scalar(update(Run).where(*owned, *unchanged).values(**values).returning(Run.id)) is not None

    def _tail(self, run_id: str) -> str:
        """The last lines of a run's log."""
        try:
            log = self.file(run_id, "log.txt")
        except BadRecord:
            return ""
        return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:]) if log.is_file() else ""

    def remove(self, run_id: str) -> None:
        """Delete a run that is not running, and its folder; if that is a symbolic link, only the link.

        Raises `BadInput` for a running run, `UnknownRun`, `BadRecord` for an invalid id, `HomeError` if files stay.
        """
        folder = self.home / paths.checked_id(run_id)
        idle = (Run.id == run_id, Run.status != "running")
        with self._write() as session:
            if session.scalar(delete(Run).where(*idle).returning(Run.id)) is None:
                raise BadInput(f"run {self.get(run_id).name} is running: stop it first")
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            with suppress(OSError):  # so that doctor knows what it is if we are killed
                folder = folder.rename(self.home / f"{REMOVING}{run_id}")
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                raise HomeError(f"run {run_id} is removed, but not all of its files: delete {folder} yourself")

    def remove_sweep(self, sweep_id: str) -> None:
        """Delete a sweep, but not its runs."""
        with self._write() as session:
            session.execute(delete(Sweep).where(Sweep.id == sweep_id))


def sign_of_life() -> dict[str, Any]:
    """The columns that a heartbeat changes: its time, and the work time since the last one."""
    now = time.time()
    passed = now - func.coalesce(Run.heartbeat_at, now)
    return {"heartbeat_at": now, "work_seconds": Run.work_seconds + case((passed > 0, passed), else_=0.0)}


def claimed(device: str, by_scheduler: bool, job: str | None = None) -> dict[str, Any]:
    """The columns that a claim changes: by this process for itself or, as a scheduler, for a worker to be started."""
    me, now = processes.this_process(), time.time()
    return dict(
        status="running",
        reason=None,
        diverged=False,
        stop_requested=False,
        attempt=Run.attempt + 1,
        device=device,
        job=job,
        started_at=func.coalesce(Run.started_at, now),
        finished_at=None,
        heartbeat_at=now,
        scheduler_pid=me["pid"] if by_scheduler else None,
        scheduler_started=me["process_started"] if by_scheduler else None,
        **me,
    )
