"""Opening the run database: where it is, how SQLite is used safely by many processes, its migrations.

SQLite: write-ahead log, a long busy timeout, and writers that take the write lock when they begin (a transaction
that reads first and writes later fails at once when another has written in between, whatever the timeout).
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError

from agent.patience import disk_may_recover
from dreamctl import settings
from dreamctl.errors import BadRecord, HomeError
from dreamctl.store.columns import read_json
from dreamctl.store.models import HEAD, Base

RECORDED = Path(__file__).parents[1] / "recorded"  # the home of the runs that come with dreamctl
_PASSING = {  # SQLite's errors that somebody may mend while we wait
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM),
}
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "gpfs", "ceph", "afs", "9p", "fuse.sshfs")


def resolve_home(home: str | Path | None) -> Path:
    """The home folder: the argument, else as `dreamctl.settings` says."""
    return settings.home(home)


def resolve_url(home: Path) -> URL:
    """The database: DREAMCTL_DB, else dreamctl.db in the home. Raises `HomeError` for what is no URL."""
    given = os.environ.get("DREAMCTL_DB")
    return _parsed(given) if given else sqlite_url(home / "dreamctl.db")


def sqlite_url(file: Path) -> URL:
    """The URL of a SQLite file, whatever characters are in its path."""
    return URL.create("sqlite", database=str(file))


def shown(uri: str | URL) -> str:
    """A URI as it may be printed: without password, and without options, which may hold one."""
    try:
        return make_url(uri).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return str(uri) if "@" not in str(uri) else "a URI"


def hidden(text: str) -> str:
    """A message without the passwords in DREAMCTL_DB and DREAMCTL_MLFLOW."""
    for variable in ("DREAMCTL_DB", "DREAMCTL_MLFLOW"):
        with suppress(ArgumentError, ValueError):
            url = make_url(os.environ.get(variable) or "")
            for secret in filter(None, (url.password, url.query.get("password"))):
                text = text.replace(str(secret), "***").replace(quote(str(secret)), "***")
    return text


def _parsed(given: str) -> URL:
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):  # its message may hold the password
        raise HomeError("DREAMCTL_DB is no URL of a database such as postgresql+psycopg://user@host/name") from None
    if "@" in (url.host or ""):
        raise HomeError("DREAMCTL_DB: an '@' in a password is written %40 in a URL")
    return url


def prepare_home(home: Path) -> None:
    """Make the home; `HomeError` when that cannot be or nothing can be written there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"cannot make the home {home} ({error.strerror}): choose another with --home") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise HomeError(f"cannot write to the home {home}: choose another with --home or DREAMCTL_HOME")


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def connect(url: URL, home: Path) -> Engine:
    """An engine on the database, migrated to the newest schema."""
    file = sqlite_file(url)
    if file is not None:
        refuse_network(file.parent, "choose a local --home, or set DREAMCTL_DB to a PostgreSQL URL")
    try:
        engine = _engine(url)
        _migrate(engine, home)
    except (ArgumentError, DatabaseError, ImportError, OSError) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise HomeError(f"cannot open the run database {shown(url)}: {hidden(cause)}") from error
    return engine


def connect_recorded() -> Engine:
    """An engine on the recorded runs' database: neither it nor anything beside it is written."""
    file = f"file:{quote(str(RECORDED / 'dreamctl.db'))}"
    url = URL.create("sqlite", database=file, query={"mode": "ro", "immutable": "1", "uri": "true"})
    return create_engine(url, json_deserializer=read_json)


def may_recover(error: BaseException) -> bool:
    """Whether the database, or a disk, is locked, full, read-only or away: worth asking again."""
    if isinstance(error, HomeError | BadRecord):
        return error.__cause__ is not None and may_recover(error.__cause__)
    if not isinstance(error, DBAPIError):
        return disk_may_recover(error)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _PASSING
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated


def empty() -> Engine:
    """An engine on an empty database in memory: what reading commands see before there is a home."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return engine


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, json_deserializer=read_json)
    engine = create_engine(url, json_deserializer=read_json, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says, not where sqlite3 guesses
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: Engine, home: Path) -> None:
    """Bring the schema up to date, one process at a time; Alembic is imported only when there is something to do."""
    if _version(engine) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from filelock import FileLock

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with FileLock(home / "dreamctl.lock"):
        _keep_copy(engine)
        with engine.execution_options(write=True).begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise HomeError(f"the run database in {home} is of a newer dreamctl: upgrade dreamctl") from error


def _keep_copy(engine: Engine) -> None:
    """A copy of a SQLite database of an older schema, beside it, as it is before the upgrade."""
    version, file = _version(engine), engine.url.database
    if version is None or version >= HEAD or not file or engine.dialect.name != "sqlite":
        return
    copy = Path(file).with_name(f"{Path(file).stem}-schema-{version}.db")
    temporary = copy.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(temporary)) as new:
            old.backup(new)  # with what is still in the write-ahead log
        temporary.replace(copy)
    except (sqlite3.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise HomeError(f"cannot keep a copy of {file} before it is upgraded ({error}): make room for it") from error


def refuse_network(folder: Path, way_out: str, mounts: Path = Path("/proc/mounts")) -> None:
    """`HomeError` when a folder lies on a network file system, where SQLite's log does not work."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return
    # a space in a path is written \040
    listed = [(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line[1]), line[2]) for line in lines]
    place = str(folder.resolve())
    inside = [(point, kind) for point, kind in listed if place == point or place.startswith(point.rstrip("/") + "/")]
    point, kind = max(inside, key=lambda mount: len(mount[0]), default=("", ""))
    if kind in _NETWORK:
        raise HomeError(f"SQLite is not safe on the network file system at {point} ({kind}): {way_out}")
