"""`dreamctl export` and `import`: write runs to a file, read them from one or from another home.

An import is first unpacked and checked in a separate folder of the home. Then runs are entered one by one: files
first, then the records in one transaction. It may be interrupted at any point and repeated.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.files import sha256
from dreamctl.errors import BadInput
from dreamctl.store import archive, database, strangers, transfer
from dreamctl.store.access import Access
from dreamctl.store.models import Checkpoint, Run, Sweep
from dreamctl.store.transfer import Arrival, Part

STAGE = ".moving-"  # prefix of the temporary folders; one that is `abandoned` may be deleted

Say = Callable[[str], None]
Total = Callable[[int], archive.Advance]  # called with the number of bytes to do


def export(
    store: Access, run_ids: Sequence[str], sweeps: Sequence[str], file: Path, part: Part, say: Say, total: Total
) -> None:
    """Write runs and sweeps (both by id; sweeps with those of the runs) to a file. Raises `BadInput` if it cannot."""
    if file.exists():
        raise BadInput(f"{file} exists already: choose another file, or remove it")
    ours = not store.read_only and os.access(store.home, os.W_OK)
    try:
        with (
            _stage(file.parent) as folder,
            _stage(store.home if ours else file.parent) as links,
        ):
            copied = folder / archive.DATABASE
            with _fresh(copied) as records:
                transfer.copy_records(store, records, run_ids, sweeps, part)
                known = Access(store.home, records._engine)  # the files of those records
                names = [f"{run_id}/{path}" for run_id in run_ids for path in transfer.files(known, run_id, part)]
            content = {name: _held(store.place(name), links) for name in names}
            sizes = sum(path.stat().st_size for path in content.values())
            advance = total(sizes + copied.stat().st_size)
            with (folder / "file").open("wb") as target:
                packer = archive.Packer(target, advance)
                for name, path in content.items():
                    try:
                        packer.add(path, name)
                    except FileNotFoundError:
                        say(f"{name} was deleted meanwhile")
                packer.add(copied, archive.DATABASE)
                packer.close()
            (folder / "file").replace(file)
    except OSError as error:
        raise BadInput(f"cannot write {file} ({error.strerror}): choose another file, or make room") from error


def import_(store: Access, origin: Path, say: Say, total: Total) -> list[str]:
    """Import all runs of a file or of another home; returns the ids (here) of those that brought anything new.

    Raises `BadInput`, `BadRecord`, `HomeError`; runs entered before the error stay.
    """
    if origin.is_dir() and not (origin / archive.DATABASE).is_file():
        raise BadInput(f"there is no run database in {origin}: give a home, or a file written by dreamctl export")
    if not origin.exists():
        raise BadInput(f"{origin} does not exist")
    if origin.is_dir() and origin.resolve() == store.home.resolve():
        raise BadInput(f"{origin} is the home to import into")
    entered: list[str] = []
    try:
        with _stage(store.home) as folder:
            source = _opened(origin, folder, total)
            ids: dict[str, str] = {}
            for run_id in _ids(source):
                arrival = Arrival(source, store, run_id)
                ids[run_id] = arrival.id
                if not arrival.news:
                    say(f"{arrival.name} ({arrival.id}) is already here")
                    continue
                _enter(arrival, folder, origin.is_dir(), say)
                entered.append(arrival.id)
                renamed = f" (there {arrival.row['name']})" if arrival.name != arrival.row["name"] else ""
                say(f"{arrival.name} ({arrival.id}){renamed}: {'updated' if arrival.known else 'imported'}")
            with Session(source._engine) as session:
                for sweep in session.scalars(select(Sweep).order_by(Sweep.created_at)).all():
                    say(f"sweep {transfer.enter_sweep(source, store, sweep, ids)}")
            source._engine.dispose()
    except OSError as error:
        raise BadInput(f"cannot import {origin} ({error.strerror or error}): make room, and import it again") from error
    return entered


def _held(path: Path, folder: Path) -> Path:
    """A link to a checkpoint, as a run at work deletes old ones during a long export; other files as they are."""
    link = folder / f"{path.parents[1].name}-{path.name}"
    if path.parent.name == "checkpoints":
        with suppress(OSError):  # a file system without links
            os.link(path, link)
            return link
    return path


def _opened(origin: Path, folder: Path, total: Total) -> Access:
    """The home to import: a checked and upgraded copy of its database, its files in place or unpacked in `folder`."""
    copied = folder / archive.DATABASE
    if not origin.is_dir():
        archive.unpack(origin, folder, total(origin.stat().st_size))
        return strangers.admit(copied, folder)
    uri = f"{(origin / archive.DATABASE).as_uri()}?mode=ro"
    if not os.access(origin, os.W_OK) and not (origin / f"{archive.DATABASE}-wal").exists():
        uri += "&immutable=1"  # SQLite would have to write beside it: nobody has it open
    try:
        with closing(sqlite3.connect(uri, uri=True)) as old:
            with closing(sqlite3.connect(copied)) as new:
                old.backup(new)  # includes the write-ahead log
    except sqlite3.Error as error:
        raise BadInput(f"{origin / archive.DATABASE} cannot be read ({error})") from error
    return strangers.admit(copied, origin)


def _enter(arrival: Arrival, folder: Path, copy: bool, say: Say) -> None:
    """Enter the files and records of one run, without checkpoints that do not match their SHA-256."""
    source, run_id = arrival.source, arrival.row["id"]
    stage = folder / f"{run_id}.entering"
    for path in transfer.files(source, run_id, Part()):
        (stage / path).parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copy2(source.file(run_id, path), stage / path)
        else:
            source.file(run_id, path).replace(stage / path)
    whole = []
    with Session(source._engine) as session:
        for checkpoint in session.scalars(select(Checkpoint).where(Checkpoint.run_id == run_id)):
            file = stage / checkpoint.path
            if file.is_file() and sha256(file) == checkpoint.sha256:
                whole.append(checkpoint.path)
            else:
                say(f"{arrival.name}: checkpoint {checkpoint.path} is missing or damaged and was left out")
                file.unlink(missing_ok=True)
    arrival.enter(whole, lambda: _settle(stage, arrival))


def _settle(stage: Path, arrival: Arrival) -> None:
    """Move the files of a run into its folder."""
    folder = arrival.target.folder(arrival.id)
    stage.mkdir(exist_ok=True)
    if not folder.exists():
        stage.rename(folder)
        return
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        target = arrival.target.file(arrival.id, path.relative_to(stage).as_posix())
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _ids(store: Access) -> list[str]:
    with Session(store._engine) as session:
        return list(session.scalars(select(Run.id).order_by(Run.created_at, Run.id)))


@contextmanager
def _stage(place: Path) -> Iterator[Path]:
    """A temporary folder, locked while it is used."""
    with tempfile.TemporaryDirectory(prefix=STAGE, dir=place) as folder, _locked(Path(folder)):
        yield Path(folder)


def abandoned(folder: Path) -> bool:
    """Whether the import or export of a temporary folder is over: it was killed."""
    try:
        with _locked(folder):
            return True
    except BlockingIOError:
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the kernel releases when we die. Raises `BlockingIOError` if somebody has it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def _fresh(file: Path) -> Iterator[Access]:
    """An empty database, closed as a single file without a write-ahead log."""
    engine = database.connect(database.sqlite_url(file), file.parent)
    yield Access(file.parent, engine)
    engine.dispose()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
