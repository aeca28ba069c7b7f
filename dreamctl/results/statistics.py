"""Statistics of scores over tasks and seeds (Agarwal et al., 2021): IQM, stratified bootstrap, improvement.

scores: {task: returns of its seeds}. Every task weighs the same as the number of its scores in the IQM (all scores are
pooled, as there), and the same in the probability of improvement (the mean over tasks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Scores = Mapping[Any, Any]  # {task: array or list of floats}

_DRAWS = 2000  # bootstrap samples
_LEVEL = 0.95


def iqm(values: Sequence[float] | np.ndarray) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter (their counts rounded down)."""
    ordered = np.sort(np.asarray(values, float).ravel())
    cut = int(len(ordered) * 0.25)
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The chance that a run of ours scores higher than one of theirs, ties half (Mann-Whitney U / count)."""
    difference = np.subtract.outer(np.asarray(ours, float), np.asarray(theirs, float))
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def interval(statistic: Callable[[Scores], float], scores: Scores, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a statistic: seeds are drawn again, with replacement, within each task."""
    rng = np.random.default_rng(seed)
    arrays = {task: np.asarray(values, float) for task, values in scores.items()}
    draws = [
        statistic({task: values[rng.integers(len(values), size=len(values))] for task, values in arrays.items()})
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def pooled_iqm(scores: Scores) -> float:
    """The IQM of all tasks' and seeds' scores together."""
    return iqm(np.concatenate([np.asarray(values, float) for values in scores.values()]))


def improvement(ours: Scores, theirs: Scores) -> float | None:
    """The probability of improvement, averaged over the tasks that both have; None without such a task."""
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None
    return float(np.mean([probability_of_improvement(ours[task], theirs[task]) for task in shared]))


def improvement_interval(ours: Scores, theirs: Scores, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of `improvement`, both sides drawn again within each task."""
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None
    both = {("ours", task): ours[task] for task in shared} | {("theirs", task): theirs[task] for task in shared}

    def statistic(drawn: Scores) -> float:
        pairs = [(drawn["ours", task], drawn["theirs", task]) for task in shared]
        return float(np.mean([probability_of_improvement(*pair) for pair in pairs]))

    return interval(statistic, both, seed)


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Performance profile: the share of runs above each threshold, averaged over tasks."""
    return np.mean([[(np.asarray(values, float) > t).mean() for t in thresholds] for values in scores.values()], axis=0)
