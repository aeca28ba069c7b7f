"""What runs cost: device hours per million environment steps, and hours spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dreamctl.store import Point, Run
from dreamctl.store.code import forked_at

# Hours per 1e6 environment steps on one V100, without parallelization (Section 5, "Implementation").
PAPER = {"dreamer": 10.0, "planet": 17.0, "d4pg": 24.0}
RATE = "time/env_steps_per_second"  # recorded with every episode: the mean since the attempt began
_PAUSE = 3  # an interval this many times slower than the run's median one holds a pause between two attempts


def machine(run: Run) -> str:
    """What a run was made on: the model of its device; where that is not on record, the device and its host.

    The same model in another host counts as the same, "cuda:0" of another host does not.
    """
    return run.hardware or f"{run.device or '?'} of {run.host or '?'}"


def hours_per_million(rate: float | None) -> float | None:
    """Hours per 1e6 environment steps, from environment steps per second."""
    return 1e6 / rate / 3600 if rate else None


def rates(runs: Iterable[Run]) -> dict[str, float]:
    """{run id: environment steps per second of work, over all attempts} of the runs that have worked."""
    done = {run.id: (run.env_steps - forked_at(run), run.work_seconds) for run in runs}
    return {name: steps / seconds for name, (steps, seconds) in done.items() if steps > 0 and seconds > 0}


def at_work(points: Sequence[Point], run: Run) -> np.ndarray:
    """Seconds of work by each of a run's points of `RATE`: [K], of which the last is the run's rate times its steps.

    Up to the first point they are those of its rate, then those on the clock, but for intervals with a pause, which
    count at the run's median pace. The whole is then stretched to the run's `work_seconds`, the sum over its attempts.
    """
    steps = np.array([forked_at(run), *(point.step for point in points)], float)
    clock = np.array([point.wall_time for point in points])
    taken = np.diff(steps)
    passed = np.array([taken[0] / points[0].value if points[0].value > 0 else 0.0, *np.diff(clock)])
    paces = passed[(passed > 0) & (taken > 0)] / taken[(passed > 0) & (taken > 0)]
    pace = float(np.median(paces)) if len(paces) else 1.0
    at_pace = pace * taken
    seconds = np.where((passed > 0) & (passed <= _PAUSE * at_pace), passed, at_pace).cumsum()
    rate = rates([run]).get(run.id)
    return seconds * ((steps[-1] - steps[0]) / rate / seconds[-1]) if rate and seconds[-1] > 0 else seconds
