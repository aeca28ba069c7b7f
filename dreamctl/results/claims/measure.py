"""What a claim is judged by: numbers with 95 % intervals, and where the claim says that they lie.

Every test of a claim is one of two kinds. A contrast is a weighted sum of means of independent samples (seeds): a mean
over tasks, a difference of two methods, "at least 0.8 times as good". Its interval is that of `dreamctl compare`
(docs/statistics.md). A count says of how many tasks something holds: its interval reaches from the tasks of which that
is sure to those of which it is not excluded, so that a task without runs widens it, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dreamctl.results import statistics
from dreamctl.results.comparison import SCALE

CONFIRMED, CONTRADICTED, UNDECIDED = "confirmed", "contradicted", "undecided"
SEEDS = 3  # with fewer nothing is said of a sample; the paper's number


class Interval(NamedTuple):
    """An estimate and its 95 % interval; infinite where the seeds are too few to say."""

    estimate: float
    low: float
    high: float


def signed(found: Interval) -> str:
    """+12 [-3, +27]; without brackets where the ends are not known."""
    ends = f" [{found.low:+.0f}, {found.high:+.0f}]" if math.isfinite(found.low) and math.isfinite(found.high) else ""
    return f"{found.estimate:+.0f}{ends}"


UNKNOWN = Interval(math.nan, -math.inf, math.inf)


class Row(NamedTuple):
    """One task's part in a count: the numbers, whether it counts (None: that is open), whether it seems to."""

    task: str
    intervals: tuple[Interval, ...]
    holds: bool | None
    likely: bool


@dataclass(frozen=True)
class Measure:
    """A number that a claim speaks of. region: where it lies if the claim is true, ends included; complete: whether all
    cells that it needs are there; rows: its tasks; counts: whether it is the number of those that hold."""

    what: str
    interval: Interval
    region: tuple[float, float]
    complete: bool = True
    rows: tuple[Row, ...] = ()
    counts: bool = False

    @property
    def outcome(self) -> str:
        """Confirmed if the interval is inside the region, contradicted if outside, else undecided."""
        low, high = self.interval.low, self.interval.high
        if not self.complete:
            return UNDECIDED
        if self.region[0] <= low and high <= self.region[1]:
            return CONFIRMED
        return CONTRADICTED if high < self.region[0] or low > self.region[1] else UNDECIDED


def together(outcomes: Iterable[str]) -> str:
    """Of a claim that says several things: contradicted if one is, confirmed if all are."""
    found = list(outcomes)
    if CONTRADICTED in found:
        return CONTRADICTED
    return CONFIRMED if found and set(found) == {CONFIRMED} else UNDECIDED


def contrast(terms: Sequence[tuple[float, Sequence[float]]], seeds: int = SEEDS, scale: float = SCALE) -> Interval:
    """The sum of weight * mean(sample) with its 95 % interval; infinite when a sample has fewer than `seeds` values.

    scale: about the largest value of a sample.
    """
    if not terms or any(not len(sample) for _, sample in terms):
        return UNKNOWN
    estimate = sum(weight * float(np.mean(sample)) for weight, sample in terms)
    unit = [(weight, np.asarray(sample, float) / scale) for weight, sample in terms]
    found = statistics.contrast_interval(unit) if all(len(sample) >= seeds for _, sample in terms) else None
    if found is None:
        return Interval(estimate, -math.inf, math.inf)
    return Interval(estimate, found.low * scale, found.high * scale)


def mean_over(samples: Sequence[Sequence[float]], against: float = 0.0) -> Interval:
    """The mean over tasks of their means over seeds, less `against`; tasks without a value are left out.

    Its interval does not leave the scores that there can be.
    """
    kept = [sample for sample in samples if len(sample)]
    found = contrast([(1 / len(kept), sample) for sample in kept])
    if math.isfinite(found.low):
        found = found._replace(low=max(0.0, found.low), high=min(SCALE, found.high))
    return Interval(*(value - against for value in found))


def all_of(task: str, conditions: Sequence[Interval], margin: float = 0.0) -> Row:
    """A task counts when every condition is surely above 0, and does not when one is surely below `margin`."""
    holds = True if all(found.low > 0 for found in conditions) else None
    if any(found.high < margin for found in conditions):
        holds = False
    return Row(task, tuple(conditions), holds, all(found.estimate > 0 for found in conditions))


def any_of(task: str, conditions: Sequence[Interval], margin: float = 0.0) -> Row:
    """A task counts when one condition is surely above 0, and does not when all are surely below `margin`."""
    holds = False if all(found.high < margin for found in conditions) else None
    if any(found.low > 0 for found in conditions):
        holds = True
    return Row(task, tuple(conditions), holds, any(found.estimate > 0 for found in conditions))


def count(what: str, rows: Sequence[Row], region: tuple[float, float], complete: bool = True) -> Measure:
    """Of how many tasks something holds: as it seems, of how many surely, of how many at most."""
    yes, no = (sum(row.holds is holds for row in rows) for holds in (True, False))
    likely = sum(row.likely for row in rows)
    return Measure(what, Interval(likely, yes, len(rows) - no), region, complete, tuple(rows), True)
