"""The progress of a sweep, as `sweep` and `status` show it."""

import time
from typing import TYPE_CHECKING, Any

from dreamctl.cli.common import duration, number, progress, speed, steps
from dreamctl.jobs import looks
from dreamctl.jobs.pace import Pace, pace, sweep_left
from dreamctl.jobs.progress import OPEN
from dreamctl.store import Run, Store
from dreamctl.store.models import STATUSES, Sweep
from dreamctl.wording import asked as when
from dreamctl.wording import counted, estimated

if TYPE_CHECKING:
    from rich.console import Group

_FAILED = 5  # how many of the latest failed runs are shown


def overview(store: Store, sweep: Sweep) -> dict[str, Any]:
    """A sweep as JSON: its runs by status, details of the running, the failed and the diverged ones, its questions."""
    totals = store.totals(sweep.id)
    _, begun, wanted = totals.get("queued", (0, 0, 0))
    come, lost = totals.get("diverged", (0, 0, 0))[1:]
    running = store.members(sweep.id, status="running")
    failed = store.members(sweep.id, light=True, status="failed")
    paces = [pace(store, run) for run in running]
    return {
        "name": sweep.name,
        "paused": sweep.paused,
        "stopped": sweep.stopped,
        "runs": sum(runs for runs, _, _ in totals.values()),
        "counts": {status: totals.get(status, (0, 0, 0))[0] for status in (*STATUSES, "diverged")},
        "env_steps": sum(done for _, done, _ in totals.values()),
        "steps": sum(steps for _, _, steps in totals.values()) - (lost - come),  # what diverged has no more to do
        "eta": sweep_left(wanted - begun, paces),
        "running": [_row(run, of_run) for run, of_run in zip(running, paces, strict=True)],
        "failed": [{"name": run.name, "id": run.id, "status": run.standing, "reason": run.reason} for run in failed],
        "questions": looks.state(store, sweep),
    }


def _row(run: Run, pace: Pace) -> dict[str, Any]:
    """The progress of a running run: rate in environment steps per second; eta and age of the heartbeat in seconds."""
    return {
        "name": run.name,
        "id": run.id,
        "device": run.device,
        "env_steps": run.env_steps,
        "steps": run.steps,
        "rate": pace.rate,
        "eta": pace.left,
        "score": run.score,
        "attempt": run.attempt,
        "heartbeat": time.time() - (run.heartbeat_at or time.time()),
    }


def line(state: dict[str, Any]) -> str:
    """A sweep in one line: its name, the counts that are not zero, and its progress."""
    counts = ", ".join(f"{count} {status}" for status, count in state["counts"].items() if count)
    held = " (stopped)" if state["stopped"] else " (paused)" if state["paused"] else ""
    left = f", {duration(state['eta'])} left" if state["eta"] is not None else ""
    share = f"{100 * state['env_steps'] / max(1, state['steps']):.0f} % of {steps(state['steps'])} env steps"
    return f"{state['name']}: {counted(state['runs'], 'run')}: {counts}{held}; {share}{left}"


def question(asked: dict[str, Any]) -> str:
    """A question in one line: its answer, or the look that it is at and what it waits for."""
    known = estimated(asked)
    known = f" {known}" if known else ""
    after = asked["registered_after"]
    since = f" ({when(asked['version'], after)})" if after or asked["version"] > 1 and after is not None else ""
    place = f"look {asked['look']} of {asked['looks']}"
    if asked["answer"] != OPEN:
        return f"{asked['question']}: {asked['answer']}{since}, {place}{known and ','}{known}"
    waits = f"waits for {asked['waits_for']}" if asked["waits_for"] else f"{counted(asked['left'], 'run')} left"
    return f"{asked['question']}: open{since}, {place}, {waits}{known and '; so far'}{known}"


def table(state: dict[str, Any]) -> "Group":
    """A sweep as a line of counts, its questions, a row for each running run, and the last failures."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(line(state), style="bold"), *(Text(question(asked)) for asked in state["questions"])]
    if state["running"]:
        grid = Table(box=None, pad_edge=False)
        for heading in ("RUN", "DEVICE"):
            grid.add_column(heading, overflow="fold")
        for heading in ("ENV STEPS", "RATE", "LEFT", "SCORE"):
            grid.add_column(heading, justify="right", no_wrap=True)
        for row in state["running"]:
            done = progress(row["env_steps"], row["steps"])
            left = duration(row["eta"]) if row["eta"] is not None else "-"
            grid.add_row(row["name"], row["device"], done, speed(row["rate"]), left, number(row["score"]))
        parts.append(grid)
    parts += [Text(f"{row['name']} {row['status']}: {row['reason'] or ''}") for row in state["failed"][-_FAILED:]]
    return Group(*parts)
