"""After how many environment steps and hours at work runs reach a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import curves
from dreamctl.results.scores import Final
from dreamctl.store import Run, Store


class Reach(NamedTuple):
    """Of a task's runs: how many reached the score, the median steps and hours to it, None where fewer than half did.

    hours are also None where a run has no record of its work.
    """

    task: str
    reached: int
    runs: int
    env_steps: float | None
    hours: float | None


def groups(store: Store, finals: Sequence[Final], score: float, until: int | None = None) -> list[Reach]:
    """For each task of the runs, in order. A run has reached a score with the first trailing bin whose mean is no less.

    The bins are those of learning curves, so that one lucky evaluation does not count.
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
    """The median; None where it is infinite or not known."""
    middle = float(np.median(values)) if np.isfinite(values).sum() * 2 > len(values) else np.inf
    return middle if np.isfinite(middle) else None
