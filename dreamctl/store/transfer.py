"""Copying runs between homes: their rows, and the list of files that belong to them.

A run is recognised in any home by its task, its seed and its creation time. Copying it twice therefore leaves one run,
and a copy that has progressed further replaces the one here, but for its name, note and tags. An id or name that
another run has is changed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.orm import Session

from dreamctl.errors import BadInput
from dreamctl.store.access import Access
from dreamctl.store.models import (
    Artifact,
    Attempt,
    Checkpoint,
    Evaluation,
    Look,
    Registration,
    Run,
    Scalar,
    Sweep,
    SweepRun,
)

_CHUNK = 5000  # rows
_EPISODE = re.compile(r"\d{6,}\.npz")
_PROGRESS = ("env_steps", "updates", "attempt")
_FOREIGN = ("pid", "process_started", "process_space", "scheduler_pid", "scheduler_started")  # not copied


@dataclass(frozen=True)
class Part:
    """What to copy of a run besides its records, pictures and log."""

    checkpoints: bool = True
    replay: bool = True  # needed, with checkpoints, to resume training


def files(store: Access, run_id: str, part: Part) -> list[str]:
    """The existing files of a run that `part` covers, as paths relative to its folder."""
    with store._engine.connect() as connection:
        kept = [row.path for row in connection.execute(select(Artifact.path).where(Artifact.run_id == run_id))]
        if part.checkpoints:
            kept += [row.path for row in connection.execute(select(Checkpoint.path).where(Checkpoint.run_id == run_id))]
    if part.replay and store.file(run_id, "episodes").is_dir():
        names = sorted(path.name for path in store.file(run_id, "episodes").iterdir())
        kept += [f"episodes/{name}" for name in names if _EPISODE.fullmatch(name)]
    return [path for path in dict.fromkeys([*kept, "log.txt"]) if store.file(run_id, path).is_file()]


def copy_records(source: Access, target: Access, run_ids: Sequence[str], sweeps: Sequence[str], part: Part) -> None:
    """Copy runs, and sweeps with those of the runs, into an empty database, from one consistent snapshot."""
    level = {"isolation_level": "REPEATABLE READ"} if source._engine.dialect.name == "postgresql" else {}
    with source._engine.execution_options(**level).connect() as connection, target._write() as session:
        for table, key, chosen in (
            *((Run, Run.id, run_ids), (Sweep, Sweep.id, sweeps)),
            *((each, each.run_id, run_ids) for each in (Attempt, Scalar, Evaluation, Artifact)),
            *([(Checkpoint, Checkpoint.run_id, run_ids)] if part.checkpoints else []),
            *((each, each.sweep_id, sweeps) for each in (SweepRun, Registration, Look)),
        ):
            for one in chosen:
                for rows in _chunks(connection, table, key == one):
                    session.execute(insert(table), rows)


class Arrival:
    """A run of `source` to enter into `target`: the id and name that it gets there, and whether it is news."""

    def __init__(self, source: Access, target: Access, run_id: str) -> None:
        self.source, self.target = source, target
        with source._engine.connect() as connection:
            self.row = dict(connection.execute(select(Run.__table__).where(Run.id == run_id)).mappings().one())
        self.known = self._known()
        self.id = self.known.id if self.known else self._free_id()
        self.name = self.known.name if self.known else free_name(target, Run.name, self.row["name"])

    @property
    def news(self) -> bool:
        """Whether the target lacks the run, or is behind, or lacks some of its files; False if it is running there."""
        here = self.known
        if here is None or here.status == "running":
            return here is None
        theirs, ours = (self.row[key] for key in _PROGRESS), (getattr(here, key) for key in _PROGRESS)
        come, are = tuple(theirs), tuple(ours)
        missing = (not self.target.file(here.id, path).is_file() for path in files(self.source, self.row["id"], Part()))
        return come > are or come == are and any(missing)

    def enter(self, checkpoints: Iterable[str], before_commit: Callable[[], None]) -> None:
        """Write the run's rows in one transaction, with only the checkpoints at these paths.

        Raises `BadInput` if the run here is not what it was when the copying began.
        """
        values = self.row | {"id": self.id, "name": self.name, "stop_requested": False} | dict.fromkeys(_FOREIGN)
        if self.row["status"] == "running":
            values |= {"status": "stopped", "reason": "was running elsewhere when it was copied"}
        whole = set(checkpoints)
        with self.source._engine.connect() as connection, self.target._write() as session:
            now = session.get(Run, self.id, with_for_update=True)
            if _state(now) != _state(self.known):
                raise BadInput(f"run {self.name} was changed here while it was copied: import it again")
            if now is not None:  # labels are of this home
                values |= {
                    "note": now.note or values["note"],
                    "tags": list(dict.fromkeys([*now.tags, *values["tags"]])),
                }
            self._put(session, Run, [values])
            session.execute(delete(Attempt).where(Attempt.run_id == self.id))  # it may have had more of them here
            for table in (Attempt, Scalar, Artifact, Checkpoint):
                for rows in _chunks(connection, table, table.run_id == self.row["id"]):
                    rows = [row for row in rows if table is not Checkpoint or row["path"] in whole]
                    self._put(session, table, [row | {"run_id": self.id} for row in rows])
            self._enter_evaluations(connection, session)
            before_commit()

    def _enter_evaluations(self, connection: Connection, session: Session) -> None:
        """Add evaluations whose creation time is new; those of training replace the one of the same kind and step."""
        here = session.scalars(select(Evaluation).where(Evaluation.run_id == self.id)).all()
        moments = {each.created_at for each in here}
        for rows in _chunks(connection, Evaluation, Evaluation.run_id == self.row["id"]):
            for row in (row for row in rows if row["created_at"] not in moments):
                for old in here:
                    if row["kind"] != "manual" and (old.kind, old.env_steps) == (row["kind"], row["env_steps"]):
                        session.delete(old)
                session.add(
                    Evaluation(**{key: value for key, value in row.items() if key != "id"} | {"run_id": self.id})
                )

    def _put(self, session: Session, table: Any, rows: list[dict[str, Any]]) -> None:
        """Insert rows; overwrite those with the same key."""
        if rows:
            columns = table.__table__.columns
            keys = [column.name for column in columns if column.primary_key]
            statement = self.target._insert(table.__table__)
            changed = {c.name: statement.excluded[c.name] for c in columns if not c.primary_key}
            session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)

    def _known(self) -> Run | None:
        """The same run in the target, perhaps under another id; None if it is not there."""
        same = (Run.created_at == self.row["created_at"], Run.task == self.row["task"], Run.seed == self.row["seed"])
        with Session(self.target._engine) as session:
            found = session.scalars(select(Run).where(*same)).all()
        return min(found, key=lambda run: run.id != self.row["id"], default=None)

    def _free_id(self) -> str:
        with self.target._engine.connect() as connection:
            taken = connection.execute(select(Run.id).where(Run.id == self.row["id"])).first()
        if taken is None and not self.target.folder(self.row["id"]).exists():
            return self.row["id"]
        return secrets.token_hex(4)


def _state(run: Run | None) -> tuple[Any, ...] | None:
    return None if run is None else (run.status, *(getattr(run, key) for key in _PROGRESS))


def enter_sweep(source: Access, target: Access, sweep: Sweep, ids: dict[str, str]) -> str:
    """Copy a sweep into a home; returns its name there. ids: {run id in source: in target} of the members to enter.

    If the target has the sweep already (same plan and creation time), it gets the members that it lacks, and the
    registrations and looks, unless its own tell another story.
    """
    with Session(target._engine) as session:
        then = session.scalars(select(Sweep).where(Sweep.created_at == sweep.created_at))
        same = next((each for each in then if each.spec == sweep.spec), None)  # PostgreSQL does not compare JSON
        taken = session.get(Sweep, sweep.id) is not None
    name = same.name if same else free_name(target, Sweep.name, sweep.name)
    identifier = same.id if same else secrets.token_hex(4) if taken else sweep.id
    with source._engine.connect() as connection:
        history = {table: _story(connection, table, sweep.id) for table in (Registration, Look)}
        member = select(SweepRun).where(SweepRun.sweep_id == sweep.id).order_by(SweepRun.position)
        rows = [row for row in connection.execute(member).mappings() if row["run_id"] in ids]
    with target._write() as session:
        if same is None:
            columns = {column.name: getattr(sweep, column.name) for column in Sweep.__table__.columns}
            session.add(Sweep(**columns | {"id": identifier, "name": name, "mlflow_run": None}))
            session.flush()
        for row in rows:
            session.merge(SweepRun(sweep_id=identifier, run_id=ids[row["run_id"]], position=row["position"]))
        here = {table: _story(session.connection(), table, identifier) for table in history}
        if all(
            history[table][key] == here[table][key] for table in here for key in history[table].keys() & here[table]
        ):
            for table in history:
                for key in history[table].keys() - here[table].keys():
                    session.add(table(**history[table][key] | {"sweep_id": identifier}))
    return name


def _story(connection: Connection, table: Any, sweep_id: str) -> dict[int, dict[str, Any]]:
    """The registrations or looks of a sweep by their number, without its id."""
    (number,) = (column.name for column in table.__table__.columns if column.primary_key and column.name != "sweep_id")
    rows = connection.execute(select(table.__table__).where(table.sweep_id == sweep_id)).mappings()
    return {row[number]: {key: value for key, value in row.items() if key != "sweep_id"} for row in rows}


def free_name(store: Access, column: Any, name: str) -> str:
    """The name, with -2, -3, ... appended if it is taken."""
    with store._engine.connect() as connection:
        for number in range(1, 1_000_000):
            wanted = name if number == 1 else f"{name[:190]}-{number}"
            if connection.execute(select(column).where(column == wanted)).first() is None:
                return wanted
    raise AssertionError("a million runs of one name")


def _chunks(connection: Connection, table: Any, condition: Any) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table that match, in chunks."""
    result = connection.execution_options(yield_per=_CHUNK).execute(select(table.__table__).where(condition))
    for rows in result.mappings().partitions(_CHUNK):
        yield [dict(row) for row in rows]
