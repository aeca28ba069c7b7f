"""Statistics of scores over tasks and seeds: means, the interquartile mean, the probability of improvement.

Scores: {task: scores, one per seed}, each between 0 and 1 (returns / 1000). Tasks have equal weight, however many seeds
they have. The point estimates are those of Agarwal et al. (2021). Their percentile bootstrap intervals cover the true
value too rarely with few seeds, so ours are different ones; docs/statistics.md compares the coverage of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray  # scores of the seeds of one task
Scores = Mapping[str, Values]

LEVEL = 0.95
FEW = 5  # with fewer seeds, the interval of a single task says little
_TRIMMED = 0.25  # share of scores that the IQM leaves out at each end
_UNIFORM = 1 / 12  # variance of a score that is uniform between 0 and 1


class Interval(NamedTuple):
    """A confidence interval, at the level of 95 % unless stated otherwise."""

    low: float
    high: float


_ANY = Interval(-math.inf, math.inf)


class Prior(NamedTuple):
    """How far single scores scatter before one has seen them: a variance, and the degrees of freedom that it counts."""

    variance: float
    freedom: float


class _Part(NamedTuple):
    """What one task contributes to the variance of an estimate, and the degrees of freedom of that contribution."""

    variance: float
    freedom: float


def mean(scores: Scores) -> float:
    """The mean over tasks of the mean over seeds."""
    return float(np.mean([np.mean(values) for values in scores.values()]))


def mean_interval(scores: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `mean`, by Student's t; None if a task has a single seed."""
    parts = _parts(scores)
    return _interval(mean(scores), parts, _unseen(scores), level, _bounds(scores)) if parts else None


def iqm(scores: Scores) -> float:
    """Interquartile mean: the mean of all scores without the lowest and the highest quarter (counts rounded down).

    If all tasks have equally many seeds, it is the trimmed mean of all scores; otherwise each score has the weight
    1 / (seeds of its task).
    """
    return _trimmed(scores)[0]


def iqm_interval(scores: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `iqm`, by Student's t from the winsorized scores (Tukey and McLaughlin, 1963), within tasks.

    None if a task has a single seed.
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
    """The interval of `difference`, by Welch's t; None without a common task or if one of them has a single seed."""
    tasks = common([ours, theirs])
    pair = [_of(ours, tasks), _of(theirs, tasks)]
    parts = [_parts(scores) for scores in pair]
    if not tasks or parts[0] is None or parts[1] is None:
        return None
    value = mean(pair[0]) - mean(pair[1])
    return _interval(value, [*parts[0], *parts[1]], sum(map(_unseen, pair)), level, _between(*map(_bounds, pair)))


def difference_from(
    ours: Scores,
    known: Mapping[str, float],
    errors: Mapping[str, tuple[float, int]] | None = None,
    level: float = LEVEL,
) -> Interval | None:
    """The interval of our mean minus the mean of known means, over our tasks; None if one of ours has a single seed.

    known: {task: mean over seeds}; errors: {task: (population std over seeds, number of seeds)} as far as it is known;
    other means count as exact.
    """
    parts = _parts(ours)
    if parts is None:
        return None
    count = len(ours)
    of_known = [_Part(std**2 / (n - 1) / count**2, n - 1) for std, n in (errors or {}).values() if n > 1]
    value = mean(ours) - float(np.mean([known[task] for task in ours]))
    bounds = _between(_bounds(ours), _bounds({task: [known[task]] for task in ours}))
    return _interval(value, [*parts, *of_known], _unseen(ours), level, bounds)


def contrast_interval(
    terms: Sequence[tuple[float, Values]],
    level: float = LEVEL,
    estimate: float | None = None,
    prior: Prior | None = None,
) -> Interval | None:
    """The interval of a sum of weight * mean over independent samples, by Welch's t; None if one has a single value.

    `difference` is the case of weights +-1 / (number of tasks). estimate: what the sum is a linearisation of; prior:
    instead of the weak one.
    """
    from scipy.special import stdtrit

    found = contrast_error(terms, prior)
    if found is None:
        return None
    error, freedom = found
    value = sum(weight * float(np.mean(values)) for weight, values in terms) if estimate is None else estimate
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(value - half, value + half)


def contrast_error(terms: Sequence[tuple[float, Values]], prior: Prior | None = None) -> tuple[float, float] | None:
    """The standard error of such a sum and its degrees of freedom; None if a sample has a single value."""
    if any(len(values) < 2 for _, values in terms):
        return None
    variances = np.array([weight**2 * float(np.var(values, ddof=1)) / len(values) for weight, values in terms])
    variance, freedom = prior or Prior(_UNIFORM, 1 / len(terms))
    unseen = variance * sum(weight**2 / len(values) for weight, values in terms)
    error, total = standard_error(variances, np.array([len(values) - 1 for _, values in terms]), unseen, freedom)
    return float(error), float(total)


def probability_of_improvement(ours: Values, theirs: Values) -> float:
    """The probability that a run of ours scores higher than one of theirs; ties count half (Mann-Whitney U / pairs)."""
    difference = np.subtract.outer(np.asarray(ours, float), np.asarray(theirs, float))
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def improvement(ours: Scores, theirs: Scores) -> float | None:
    """The probability of improvement, averaged over the tasks that both have; None without such a task."""
    tasks = common([ours, theirs])
    return float(np.mean([probability_of_improvement(ours[t], theirs[t]) for t in tasks])) if tasks else None


def improvement_interval(ours: Scores, theirs: Scores, level: float = LEVEL) -> Interval | None:
    """The interval of `improvement`; None without a common task.

    It is Wilson's, with the largest variance that U / pairs can have for any distributions of the scores: p (1 - p) /
    the smaller number of seeds (Birnbaum and Klose, 1957). So it has a width even if all runs of one side are better,
    and it excludes 1/2 about when `rank_test` can be significant: never for 3 against 3 seeds on one task.
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
    """Two-sided p of the exact rank test of whether ours and theirs score alike on each task that both have.

    The statistic is the sum over tasks of Mann-Whitney's U; its distribution is over all ways to divide the scores of
    each task between the two sides (Wilcoxon's test, stratified by task). None without a common task.
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
    """The smallest p that `rank_test` can give with these numbers of seeds; None without a common task."""
    tasks = common([ours, theirs])
    ways = math.prod(math.comb(len(ours[task]) + len(theirs[task]), len(ours[task])) for task in tasks)
    return min(1.0, 2 / ways) if tasks else None


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for several tests: the probability that any is falsely below 0.05 is at most 5 %.

    Holm's method (1979): the smallest p times their number, the next times one less, ..., none below the one before.
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
    """Each task's part in the variance of the mean over tasks / scale; kept: {task: scores that are not winsorized}."""
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
    """The variance of `mean` if scores were uniform between 0 and 1."""
    return _UNIFORM * sum(1 / len(values) for values in scores.values()) / len(scores) ** 2


def _bounds(scores: Scores) -> Interval:
    """The bounds of scores: 0 and 1, unless there are scores outside."""
    inside = all(0 <= value <= 1 for values in scores.values() for value in values)
    return Interval(0.0, 1.0) if inside else _ANY


def _between(ours: Interval, theirs: Interval) -> Interval:
    """The bounds of a difference."""
    return Interval(ours.low - theirs.high, ours.high - theirs.low)


def half_width(variances: np.ndarray, freedoms: Any, unseen: Any, freedom: Any, level: Any) -> np.ndarray:
    """t times the standard error of a sum of independent terms; see `standard_error`."""
    from scipy.special import stdtrit

    error, total = standard_error(variances, freedoms, unseen, freedom)
    return stdtrit(total, (1 + level) / 2) * error


def standard_error(variances: np.ndarray, freedoms: Any, unseen: Any, freedom: Any) -> tuple[np.ndarray, np.ndarray]:
    """The standard error of a sum of independent terms, and its degrees of freedom.

    variances: [..., terms] of what each contributes; freedoms: their degrees of freedom; unseen: the variance of the
    sum by a prior, which counts as `freedom` degrees. Degrees of freedom are Satterthwaite's.
    """
    variance = variances.sum(-1)
    spread = (variances**2 / freedoms).sum(-1)
    own = np.where(spread > 0, variance**2 / np.where(spread > 0, spread, 1), np.sum(freedoms + 0 * variances, -1))
    return np.sqrt((own * variance + freedom * unseen) / (own + freedom)), own + freedom


def _interval(
    value: float,
    parts: Sequence[_Part],
    unseen: float,
    level: float,
    bounds: Interval | None = None,
) -> Interval:
    """value +- t times its standard error, within bounds.

    A weak prior, that scores are uniform between 0 and 1 (variance `unseen`), counts as one more degree of freedom for
    a single sample of seeds and as 1 / P for P of them, which together show how far seeds scatter; a difference over T
    tasks has 2 T samples. It keeps a few seeds that agree by chance from looking certain.
    """
    variances, freedoms = np.array(parts).T
    half = float(half_width(variances, freedoms, unseen, 1 / len(parts), level))
    low, high = bounds or _ANY
    return Interval(max(low, value - half), min(high, value + half))


def _trimmed(scores: Scores) -> tuple[float, float, float, float]:
    """The IQM, the lowest and the highest score that enter it, and the share of the scores that do."""
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
    """Twice the rank of each value, ranks counting from 1; ties share their mean rank, so the results are integers."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1


@cache
def _rank_sums(ranks: tuple[int, ...], count: int) -> np.ndarray:
    """The probability of each sum 0, 1, ... of `count` of the ranks, drawn without replacement."""
    ways = np.zeros((count + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        for taken in range(count, 0, -1):
            ways[taken, rank:] += ways[taken - 1, : ways.shape[1] - rank]
    return ways[count] / math.comb(len(ranks), count)
