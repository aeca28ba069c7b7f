"""Learning curves: evaluation return over environment steps, averaged over seeds as in the paper.

First the mean of each seed's evaluations in every trailing bin, then mean and population standard deviation over seeds.
Only evaluations count, never returns of training episodes, which carry exploration noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import costs, standing
from dreamctl.store import Run, Store
from dreamctl.store.code import forked_at

_BIN = 100_000  # environment steps, the paper's
_BINS = 20  # at least this many per run


class Curve(NamedTuple):
    """steps: [K] right edges of the bins in environment steps (of the last bin: the last evaluation); mean, std: [K]
    over seeds; seeds: [K] their number."""

    steps: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    seeds: np.ndarray


Points = tuple[np.ndarray, np.ndarray]  # environment steps [K] and mean returns [K] of a run's evaluations


def evaluations(store: Store, runs: Sequence[Run], until: int | None = None) -> dict[str, Points]:
    """{run id: its evaluations during and at the end of training}, ordered by step, one per step.

    Of two at the same step the later counts, which is the final one. until: the last environment step to include. A
    run that has diverged has all evaluations up to there, or to the length of the longest run: see `outcomes`.
    """
    points: dict[str, dict[int, float]] = {run.id: {} for run in runs}
    for run_id, env_steps, mean in store.returns([run.id for run in runs]):
        if until is None or env_steps <= until:
            points[run_id][env_steps] = mean
    length = min(until or math.inf, max((run.steps for run in runs), default=0))
    for run in runs:
        points[run.id] |= standing.carried_on(run, points[run.id], int(length))
    return {
        run_id: (np.array(list(own), np.int64), np.array(list(own.values()), np.float64))
        for run_id, own in points.items()
    }


def progress(store: Store, run: Run, what: str) -> Points:
    """Environment steps of a run, rising [K], and the `updates` or `hours` that it had taken by each of them [K].

    Hours are hours of work, see `costs.at_work`. Raises `BadInput` if they were not recorded.
    """
    points = store.scalars(run.id, "train/updates" if what == "updates" else costs.RATE)
    if not points:
        raise BadInput(f"{run.name} has no record of its {what}: use --x steps")
    if what == "updates":
        values = [run.parent["updates"] if run.parent else 0, *(point.value for point in points)]
    else:
        values = [0, *(costs.at_work(points, run) / 3600)]
    return np.array([forked_at(run), *(point.step for point in points)], np.int64), np.array(values, np.float64)


def random_return(store: Store, runs: Sequence[Run]) -> float | None:
    """Mean return of the runs' seed episodes, which a random policy plays; None if none is recorded."""
    values = [
        point.value
        for run in runs
        for point in store.scalars(run.id, "train/return", first=run.config["seed_episodes"])
        if point.step <= run.config["seed_episodes"] * run.config["episode_length"]
    ]
    return float(np.mean(values)) if values else None


def bin_width(runs: Sequence[Run]) -> int:
    """The bin width of a figure in environment steps: the paper's 1e5, less for short runs.

    It is never less than the distance between evaluations.
    """
    shortest = min(run.steps for run in runs)
    finest = max(run.config["eval_every"] for run in runs)
    return max(finest, min(_BIN, shortest // _BINS))


def tolerance(runs: Sequence[Run]) -> int:
    """How many environment steps late an evaluation may be: it waits for the end of an episode."""
    return max(run.config["episode_length"] for run in runs) - 1


def bins_of(steps: np.ndarray, width: int, late: int = 0) -> np.ndarray:
    """The number of the trailing bin, from 1, that each environment step is in; see `aggregate`."""
    return np.maximum(1, -(-(steps - min(late, width - 1)) // width))


def aggregate(points: Sequence[Points], width: int, late: int = 0) -> Curve:
    """One curve from several seeds' (steps, returns); bin k holds the steps in ((k - 1) width, k width].

    late: environment steps by which an evaluation may be late and still count in the bin in which it was due.
    """
    per_seed = []
    for steps, values in points:
        bins = bins_of(steps, width, late)
        per_seed.append({int(b): float(values[bins == b].mean()) for b in np.unique(bins)})
    edges = sorted(set().union(*per_seed))
    rows = [np.array([seed[b] for seed in per_seed if b in seed]) for b in edges]
    return Curve(
        np.minimum(np.array(edges, np.int64) * width, max(steps.max() for steps, _ in points)),
        np.array([row.mean() for row in rows]),
        np.array([row.std() for row in rows]),
        np.array([len(row) for row in rows]),
    )
