"""Learning curves: evaluation return over environment steps, averaged over seeds as in the paper.

Per seed the mean of the evaluations in each trailing bin, then mean and population standard deviation over seeds.
Only evaluations count, never returns of training episodes, which carry exploration noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dreamctl.store import Run, Store

_BIN = 100_000  # environment steps, the paper's
_BINS = 20  # at least so many over a run


class Curve(NamedTuple):
    """steps: [K] environment steps, the right edges of the bins (of the last one, where it was last evaluated);
    mean, std: [K] over seeds; seeds: [K] how many."""

    steps: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    seeds: np.ndarray


def evaluation_points(store: Store, run: Run, until: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps [K] and mean returns [K] of a run's evaluations during and at the end of training.

    until: the last environment step of interest.
    """
    kept = [e for e in store.evaluations(run.id) if e.kind != "manual" and (until is None or e.env_steps <= until)]
    return np.array([e.env_steps for e in kept], np.int64), np.array([e.mean for e in kept], np.float64)


def random_return(store: Store, runs: Sequence[Run]) -> float | None:
    """Mean return of the runs' seed episodes, which a random policy played; None when there is none."""
    values = [
        point.value
        for run in runs
        for point in store.scalars(run.id, "train/return")
        if point.step <= run.config["seed_episodes"] * run.config["episode_length"]
    ]
    return float(np.mean(values)) if values else None


def bin_width(runs: Sequence[Run]) -> int:
    """Environment steps of a bin: the paper's 1e5, narrower for short runs, never below the evaluation distance."""
    shortest = min(run.steps for run in runs)
    finest = max(run.config["eval_every"] for run in runs)
    return max(finest, min(_BIN, shortest // _BINS))


def aggregate(points: Sequence[tuple[np.ndarray, np.ndarray]], width: int) -> Curve:
    """One curve from several seeds' (steps, returns); bin k holds the steps in ((k - 1) width, k width]."""
    per_seed = []
    for steps, values in points:
        bins = -(-steps // width)
        per_seed.append({int(b): float(values[bins == b].mean()) for b in np.unique(bins)})
    edges = sorted(set().union(*per_seed))
    rows = [np.array([seed[b] for seed in per_seed if b in seed]) for b in edges]
    return Curve(
        np.minimum(np.array(edges, np.int64) * width, max(steps.max() for steps, _ in points)),
        np.array([row.mean() for row in rows]),
        np.array([row.std() for row in rows]),
        np.array([len(row) for row in rows]),
    )
