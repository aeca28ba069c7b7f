"""Writing files so that they are complete or absent, whatever happens meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from agent.patience import patiently


def write(path: Path, content: bytes | memoryview) -> None:
    """Make `content` the file `path`, replaced if it exists: after a crash it is the old one or the new one.

    A disk that is full or read-only is waited for. Raises `OSError`.
    """
    patiently(lambda: _write(path, content))


def _write(path: Path, content: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
