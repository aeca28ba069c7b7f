"""Final scores of runs, with the environment steps that they belong to and whether the run is as long as wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.results import curves, standing
from dreamctl.store import Run, Store


class Final(NamedTuple):
    """A run's last evaluation: mean return, its environment steps, those wanted, and whether the run reached them.

    A run that has diverged has always reached them; its environment steps are those at which it ended.
    """

    run: Run
    score: float
    env_steps: int
    wanted: int
    complete: bool


class Cell(NamedTuple):
    """Final scores of several seeds: mean and population std; env_steps: the least of theirs.

    status: "final", or how the runs stand that are shorter than wanted or have diverged: "running", "diverged/shorter".
    """

    mean: float
    std: float
    seeds: int
    env_steps: int
    status: str


def finals(
    store: Store,
    runs: Sequence[Run],
    wanted: int | None = None,
    until: int | None = None,
    complete: bool = False,
) -> dict[str, Final]:
    """{run id: final score} of the runs that count (`outcomes`) and have one.

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
        if standing.counts(run) and len(steps):
            last, lost = int(steps[-1]), standing.diverged(run)
            whole = max(last, standing.come(run) if until or lost or run.status == "finished" else 0) >= asked
            if whole or not complete:
                env_steps = min(last, run.env_steps) if lost else last
                found[run.id] = Final(run, float(returns[-1]), env_steps, int(asked), whole)
    return found


def cell(finals: Sequence[Final]) -> Cell | None:
    """The scores of several seeds in one; None without any."""
    if not finals:
        return None
    values = [final.score for final in finals]
    marks = sorted({_standing(one.run) for one in finals if not one.complete or standing.diverged(one.run)})
    return Cell(
        float(np.mean(values)),
        float(np.std(values)),
        len(values),
        min(final.env_steps for final in finals),
        "/".join(marks) or "final",
    )


def marked(statuses: Iterable[str]) -> str:
    """What is marked in a figure of cells with these statuses, in words; empty if nothing is."""
    kinds = {kind for status in statuses for kind in status.split("/")} - {"final", "published"}
    words = ["shorter runs than asked for"] if kinds - {"diverged"} else []
    return " or ".join([*words, *(["runs that diverged"] if "diverged" in kinds else [])])


def _standing(run: Run) -> str:
    return "shorter" if run.status == "finished" else run.standing
