"""What runs cost: hours of a device per million environment steps, and hours spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamctl.store import Point, Run, Store

# Hours per 1e6 environment steps on one V100, without parallelization (Section 5, "Implementation").
PAPER = {"dreamer": 10.0, "planet": 17.0, "d4pg": 24.0}
RATE = "time/env_steps_per_second"  # mean since the attempt began, recorded with every episode
_PAUSE = 3  # so many times as long as the rate lets expect: between two points the run was not at work


def forked_at(run: Run) -> int:
    """Environment steps that a fork did not take itself."""
    return run.parent["env_steps"] if run.parent else 0


def hours_per_million(rate: float | None) -> float | None:
    """Hours per 1e6 environment steps, from environment steps per second."""
    return 1e6 / rate / 3600 if rate else None


def rates(store: Store, runs: Iterable[Run]) -> dict[str, float]:
    """Environment steps per second at work of each run that has a record of it, over all its attempts."""
    found = {}
    for run in runs:
        points = store.scalars(run.id, RATE)
        seconds, first = at_work(points, run), forked_at(run)
        if seconds and seconds[-1] > 0:
            found[run.id] = (points[-1].step - first) / seconds[-1]
    return found


def at_work(points: Sequence[Point], run: Run) -> list[float]:
    """Seconds of work that a run had taken by each of its points of `RATE`, the sum over all its attempts.

    It is the time between two recorded points or, where an attempt ended between them, what the next one's rate makes
    of their steps. Neither the time between attempts is in it nor work that was lost with a killed one and done again.
    """
    spent, seconds = [], 0.0
    step, clock = forked_at(run), None
    for point in points:
        expected = (point.step - step) / point.value if point.value > 0 else 0.0
        passed = expected if clock is None else point.wall_time - clock
        seconds += passed if 0 < passed <= _PAUSE * expected else expected
        spent.append(seconds)
        step, clock = point.step, point.wall_time
    return spent
