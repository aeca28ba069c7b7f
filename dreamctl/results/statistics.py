"""Statistics of scores over tasks and seeds: means, the interquartile mean, the probability of improvement.

Scores: {task: scores of its seeds}, each between 0 and 1 (returns / 1000); tasks weigh the same, however many seeds
they have. The point estimates are those of Agarwal et al. (2021). The intervals are not their percentile bootstrap,
which holds the truth too rarely at few seeds; docs/statistics.md says why, and how often these do (`python -m
benchmarks.coverage`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from typing import NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray  # scores of the seeds of one task
Scores = Mapping[str, Values]

LEVEL = 0.95
FEW = 5  # seeds below which an interval says little of one task
_TRIMMED = 0.25  # the share of scores that the IQM leaves out at either end
_UNIFORM = 1 / 12  # variance of a score that may be anything between 0 and 1


class Interval(NamedTuple):
    """Where a value lies with a probability of 95 %, or as said."""

    low: float
    high: float


_ANY = Interval(-math.inf, math.inf)


class _Part(NamedTuple):
    """What one task adds to the variance of an estimate, and the degrees of freedom that this is known with."""

    variance: float
    freedom: float


def mean(scores: Scores) -> float:
    """The mean over tasks of the mean over seeds."""
    return float(np.mean([np.mean(values) for values in scores.values()]))


def mean_interval(scores: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `mean`, by Student's t; None where a task has a single seed."""
    parts = _parts(scores)
    return _interval(mean(scores), parts, _unseen(scores), level, _bounds(scores)) if parts else None


def iqm(scores: Scores) -> float:
    """Interquartile mean: the mean of all scores but the lowest and the highest quarter (their counts rounded down).

    With as many seeds in each task it is the trimmed mean of all scores; else each weighs 1 / the seeds of its task.
    """
    return _trimmed(scores)[0]


def iqm_interval(scores: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `iqm`, by Student's t from the winsorized scores (Tukey and McLaughlin, 1963), within tasks.

    None where a task has a single seed.
    """
    value, low, high, share = _trimmed(scores)
    arrays = {task: np.asarray(values, float) for task, values in scores.items()}
    kept = {task: int(((values >= low) & (values <= high)).sum()) for task, values in arrays.items()}
    parts = _parts({task: np.clip(values, low, high) for task, values in arrays.items()}, kept, scale=share)
    return _interval(value, parts, _unseen(scores) / share, level, _bounds(scores)) if parts else None


def difference(ours: Scores, theirs: Scores) -> float | None:
    """The difference of the means over the tasks that both have; None without such a task."""
    tasks = common([ours, theirs])
    return mean(_of(ours, tasks)) - mean(_of(theirs, tasks)) if tasks else None


def difference_interval(ours: Scores, theirs: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `difference`, by Welch's t; None without a common task and where one has a single seed."""
    tasks = common([ours, theirs])
    pair = [_of(ours, tasks), _of(theirs, tasks)]
    parts = [_parts(scores) for scores in pair]
    if not tasks or parts[0] is None or parts[1] is None:
        return None
    value = mean(pair[0]) - mean(pair[1])
    return _interval(value, [*parts[0], *parts[1]], sum(map(_unseen, pair)), level)


def difference_from(
    ours: Scores,
    known: Mapping[str, float],
    errors: Mapping[str, tuple[float, int]] | None = None,
    level: float = LEVEL,
) -> Interval | None:
    """The interval of our mean - that of known means, over our tasks; None where we have a single seed.

    known: {task: mean over seeds}; errors: {task: (population std over seeds, seeds)}, where that is known; without
    it a mean is taken for exact.
    """
    parts = _parts(ours)
    if parts is None:
        return None
    count = len(ours)
    of_known = [_Part(std**2 / (n - 1) / count**2, n - 1) for std, n in (errors or {}).values() if n > 1]
    value = mean(ours) - float(np.mean([known[task] for task in ours]))
    return _interval(value, [*parts, *of_known], _unseen(ours), level)


def contrast_interval(terms: Sequence[tuple[float, Values]], level: float = LEVEL) -> Interval | None:
    """The interval of a sum of weight * mean over independent samples, by Welch's t; None where one has a single value.

    With weights 1 and -1 over the tasks that of `difference`.
    """
    if any(len(values) < 2 for _, values in terms):
        return None
    value = sum(weight * float(np.mean(values)) for weight, values in terms)
    parts = [
        _Part(weight**2 * float(np.var(values, ddof=1)) / len(values), len(values) - 1) for weight, values in terms
    ]
    return _interval(value, parts, _UNIFORM * sum(weight**2 / len(values) for weight, values in terms), level)


def probability_of_improvement(ours: Values, theirs: Values) -> float:
    """The chance that a run of ours scores higher than one of theirs, ties half (Mann-Whitney U / count)."""
    difference = np.subtract.outer(np.asarray(ours, float), np.asarray(theirs, float))
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def improvement(ours: Scores, theirs: Scores) -> float | None:
    """The probability of improvement, averaged over the tasks that both have; None without such a task."""
    tasks = common([ours, theirs])
    return float(np.mean([probability_of_improvement(ours[t], theirs[t]) for t in tasks])) if tasks else None


def improvement_interval(ours: Scores, theirs: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `improvement`; None without a common task.

    Wilson's, with the largest variance that U / count can have whatever the scores' distributions are: p (1 - p) over
    the smaller number of seeds (Birnbaum and Klose, 1957). So it has a width also where all of one side's runs are
    better, and it leaves out 1/2 about when `rank_test` can: never at 3 against 3 seeds on one task.
    """
    from scipy.special import ndtri

    tasks = common([ours, theirs])
    if not tasks:
        return None
    value = float(np.mean([probability_of_improvement(ours[t], theirs[t]) for t in tasks]))
    count = len(tasks) ** 2 / sum(1 / min(len(ours[t]), len(theirs[t])) for t in tasks)
    square = float(ndtri((1 + level) / 2)) ** 2 / count
    centre = (value + square / 2) / (1 + square)
    half = math.sqrt(square * (value * (1 - value) + square / 4)) / (1 + square)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def rank_test(ours: Scores, theirs: Scores) -> float | None:
    """Two-sided p of the exact rank test that seeds of ours and theirs score alike in each task they both have.

    The statistic is the sum over tasks of Mann-Whitney's U; its distribution is that over all ways to deal the scores
    of each task to both sides (Wilcoxon's test, stratified). None without a common task.
    """
    tasks = common([ours, theirs])
    if not tasks:
        return None
    found, distributions = 0, []
    for task in tasks:
        ranks = _double_ranks(np.concatenate([np.asarray(ours[task], float), np.asarray(theirs[task], float)]))
        found += int(ranks[: len(ours[task])].sum())
        distributions.append(_rank_sums(tuple(sorted(ranks.tolist())), len(ours[task])))
    chances = reduce(np.convolve, distributions)
    below, above = chances[: found + 1].sum(), chances[found:].sum()
    return float(min(1.0, 2 * min(below, above)))


def smallest_p(ours: Scores, theirs: Scores) -> float | None:
    """The smallest p that `rank_test` can come to with so many seeds; None without a common task."""
    tasks = common([ours, theirs])
    ways = math.prod(math.comb(len(ours[task]) + len(theirs[task]), len(ours[task])) for task in tasks)
    return min(1.0, 2 / ways) if tasks else None


def holm(values: Sequence[float]) -> list[float]:
    """p values of several tests, corrected so that at most 5 % of such families have one that is falsely below 0.05.

    Holm's method (1979): the smallest times their number, the next times one less, ..., none below the one before.
    """
    corrected, floor = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        floor = max(floor, min(1.0, values[index] * (len(values) - rank)))
        corrected[index] = floor
    return corrected


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Performance profile: the share of runs above each threshold, averaged over tasks."""
    return np.mean([[(np.asarray(values, float) > t).mean() for t in thresholds] for values in scores.values()], axis=0)


def common(groups: Iterable[Scores]) -> list[str]:
    """The tasks that all groups have scores for, sorted."""
    sets = [{task for task, values in scores.items() if len(values)} for scores in groups]
    return sorted(set.intersection(*sets)) if sets else []


def _of(scores: Scores, tasks: Sequence[str]) -> Scores:
    return {task: scores[task] for task in tasks}


def _parts(scores: Scores, kept: Mapping[str, int] | None = None, scale: float = 1.0) -> list[_Part] | None:
    """Each task's part in the variance of the mean over tasks / scale; kept: its scores that are not winsorized."""
    if any(len(values) < 2 for values in scores.values()):
        return None
    return [
        _Part(
            float(np.var(values, ddof=1)) / len(values) / (scale * len(scores)) ** 2,
            max(1, (kept[task] if kept else len(values)) - 1),
        )
        for task, values in scores.items()
    ]


def _unseen(scores: Scores) -> float:
    """The variance of `mean` if a score could be anything between 0 and 1."""
    return _UNIFORM * sum(1 / len(values) for values in scores.values()) / len(scores) ** 2


def _bounds(scores: Scores) -> Interval:
    """Between which values a score can be: 0 and 1, unless a task has others."""
    inside = all(0 <= value <= 1 for values in scores.values() for value in values)
    return Interval(0.0, 1.0) if inside else _ANY


def _interval(
    value: float, parts: Sequence[_Part], unseen: float, level: float, bounds: Interval | None = None
) -> Interval:
    """value +- t times its standard error, within bounds.

    Degrees of freedom are Satterthwaite's. A little is added for what was known before any run, that a score may be
    anything between 0 and 1 (variance `unseen`): one degree for a single task, 1 / T for T tasks, as they tell together
    how far seeds scatter. It keeps a few seeds that agree by chance from looking certain.
    """
    from scipy.special import stdtrit

    variance, prior = sum(part.variance for part in parts), 1 / len(parts)
    if variance > 0:
        freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts)
    else:
        freedom = sum(part.freedom for part in parts)
    error = math.sqrt((freedom * variance + prior * unseen) / (freedom + prior))
    half = float(stdtrit(freedom + prior, (1 + level) / 2)) * error
    low, high = bounds or _ANY
    return Interval(max(low, value - half), min(high, value + half))


def _trimmed(scores: Scores) -> tuple[float, float, float, float]:
    """The IQM, the lowest and the highest score that it counts, and the share of the scores that it counts."""
    values = np.concatenate([np.asarray(own, float) for own in scores.values()])
    weights = np.concatenate([np.full(len(own), 1 / len(own) / len(scores)) for own in scores.values()])
    order = np.argsort(values, kind="stable")
    values, upper = values[order], np.cumsum(weights[order])
    lower = upper - weights[order]
    cut = int(len(values) * _TRIMMED) / len(values)
    counted = np.clip(np.minimum(upper, 1 - cut) - np.maximum(lower, cut), 0, None)
    inside = values[counted > 1e-9]
    return float((counted * values).sum() / counted.sum()), float(inside[0]), float(inside[-1]), 1 - 2 * cut


def _double_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank of each value, from 1; ties share the middle: whole numbers."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1


@cache
def _rank_sums(ranks: tuple[int, ...], count: int) -> np.ndarray:
    """The chance of each sum 0, 1, ... of `count` of the ranks, drawn without replacement."""
    ways = np.zeros((count + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        for taken in range(count, 0, -1):
            ways[taken, rank:] += ways[taken - 1, : ways.shape[1] - rank]
    return ways[count] / math.comb(len(ranks), count)
