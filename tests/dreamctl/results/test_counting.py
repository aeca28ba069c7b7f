"""Of how many groups something surely holds, against brute force, and how often that is false."""

import itertools

import numpy as np
import pytest
from scipy import stats

from dreamctl.results import counting


def by_closure(chances, level):
    """The largest u such that every v <= u is excluded by every set of n - v + 1 groups, one of which has to hold."""
    many = len(chances)
    for wanted in range(1, many + 1):
        sets = itertools.combinations(chances, many - wanted + 1)
        if any(stats.combine_pvalues(own, "fisher").pvalue > level for own in sets):
            return wanted - 1
    return many


@pytest.mark.parametrize("seed", range(8))
def test_the_least_is_that_of_the_closed_test(seed):
    rng = np.random.default_rng(seed)
    chances = rng.uniform(0, 1, 7) ** rng.choice([1, 4, 12], 7)
    assert counting.least(chances, 0.025) == by_closure(chances, 0.025)


def test_of_nothing_nothing_holds_and_one_that_fails_hides_no_other():
    assert counting.least([], 0.025) == 0
    assert counting.least([1.0] * 4, 0.025) == 0
    assert counting.least([1e-12] * 15 + [1.0] * 5, 0.025) == 15
    assert counting.least([0.0] * 3 + [1.0], 0.025) == 3


@pytest.mark.parametrize("holding", [0, 10, 18])
def test_more_than_hold_are_counted_in_so_many_cases_at_most(holding):
    """20 tasks: of some the null is true at its edge, the others are clear. 2.5 %, within three standard errors."""
    rng, cases = np.random.default_rng(holding), 2000
    shown = stats.norm.sf(rng.normal(np.where(np.arange(20) < holding, 4.0, 0.0), 1, (cases, 20)))
    false = np.mean(counting.least(shown, 0.025) > holding)
    assert false <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / cases)
    if holding == 18:
        assert false > 0.001  # not for want of power
