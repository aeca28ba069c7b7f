"""The sequential rule: published constants, SciPy's multivariate normal, Welch, and how often answers are false."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks import sequential as simulation
from dreamctl.results import counting, sequential, statistics
from dreamctl.results.sequential import CONFIRMED, CONTRADICTED, SMALL
from dreamctl.results.statistics import Interval

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


def crossing(limits, fractions):
    """The chance that |Z| exceeds a limit at one of the looks, by SciPy's integral of the multivariate normal."""
    times = np.asarray(fractions)
    covariance = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    normal = stats.multivariate_normal(np.zeros(len(times)), covariance, seed=0, abseps=2e-5, releps=0)
    return 1 - normal.cdf(np.asarray(limits), lower_limit=-np.asarray(limits))


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # Jennison and Turnbull (2000); Reboussin, DeMets, Kim and Lan (2000): two-sided 5 %, five looks
        (lambda t: 0.05 * math.log(1 + (math.e - 1) * t), [2.438, 2.427, 2.410, 2.397, 2.386]),
        (lambda t: 4 * stats.norm.sf(stats.norm.isf(0.05 / 4) / math.sqrt(t)), [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_boundaries_of_lan_and_demets(spending, published):
    found = sequential.boundaries(FIFTHS, [spending(fraction) for fraction in FIFTHS])
    assert found == pytest.approx(published, abs=2e-3)


@pytest.mark.parametrize(
    ("constant", "shape"), [(2.413, lambda t: 1), (2.040, lambda t: t**-0.5)], ids=["Pocock", "O'Brien-Fleming"]
)
def test_boundaries_of_pocock_and_of_obrien_and_fleming(constant, shape):
    """What their boundaries spend up to each look, by another integral, gives these boundaries again: 5 % in all."""
    limits = [constant * shape(fraction) for fraction in FIFTHS]
    spent = [crossing(limits[:count], FIFTHS[:count]) for count in range(1, 6)]
    assert spent[-1] == pytest.approx(0.05, abs=2e-4)
    assert sequential.boundaries(FIFTHS, spent) == pytest.approx(limits, abs=0.01)


@pytest.mark.parametrize("seeds", [(4, 8, 12, 16), (3, 5, 8), (2, 20), (4, 5, 6, 30)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_all_looks_together_have_the_level(seeds, alpha):
    limits = stats.norm.isf(np.array(sequential.levels(seeds, alpha)) / 2)
    assert crossing(limits, np.array(seeds) / seeds[-1]) == pytest.approx(alpha, abs=1e-4)


def test_random_walks_cross_as_often():
    walks = np.random.default_rng(0).normal(size=(100_000, 16)).cumsum(1)
    looks = np.array([4, 8, 12, 16])
    limits = stats.norm.isf(np.array(sequential.levels(looks.tolist())) / 2)
    crossed = (np.abs(walks[:, looks - 1]) / np.sqrt(looks) > limits).any(1).mean()
    assert crossed == pytest.approx(0.05, abs=0.003)


def test_levels():
    assert sequential.levels([5]) == pytest.approx((0.05,))
    found = sequential.levels([4, 8, 12, 16])
    assert list(found) == sorted(found) and 0.05 / 64 == pytest.approx(found[0])
    assert sequential.levels([8, 16, 24, 32]) == found  # only shares count
    for few, many in zip(sequential.levels([3, 5, 8], 0.025), sequential.levels([3, 5, 8], 0.05), strict=True):
        assert few < many  # Holm over looks needs it: with more to spend, every look is easier


@pytest.mark.parametrize("seeds", [[], [0, 4], [4, 4], [8, 4]])
def test_looks_must_come_later_and_later(seeds):
    with pytest.raises(ValueError, match="increase"):
        sequential.levels(seeds)


def test_an_interval_without_a_pool_is_that_of_compare():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.6, 0.05, 40), rng.normal(0.5, 0.2, 30)
    found = sequential.interval(ours.mean() - theirs.mean(), [(1, ours), (-1, theirs)], 0.01)
    assert found == statistics.contrast_interval([(1, ours), (-1, theirs)], 0.99)
    welch = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.99)
    assert found == pytest.approx(tuple(welch), abs=2e-3)


def test_an_interval_lies_around_the_estimate():
    """A linearised share: the terms give the width, whatever their sum."""
    ours, theirs = [0.4, 0.5, 0.6, 0.5], [0.8, 0.9, 1.0, 0.9]
    share = sequential.interval(0.5 / 0.9, [(1 / 0.9, ours), (-0.5 / 0.81, theirs)], 0.05)
    assert (share.low + share.high) / 2 == pytest.approx(0.5 / 0.9)


def test_a_single_score_says_nothing():
    many = [[0.5, 0.6, 0.7]] * 20
    assert sequential.interval(0.1, [(1, [0.5]), (-1, [0.4, 0.5])], 0.05, many) == (-math.inf, math.inf)
    assert sequential.interval(0.1, [], 0.05, many) == (-math.inf, math.inf)


def test_a_pool_of_alike_samples_is_one_large_sample():
    """Samples of two seeds that scatter alike: the interval comes to that of their common variance, known exactly."""
    rng = np.random.default_rng(0)
    pool = list(rng.normal(0.5, 0.04, (400, 2)))
    pair = [(1.0, pool[0]), (-1.0, pool[1])]
    found, alone = sequential.interval(0.0, pair, 0.05, pool), sequential.interval(0.0, pair, 0.05)
    assert found.high == pytest.approx(1.96 * 0.04, rel=0.2) and alone.high > 5 * found.high
    assert sequential.interval(0.0, pair, 0.05, pool[:4]) == alone  # too few to tell


def test_a_pool_of_unlike_samples_is_trusted_less():
    rng = np.random.default_rng(0)
    alike = sequential.spread(list(rng.normal(0, 0.05, (40, 3))))
    unlike = sequential.spread([rng.normal(0, scale, 3) for scale in np.geomspace(0.002, 0.2, 40)])
    assert unlike.freedom < 2 < alike.freedom
    assert sequential.spread([[0.5, 0.5, 0.5]] * 20).variance > 0


def test_degrees_of_freedom_are_recovered():
    """Variances of an inverse chi-square: with many samples, those of the distribution that they were drawn from."""
    rng = np.random.default_rng(0)
    variances = 0.05**2 * 6 / rng.chisquare(6, 20_000)
    found = sequential.spread(list(rng.normal(0, np.sqrt(variances)[:, None], (20_000, 4))))
    assert found.freedom == pytest.approx(6, rel=0.15)  # two standard errors less
    assert found.variance == pytest.approx(0.05**2 * 6 / 4, rel=0.05)


ABOVE, BELOW, WITHIN, OPEN = Interval(0.1, 0.3), Interval(-0.3, -0.1), Interval(-0.02, 0.03), Interval(-0.1, 0.2)


@pytest.mark.parametrize(
    ("intervals", "margin", "answer"),
    [
        ([ABOVE], 0.05, CONFIRMED),
        ([ABOVE, ABOVE], None, CONFIRMED),
        ([ABOVE, OPEN], 0.05, None),
        ([ABOVE, BELOW], 0.05, CONTRADICTED),
        ([OPEN, BELOW], None, CONTRADICTED),
        ([ABOVE, WITHIN], 0.05, SMALL),
        ([WITHIN], None, None),
        ([Interval(0.01, 0.04)], 0.05, SMALL),  # surely positive, and surely too small
        ([Interval(0.01, 0.05)], 0.05, CONFIRMED),
        ([], 0.05, None),
    ],
)
def test_decided(intervals, margin, answer):
    assert sequential.decided(intervals, intervals, margin) == answer


def test_one_of_several_contrasts_contradicts_only_at_the_strict_level():
    assert sequential.decided([ABOVE, BELOW], [ABOVE, OPEN], None) is None
    assert sequential.decided([ABOVE, ABOVE], [OPEN, OPEN], None) == CONFIRMED


@pytest.mark.parametrize("values", [[0.01, 0.02, 0.04], [0.02, 0.02, 0.02], [0.0126, 0.024, 0.06], [0.2, 0.001, 0.6]])
def test_questions_settle_as_by_holm(values):
    """Questions of p values: answered are those whose p, corrected by Holm's method, is at most 5 %."""
    answers = sequential.settle(range(3), lambda index, alpha: CONFIRMED if values[index] <= alpha else None)
    assert sorted(answers) == [index for index, p in enumerate(statistics.holm(values)) if p <= 0.05]


def test_nothing_is_settled_of_no_question():
    assert sequential.settle([], lambda *_: CONFIRMED) == {}


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("distance", [0.4, 0.05, 0.0, -0.1])
def test_a_chance_is_half_the_level_at_which_the_interval_ends_there(distance, pooled):
    rng = np.random.default_rng(5)
    terms = [(weight, rng.normal(0.5, 0.05, 3)) for weight in (1, -0.8)]
    pool = list(rng.normal(0.5, 0.05, (20, 3))) if pooled else ()
    chance = sequential.chance(distance, terms, pool)
    low, high = sequential.interval(distance, terms, 2 * min(chance, 1 - chance), pool)
    assert (low if distance > 0 else high) == pytest.approx(0, abs=1e-9)
    assert chance == pytest.approx(0.5) if distance == 0 else (chance < 0.5) == (distance > 0)
    assert sequential.chance(distance, [], pool) == sequential.chance(distance, [(1, [0.5])], pool) == 1


@pytest.mark.parametrize("seeds", [2, 3])
def test_pooled_intervals_hold_the_truth(seeds):
    """Twenty tasks, two methods, spreads that differ by a factor of ten: 95 % intervals of single differences."""
    rng = np.random.default_rng(seeds)
    held = []
    for _ in range(60):
        scale = np.exp(rng.normal(math.log(0.05), 0.6, (40, 1)))
        pool = list(rng.normal(0, 1, (40, seeds)) * scale)
        for index in range(0, 40, 4):
            ours, theirs = pool[index], pool[index + 1]
            low, high = sequential.interval(ours.mean() - theirs.mean(), [(1, ours), (-1, theirs)], 0.05, pool)
            held.append(low <= 0 <= high)
    assert np.mean(held) > 0.93


def test_the_benchmark_simulates_this_rule():
    """Its answers for all trials at once are those of `interval` and `decided`, one trial after the other."""
    looks = (4, 8, 12)
    levels = sequential.levels(looks)
    names = {None: simulation.OPEN, CONFIRMED: simulation.CONFIRMED, CONTRADICTED: simulation.CONTRADICTED}
    names[SMALL] = simulation.SMALL
    scores = np.concatenate(
        [simulation.drawn("normal", shift, (15, 2), 12, np.random.default_rng(0)) for shift in (0.0, 0.2, -0.4)], 1
    )
    answers, used = simulation.run(simulation.Design(looks, levels), scores)
    for trial in range(scores.shape[1]):
        ours, theirs = scores[:, trial]
        for count, level in zip(looks, levels, strict=True):
            terms = [(sign / 2, task[:count]) for sign, tasks in ((1, ours), (-1, theirs)) for task in tasks]
            found = sequential.interval(sum(weight * task.mean() for weight, task in terms), terms, level)
            answer = sequential.decided([found], [found], simulation.MARGIN)
            if answer or count == looks[-1]:
                assert (names[answer], count) == (answers[trial], used[trial])
                break
    assert len(set(answers)) >= 3


def test_the_benchmark_counts_by_this_rule():
    """Its counts for all trials at once are those of `chance`, task after task."""
    rng, trials, tasks = np.random.default_rng(2), 12, simulation.TASKS_COUNTED
    scores = simulation.many_tasks("differ", trials, tasks, 3, rng)
    scores[0, :, :12] += 0.3
    found = simulation.least_better(scores[0].mean(-1) - scores[1].mean(-1), *simulation.pooled(scores))
    for trial, (ours, theirs) in enumerate(scores.swapaxes(0, 1)):
        pool = [*ours, *theirs]
        chances = [
            sequential.chance(one.mean() - two.mean(), [(1, one), (-1, two)], pool)
            for one, two in zip(ours, theirs, strict=True)
        ]
        assert counting.least(chances, sequential.ALPHA / 2) == found[trial]
    assert len(set(found)) > 2


@pytest.mark.parametrize("world", ["normal", "unequal", "halves"])
def test_false_answers_over_all_looks(world):
    """Two tasks, no difference: 5 % with the rule, twice as many with a 95 % interval at every look."""
    looks = (4, 8, 12, 16)
    scores = simulation.drawn(world, 0, (4000, 2), 16, np.random.default_rng(0))
    rule = simulation.Design(looks, sequential.levels(looks))
    naive = simulation.Design(looks, [0.05] * 4)
    assert simulation.false(simulation.run(rule, scores)[0], 0) < 0.06
    assert simulation.false(simulation.run(naive, scores)[0], 0) > 0.08
