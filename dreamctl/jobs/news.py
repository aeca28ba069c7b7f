"""What somebody who has left wants to be told: a run has failed, a question is answered, a run or a sweep has ended."""

from __future__ import annotations

import shlex
import subprocess
import sys

from dreamctl.errors import BadInput
from dreamctl.jobs.progress import OPEN, Progress
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep
from dreamctl.wording import counted, estimated


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


class Answers:
    """The answers to a sweep's questions that come while one watches."""

    def __init__(self, store: Store, sweep: Sweep) -> None:
        self.store, self.sweep = store, sweep
        self._seen = len(store.looks(sweep.id))

    def new(self) -> list[str]:
        """A line for each question that has been answered since this was last asked."""
        found, lines = self.store.looks(self.sweep.id), []
        for index in range(self._seen, len(found)):
            carried = found[index - 1].answers if index else []
            for row in found[index].answers:
                if row["answer"] != OPEN and row not in carried:
                    known = estimated(row)
                    after = f"{row['question']}: {row['answer']} after {counted(found[index].seeds, 'seed')}"
                    lines.append(after + (f", {known}" if known else ""))
        self._seen = len(found)
        return lines

    def next(self) -> str | None:
        """The look that the sweep is at, in a line; None when no more comes."""
        progress = Progress.of(self.store, self.store.find_sweep(self.sweep.id))
        if progress.number is None:
            return None
        questions = counted(len(progress.plan.questions), "question")
        counts = self.store.counts(self.sweep.id)
        runs = counted(counts.get("queued", 0) + counts.get("running", 0), "more run")
        which = f"look {progress.number + 1} of {len(progress.looks)}"
        return f"{which}: {len(progress.open)} of {questions} open, {runs}"
