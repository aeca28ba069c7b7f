"""What a sweep is said to cost, against a store of runs whose rates are known."""

import pytest

from dreamctl.jobs.estimate import estimate
from dreamctl.jobs.spec import parse
from dreamctl.store import Point, open_store


@pytest.fixture
def store(tmp_path):
    """Runs of method and horizon at so many environment steps per second."""
    store = open_store(tmp_path)
    rates = {("dreamer", 5): 100, ("dreamer", 20): 50, ("planet", 5): 40, ("planet", 20): 10}
    for (method, horizon), rate in rates.items():
        spec = parse("walker_walk", 0, "smoke", [f"method={method}", f"horizon={horizon}"])
        run = store.create_run(task=spec.task, seed=0, config=spec.config.to_dict(), digest=spec.digest, preset="smoke")
        attempt = store.claim(run.id, "cpu")
        points = [Point("time/env_steps_per_second", step, value, 0.0) for step, value in ((1000, 1), (2000, rate))]
        store.heartbeat(run.id, attempt, env_steps=2000, updates=10, scalars=points)
    return store


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        (["horizon=20"], 50),
        (["method=planet", "horizon=5"], 40),
        (["method=planet", "horizon=12"], 25),  # no run of that horizon: the median of the method's
        (["objective=reward"], 75),  # none of that objective either
    ],
)
def test_the_cost_of_a_cell_is_that_of_the_runs_most_like_it(store, settings, rate):
    cells = [parse("cheetah_run", seed, "smoke", [*settings, "steps=36000"]) for seed in (0, 1)]
    assert estimate(store, cells).device_hours == pytest.approx(2 * 36_000 / rate / 3600)


def test_it_says_what_it_has_not_measured(store):
    def source(*settings):
        return estimate(store, [parse("cheetah_run", 0, "smoke", [*each]) for each in settings]).source

    assert source(["horizon=5"]) == "1 smoke/dreamer/reconstruction run on cpu"
    unlike = source(["horizon=7"], ["horizon=9"], ["method=no_value"], ["method=no_value", "horizon=9"])
    assert "2 smoke/dreamer/reconstruction runs on cpu, none with horizon=7 or horizon=9" in unlike
    assert "4 smoke runs on cpu, none with method=no_value" in unlike and unlike.count("no_value") == 1


def test_costs_of_different_cells_add_up(store):
    cells = [parse("cheetah_run", 0, "smoke", [f"horizon={h}", "steps=36000"]) for h in (5, 20)]
    assert estimate(store, cells).device_hours == pytest.approx(0.1 + 0.2)


def test_without_a_run_of_the_preset_the_cost_is_unknown(store):
    assert estimate(store, [parse("cheetah_run", 0, "tiny", [])]).device_hours is None
