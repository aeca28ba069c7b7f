"""A home in a file: a plain tar that ends with the SHA-256 of everything in it, for `sha256sum -c`.

    <run id>/...         the files of each run
    dreamctl.db          the records of the runs
    SHA256SUMS           comes last, so a truncated file lacks it

Unpacked with tar it is a home that every command can read.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any

from dreamctl.errors import BadInput, BadRecord
from dreamctl.store import paths

DATABASE, SUMS = "dreamctl.db", "SHA256SUMS"
_SUMS_AT_MOST = 64 << 20  # bytes
_BLOCK = 1 << 20

Advance = Callable[[int], None]  # called with the number of bytes done


class Packer:
    """Writes such a file, which is complete only after `close`."""

    def __init__(self, file: IO[bytes], advance: Advance) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self._sums: dict[str, str] = {}
        self._advance = advance

    def add(self, path: Path, name: str) -> str:
        """Add a file under a name; returns its SHA-256."""
        with path.open("rb") as file:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = path.stat().st_size, int(path.stat().st_mtime)
            reader = _Digesting(file, self._advance)
            self._tar.addfile(member, reader)
        self._sums[name] = reader.digest.hexdigest()
        return self._sums[name]

    def close(self) -> None:
        """Write the digests."""
        content = "".join(f"{digest}  {name}\n" for name, digest in self._sums.items()).encode()
        member = tarfile.TarInfo(SUMS)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        self._tar.close()


class _Digesting:
    """A file that computes its digest while it is read."""

    def __init__(self, file: IO[bytes], advance: Advance) -> None:
        self._file, self._advance, self.digest = file, advance, sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        self._advance(len(block))
        return block


def unpack(file: Path, folder: Path, advance: Advance) -> None:
    """Unpack a file into a temporary folder and check it against its digests.

    Raises `BadInput` or `BadRecord` if it is damaged or incomplete, or holds anything but a home.
    """
    found: dict[str, str] = {}
    listed: dict[str, str] | None = None
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if listed is not None:
                    raise BadRecord(f"{file} has entries after its {SUMS}: not imported")
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                    raise BadRecord(f"{file} holds {member.name[:200]!r}, which is not a plain file: not imported")
                content: Any = tar.extractfile(member)
                if member.name == SUMS and member.size <= _SUMS_AT_MOST:
                    lines = content.read().decode().splitlines()
                    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
                    continue
                path = _place(file, folder, member.name)
                if member.size > shutil.disk_usage(folder).free:
                    raise BadInput(f"{file} does not fit: {member.name} alone takes {member.size / 2**20:.0f} MiB")
                path.parent.mkdir(parents=True, exist_ok=True)
                reader = _Digesting(content, advance)
                with path.open("xb") as target:
                    shutil.copyfileobj(reader, target, _BLOCK)
                found[member.name] = reader.digest.hexdigest()
    except FileExistsError as error:
        raise BadRecord(f"{file} holds the same file twice: not imported") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BadInput(f"{file} was not written by dreamctl export, or is damaged ({error})") from error
    if listed is None:
        raise BadInput(f"{file} is incomplete: its {SUMS} is missing; export it again")
    wrong = sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name))
    if wrong:
        raise BadInput(f"{file} is damaged: {wrong[0]} does not match {SUMS}; export it again")
    if DATABASE not in found:
        raise BadInput(f"{file} holds no {DATABASE}: it was not written by dreamctl export")


def _place(file: Path, folder: Path, name: str) -> Path:
    """The path to unpack a member to. Raises `BadRecord` for what does not belong in a home."""
    path = paths.inside(folder, name)
    if name != DATABASE:
        parts = PurePosixPath(name).parts
        if len(parts) < 2:
            raise BadRecord(f"{file} holds {name[:200]!r}, which belongs to no run: not imported")
        paths.checked_id(parts[0])
    return path
