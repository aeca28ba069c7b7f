"""What runs cost: device hours per million environment steps, and hours spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamctl.store import Point, Run, Store

# Hours per 1e6 environment steps on one V100, without parallelization (Section 5, "Implementation").
PAPER = {"dreamer": 10.0, "planet": 17.0, "d4pg": 24.0}
RATE = "time/env_steps_per_second"  # recorded with every episode: the mean since the attempt began
_PAUSE = 3  # if the time between two points is this many times what the rate implies, the run was not at work


def forked_at(run: Run) -> int:
    """The environment step at which a fork started; 0 for other runs."""
    return run.parent["env_steps"] if run.parent else 0


def hours_per_million(rate: float | None) -> float | None:
    """Hours per 1e6 environment steps, from environment steps per second."""
    return 1e6 / rate / 3600 if rate else None


def rates(store: Store, runs: Iterable[Run]) -> dict[str, float]:
    """{run id: environment steps per second of work, over all attempts} of the runs that have recorded it."""
    found = {}
    for run in runs:
        points = store.scalars(run.id, RATE)
        seconds, first = at_work(points, run), forked_at(run)
        if seconds and seconds[-1] > 0:
            found[run.id] = (points[-1].step - first) / seconds[-1]
    return found


def at_work(points: Sequence[Point], run: Run) -> list[float]:
    """Seconds of work by each of a run's points of `RATE`, summed over all attempts.

    Between two points it is the time that passed or, if an attempt ended between them, their steps divided by the rate
    of the later one. So neither pauses between attempts count, nor work that was lost in a crash and repeated.
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
