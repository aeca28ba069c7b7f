"""The mirror in MLflow: reads the run database, writes MLflow in large batches.

One mirror at a time per home. It may be killed, be late or find MLflow emptied: the run database says how far each
run has been copied (`Mirrored`), and what was sent twice after a crash MLflow stores once, because its SQL store keys
a metric by (run, key, timestamp, step, value) and skips rows that it has.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agent.patience import Complaint, patiently
from dreamctl.errors import MlflowAway, UnknownRun
from dreamctl.store import pages
from dreamctl.store.database import hidden, may_recover
from dreamctl.store.models import Run
from dreamctl.store.parents import Figures, Parents
from dreamctl.store.queries import Point
from dreamctl.store.store import Store
from dreamctl.store.tracking import check, exists, experiment, open_client, uri

_BATCH = 1000  # MLflow's limit of metrics in a request
_PAGE = 10_000  # points that are read at once
_SOON = 120.0  # seconds in which a stored run is expected to begin
_PAUSE = 2.0  # seconds between two looks at the run database
_LATER = 30.0  # seconds until MLflow is tried again
_LIMIT = 600.0  # seconds for which it is, when no run goes on any longer
_LINE = 400  # characters of a cause that are said
_AGAIN = 60.0  # seconds after which the same failure is said again
_STATUS = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_CURVE_EVERY = 60.0  # seconds between two drawings of a running run's learning curve

Picture = Callable[[Store, Run, Path], None]  # draws the learning curve of a run into a PNG


@dataclass
class Copied:
    """What a synchronisation wrote."""

    runs: int = 0
    points: int = 0
    failed: int = 0  # runs that could not be copied


class Mirror:
    """Copies runs of a home to the MLflow store in it."""

    def __init__(self, store: Store, picture: Picture, figures: Figures = lambda store, sweep: []) -> None:
        self.store, self.picture, self.parents = store, picture, Parents(store, figures)
        self.uri = uri(store)
        self._drawn: dict[str, float] = {}
        self._checked: set[str] = set()  # runs that MLflow was seen to have
        self._copied: dict[str, str] = {}  # the stamps that this mirror has copied runs at
        self._said: dict[str, tuple[str, float]] = {}  # of each run and sweep that failed: what was said, and when

    def sync(self) -> Copied | None:
        """Copy all that is new; None when another mirror is at work. Raises `MlflowAway`."""
        with _only_one(self.store) as alone:
            if not alone:
                return None
            return self._pass(open_client(self.store))

    def follow(self) -> Copied | None:
        """Copy until no run goes on, and everything is copied; None when another mirror is at work.

        What fails is tried again: a database that is locked or away, an MLflow that is absent, silent or broken.
        A run that comes in while this mirror lets go of the lock is seen by the look that follows: whoever starts a
        run stores it first and a mirror second.
        """
        total = None
        while patiently(self._active, may_recover) or total is None:
            with _only_one(self.store) as alone:
                if not alone:
                    return total
                total = total or Copied()
                self._until_copied(total)
        return total

    def _until_copied(self, total: Copied) -> None:
        """Copy until no run goes on and nothing is missing, or has been for too long."""
        client, complaint, alone_since = None, Complaint(), None
        while True:
            active = patiently(self._active, may_recover)
            try:
                client = client or open_client(self.store)
                copied = self._pass(client)
            except Exception as error:
                if not isinstance(error, MlflowAway) and not may_recover(error):
                    raise
                complaint.begin(error)
                client, total.failed = None, 1
            else:
                complaint.end()
                total.runs, total.points = max(total.runs, copied.runs), total.points + copied.points
                total.failed = copied.failed
            alone_since = None if active else alone_since or time.monotonic()
            if alone_since and (not total.failed or time.monotonic() - alone_since > _LIMIT):
                return
            time.sleep(_PAUSE if client and active else _LATER)

    def _active(self) -> bool:
        """Whether a run goes on, or has just been stored and is about to."""
        self.store.reap()
        fresh = time.time() - _SOON
        waiting = self.store.runs(status="queued")
        return bool(self.store.runs(status="running")) or any(run.created_at > fresh for run in waiting)

    def _pass(self, client: Any) -> Copied:
        """Copy each run; one that cannot be copied is reported and tried again next time, the others go on.

        Raises `MlflowAway` when that is because MLflow does not answer.
        """
        copied = Copied()
        for sweep in self.store.sweeps():
            try:
                self.parents.copy(client, sweep)
            except Exception as error:
                self._complain(f"sweep {sweep.name}", error)
                check(self.store, client)
        for run_id, stamp in self.store.stamps().items():
            if self._copied.get(run_id) == stamp:
                continue
            try:
                run = self.store.get(run_id)
            except UnknownRun:  # it has just been removed
                continue
            try:
                points = self._run(client, run, stamp)
            except Exception as error:
                self._complain(run.name, error)
                check(self.store, client)
                copied.failed += 1
                continue
            copied.points += points or 0
            copied.runs += points is not None
            self._copied[run_id] = stamp
        for sweep in self.store.sweeps() if copied.runs else []:
            try:
                self.parents.describe(client, sweep)
            except Exception as error:
                self._complain(f"sweep {sweep.name}", error)
        return copied

    def _run(self, client: Any, run: Run, stamp: str) -> int | None:
        """Copy one run; returns the points written, or None when nothing about it was new."""
        done = self.store.mirrored(run.id)
        artifacts = {f"artifact:{a.path}": repr(a.created_at) for a in self.store.artifacts(run.id)}
        current = done.get("stamp") == stamp and all(done.get(key) == value for key, value in artifacts.items())
        if "run" in done and run.id not in self._checked and not exists(client, done["run"]):
            done, current = {}, False
        self._checked.add(run.id)
        if current:
            return None
        if "run" not in done:
            self.store.forget_mirrored(run.id)
            done = {"run": self._create(client, run)}
            self.store.mark_mirrored(run.id, done)
        there = done["run"]
        points = self._metrics(client, run, there, done)
        for key, value in artifacts.items():
            relative = Path(key.removeprefix("artifact:"))
            path = self.store.file(run.id, str(relative))
            if done.get(key) != value and path.is_file():
                client.log_artifact(there, str(path), str(relative.parent) if relative.parent.name else None)
                self.store.mark_mirrored(run.id, {key: value})
        self._curve(client, run, there)
        self._status(client, run, there)
        self.store.mark_mirrored(run.id, {"stamp": stamp, "ended": f"{run.status} {run.attempt}"})
        return points

    def _create(self, client: Any, run: Run) -> str:
        """A new run in the experiment named as the task, or the one that a killed mirror has left there."""
        from mlflow.entities import Param

        identifier = experiment(client, self.store, run.task)
        for left in client.search_runs([identifier], f"tags.`dreamctl.run` = '{run.id}'"):
            return left.info.run_id
        created = client.create_run(
            identifier,
            start_time=round(1000 * (run.started_at or run.created_at)),
            tags=pages.of_run(run),
            run_name=run.name,
        )
        # the UI keeps their order: first what the run is and what sets it apart, then the other fields
        params = {"task": run.task, "seed": run.seed, "preset": run.preset} | pages.from_preset(run) | run.config
        client.log_batch(created.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        if run.git_diff:
            client.log_text(created.info.run_id, run.git_diff, "code.diff")
        return created.info.run_id

    def _metrics(self, client: Any, run: Run, there: str, done: dict[str, str]) -> int:
        """Send points behind each metric's last copied step, in batches; returns how many."""
        from mlflow.entities import Metric

        new, count = self._new(run, done), 0
        while batch := list(islice(new, _BATCH)):
            client.log_batch(there, metrics=[Metric(p.name, p.value, round(1000 * p.wall_time), p.step) for p in batch])
            self.store.mark_mirrored(run.id, {f"scalar:{point.name}": str(point.step) for point in batch})
            count += len(batch)
        return count

    def _new(self, run: Run, done: Mapping[str, str]) -> Iterator[Point]:
        """The points behind each metric's last copied step, read so many at a time: there may be millions."""
        for name, last in self.store.last_scalars(run.id).items():
            after = int(done.get(f"scalar:{name}", -1))
            while after < last.step and (points := self.store.scalars(run.id, name, after, first=_PAGE)):
                yield from points
                after = points[-1].step

    def _curve(self, client: Any, run: Run, there: str) -> None:
        """Draw and send the learning curve: of a running run now and then, of an ended one always."""
        if all(evaluation.kind == "manual" for evaluation in self.store.evaluations(run.id)):
            return
        if run.status == "running" and time.monotonic() - self._drawn.get(run.id, -_CURVE_EVERY) < _CURVE_EVERY:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "learning_curve.png"
            self.picture(self.store, run, path)
            client.log_artifact(there, str(path))
        self._drawn[run.id] = time.monotonic()

    def _status(self, client: Any, run: Run, there: str) -> None:
        """Set status and end time; MLflow leaves a killed process's run RUNNING for ever."""
        ended = run.status in ("finished", "failed", "stopped")
        client.set_tag(there, "steps", str(run.steps))  # a param cannot change when a run is made longer
        client.set_tag(there, "dreamctl.digest", run.digest)
        client.set_tag(there, "work_hours", f"{run.work_seconds / 3600:.2f}")  # its duration includes pauses
        self._labels(client, run, there)
        client.set_tag(there, pages.DESCRIPTION, pages.description(run))
        sweeps = self.store.sweeps_of(run.id)
        if sweeps and sweeps[0].mlflow_run:
            client.set_tag(there, "mlflow.parentRunId", sweeps[0].mlflow_run)
            client.set_tag(there, "sweep", ", ".join(sweep.name for sweep in sweeps))
        if ended:
            client.set_terminated(there, _STATUS[run.status], end_time=round(1000 * (run.finished_at or time.time())))
        else:
            client.update_run(there, status=_STATUS[run.status])

    def _labels(self, client: Any, run: Run, there: str) -> None:
        """What users have called a run since it was created there, and why it failed; a later attempt may do better."""
        known = client.get_run(there).data.tags
        wanted = {"mlflow.runName": run.name} | {f"tag.{tag}": "true" for tag in run.tags}
        wanted |= {key: value for key, value in (("note", run.note), ("reason", run.reason)) if value}
        for key in known.keys() - wanted.keys():
            if key in ("note", "reason") or key.startswith("tag."):
                client.delete_tag(there, key)
        for key, value in wanted.items():
            if known.get(key) != value:
                client.set_tag(there, key, value)

    def _complain(self, what: str, error: Exception) -> None:
        cause = " ".join(hidden(str(error)).split())[:_LINE]
        text, now = f"{what} was not copied: {type(error).__name__}: {cause}", time.monotonic()
        said, when = self._said.get(what, ("", 0.0))
        if text != said or now - when > _AGAIN:
            print(text, file=sys.stderr, flush=True)
            self._said[what] = (text, now)


@contextmanager
def _only_one(store: Store) -> Iterator[bool]:
    """Hold the home's mirror lock; False when another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(store.home / "mirror.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
