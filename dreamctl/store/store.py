"""The run database: the life cycle of runs and what is known of them. The source of truth, written first.

A run goes queued -> running -> finished | failed | stopped; failed and stopped runs can be taken on again. A run
that failed by its method (`Run.diverged`) is an outcome; one that failed by its machine is missing.

Whoever trains a run claims it and gets an attempt number, which every later write must carry: a worker that was thought
dead and comes back cannot overwrite its successor.
"""

from __future__ import annotations

import math
import secrets
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from dreamctl.errors import BadInput, HomeError, StaleAttempt
from dreamctl.store import code as codes
from dreamctl.store import database, provenance
from dreamctl.store.identity import made_name
from dreamctl.store.labels import Labels
from dreamctl.store.models import Artifact, Attempt, Checkpoint, Evaluation, Mirrored, Run, Scalar, SweepRun
from dreamctl.store.queries import Point
from dreamctl.store.registrations import Registrations
from dreamctl.store.sweeps import SweepQueue, claimed, sign_of_life


def open_store(home: str | Path | None = None, create: bool = True) -> Store:
    """The store of a home (the argument, else as `dreamctl.settings` says).

    With `create` False a home without a database reads as empty and is not made; the recorded runs are never written
    to. In any case the tables of DREAMCTL_DB are made and an older schema is upgraded. Raises `HomeError`.
    """
    folder = database.resolve_home(home)
    if not create and folder == database.RECORDED:
        return Store(folder, database.connect_recorded(), read_only=True)
    url = database.resolve_url(folder)
    if folder.exists() and not folder.is_dir():
        raise HomeError(f"the home {folder} is not a folder: choose another with --home")
    file = database.sqlite_file(url)
    if not create and file is not None and not file.exists():
        return Store(folder, database.empty())
    database.prepare_home(folder)
    return Store(folder, database.connect(url, folder))


class Store(SweepQueue, Labels, Registrations):
    """All runs of one home. This class changes them; queries, labels, registrations and the queue are inherited."""

    # Life cycle

    def create_run(
        self,
        *,
        task: str,
        seed: int,
        config: Mapping[str, Any],
        digest: str,
        preset: str,
        name: str | None = None,
        tags: Sequence[str] = (),
        label: str = "",
        packages: Mapping[str, str] | None = None,
        parent: Mapping[str, Any] | None = None,
    ) -> Run:
        """A new run, queued. packages: versions beyond those of dreamctl's own; parent: see `columns.Parent`.

        Where it comes from is that of this process, until one trains it: see `begin`.

        Without a name it is called task-method-sSEED (with the objective, if that is not reconstruction, and the
        label), and -2, -3, ... if that is taken. `BadInput` for a name that is taken.
        """
        origin = _origin(packages)
        objective = "" if config["objective"] == "reconstruction" else config["objective"]
        title = task.replace(":", ".")  # of a custom environment: module:factory
        base = made_name((title, config["method"], objective, label), seed)
        with self._write() as session:
            self._hold_names(session)
            stem = name or base
            taken = set(session.scalars(select(Run.name).where(func.substr(Run.name, 1, len(stem)) == stem)))
            if name in taken:
                raise BadInput(f"there is a run named {name!r} already: choose another --name")
            run = Run(
                id=secrets.token_hex(4),
                name=name or next(n for n in _names(base) if n not in taken),
                task=task,
                method=config["method"],
                objective=config["objective"],
                seed=seed,
                preset=preset,
                config=dict(config),
                digest=digest,
                tags=list(tags),
                status="queued",
                parent=None if parent is None else dict(parent),
                steps=config["steps"],
                env_steps=parent["env_steps"] if parent else 0,
                updates=parent["updates"] if parent else 0,
                created_at=time.time(),
                **origin,
            )
            session.add(run)
        return run

    def claim(self, run_id: str, device: str) -> int:
        """Take a run on for this process; returns the attempt number.

        One statement decides, so of several processes one wins; `BadInput` for the others, and for finished runs.
        """
        waiting = (Run.id == run_id, Run.status.in_(("queued", "failed", "stopped")))
        values = claimed(device, by_scheduler=False)
        statement = update(Run).where(*waiting).values(**values).returning(Run.attempt)
        with self._write() as session:
            attempt = session.execute(statement).scalar()
        if attempt is None:
            raise BadInput(f"run {run_id} cannot be taken on: it is {self.find(run_id).status}")
        return attempt

    def begin(
        self,
        run_id: str,
        attempt: int,
        *,
        env_steps: int,
        code: str,
        hardware: str | None,
        packages: Mapping[str, str] | None = None,
    ) -> None:
        """Put on record what trains a run, from the checkpoint at `env_steps` on: this process. Raises `StaleAttempt`.

        code: see `store.code`; packages as in `create_run`. Told again, if the attempt goes back to another checkpoint.
        """
        origin = _origin(packages)
        with self._write() as session:
            self._update(session, run_id, attempt, sign_of_life())
            run = session.get_one(Run, run_id)
            here = dict(code=code, device=run.device, hardware=hardware, host=run.host, job=run.job)
            begun = dict(run_id=run_id, number=attempt, started_at=time.time(), env_steps=env_steps)
            session.merge(Attempt(**begun, **here, **origin))
            session.flush()
            every = select(Attempt.env_steps, Attempt.code).where(Attempt.run_id == run_id).order_by(Attempt.number)
            counting = [(row.env_steps, row.code) for row in session.execute(every)]
            trained = {"code": codes.of_attempts(counting, codes.forked_at(run)), "hardware": hardware}
            self._update(session, run_id, attempt, trained | origin)

    def heartbeat(self, run_id: str, attempt: int, *, env_steps: int, updates: int, scalars: Sequence[Point]) -> bool:
        """Sign of life, progress and buffered metrics in one transaction; returns whether a stop was asked for.

        Points that are there already are overwritten. Raises `StaleAttempt`.
        """
        values = sign_of_life() | {"env_steps": env_steps, "updates": updates}
        with self._write() as session:
            stop = self._update(session, run_id, attempt, values)
            if scalars:
                insert = self._insert(Scalar)
                changed = {"value": insert.excluded.value, "wall_time": insert.excluded.wall_time}
                upsert = insert.on_conflict_do_update(index_elements=["run_id", "name", "step"], set_=changed)
                session.execute(upsert, [{"run_id": run_id, **point._asdict()} for point in scalars])
        return stop

    def finish(self, run_id: str, attempt: int, status: str, reason: str | None = None, diverged: bool = False) -> None:
        """End an attempt: finished, failed (with a reason of one line), stopped, or queued: given back.

        diverged: it failed by its method, which is an outcome, and not by its machine. Raises `StaleAttempt`.
        """
        ended = None if status == "queued" else time.time()
        with self._write() as session:
            values = sign_of_life() | {
                "status": status,
                "reason": reason,
                "diverged": diverged,
                "finished_at": ended,
                "stop_requested": False,
            }
            self._update(session, run_id, attempt, values)

    def abandon(self, run_id: str, attempt: int, status: str, reason: str) -> bool:
        """End a run that has had no worker since `attempt`, as failed or stopped, unless it waits in a sweep.

        Returns whether it had none.
        """
        unclaimed = (Run.id == run_id, Run.attempt == attempt, Run.status != "running")
        alone = ~exists().where(SweepRun.run_id == Run.id)
        values = {"status": status, "reason": reason, "finished_at": time.time()}
        with self._write() as session:
            session.execute(update(Run).where(*unclaimed, Run.status == "queued", alone).values(**values))
            return session.scalar(select(Run.id).where(*unclaimed)) is not None

    def change_steps(self, run_id: str, config: Mapping[str, Any], digest: str) -> Run:
        """Change the length of a run that is not running; one that had finished becomes stopped."""
        with self._write() as session:
            run = session.get_one(Run, run_id)
            if run.status == "running":
                raise BadInput(f"run {run.name} is running")
            run.config, run.digest, run.steps = dict(config), digest, config["steps"]
            run.status = "stopped" if run.status == "finished" else run.status
        return run

    def request_stop(self, *run_ids: str) -> None:
        """Ask the workers of running runs to stop, which they read with their next heartbeat."""
        with self._write() as session:
            session.execute(update(Run).where(Run.id.in_(run_ids)).values(stop_requested=True))

    # Records

    def record_evaluation(
        self,
        run_id: str,
        *,
        kind: str,
        env_steps: int,
        seed: int,
        returns: Sequence[float],
        checkpoint: str | None = None,
        video: str | None = None,
        attempt: int | None = None,
    ) -> Evaluation:
        """Keep an evaluation; those of a training run set its score, and replace the one of the same step.

        Raises `BadInput` for returns that are not finite.
        """
        if not all(map(math.isfinite, returns)):
            raise BadInput(f"returns of an evaluation must be finite, not {list(returns)}")
        mean = statistics.fmean(returns)
        row = Evaluation(
            run_id=run_id,
            kind=kind,
            env_steps=env_steps,
            seed=seed,
            returns=list(returns),
            mean=mean,
            std=statistics.pstdev(returns),
            checkpoint=checkpoint,
            video=video,
            created_at=time.time(),
        )
        with self._write() as session:
            if attempt is not None:
                same = (Evaluation.run_id == run_id, Evaluation.env_steps == env_steps, Evaluation.kind == kind)
                session.execute(delete(Evaluation).where(*same))
                best = session.scalar(
                    select(func.max(Evaluation.mean)).where(Evaluation.run_id == run_id, Evaluation.kind != "manual")
                )
                best = mean if best is None else max(best, mean)
                self._update(session, run_id, attempt, {"score": mean, "best_score": best})
            session.add(row)
        return row

    def record_checkpoint(
        self, run_id: str, attempt: int | None, *, path: str, env_steps: int, updates: int, bytes: int, sha256: str
    ) -> None:
        """Keep note of a checkpoint file; one of the same path is replaced. attempt: None before there is a worker.

        Its time is later than that of every other checkpoint of the run, whatever the clock says: old ones are deleted.
        """
        with self._write() as session:
            if attempt is not None:
                self._update(session, run_id, attempt, sign_of_life())
            last = session.scalar(select(func.max(Checkpoint.created_at)).where(Checkpoint.run_id == run_id)) or 0.0
            row = Checkpoint(
                run_id=run_id,
                path=path,
                env_steps=env_steps,
                updates=updates,
                bytes=bytes,
                sha256=sha256,
                created_at=max(time.time(), math.nextafter(last, math.inf)),
            )
            session.merge(row)

    def forget_checkpoint(self, run_id: str, path: str) -> None:
        """Remove the record of a checkpoint whose file is about to be deleted."""
        with self._write() as session:
            session.execute(delete(Checkpoint).where(Checkpoint.run_id == run_id, Checkpoint.path == path))

    def record_artifact(self, run_id: str, *, path: str, kind: str) -> None:
        """Record a file in the run's folder."""
        size = self.file(run_id, path).stat().st_size
        with self._write() as session:
            session.merge(Artifact(run_id=run_id, path=path, kind=kind, bytes=size, created_at=time.time()))

    def mark_mirrored(self, run_id: str, values: Mapping[str, str]) -> None:
        """Record how far a run has been copied to MLflow."""
        with self._write() as session:
            for key, value in values.items():
                session.merge(Mirrored(run_id=run_id, key=key, value=value))

    def forget_mirrored(self, run_id: str) -> None:
        """Forget that a run has been copied to MLflow, so that it is copied again."""
        with self._write() as session:
            session.execute(delete(Mirrored).where(Mirrored.run_id == run_id))

    def _update(self, session: Session, run_id: str, attempt: int, values: Mapping[str, Any]) -> bool:
        """Change a run that still belongs to this attempt; returns whether a stop has been requested."""
        owned = (Run.id == run_id, Run.attempt == attempt, Run.status == "running")
        stop = session.scalar(update(Run).where(*owned).values(**values).returning(Run.stop_requested))
        if stop is None:
            raise StaleAttempt(f"run {run_id} is no longer in the hands of attempt {attempt}")
        return stop


def _origin(packages: Mapping[str, str] | None) -> dict[str, Any]:
    """The provenance columns of this process, with further packages."""
    origin = provenance.collect()
    return origin | {"packages": origin["packages"] | dict(packages or {})}


def _names(base: str) -> Iterable[str]:
    """base, base-2, base-3, ..."""
    yield base
    for number in range(2, 1_000_000):
        yield f"{base}-{number}"
