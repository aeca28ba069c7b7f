"""Statistics: by hand, and against what rliable 1.2.0 gives for the same matrices."""

import numpy as np
import pytest

from dreamctl.results import statistics

# Runs x tasks of scores drawn as below, IQM and 95 % intervals (20,000 stratified bootstrap samples) of both groups,
# probability of improvement of the first over the second and its interval (2,000 samples): computed by rliable 1.2.0.
RLIABLE = [
    ((5, 4), (0.419206380508, 0.486008310243), ((0.3437, 0.4934), (0.3931, 0.6003)), 0.41, (0.23, 0.5702)),
    ((3, 20), (0.405719972122, 0.569829747354), ((0.3526, 0.4617), (0.5267, 0.6106)), 0.288889, (0.1944, 0.3944)),
    ((10, 7), (0.373140012193, 0.551604716065), ((0.3347, 0.4106), (0.5139, 0.5913)), 0.234286, (0.1571, 0.3171)),
]


def matrices():
    rng = np.random.RandomState(0)
    for shape, *_ in RLIABLE:
        yield rng.beta(2, 3, size=shape), rng.beta(3, 2, size=shape) * 0.9


def scores(matrix):
    return {f"task{index}": column for index, column in enumerate(matrix.T)}


@pytest.mark.parametrize("index", range(len(RLIABLE)))
def test_against_rliable(index):
    pair = list(matrices())[index]
    _, iqms, intervals, improvement, improvement_interval = RLIABLE[index]
    for matrix, iqm, bounds in zip(pair, iqms, intervals, strict=True):
        assert statistics.pooled_iqm(scores(matrix)) == pytest.approx(iqm, rel=1e-10)
        got = statistics.interval(statistics.pooled_iqm, scores(matrix))
        assert got == pytest.approx(bounds, abs=0.012)  # the error of 2,000 samples
    ours, theirs = map(scores, pair)
    assert statistics.improvement(ours, theirs) == pytest.approx(improvement, abs=1e-6)
    assert statistics.improvement_interval(ours, theirs) == pytest.approx(improvement_interval, abs=0.02)


def test_by_hand():
    assert statistics.iqm([0, 10, 20, 1000]) == 15
    assert statistics.iqm([7]) == 7 and statistics.iqm([1, 2, 3]) == 2
    assert statistics.probability_of_improvement([1, 2], [0, 2]) == (1 + 0 + 1 + 0.5) / 4
    assert statistics.improvement({"a": [1], "b": [0]}, {"a": [0], "b": [1], "c": [9]}) == 0.5
    assert statistics.improvement({"a": [1]}, {"b": [1]}) is None


def test_seeds_are_drawn_within_their_task():
    """Two tasks whose seeds agree leave nothing to chance, however far apart the tasks are."""
    low, high = statistics.interval(statistics.pooled_iqm, {"a": [0.1] * 3, "b": [0.9] * 3})
    assert low == high == pytest.approx(0.5)


def test_profiles():
    shares = statistics.profile({"a": [0.2, 0.6], "b": [0.6, 0.6]}, np.array([0.0, 0.5, 0.6, 1.0]))
    assert shares.tolist() == [1.0, 0.75, 0.0, 0.0]
