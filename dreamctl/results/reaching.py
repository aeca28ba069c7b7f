"""How many environment steps and hours of work runs need to reach a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import curves
from dreamctl.results.scores import Final
from dreamctl.store import Run, Store


class Reach(NamedTuple):
    """Of a task's runs: how many reached the score, and the median steps and hours to it.

    Both are None unless more than half of the runs reached it; hours also if a run has no record of its work.
    """

    task: str
    reached: int
    runs: int
    env_steps: float | None
    hours: float | None


def groups(store: Store, finals: Sequence[Final], score: float, until: int | None = None) -> list[Reach]:
    """For each task, by name. A run reaches a score with the first trailing bin whose mean is at least that score.

    The bins are those of learning curves, so a single lucky evaluation does not count. until: the last environment
    step to include.
    """
    runs = [final.run for final in finals]
    if not runs:
        return []
    points = curves.evaluations(store, runs, until)
    width, late = curves.bin_width(runs), curves.tolerance(runs)
    found = []
    for task in sorted({run.task for run in runs}):
        own = [run for run in runs if run.task == task]
        steps = {run.id: _first(curves.aggregate([points[run.id]], width, late), score) for run in own}
        hours = [_hours(store, run, steps[run.id]) for run in own]
        reached = sum(np.isfinite(list(steps.values())))
        found.append(Reach(task, int(reached), len(own), _median(list(steps.values())), _median(hours)))
    return found


def _first(curve: curves.Curve, score: float) -> float:
    above = curve.steps[curve.mean >= score]
    return float(above[0]) if len(above) else np.inf


def _hours(store: Store, run: Run, env_steps: float) -> float:
    if not np.isfinite(env_steps):
        return np.inf
    try:
        return float(np.interp(env_steps, *curves.progress(store, run, "hours")))
    except BadInput:
        return np.nan


def _median(values: Sequence[float]) -> float | None:
    """The median; None if it is infinite or unknown."""
    middle = float(np.median(values)) if np.isfinite(values).sum() * 2 > len(values) else np.inf
    return middle if np.isfinite(middle) else None
