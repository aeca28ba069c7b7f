"""Transactions on the run database of one home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dreamctl.errors import BadInput
from dreamctl.store import paths

_ALONE, _NAMES = 1, 2  # PostgreSQL's locks of ours, by number


class Access:
    """A home and its database."""

    def __init__(self, home: Path, engine: Engine, read_only: bool = False) -> None:
        self.home, self.read_only = home, read_only
        self._engine = engine
        self._writer = engine.execution_options(write=True)

    def place(self, path: str) -> Path:
        """A file or folder of the home. Raises `BadRecord`, as the next three do, for what leads out of it."""
        return paths.inside(self.home, path)

    def folder(self, run_id: str) -> Path:
        """Where the files of a run are."""
        return self.place(paths.checked_id(run_id))

    def file(self, run_id: str, path: str) -> Path:
        """A file in a run's folder, from its stored, relative path."""
        return paths.inside(self.folder(run_id), path)

    def workplace(self, run_id: str) -> Path:
        """A run's folder, made if need be, to be written to: nothing in it is a symbolic link."""
        folder = paths.without_links(self.folder(run_id))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Exclude all other processes that ask for this, on any host: what reads first and writes then happens once.

        The lock ends with the process. It is not reentrant.
        """
        if self._engine.dialect.name == "postgresql":  # hosts may share it without sharing files
            with self._engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ALONE})
                yield
            return
        from filelock import FileLock

        with FileLock(self.home / "enroll.lock"):
            yield

    @contextmanager
    def _write(self) -> Iterator[Session]:
        """A write transaction; what is added stays readable afterwards. Raises `BadInput` where nothing is written."""
        if self.read_only:
            raise BadInput("the recorded runs are only read: import them into a home of your own to change them")
        try:
            with Session(self._writer, expire_on_commit=False) as session, session.begin():
                yield session
        except IntegrityError as error:
            raise BadInput(f"the run database refused that: {error.orig}") from error

    def _hold_names(self, session: Session) -> None:
        """Keep others from choosing a name until this transaction ends, as SQLite's write lock does anyway."""
        if self._engine.dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _NAMES})

    def _insert(self, table: type[Any]) -> Any:
        """An INSERT that can say ON CONFLICT, for the database at hand."""
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table)
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
