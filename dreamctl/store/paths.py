"""Paths in a home. What a database or a copied folder says of them is data from strangers: it passes through here."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from dreamctl.errors import BadRecord

_ID = re.compile(r"[0-9a-f]{8}")


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


def checked_id(identifier: object) -> str:
    """The id of a run or a sweep, 8 hex digits. Raises `BadRecord` for anything else."""
    if not isinstance(identifier, str) or not is_id(identifier):
        raise BadRecord(
            f"{str(identifier)[:80]!r} is no id: the run database was changed from outside; nothing was touched"
        )
    return identifier


def inside(base: Path, relative: str) -> Path:
    """A path below `base`, whether there is anything yet or not.

    Raises `BadRecord` for one that leaves `base` or crosses a symbolic link.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in relative:
        raise BadRecord(f"{relative[:200]!r} is no path inside {base}: it is not used")
    path = base
    for part in pure.parts:
        path = path / part
        try:
            crosses = path.is_symlink()
        except OSError as error:
            raise BadRecord(f"{str(path)[:200]!r} is no path that can be used ({error.strerror})") from error
        if crosses:
            raise BadRecord(f"{path} is a symbolic link: what is kept in a home lies in it, so this is not used")
    return path


def without_links(folder: Path) -> Path:
    """A folder that is to be written to. Raises `BadRecord` when anything in it is a symbolic link."""
    waiting = [folder] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    inside(folder, os.path.relpath(entry.path, folder))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
    return folder
