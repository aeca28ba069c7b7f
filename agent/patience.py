"""Retrying what fails temporarily: on a full disk, on a database that is locked or unreachable."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

LIMIT = 1800.0  # seconds after which what fails is not waited for any longer
PAUSE = 1.0  # seconds between two attempts
_AGAIN = 60.0  # seconds after which the same trouble is said again

_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
}


def disk_may_recover(error: BaseException) -> bool:
    """Whether a disk is full, over its quota, read-only or gone, which somebody may fix."""
    return isinstance(error, OSError) and error.errno in _PASSING


class Complaint:
    """Reports a failure on stderr: when it begins or changes, once a minute while it lasts, and when it is over."""

    def __init__(self) -> None:
        self._trouble: str | None = None
        self._since = self._said = 0.0

    def begin(self, error: BaseException) -> None:
        """Report a failure, perhaps one that is known already."""
        now, trouble = time.monotonic(), _line(error)
        if self._trouble is None:
            self._since = now
        if trouble != self._trouble or now - self._said > _AGAIN:
            self._trouble, self._said = trouble, now
            waited = f", for {now - self._since:.0f} s now" if now - self._since > 1 else ""
            _say(f"warning: {trouble}; nothing is lost, trying again{waited}")

    def end(self) -> None:
        """Report that the failure is over, if there was one."""
        if self._trouble is not None:
            _say(f"warning: over after {time.monotonic() - self._since:.0f} s: {self._trouble}")
            self._trouble = None


def patiently(
    action: Callable[[], T], may_recover: Callable[[BaseException], bool] = disk_may_recover, limit: float | None = None
) -> T:
    """What `action` returns, asked again while it fails in a way that may pass, for `limit` (`LIMIT`) seconds."""
    complaint, give_up = Complaint(), time.monotonic() + (LIMIT if limit is None else limit)
    while True:
        try:
            result = action()
        except Exception as error:
            if not may_recover(error) or time.monotonic() > give_up:
                raise
            complaint.begin(error)
            time.sleep(PAUSE)
        else:
            complaint.end()
            return result


def _line(error: BaseException) -> str:
    """An error in one line; of SQLAlchemy's the database's own words."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _say(text: str) -> None:
    with suppress(OSError):  # the log may be on a full disk
        print(text, file=sys.stderr, flush=True)
