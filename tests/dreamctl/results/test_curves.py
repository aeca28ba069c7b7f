"""Binning and averaging, against numbers worked by hand."""

import numpy as np
import pytest
from sqlalchemy import update

from dreamctl.errors import BadInput
from dreamctl.results import costs, curves
from dreamctl.store.models import Run


def points(steps, values):
    return np.array(steps, np.int64), np.array(values, np.float64)


def test_a_bin_holds_the_steps_up_to_and_including_its_edge():
    curve = curves.aggregate([points([1, 100, 101, 200, 300], [10, 20, 30, 50, 7])], 100)
    assert curve.steps.tolist() == [100, 200, 300]
    assert curve.mean.tolist() == [15, 40, 7]
    assert curve.std.tolist() == [0, 0, 0] and curve.seeds.tolist() == [1, 1, 1]


def test_seeds_weigh_the_same_however_often_they_were_evaluated():
    """Seed one has mean 10 from two evaluations, seed two 40 from one: 25 +- 15, the population's deviation."""
    curve = curves.aggregate([points([50, 100], [5, 15]), points([100], [40])], 100)
    assert (curve.mean.tolist(), curve.std.tolist(), curve.seeds.tolist()) == ([25], [15], [2])


def test_a_bin_averages_the_seeds_that_reached_it():
    curve = curves.aggregate([points([100, 200], [10, 20]), points([100], [30])], 100)
    assert curve.mean.tolist() == [20, 20]
    assert curve.seeds.tolist() == [2, 1] and curve.std.tolist() == [10, 0]


def test_bins_without_evaluations_are_left_out():
    curve = curves.aggregate([points([100, 500], [1, 2])], 100)
    assert curve.steps.tolist() == [100, 500]


def test_evaluations_asked_for_by_a_user_are_no_part_of_the_curve(store, evaluated):
    run = evaluated({80: [10], 400: [20, 40]})
    store.record_evaluation(run.id, kind="manual", env_steps=80, seed=7, returns=[999.0])
    steps, values = curves.evaluations(store, [run])[run.id]
    assert (steps.tolist(), values.tolist()) == ([80, 400], [10, 30])


def test_the_random_policy_is_the_seed_episodes(store, evaluated):
    one, two = evaluated({80: [10]}), evaluated({80: [10]}, seed=1)
    assert curves.random_return(store, [one, two]) == 4
    assert curves.random_return(store, []) is None


@pytest.mark.parametrize(
    ("steps", "eval_every", "width"),
    [(2_000_000, 10_000, 100_000), (200_000, 10_000, 10_000), (40_000, 10_000, 10_000)],
)
def test_bins_are_the_papers_and_narrower_for_short_runs(evaluated, steps, eval_every, width):
    run = evaluated({})
    run.steps, run.config["eval_every"] = steps, eval_every
    assert curves.bin_width([run]) == width


def test_an_evaluation_that_is_late_belongs_to_the_bin_it_was_due_in():
    """It waits for the end of an episode: 100 became 105, 200 became 209."""
    curve = curves.aggregate([points([105, 209, 300], [10, 20, 7])], 100, late=9)
    assert curve.steps.tolist() == [100, 200, 300] and curve.mean.tolist() == [10, 20, 7]
    assert curves.aggregate([points([10, 20], [1, 2])], 10, late=39).steps.tolist() == [10, 20]


def test_of_two_evaluations_at_one_step_the_last_counts(store, evaluated):
    run = evaluated({80: [10], 400: [20]})
    with store._write() as session:
        from dreamctl.store.models import Evaluation

        row = dict(run_id=run.id, env_steps=400, seed=0, returns=[90.0], mean=90.0, std=0.0, created_at=9e9)
        session.add(Evaluation(kind="training", **row))
    steps, values = curves.evaluations(store, [run])[run.id]
    assert (steps.tolist(), values.tolist()) == ([80, 400], [10, 20])


def test_hours_are_those_at_work(store, evaluated):
    """Two attempts with a night between them: what was done counts, the night does not.

    The sum is that of the attempts, so also what the points do not tell: an hour of a worker that was held.
    """
    run = evaluated({160: [10]})
    with store._write() as session:
        from dreamctl.store.models import Scalar

        hour = 3600
        # 40 steps an hour; the second attempt starts after ten hours
        for step, rate, at in ((40, 40, 1), (80, 40, 2), (120, 40, 13), (160, 40, 14)):
            values = dict(name="time/env_steps_per_second", step=step, value=rate / hour, wall_time=hour * at)
            session.add(Scalar(run_id=run.id, **values))
        session.execute(update(Run).values(work_seconds=5 * hour))
    run = store.get(run.id)
    steps, hours = curves.progress(store, run, "hours")
    assert (steps.tolist(), hours.tolist()) == ([0, 40, 80, 120, 160], pytest.approx([0, 1.25, 2.5, 3.75, 5]))
    assert costs.rates([run]) == {run.id: pytest.approx(160 / (5 * hour))}
    with pytest.raises(BadInput, match="no record of its updates: use --x steps"):
        curves.progress(store, run, "updates")


def test_the_last_bin_ends_where_the_runs_do():
    assert curves.aggregate([points([100, 150], [1, 2])], 100).steps.tolist() == [100, 150]
