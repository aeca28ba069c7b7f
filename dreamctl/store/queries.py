"""Reading the run database."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased, defer

from dreamctl.errors import UnknownRun
from dreamctl.store.access import Access
from dreamctl.store.models import Artifact, Attempt, Checkpoint, Evaluation, Mirrored, Run, Scalar, SweepRun

MANY = 500  # values in one statement; databases have limits


_NEAR = 5  # runs that a beginning could mean, told
_LATEST = 1000  # runs among which a mistyped name is looked for


class Point(NamedTuple):
    """One value of a metric: name, environment step, value, UTC seconds."""

    name: str
    step: int
    value: float
    wall_time: float


def left_out(light: bool) -> list[Any]:
    """Options of a query of many runs: the columns that they are without."""
    return list(map(defer, (Run.git_diff, Run.log_tail, *((Run.config, Run.packages) if light else ()))))


class Queries(Access):
    """Reads the runs of one home."""

    def find(self, reference: str) -> Run:
        """The run of that id or name, or the only one that begins so. `UnknownRun` names what is near."""
        with self._engine.connect() as connection:
            for column in (Run.id, Run.name):
                exact = connection.scalar(select(Run.id).where(column == reference))
                if exact is not None:
                    return self.get(exact)
            found: dict[str, str] = {}
            for column in (Run.id, Run.name) if reference else ():
                begins = func.substr(column, 1, len(reference)) == reference
                near = connection.scalars(select(column).where(begins).limit(_NEAR + 1)).all()  # read off an index
                rows = connection.execute(select(Run.id, Run.name).where(column.in_(near)))
                found |= {row.id: row.name for row in rows}
            if len(found) == 1:
                return self.get(*found)
            if found:
                many = f"{len(found)} runs" if len(found) <= _NEAR else f"more than {_NEAR} runs"
                names = ", ".join(f"{name} ({run_id})" for run_id, name in list(found.items())[:_NEAR])
                raise UnknownRun(f"{reference!r} could be {many}: {names}: write more of the name or id")
            latest = select(Run.name).order_by(Run.created_at.desc()).limit(_LATEST)
            close = difflib.get_close_matches(reference, connection.scalars(latest), n=1, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UnknownRun(f"no run {reference!r} in {self.home}{hint or ' (dreamctl ls lists them)'}")

    def get(self, run_id: str) -> Run:
        """The run of that id. Raises `UnknownRun` when it has been removed."""
        with Session(self._engine) as session:
            run = session.get(Run, run_id)
        if run is None:
            raise UnknownRun(f"run {run_id} is not stored any more")
        return run

    def runs(self, light: bool = False, newest: int | None = None, **filters: str) -> list[Run]:
        """All runs, or the `newest` so many, in the order of their creation; filters are columns (status="running").

        Without git_diff and log_tail, which `get` has; `light` ones are without config and packages, too.
        """
        statement = select(Run).filter_by(**filters).options(*left_out(light))
        backwards = statement.order_by(Run.created_at.desc(), Run.id.desc()).limit(newest)
        with Session(self._engine) as session:
            return list(reversed(session.scalars(backwards).all()))

    def these(self, ids: Sequence[str], light: bool = False) -> list[Run]:
        """The runs of these ids, in their order, as `runs` has them; without those that have been removed."""
        found: dict[str, Run] = {}
        statement = select(Run).options(*left_out(light))
        with Session(self._engine) as session:
            for first in range(0, len(ids), MANY):
                some = Run.id.in_(ids[first : first + MANY])
                found |= {run.id: run for run in session.scalars(statement.where(some))}
        return [found[run_id] for run_id in ids if run_id in found]

    def rows(self, columns: Iterable[str], **filters: str) -> list[Any]:
        """These columns of all runs, in the order of their creation; filters as in `runs`."""
        wanted = (getattr(Run, column) for column in columns)
        statement = select(*wanted).filter_by(**filters).order_by(Run.created_at, Run.id)
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def count(self, **filters: str) -> int:
        """How many runs there are."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(Run).filter_by(**filters)).scalar_one()

    def last_scalars(self, run_id: str) -> dict[str, Point]:
        """The newest point of each metric."""
        # from one name to the next, and of each to its last step, in the order of the key: no other point is looked at
        names = select(func.min(Scalar.name).label("name")).where(Scalar.run_id == run_id).cte("names", recursive=True)
        other = aliased(Scalar)
        following = select(func.min(other.name)).where(other.run_id == run_id, other.name > names.c.name)
        names = names.union_all(select(following.scalar_subquery()).where(names.c.name.is_not(None)))
        last = select(func.max(other.step)).where(other.run_id == run_id, other.name == names.c.name)
        statement = (
            select(Scalar.name, Scalar.step, Scalar.value, Scalar.wall_time)
            .join(names, Scalar.name == names.c.name)
            .where(Scalar.run_id == run_id, Scalar.step == last.scalar_subquery())
            .order_by(Scalar.name)
        )
        with self._engine.connect() as connection:
            return {row.name: Point(*row) for row in connection.execute(statement)}

    def scalars(self, run_id: str, name: str, after: int = -1, first: int | None = None) -> list[Point]:
        """The points of a metric after step `after`, in order; at most the first `first` of them."""
        statement = (
            select(Scalar.name, Scalar.step, Scalar.value, Scalar.wall_time)
            .where(Scalar.run_id == run_id, Scalar.name == name, Scalar.step > after)
            .order_by(Scalar.step)
            .limit(first)
        )
        with self._engine.connect() as connection:
            return [Point(*row) for row in connection.execute(statement)]

    def evaluations(self, run_id: str) -> list[Evaluation]:
        """All evaluations, by environment steps."""
        return self._all(Evaluation, run_id, Evaluation.env_steps, Evaluation.created_at)

    def returns(self, run_ids: Sequence[str]) -> Iterator[tuple[str, int, float]]:
        """(run id, environment steps, mean return) of all evaluations but manual ones, in the order of their steps.

        Of several at one step that at the end of training comes last.
        """
        columns = (Evaluation.run_id, Evaluation.env_steps, Evaluation.mean)
        order = (Evaluation.env_steps, Evaluation.kind != "training", Evaluation.created_at)
        with self._engine.connect() as connection:
            for first in range(0, len(run_ids), MANY):
                some = Evaluation.run_id.in_(run_ids[first : first + MANY])
                statement = select(*columns).where(some, Evaluation.kind != "manual").order_by(*order)
                for row in connection.execute(statement):
                    yield row.run_id, row.env_steps, row.mean

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """The recorded checkpoints, oldest first."""
        return self._all(Checkpoint, run_id, Checkpoint.env_steps, Checkpoint.updates)

    def attempts(self, run_id: str) -> list[Attempt]:
        """What trained the run in each attempt, in order; without git_diff."""
        statement = select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.number)
        with Session(self._engine) as session:
            return list(session.scalars(statement.options(defer(Attempt.git_diff))))

    def artifacts(self, run_id: str) -> list[Artifact]:
        """All artifacts, oldest first."""
        return self._all(Artifact, run_id, Artifact.created_at, Artifact.path)

    def stamps(self) -> dict[str, str]:
        """For each run, oldest first, a text that changes whenever something of it that is worth copying does."""
        newest = select(func.max(Artifact.created_at)).where(Artifact.run_id == Run.id).scalar_subquery()
        sweeps = select(func.count()).where(SweepRun.run_id == Run.id).scalar_subquery()
        columns = (Run.status, Run.attempt, Run.env_steps, Run.heartbeat_at, Run.score, Run.finished_at, Run.digest)
        labels = (Run.name, Run.tags, Run.note)
        statement = select(Run.id, *columns, *labels, newest, sweeps).order_by(Run.created_at, Run.id)
        with self._engine.connect() as connection:
            return {row[0]: json.dumps(list(row[1:])) for row in connection.execute(statement)}

    def mirrored(self, run_id: str) -> dict[str, str]:
        """How far a run has been copied to MLflow."""
        return {row.key: row.value for row in self._all(Mirrored, run_id, Mirrored.key)}

    def _all(self, table: type[Any], run_id: str, *order: Any) -> list[Any]:
        with Session(self._engine) as session:
            return list(session.scalars(select(table).where(table.run_id == run_id).order_by(*order)))
