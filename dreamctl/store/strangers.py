"""Checks on a run database that comes from somebody else, before it is used."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import JSON, Boolean, Float, Integer, TypeDecorator, select
from sqlalchemy.orm import Session

from agent.config import Config, ConfigError
from dreamctl.errors import BadRecord, HomeError
from dreamctl.store import code, database, paths
from dreamctl.store.access import Access
from dreamctl.store.identity import NAME
from dreamctl.store.models import (
    STATUSES,
    Artifact,
    Attempt,
    Base,
    Checkpoint,
    Evaluation,
    Look,
    Registration,
    Run,
    Sweep,
)

_LISTS = ("tags", "returns", "answers")  # the JSON columns that hold no object
_CODES = rf"({code.PATTERN}|{code.UNKNOWN})(\+{code.PATTERN})*"
_MOST = 2**31 - 1  # looks, versions, seeds and runs of a sweep: one more must fit a column of PostgreSQL
_LARGEST = 2**20  # characters of JSON that somebody has written about a sweep, or that is kept of an attempt


def admit(file: Path, home: Path) -> Access:
    """A database that is ours to change (a copy), checked and upgraded, as the records of the files in `home`.

    Raises `BadRecord` for content that dreamctl never writes, `HomeError` for a file that is not a run database.
    """
    try:
        with closing(sqlite3.connect(file)) as raw:
            _only_tables(raw)
        access = Access(home, database.connect(database.sqlite_url(file), file.parent), read_only=True)
        with closing(sqlite3.connect(file)) as raw:
            _sound(raw)
    except sqlite3.Error as error:
        raise HomeError(f"{file.name} cannot be read as a run database ({error})") from error
    _meant(access)
    return access


def _only_tables(raw: sqlite3.Connection) -> None:
    """No triggers, views or foreign tables, so that reading or upgrading the database runs no code."""
    raw.execute("PRAGMA trusted_schema = OFF")
    known = {*Base.metadata.tables, "alembic_version"}
    for kind, name, sql in raw.execute("SELECT type, name, sql FROM sqlite_master"):
        plain = kind == "index" or kind == "table" and name in known and (sql or "").startswith("CREATE TABLE")
        if not plain:
            raise BadRecord(f"the database holds a {kind} {name!r}, which dreamctl makes none of: not imported")
    if raw.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        raise BadRecord("the database is damaged (PRAGMA integrity_check): not imported")


def _sound(raw: sqlite3.Connection) -> None:
    """Every value is of its column's type, every row belongs to something."""
    for table, column, wrong in _conditions():
        if raw.execute(f'SELECT 1 FROM "{table}" WHERE {wrong} LIMIT 1').fetchone():
            raise BadRecord(f"the database holds a {column} in {table} that is none: not imported")
    if raw.execute("PRAGMA foreign_key_check").fetchone():
        raise BadRecord("the database holds records of a run that it does not have: not imported")


def _conditions() -> Iterator[tuple[str, str, str]]:
    """For each column: table, column, and the SQL condition that holds for a value of the wrong type."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            kind, name = column.type, f'"{column.name}"'
            kind = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
            if isinstance(kind, Boolean):
                right = f"{name} IN (0, 1)"
            elif isinstance(kind, Integer):
                right = f"typeof({name}) = 'integer'"
            elif isinstance(kind, Float):
                right = f"typeof({name}) IN ('real', 'integer') AND abs({name}) < 1e308"
            elif isinstance(kind, JSON):
                shape = "array" if column.name in _LISTS else "object"
                right = f"typeof({name}) = 'text' AND json_valid({name}) AND json_type({name}) = '{shape}'"
            else:
                length = getattr(kind, "length", None)
                right = f"typeof({name}) = 'text'" + (f" AND length({name}) <= {length}" if length else "")
            nothing = f" OR {name} IS NULL" if column.nullable else ""
            yield table.name, column.name, f"NOT coalesce(({right}){nothing}, 0)"


def _meant(access: Access) -> None:
    """Ids, names, statuses, configs and paths have the form that dreamctl writes."""
    with Session(access._engine) as session:
        for run in session.scalars(select(Run).execution_options(yield_per=1000)):
            paths.checked_id(run.id)
            _checked_name(run.name)
            if run.status not in STATUSES:
                raise BadRecord(f"run {run.name} is {run.status!r}, which no run is: not imported")
            try:
                Config.from_dict(run.config)
            except ConfigError as error:
                raise BadRecord(f"run {run.name} has a config that cannot be used ({error}): not imported") from error
            if not all(isinstance(tag, str) for tag in run.tags):
                raise BadRecord(f"run {run.name} has tags that are none: not imported")
            if run.code is not None and not re.fullmatch(_CODES, run.code):
                raise BadRecord(f"run {run.name} has a code that is none: not imported")
        for sweep in session.scalars(select(Sweep)):
            paths.checked_id(sweep.id)
            _checked_name(sweep.name)
        for table in (Artifact, Checkpoint):
            for run_id, path in session.execute(select(table.run_id, table.path)):
                access.file(run_id, path)
        for run_id, checkpoint, video, returns in session.execute(
            select(Evaluation.run_id, Evaluation.checkpoint, Evaluation.video, Evaluation.returns)
        ):
            for path in filter(None, (checkpoint, video)):
                access.file(run_id, path)
            if not returns or not all(type(value) in (int, float) for value in returns):
                raise BadRecord("the database holds an evaluation without returns: not imported")
        _history(session)


def _history(session: Session) -> None:
    """Attempts, registrations and looks: their numbers, codes and sizes."""
    for attempt in session.scalars(select(Attempt).execution_options(yield_per=1000)):
        size = len(json.dumps(attempt.packages)) + len(attempt.git_diff or "")
        good = attempt.number > 0 and attempt.env_steps >= 0 and size <= _LARGEST
        if not good or not re.fullmatch(code.PATTERN, attempt.code):
            raise BadRecord(f"run {attempt.run_id} has an attempt that is none: not imported")
    for registered in session.scalars(select(Registration)):
        size = len(json.dumps(registered.content))
        good = 1 <= registered.version < _MOST and 0 <= registered.runs < _MOST and size <= _LARGEST
        if not good or registered.code is not None and not re.fullmatch(code.PATTERN, registered.code):
            raise BadRecord(f"sweep {registered.sweep_id} has a registration that is none: not imported")
    for look in session.scalars(select(Look)):
        numbers = 0 <= look.number < _MOST and 1 <= look.seeds < _MOST and 1 <= look.version < _MOST
        if not numbers or len(json.dumps(look.answers)) > _LARGEST:
            raise BadRecord(f"sweep {look.sweep_id} has a look that is none: not imported")


def _checked_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise BadRecord(f"{name[:80]!r} is no name of a run or a sweep: not imported")
