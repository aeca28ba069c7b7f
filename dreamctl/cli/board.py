"""How a sweep stands: what both `sweep` and `status` show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dreamctl.cli.common import duration, number, steps
from dreamctl.store import Run, Store
from dreamctl.store.models import STATUSES, Sweep

if TYPE_CHECKING:
    from rich.console import Group

_FAILED = 5  # failed runs that are shown, the latest


def overview(store: Store, sweep: Sweep) -> dict[str, Any]:
    """A sweep in JSON: how many runs in each status, and those that run or failed."""
    runs = store.members(sweep.id)
    return {
        "name": sweep.name,
        "paused": sweep.paused,
        "stopped": sweep.stopped,
        "runs": len(runs),
        "counts": {status: sum(run.status == status for run in runs) for status in STATUSES},
        "running": [progress(store, run) for run in runs if run.status == "running"],
        "failed": [{"name": run.name, "id": run.id, "reason": run.reason} for run in runs if run.status == "failed"],
    }


def progress(store: Store, run: Run) -> dict[str, Any]:
    """How far a running run is; rate in environment steps per second, eta in seconds."""
    rate = store.last_scalars(run.id).get("time/env_steps_per_second")
    speed = rate.value if rate else None
    return {
        "name": run.name,
        "id": run.id,
        "device": run.device,
        "env_steps": run.env_steps,
        "steps": run.steps,
        "rate": speed,
        "eta": (run.steps - run.env_steps) / speed if speed else None,
        "score": run.score,
        "attempt": run.attempt,
        "heartbeat": time.time() - (run.heartbeat_at or time.time()),
    }


def line(state: dict[str, Any]) -> str:
    """A sweep in a line: name, then the counts that are not zero."""
    counts = ", ".join(f"{count} {status}" for status, count in state["counts"].items() if count)
    held = " (stopped)" if state["stopped"] else " (paused)" if state["paused"] else ""
    return f"{state['name']}: {state['runs']} runs: {counts}{held}"


def table(state: dict[str, Any]) -> Group:
    """A sweep as a line of counts, a row for each running run, and the last failures with their reasons."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(line(state), style="bold")]
    if state["running"]:
        grid = Table(box=None, pad_edge=False)
        for heading in ("RUN", "DEVICE"):
            grid.add_column(heading, overflow="fold")
        for heading in ("ENV STEPS", "RATE", "LEFT", "SCORE"):
            grid.add_column(heading, justify="right", no_wrap=True)
        for row in state["running"]:
            done = f"{steps(row['env_steps'])}/{steps(row['steps'])}"
            rate = f"{row['rate']:.0f}/s" if row["rate"] else "-"
            left = duration(row["eta"]) if row["eta"] is not None else "-"
            grid.add_row(row["name"], row["device"], done, rate, left, number(row["score"]))
        parts.append(grid)
    parts += [Text(f"{row['name']} failed: {row['reason'] or ''}") for row in state["failed"][-_FAILED:]]
    return Group(*parts)
