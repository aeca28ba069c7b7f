"""Reading the run database."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from dreamctl.errors import UnknownRun
from dreamctl.store.models import Artifact, Checkpoint, Evaluation, Mirrored, Run, Scalar


class Point(NamedTuple):
    """One value of a metric: name, environment step, value, UTC seconds."""

    name: str
    step: int
    value: float
    wall_time: float


class Queries:
    """What is known of the runs of one home."""

    def __init__(self, home: Path, engine: Engine) -> None:
        self.home = home
        self._engine = engine
        self._writer = engine.execution_options(write=True)

    def folder(self, run_id: str) -> Path:
        """Where the files of a run are."""
        return self.home / run_id

    def find(self, reference: str) -> Run:
        """The run of that id or name, or the only one that begins so. `UnknownRun` names what is near."""
        runs = self.runs()
        for run in runs:
            if reference in (run.id, run.name):
                return run
        matches = [run for run in runs if run.id.startswith(reference) or run.name.startswith(reference)]
        if len(matches) == 1 and reference:
            return matches[0]
        if matches:
            names = ", ".join(f"{run.name} ({run.id})" for run in matches[:5])
            raise UnknownRun(f"{reference!r} could be {len(matches)} runs: {names}: write more of the name or id")
        close = difflib.get_close_matches(reference, [run.name for run in runs], n=1, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UnknownRun(f"no run {reference!r} in {self.home}{hint or ' (dreamctl ls lists them)'}")

    def get(self, run_id: str) -> Run:
        """The run of that id."""
        with Session(self._engine) as session:
            return session.get_one(Run, run_id)

    def runs(self, **filters: str) -> list[Run]:
        """All runs in the order of their creation; filters are columns (status="running"), `tag` among the tags."""
        tag = filters.pop("tag", None)
        with Session(self._engine) as session:
            found = session.scalars(select(Run).filter_by(**filters).order_by(Run.created_at, Run.id)).all()
        return [run for run in found if tag is None or tag in run.tags]

    def last_scalars(self, run_id: str) -> dict[str, Point]:
        """The newest point of each metric."""
        newest = (
            select(Scalar.name, func.max(Scalar.step).label("step"))
            .where(Scalar.run_id == run_id)
            .group_by(Scalar.name)
            .subquery()
        )
        statement = (
            select(Scalar.name, Scalar.step, Scalar.value, Scalar.wall_time)
            .join(newest, (Scalar.name == newest.c.name) & (Scalar.step == newest.c.step))
            .where(Scalar.run_id == run_id)
            .order_by(Scalar.name)
        )
        with self._engine.connect() as connection:
            return {row.name: Point(*row) for row in connection.execute(statement)}

    def scalars(self, run_id: str, name: str, after: int = -1) -> list[Point]:
        """The points of a metric behind step `after`, in order."""
        statement = (
            select(Scalar.name, Scalar.step, Scalar.value, Scalar.wall_time)
            .where(Scalar.run_id == run_id, Scalar.name == name, Scalar.step > after)
            .order_by(Scalar.step)
        )
        with self._engine.connect() as connection:
            return [Point(*row) for row in connection.execute(statement)]

    def evaluations(self, run_id: str) -> list[Evaluation]:
        """All evaluations, by environment steps."""
        return self._all(Evaluation, run_id, Evaluation.env_steps, Evaluation.created_at)

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """All checkpoints that are kept, oldest first."""
        return self._all(Checkpoint, run_id, Checkpoint.env_steps, Checkpoint.updates)

    def artifacts(self, run_id: str) -> list[Artifact]:
        """All artifacts, oldest first."""
        return self._all(Artifact, run_id, Artifact.created_at, Artifact.path)

    def mirrored(self, run_id: str) -> dict[str, str]:
        """How far a run has been copied to MLflow."""
        return {row.key: row.value for row in self._all(Mirrored, run_id, Mirrored.key)}

    def _all(self, table: type[Any], run_id: str, *order: Any) -> list[Any]:
        with Session(self._engine) as session:
            return list(session.scalars(select(table).where(table.run_id == run_id).order_by(*order)))
