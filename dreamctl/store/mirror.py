"""The mirror copies the run database to MLflow, in large batches.

A home has one mirror at a time. It may be killed, start late or find MLflow emptied: the run database records how far
each run has been copied (`Mirrored`). Points sent twice after a crash are stored once, because MLflow's SQL store keys
a metric by (run, key, timestamp, step, value) and skips rows that it has.
"""

from __future__ import annotations

import hashlib
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

_BATCH = 1000  # metrics per request, MLflow's limit
_PAGE = 10_000  # points read at once
_SOON = 120.0  # seconds within which a new run is expected to start
_PAUSE = 2.0  # seconds between two passes
_LATER = 30.0  # seconds until a failed pass is tried again
_LIMIT = 600.0  # seconds for which it is, once no run is active
_LINE = 400  # characters of an error that are printed
_AGAIN = 60.0  # seconds before the same error is printed again
_STATUS = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_CURVE_EVERY = 60.0  # seconds between two learning curves of a running run

Picture = Callable[[Store, Run, Path], None]  # draws the learning curve of a run into a PNG


@dataclass
class Copied:
    """What the mirror wrote."""

    runs: int = 0
    points: int = 0
    failed: int = 0  # runs that could not be copied


class Mirror:
    """Copies the runs of a home to its MLflow store."""

    def __init__(self, store: Store, picture: Picture, figures: Figures = lambda store, sweep: []) -> None:
        self.store, self.picture, self.parents = store, picture, Parents(store, figures)
        self.uri = uri(store)
        self._drawn: dict[str, float] = {}
        self._checked: set[str] = set()  # runs known to be in MLflow
        self._copied: dict[str, str] = {}  # by run, the stamp at which it was copied
        self._said: dict[str, tuple[str, float]] = {}  # by failed run or sweep: what was printed, and when

    def sync(self) -> Copied | None:
        """Copy what is new; None if another mirror is at work. Raises `MlflowAway`."""
        with _only_one(self.store) as alone:
            if not alone:
                return None
            return self._pass(open_client(self.store))

    def follow(self) -> Copied | None:
        """Copy until no run is active and everything is copied; None if another mirror is at work.

        Failures are retried: a database that is locked or unreachable, an MLflow that is down or broken. A run is
        always stored before a mirror is started for it, so checking once more after releasing the lock misses none.
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
        """Copy until no run is active and nothing is missing, or something has been missing for `_LIMIT` seconds."""
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
        """Whether a run is running, or was stored so recently that it is about to start."""
        self.store.reap()
        latest = self.store.runs(light=True, newest=1, status="queued")
        return bool(latest and latest[0].created_at > time.time() - _SOON) or self.store.count(status="running") > 0

    def _pass(self, client: Any) -> Copied:
        """Copy each run; report one that cannot be copied, leave it to the next pass and continue with the others.

        Raises `MlflowAway` if MLflow does not answer.
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
            except UnknownRun:  # removed just now
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
        for sweep in self.store.sweeps():
            if not copied.runs and not self.parents.judged(sweep):
                continue
            try:
                self.parents.describe(client, sweep)
            except Exception as error:
                self._complain(f"sweep {sweep.name}", error)
        return copied

    def _run(self, client: Any, run: Run, stamp: str) -> int | None:
        """Copy one run; returns the number of points written, None if nothing was new."""
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
        if run.git_diff:
            diff = hashlib.sha256(run.git_diff.encode()).hexdigest()
            if done.get("diff") != diff:
                client.log_text(there, run.git_diff, "code.diff")
                self.store.mark_mirrored(run.id, {"diff": diff})
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
        """The MLflow id of a run that is created in its task's experiment, or that a killed mirror left there."""
        from mlflow.entities import Param

        identifier = experiment(client, self.store, run.task)
        found = client.search_runs([identifier], f"tags.`dreamctl.run` = '{run.id}'")
        if not found:
            start = round(1000 * (run.started_at or run.created_at))
            found = [client.create_run(identifier, start_time=start, tags=pages.of_run(run), run_name=run.name)]
        there = found[0]
        # the UI keeps the order: identity first, then differences from the preset, then the other fields
        params = {"task": run.task, "seed": run.seed, "preset": run.preset} | pages.from_preset(run) | run.config
        if not there.data.params:
            client.log_batch(there.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return there.info.run_id

    def _metrics(self, client: Any, run: Run, there: str, done: dict[str, str]) -> int:
        """Send the points after each metric's last copied step, in batches; returns how many."""
        from mlflow.entities import Metric

        new, count = self._new(run, done), 0
        while batch := list(islice(new, _BATCH)):
            client.log_batch(there, metrics=[Metric(p.name, p.value, round(1000 * p.wall_time), p.step) for p in batch])
            self.store.mark_mirrored(run.id, {f"scalar:{point.name}": str(point.step) for point in batch})
            count += len(batch)
        return count

    def _new(self, run: Run, done: Mapping[str, str]) -> Iterator[Point]:
        """The points after each metric's last copied step, read in pages, since there may be millions."""
        for name, last in self.store.last_scalars(run.id).items():
            after = int(done.get(f"scalar:{name}", -1))
            while after < last.step and (points := self.store.scalars(run.id, name, after, first=_PAGE)):
                yield from points
                after = points[-1].step

    def _curve(self, client: Any, run: Run, there: str) -> None:
        """Draw and send the learning curve; of a running run at most every `_CURVE_EVERY` seconds."""
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
        """Set status, end time and tags; MLflow itself would leave the run of a killed process RUNNING for ever."""
        ended = run.status in ("finished", "failed", "stopped")
        client.set_tag(there, "steps", str(run.steps))  # a parameter cannot change when a run is extended
        client.set_tag(there, "dreamctl.digest", run.digest)
        client.set_tag(there, "work_hours", f"{run.work_seconds / 3600:.2f}")  # MLflow's duration includes pauses
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
        """Update name, tags, note, what trains it and the reason of a failure; remove those that no longer hold."""
        known = client.get_run(there).data.tags
        wanted = {"mlflow.runName": run.name} | {f"tag.{tag}": "true" for tag in run.tags}
        wanted |= pages.of_training(run)
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
