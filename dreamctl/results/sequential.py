"""Answers to questions that are asked at several looks, after more and more seeds, until the answer is clear.

A question says that contrasts (weighted sums of mean scores) are above 0. At each look their intervals are taken at a
nominal level so strict that the chance of any false answer over all looks is 5 %: a group-sequential design. The
levels are those of normal statistics and are used with Student's t (Pocock, 1977). Several questions share the 5 % by
Holm's method: one that is answered passes its share on (Ye et al., 2013). docs/statistics.md shows by simulation how
often answers are false, how many seeds they take, and what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import TypeVar

import numpy as np

from dreamctl.jobs.questions import ALPHA, SPENDING
from dreamctl.results import statistics
from dreamctl.results.statistics import Interval, Prior

CONFIRMED, CONTRADICTED, SMALL, UNDECIDED = "confirmed", "contradicted", "too small to matter", "undecided"

UNKNOWN = Interval(-math.inf, math.inf)

_NODES = 200  # of the numerical integration
_FARTHEST = 38.0  # standard deviations: no normal variable in double precision lies beyond
_POOLED = 10  # samples that show how much spreads differ
_POINT = 1e-6  # the variance of scores one point of 1000 apart: no spread is known better

Question = TypeVar("Question")


def levels(seeds: Sequence[int], alpha: float = ALPHA) -> tuple[float, ...]:
    """The two-sided nominal level at each look, at these numbers of seeds per cell; a single look has all of alpha.

    Raises ValueError unless the numbers increase.
    """
    if not seeds or any(later <= earlier for earlier, later in zip((0, *seeds), seeds, strict=False)):
        raise ValueError(f"looks at {list(seeds)} seeds: the numbers must increase")
    return _levels(tuple(count / seeds[-1] for count in seeds), alpha)


def boundaries(fractions: Sequence[float], spent: Sequence[float]) -> tuple[float, ...]:
    """c such that |Z| exceeds c at a look, and at none before, with the chance that is spent there.

    Z is a standardised sum of which the share `fractions` has been seen; spent: the chance of exceeding it up to each
    look. By numerical integration from look to look (Armitage, McPherson and Rowe, 1969).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    sums, mass = np.zeros(1), np.ones(1)  # where the sum can be before a look, and the probability of being there
    found: list[float] = []
    for fraction, before, chance in zip(fractions, (0.0, *fractions), np.diff(spent, prepend=0.0), strict=False):
        step, scale = math.sqrt(fraction - before), math.sqrt(fraction)

        def excess(
            limit: float,
            sums: np.ndarray = sums,
            mass: np.ndarray = mass,
            scale: float = scale,
            step: float = step,
            chance: float = chance,
        ) -> float:
            above, below = ndtr((sums - limit * scale) / step), ndtr((-limit * scale - sums) / step)
            return float(mass @ (above + below)) - chance

        limit = brentq(excess, 0, _FARTHEST, xtol=1e-10) if found else -float(ndtri(chance / 2))
        after = nodes * limit * scale
        density = np.exp(-(((after[:, None] - sums) / step) ** 2) / 2) @ mass / (step * math.sqrt(2 * math.pi))
        sums, mass = after, density * weights * limit * scale
        found.append(limit)
    return tuple(found)


def interval(
    estimate: float,
    terms: Sequence[tuple[float, Sequence[float]]],
    level: float,
    pool: Sequence[Sequence[float]] = (),
) -> Interval:
    """The interval of an estimate that is, or in first order behaves as, a sum of weight * mean(sample).

    terms: weights and independent samples of scores in units of 1; level: the chance of missing the truth, on both
    sides together. pool: the samples of all cells of the question. Ten or more show how far seeds scatter elsewhere,
    and replace the weak prior of `statistics`; so samples of two or three seeds can decide. A single score says nothing
    of its own spread: with one, or without terms, the interval is infinite.
    """
    if not terms:
        return UNKNOWN
    return (
        statistics.contrast_interval(terms, 1 - level, estimate, _pooled(tuple(map(tuple, pool)), len(terms)))
        or UNKNOWN
    )


def chance(distance: float, terms: Sequence[tuple[float, Sequence[float]]], pool: Sequence[Sequence[float]]) -> float:
    """The one-sided p of an estimate that lies `distance` above a bound, 1 if nothing is known.

    The `interval` at a level of 2 p ends at the bound.
    """
    from scipy.special import stdtr

    if not terms:
        return 1.0
    found = statistics.contrast_error(terms, _pooled(tuple(map(tuple, pool)), len(terms)))
    return 1.0 if found is None else float(stdtr(found[1], -distance / found[0]))


def spread(pool: Sequence[Sequence[float]], samples: int = 1) -> Prior | None:
    """What a pool of samples tells of the variances of so many samples like them; None if it is too small.

    The degrees of freedom are those with which variances differ as they do: method of moments on their logarithms
    (Smyth, 2004), from which sampling is taken off; two standard errors are added, so that few samples are not thought
    alike. The variance is their mean, not Smyth's, which is nearer to the median: where some cells fail at random, all
    may.
    """
    from scipy.special import digamma, polygamma

    kept = [np.asarray(sample, float) for sample in pool if len(sample) > 1]
    if len(kept) < _POOLED:
        return None
    variances = np.array([sample.var(ddof=1) for sample in kept])
    half = np.array([len(sample) - 1 for sample in kept]) / 2
    logs = np.log(np.maximum(variances, _POINT)) - digamma(half) + np.log(half)
    squares = (logs - logs.mean()) ** 2
    scatter = squares.sum() / (len(kept) - 1)
    error = math.sqrt(max(0.0, float((squares**2).mean() - scatter**2)) / len(kept))
    excess = scatter + 2 * error - polygamma(1, half).mean()
    freedom = min(samples * _freedom(float(excess)), 2 * float(half.sum()))  # no more than there is to learn from
    return Prior(max(_POINT, float(np.average(variances, weights=half))), freedom)


@lru_cache(maxsize=256)
def _pooled(pool: tuple[tuple[float, ...], ...], samples: int) -> Prior | None:
    """`spread`, kept: a question asks for many intervals with one pool."""
    return spread(pool, samples)


def decided(intervals: Sequence[Interval], strict: Sequence[Interval], margin: float | None) -> str | None:
    """The answer to whether all contrasts are above 0; None if it is not clear.

    intervals: at the level of the look; strict: at this level / the number of contrasts. A confirmation is false only
    if one certain contrast is not above 0, and then needs its interval to be wrong. Any of the contrasts can make the
    others "too small to matter" (inside -margin to margin) or "contradicted" (below 0), so their chances to be wrong
    add up, to no more than the level.
    """
    if margin is not None and any(-margin < low and high < margin for low, high in strict):
        return SMALL
    if intervals and all(low > 0 for low, _ in intervals):
        return CONFIRMED
    return CONTRADICTED if any(high < 0 for _, high in strict) else None


def settle(
    questions: Iterable[Question], judge: Callable[[Question, float], str | None], alpha: float = ALPHA
) -> dict[Question, str]:
    """The answers of one look to the open questions: those that have one.

    judge: the answer to a question whose chance of a false one, over all looks, may be so large. Whenever questions
    are answered, the others are judged again, with what those leave them.
    """
    answers: dict[Question, str] = {}
    waiting = list(questions)
    while waiting:
        found = {question: judge(question, alpha / len(waiting)) for question in waiting}
        new = {question: answer for question, answer in found.items() if answer is not None}
        if not new:
            break
        answers |= new
        waiting = [question for question in waiting if question not in new]
    return answers


@cache
def _levels(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    from scipy.special import ndtr

    spent = [alpha * fraction**SPENDING for fraction in fractions]
    return tuple(2 * float(ndtr(-limit)) for limit in boundaries(fractions, spent))


def _freedom(excess: float) -> float:
    """The degrees of freedom of a chi-square whose logarithm has this variance; infinite if it has none."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    if excess <= 1e-6:
        return math.inf
    return 2 * math.exp(brentq(lambda log: math.log(polygamma(1, math.exp(log))) - math.log(excess), -20, 20))
