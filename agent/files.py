"""Writing files so that they are complete or absent, whatever happens meanwhile; their checksums."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from agent.patience import patiently


def write(path: Path, content: bytes | memoryview) -> None:
    """Make `content` the file `path`, replaced if it exists: after a crash it is the old one or the new one.

    A disk that is full or read-only is waited for. Raises `OSError`.
    """
    patiently(lambda: _write(path, content))


def _write(path: Path, content: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")  # of this writer alone: another may be at it
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # not every file system can
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # that it has this name, too
        finally:
            os.close(folder)


def clear(folder: Path) -> None:
    """Remove what writers in a folder, or in those in it, left when they were killed."""
    with suppress(OSError):  # they are in nobody's way
        for path in folder.rglob("*.????????.tmp"):
            path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
