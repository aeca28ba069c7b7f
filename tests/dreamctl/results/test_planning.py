"""What questions are expected to take, against the same experiments played one by one with the rule itself."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.synthetic import World, fill
from dreamctl.jobs import sweeps
from dreamctl.results import planning, sequential, statistics
from dreamctl.results.answers import SCALE
from dreamctl.results.sequential import ALPHA
from dreamctl.results.statistics import Interval
from dreamctl.store import open_store
from tests.dreamctl.conftest import typed

FILE = """
tasks: [{tasks}]
preset: smoke
grid: {{horizon: [5, 10, 20]}}
set: {{steps: 2000}}
seeds: {{looks: [3, 6]}}
questions:
  longer: {{asks: Is it better, better: {{horizon: 20}}, than: {{horizon: [5, 10]}}, margin: 150}}
  pair: {{asks: Is it worse, worse: {{horizon: 10}}, than: {{horizon: 5}}}}
"""
MORE = """
  ratio: {asks: By how much, better: {horizon: 20}, than: {horizon: 5}, scale: ratio, margin: 10%}
  count: {asks: On how many, better: {horizon: 20}, than: {horizon: 5}, at_each: task, count: 1 of 1}
"""


def plan(folder, text):
    file = folder / "mine.yaml"
    file.write_text(text)
    return sweeps.read(file)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Runs on one task: five of horizon 5, two of 10, which scatter more, none of 20; evaluated twice."""
    folder = tmp_path_factory.mktemp("planning")
    store = open_store(folder / "home")
    points = plan(folder, FILE.format(tasks="cartpole_balance")).points()
    cells = {cell.at["horizon"]: spec for cell, spec in points.values()}
    scores = {"5": (100, 150, 220, 90, 140), "10": (300, 500)}
    runs = [replace(cells[horizon], seed=seed) for horizon, own in scores.items() for seed in range(len(own))]
    world = World(
        lambda cell, at: np.array([0.0] * (len(at) - 1) + [scores[str(cell.config.horizon)][cell.seed]]),
        {"dreamer": 10.0},
        0.3,
    )
    fill(store, runs, world, noise=0, every=1000)
    return store.home


def test_spreads_are_those_of_the_cell_else_of_its_task_else_assumed(home, tmp_path):
    both = plan(tmp_path, FILE.format(tasks="cartpole_balance, cartpole_swingup"))
    keys = {(cell.at["task"], cell.at["horizon"]): key for key, (cell, _) in both.points().items()}
    found = planning.Spreads(open_store(home), {key: spec for key, (_, spec) in both.points().items()})
    own, two = np.array([100, 150, 220, 90, 140]), np.array([300, 500])
    pooled = math.sqrt((own.var(ddof=1) * 4 + two.var(ddof=1)) / 5)
    spread, used = found.of(keys["cartpole_balance", "5"], "final")
    assert spread == pytest.approx(own.std(ddof=1)) and len(used) == 5
    for horizon in ("10", "20"):
        spread, used = found.of(keys["cartpole_balance", horizon], "final")
        assert spread == pytest.approx(pooled) and len(used) == 7
    assert found.of(keys["cartpole_balance", "5"], "curve")[0] == pytest.approx(own.std(ddof=1) / 2)
    assert found.of(keys["cartpole_swingup", "5"], "final") == (planning.ASSUMED, ())
    low, high = f"{own.std(ddof=1):.0f}", f"{pooled:.0f}"
    said = found.said(list(keys.values()), ["final"])
    assert said == f"spread: {low} to {high} points, from 7 runs like these; assumed for 3 of 6 cells: 100"


ends = st.floats(-1, 1, allow_nan=False)
contrasts = st.lists(st.tuples(ends, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=3)


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(found=contrasts, margin=st.one_of(st.none(), st.floats(0.01, 1)))
def test_many_trials_are_decided_as_one_is(found, margin):
    values, loose, more = (np.array(column)[:, None] for column in zip(*found, strict=True))
    strict = loose + more
    pairs = [
        [Interval(v - h, v + h) for v, h in zip(values[:, 0], half[:, 0], strict=True)] for half in (loose, strict)
    ]
    margins = np.full(values.shape, np.nan if margin is None else margin)
    (answered,) = planning.answered(values, loose, strict, margins)
    assert answered == (sequential.decided(*pairs, margin) is not None)


def played(differences, spread, looks, rng):
    """One experiment of the questions of FILE: after how many seeds each has an answer, None without one."""
    weights = [[(1, (20,)), (-1, (5,))], [(1, (20,)), (-1, (10,))]], [[(-1, (10,)), (1, (5,))]]
    done = [None, None]
    scores = {horizon: rng.normal(0, spread, looks[-1]) for horizon in (5, 10, 20)}
    for look, seeds in enumerate(looks):
        while None in done:
            before = list(done)
            level = sequential.levels(looks, ALPHA / before.count(None))[look]
            for index, contrasts in enumerate(weights):
                if before[index] is None:
                    own = sorted({h for one in contrasts for _, hs in one for h in hs})
                    pool, margin = [scores[h][:seeds] for h in own], (0.15, None)[index]
                    made = []
                    for at in (level, level / len(contrasts)):
                        terms = [[(w, scores[h][:seeds]) for w, (h,) in one] for one in contrasts]
                        value = [differences[index] + sum(w * s.mean() for w, s in one) for one in terms]
                        made.append([sequential.interval(v, t, at, pool) for v, t in zip(value, terms, strict=True)])
                    if sequential.decided(*made, margin) is not None:
                        done[index] = seeds
            if done == before:
                break
    return done


def test_it_expects_what_experiments_played_one_by_one_take(tmp_path):
    store = open_store(tmp_path / "home")
    own = plan(tmp_path, FILE.format(tasks="cartpole_balance"))
    expected = planning.forecast(store, own, lambda cells: len(cells) * 0.5)
    rng, trials = np.random.default_rng(1), 150
    for index, margins in enumerate(planning.DIFFERENCES):
        rows = [one.expected[index] for one in expected]
        played_ = [
            played((margins * 0.15, margins * 0.05), planning.ASSUMED / SCALE, own.looks, rng) for _ in range(trials)
        ]
        for question, row in enumerate(rows):
            ended = [trial[question] for trial in played_]
            share = np.mean([seeds is not None for seeds in ended])
            error = max(0.5, 3.5 * math.sqrt(trials * row.answered * (1 - row.answered))) / trials
            assert abs(share - row.answered) <= error + 0.02, (index, question, share, row)
            mean = np.mean([seeds or own.looks[-1] for seeds in ended])
            assert abs(mean - row.seeds) < 3.5 * 1.5 / math.sqrt(trials) + 0.05, (index, question, mean, row)
            assert row.hours == pytest.approx(row.runs * 0.5) and row.runs == pytest.approx(
                row.seeds * (3, 2)[question]
            )
    assert expected[0].expected[2].answered > 0.7 > 0.1 > expected[1].expected[0].answered


def test_a_dry_run_tells_it(home, tmp_path):
    plan(tmp_path, FILE.format(tasks="cartpole_balance") + MORE)
    done = typed("sweep", tmp_path / "mine.yaml", "--dry-run", home=home)
    text = " ".join(done.stdout.split())
    assert "that is look 1 of 2, at 3 seeds; with all looks (3, 6) it is 18 runs at most" in text
    assert "QUESTION DIFFERENCE ANSWERED SEEDS RUNS HOURS longer 0 " in text
    assert "points, from 7 runs like these; it has no margin, so 50 points stand for one" in text
    assert "ratio: not planned, a ratio depends" in text and "count: not planned, a count depends" in text
    told = json.loads(typed("sweep", tmp_path / "mine.yaml", "--dry-run", "--json", home=home).stdout)
    assert len(told["runs"]) == 9 and sum(run["status"] == "finished" for run in told["runs"]) == 5
    longer, pair, ratio, count = told["questions"]
    assert [row["difference"] for row in longer["expected"]] == [0, 150, 300]
    assert [row["difference"] for row in pair["expected"]] == [0, 50, 100] and pair["assumed"]
    assert longer["most_runs"] == 18 and pair["most_runs"] == 12 and not ratio["expected"] and count["unplanned"]
    assert 0 < longer["expected"][2]["hours"] <= longer["most_hours"]
    for row in longer["expected"]:
        assert row["runs"] == pytest.approx(3 * row["seeds"])


@pytest.mark.parametrize(
    ("spreads", "difference", "level"), [([(0.1, 0.1)], 0.1, 0.05), ([(0.05, 0.2), (0.1, 0.0)], 0.08, 0.01)]
)
def test_seeds_for_a_difference_find_it_in_four_of_five_experiments(spreads, difference, level):
    """Against experiments with so many seeds; with two thirds of them, or a difference of 0, it is found less often."""
    ours, theirs = (
        {f"task{n}": 0.5 + of[side] * np.array([-1, 0, 1]) for n, of in enumerate(spreads)} for side in (0, 1)
    )
    seeds = planning.seeds(ours, theirs, difference, level)
    rng = np.random.default_rng(0)

    def share(count, true):
        found = 0
        for _ in range(300):
            terms = [
                (sign / len(spreads), rng.normal(true if sign > 0 else 0, of[side], count))
                for of in spreads
                for side, sign in enumerate((1, -1))
            ]
            found += statistics.contrast_interval(terms, 1 - level).low > 0
        return found / 300

    assert abs(share(seeds, difference) - 0.8) < 0.09
    assert share(seeds * 2 // 3, difference) < 0.75 and share(seeds, 0) < 0.05


def test_seeds_for_a_difference_that_no_number_can_tell():
    one = {"walker_walk": [0.3]}
    assert planning.seeds(one, {"walker_walk": [0.1, 0.2]}, 0.1, 0.05) is None
    assert planning.seeds({"walker_walk": [0.0, 1.0]}, {"walker_walk": [0.0, 1.0]}, 1e-6, 0.05) is None


def test_compare_plans_the_seeds_of_each_group(home):
    done = typed("compare", "--by", "horizon", "--plan", "100", "--json", home=home)
    groups = {row["group"]: row for row in json.loads(done.stdout)}
    assert groups["horizon=10"]["reference"] and groups["horizon=10"]["plan"] is None
    ours, theirs = ({"t": [v / 1000 for v in own]} for own in ((100, 150, 220, 90, 140), (300, 500)))
    assert groups["horizon=5"]["plan"] == {"difference": 100, "seeds": planning.seeds(ours, theirs, 0.1, 0.05)}
    text = " ".join(typed("compare", "--by", "horizon", "--plan", "100", home=home).stdout.split())
    assert (
        f"horizon=5 and horizon=10: {groups['horizon=5']['plan']['seeds']} seeds per task, at hand: 2" in text
        and "100 points" in text
    )
    for wrong in ("0", "-3", "nan"):
        refused = typed("compare", "--by", "horizon", "--plan", wrong, home=home)
        assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    refused = typed("compare", "--plan", "50", "--against", "published", home=home)
    assert refused.returncode == 2


def test_a_sweep_without_questions_is_told_as_before(tmp_path):
    done = typed("sweep", "--tasks", "walker_walk", "--seeds", "1", "--dry-run", "--json", home=tmp_path / "home")
    assert isinstance(json.loads(done.stdout), list)
