"""Judging at several looks, as runs come in, without more false answers than at one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dreamctl.results import statistics
from dreamctl.results.statistics import Interval

CONFIRMED, CONTRADICTED, SMALL, UNDECIDED = "confirmed", "contradicted", "too small to matter", "undecided"


def levels(seeds: Sequence[int], alpha: float = 0.05) -> tuple[float, ...]:
    """The two-sided level at each look; seeds: of each cell at the looks."""
    return tuple(alpha / len(seeds) for _ in seeds)


def interval(
    estimate: float,
    terms: Sequence[tuple[float, Sequence[float]]],
    level: float,
    pool: Sequence[Sequence[float]] = (),
) -> Interval:
    """The interval of a sum of weight * mean(sample), scores in units of 1; level: its two-sided chance of error."""
    found = statistics.contrast_interval(terms, 1 - level)
    if found is None:
        return Interval(-math.inf, math.inf)
    half = (found.high - found.low) / 2
    return Interval(estimate - half, estimate + half)


def decided(intervals: Sequence[Interval], strict: Sequence[Interval], margin: float | None) -> str | None:
    """The answer that intervals give to whether all contrasts are above 0; None: none yet."""
    if margin is not None and any(-margin < one.low and one.high < margin for one in strict):
        return SMALL
    if all(one.low > 0 for one in intervals):
        return CONFIRMED
    return CONTRADICTED if any(one.high < 0 for one in strict) else None
