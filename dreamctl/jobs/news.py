"""What somebody who has left wants to be told: that a run has failed, that a run or a sweep has ended."""

from __future__ import annotations

import shlex
import subprocess
import sys

from dreamctl.errors import BadInput
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep


def check(command: str | None) -> None:
    """Raises `BadInput` for a command that cannot be split into words."""
    try:
        words = shlex.split(command or "true")
    except ValueError as error:
        raise BadInput(f"--notify {command!r}: {error}") from error
    if not words:
        raise BadInput("--notify takes a command that is given the message, such as notify-send")


def tell(command: str | None, message: str) -> None:
    """Run the user's command with the message as its last argument; that it cannot be run is said, no more."""
    if command is None:
        return
    try:
        subprocess.Popen([*shlex.split(command), message], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        print(f"dreamctl: --notify {command}: {error.strerror}", file=sys.stderr)


def ended(run: Run) -> str:
    """How a run has ended, in a line."""
    score = "" if run.score is None else f", score {run.score:.1f}"
    return f"run {run.name} {run.standing}" + (f": {run.reason}" if run.reason else score)


class Failures:
    """The runs of a sweep that fail while one watches."""

    def __init__(self, store: Store, sweep: Sweep) -> None:
        self.store, self.sweep = store, sweep
        self._known = self._failed().keys()

    def new(self) -> list[str]:
        """A line for each that has failed since this was last asked."""
        failed = self._failed()
        fresh = [ended(run) for key, run in failed.items() if key not in self._known]
        self._known = failed.keys()
        return fresh

    def _failed(self) -> dict[tuple[str, int], Run]:
        """By id and attempt."""
        failed = self.store.members(self.sweep.id, light=True, status="failed")
        return {(run.id, run.attempt): run for run in failed}
