"""Final scores of runs, with the environment steps that they belong to and whether the run is as long as wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.results import curves
from dreamctl.store import Run, Store


class Final(NamedTuple):
    """A run's last evaluation: mean return, its environment steps, those wanted, and whether the run reached them."""

    run: Run
    score: float
    env_steps: int
    wanted: int
    complete: bool


class Cell(NamedTuple):
    """Final scores of several seeds: mean and population std; env_steps: the least of theirs."""

    mean: float
    std: float
    seeds: int
    env_steps: int
    complete: bool
    status: str  # "final", or the status of the shorter runs: "failed", "running", "failed/running"


def finals(
    store: Store,
    runs: Sequence[Run],
    wanted: int | None = None,
    until: int | None = None,
    complete: bool = False,
) -> dict[str, Final]:
    """{run id: final score} of the runs that have been evaluated.

    wanted: the environment steps that runs should have; default: those of the longest run. until: take the last
    evaluation up to this environment step, and want no more than that. complete: only runs that reached that length.
    """
    if not runs:
        return {}
    asked = min(wanted or max(run.steps for run in runs), until or math.inf)
    points = curves.evaluations(store, runs, until)
    found = {}
    for run in runs:
        steps, returns = points[run.id]
        if len(steps):
            came = max(int(steps[-1]), run.steps if run.status == "finished" else 0, run.env_steps if until else 0)
            if came >= asked or not complete:
                found[run.id] = Final(run, float(returns[-1]), int(steps[-1]), int(asked), came >= asked)
    return found


def cell(finals: Sequence[Final]) -> Cell | None:
    """The scores of several seeds in one; None without any."""
    if not finals:
        return None
    values = [final.score for final in finals]
    short = sorted({_standing(final.run) for final in finals if not final.complete})
    return Cell(
        float(np.mean(values)),
        float(np.std(values)),
        len(values),
        min(final.env_steps for final in finals),
        not short,
        "/".join(short) or "final",
    )


def _standing(run: Run) -> str:
    return "shorter" if run.status == "finished" else run.status
