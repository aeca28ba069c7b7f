"""Groups of runs compared, read back from the store."""

import csv
import json

import numpy as np
import pytest

from dreamctl.errors import BadInput
from dreamctl.results import comparison, published
from tests.dreamctl.conftest import typed


@pytest.fixture
def runs(evaluated):
    """Horizon 5 scores 100 and 300 (its first seed was done twice), horizon 7 scores 500."""
    return [
        evaluated({80: [10], 400: [90, 110]}),
        evaluated({80: [10]}),
        evaluated({80: [20], 400: [300]}, seed=1),
        evaluated({80: [400], 400: [500]}, horizon="7"),
    ]


def test_groups_scores_and_differences(store, runs):
    best, other = comparison.compare(store, runs, ("horizon",)).groups
    assert (best.name, best.scores) == ("horizon=7", {"pendulum_swingup": [500.0]})
    assert (other.name, other.scores) == ("horizon=5", {"pendulum_swingup": [100.0, 300.0]})
    assert (best.iqm, other.iqm) == (0.5, 0.2) and best.interval is None and other.interval.low < 0.1
    assert (other.mean, other.difference, other.p) == (200, -300, pytest.approx(2 / 3))
    assert best.improvement is None and other.improvement == 0 and best.reference and not other.reference
    assert comparison.compare(store, runs, ("horizon",), against="HORIZON=5").groups[1].reference
    assert best.differs == {"horizon": [7]} and other.differs == {"horizon": [5]}


def test_scores_at_a_step_and_against_a_group(store, runs):
    best, other = comparison.compare(store, runs, ("horizon",), at=100, against="horizon=5").groups
    assert best.scores == {"pendulum_swingup": [400.0]} and best.improvement == 1
    assert other.scores == {"pendulum_swingup": [10.0, 20.0]} and other.improvement is None


def test_against_what_was_published(store, runs):
    runs = runs[:3]
    groups = {g.name: g for g in comparison.compare(store, runs, ("method",), against="published").groups}
    known = published.final("dreamer")["pendulum_swingup"].mean
    assert groups["published"].scores == {"pendulum_swingup": [known]}
    ours = groups["Dreamer"]
    assert ours.improvement is None and ours.p is None and groups["published"].iqm is None  # no single runs to compare
    assert ours.difference == pytest.approx(200 - known) and ours.difference_interval.low < 200 - known
    with pytest.raises(BadInput, match="nothing was published"):
        comparison.compare(store, runs, ("method",), at=100, against="published")


def test_groups_are_compared_over_the_tasks_that_all_have(store, evaluated):
    """Horizon 7 is not better for having run the easy task as well."""
    runs = [evaluated({400: [300 + seed]}, seed=seed) for seed in range(3)]
    runs += [evaluated({400: [200 + seed]}, seed=seed, horizon="7") for seed in range(3)]
    runs += [evaluated({400: [900]}, seed=seed, horizon="7", task="walker_walk") for seed in range(3)]
    found = comparison.compare(store, runs, ("horizon",))
    assert [group.name for group in found.groups] == ["horizon=5", "horizon=7"]
    assert found.cells == ["pendulum_swingup"] and found.left_out == ["walker_walk"]
    assert found.groups[1].scores == {"pendulum_swingup": [200, 201, 202]} and found.groups[1].p == pytest.approx(0.1)
    with pytest.raises(BadInput, match="no task in common"):
        comparison.compare(store, [runs[0], runs[-1]], ("horizon",))


def test_the_values_of_a_field_weigh_the_same_as_tasks_do(store, evaluated):
    """Two horizons of one task give the numbers that two tasks with the same scores give."""

    def groups(places, **options):
        scores = {"dreamer": ((300, 320, 360), (700, 640)), "no_value": ((310, 100, 150), (650, 400))}
        runs = [
            evaluated({400: [score]}, seed=seed, method=method, **place)
            for method, cells in scores.items()
            for place, cell in zip(places, cells, strict=True)
            for seed, score in enumerate(cell)
        ]
        return comparison.compare(store, runs, ("method",), **options)

    tasks = groups(({}, {"task": "walker_walk"}))
    within = groups(({}, {"horizon": "7"}), within=("horizon",))
    assert within.cells == ["pendulum_swingup, horizon=5", "pendulum_swingup, horizon=7"]
    assert "horizon" not in within.groups[1].differs
    for theirs, ours in zip(tasks.groups, within.groups, strict=True):
        assert list(ours.scores.values()) == list(theirs.scores.values())
        for key in ("name", "mean", "iqm", "interval", "difference_interval", "improvement_interval", "p"):
            assert getattr(ours, key) == getattr(theirs, key), key


def test_p_values_allow_for_the_choice_of_the_best_group(store, evaluated):
    """Three pairs of three groups, two comparisons when the reference was named beforehand."""
    runs = [
        evaluated({400: [score + seed]}, seed=seed, horizon=horizon)
        for horizon, score in (("5", 100), ("6", 300), ("7", 500))
        for seed in range(4)
    ]
    best, _, worst = comparison.compare(store, runs, ("horizon",)).groups
    assert worst.p == pytest.approx(3 * 2 / 70) and best.p is None
    named = comparison.compare(store, runs, ("horizon",), against="horizon=7").groups[2]
    assert named.p == pytest.approx(2 * 2 / 70)
    assert named.improvement_interval.high < worst.improvement_interval.high


def test_the_least_p_is_that_of_holms_method(store, evaluated):
    """Seeds 3, 6 and 6 on one task: two pairs can have p = 2/84 at least, the third 2/924; Holm's factors: 2, 1, 3.

    All seeds of one group above those of the next, so that these p are what is found.
    """
    runs = [
        evaluated({400: [score + seed]}, seed=seed, horizon=horizon)
        for horizon, score, seeds in (("5", 100, 3), ("6", 300, 6), ("7", 500, 6))
        for seed in range(seeds)
    ]
    found = comparison.compare(store, runs, ("horizon",))
    assert [group.p for group in found.groups] == [None, pytest.approx(3 * 2 / 924), pytest.approx(2 * 2 / 84)]
    assert found.least_p == pytest.approx(3 * 2 / 924)
    assert "can be significant" not in typed("compare", "--by", "horizon", home=store.home).stderr
    named = comparison.compare(store, runs, ("horizon",), against="horizon=5")
    assert named.least_p == pytest.approx(2 * 2 / 84) and named.least_p < 0.05 < 3 * 2 / 84


def test_runs_without_a_score_at_the_steps_asked_for_are_named(store, evaluated):
    """One has not come so far, the other was not evaluated before; seeds are counted for each task."""
    runs = [evaluated({80: [10], 400: [90]}, seed=seed, task=task) for task in ("walker_walk", "hopper_hop")
            for seed in (0, 1)]  # fmt: skip
    runs += [evaluated({80: [10]}, seed=2, task="hopper_hop"), evaluated({400: [70]}, seed=3, task="hopper_hop")]
    found = comparison.compare(store, runs, ("method",), at=100)
    assert [run.seed for run in found.behind] == [2, 3] and len(found.groups[0].runs) == 4
    done = typed("compare", "--at", "100", home=store.home)
    assert f"no score yet after 100 environment steps: {runs[4].name}, {runs[5].name}" in done.stderr
    assert " 2-4 " in typed("compare", home=store.home).stdout
    assert json.loads(typed("compare", "--json", home=store.home).stdout)[0]["seeds"] == 2


def test_a_reference_may_be_typed_as_its_setting_is_written(store, evaluated):
    runs = [evaluated({400: [100]}, action_repeat="1"), evaluated({400: [300]}, action_repeat="2")]
    found = comparison.compare(store, runs, ("action_repeat", "horizon"), against="action_repeat=1")
    assert [group.reference for group in found.groups] == [False, True]


def test_intervals_of_several_differences_say_that_they_are_corrected(store, runs):
    alone = typed("compare", "--against", "published", "--where", "horizon=5", "--by", "horizon", home=store.home)
    assert "corrected" not in alone.stdout
    both = typed("compare", "--against", "published", "--by", "horizon", home=store.home)
    assert "those of differences corrected for 2 of them" in " ".join(both.stdout.split())


def test_scores_of_shorter_runs_are_marked_or_left_out(store, evaluated):
    runs = [evaluated({400: [300]}), evaluated({400: [320]}, seed=1), evaluated({80: [10]}, seed=2)]
    with store._write() as session:
        from dreamctl.store.models import Run

        session.get_one(Run, runs[2].id).status = "stopped"
    runs[2] = store.get(runs[2].id)
    (group,) = comparison.compare(store, runs, ("horizon",)).groups
    assert [(one.run.id, one.env_steps, one.wanted) for one in group.short] == [(runs[2].id, 80, 400)]
    assert len(group.scores["pendulum_swingup"]) == 3
    (group,) = comparison.compare(store, runs, ("horizon",), complete=True).groups
    assert group.scores == {"pendulum_swingup": [300, 320]} and not group.short
    table = typed("compare", "--csv", store.home / "a.csv", home=store.home)
    assert "walker" not in table.stderr and "shorter than 400 environment steps" in table.stderr
    (row,) = csv.DictReader((store.home / "a.csv").open())
    assert (row["seeds"], row["env_steps"], row["status"]) == ("3", "80", "stopped")


def test_where_narrows_every_command_that_reads(store, runs):
    listed = typed("ls", "--where", "horizon=7", "--json", home=store.home)
    assert [row["id"] for row in json.loads(listed.stdout)] == [runs[3].id]
    both = typed("ls", "--where", "horizon=5,7", "--where", "seed=1", "--json", home=store.home)
    assert [row["id"] for row in json.loads(both.stdout)] == [runs[2].id]
    done = typed("compare", "--by", "horizon", "--where", "horizon=5", "--json", home=store.home)
    assert [row["group"] for row in json.loads(done.stdout)] == ["horizon=5"]
    bad = typed("ls", "--where", "horizn=5", home=store.home)
    assert bad.returncode == 2 and "did you mean 'horizon'" in bad.stderr
    assert "takes FIELD=VALUE" in typed("compare", "--where", "horizon", home=store.home).stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": ("horizn",)}, "did you mean 'horizon'"),
        ({"against": "nobody"}, "'nobody' is not one of the groups"),
        ({"against": "horizon"}, "'horizon' is how several groups begin: horizon=7; horizon=5"),
        ({"by": ("method",)}, "runs of one group differ in horizon: .*--by horizon.*--within horizon"),
        ({"within": ("horizon",)}, "--by and --within both name horizon"),
        ({"by": ("method",), "within": ("horizn",)}, "did you mean 'horizon'"),
        ({"by": ("method",), "within": ("horizon",), "against": "published"}, "leave out --within"),
        ({"at": 1000}, "has been evaluated and has reached 1,000 environment steps"),
    ],
)
def test_bad_input(store, runs, changes, message):
    with pytest.raises(BadInput, match=message):
        comparison.compare(store, runs, **({"by": ("horizon",)} | changes))


def test_the_command(store, runs, tmp_path):
    table = typed("compare", "--by", "horizon", home=store.home)
    assert table.returncode == 0, table.stderr
    assert "horizon=7" in table.stdout and "0.20 [0.00, " in table.stdout
    assert "no difference can be significant here: p is at least 0.67" in table.stderr
    assert "no interval for horizon=7: a task has only one seed" in table.stderr
    command = ["compare", "--by", "horizon", "--csv", tmp_path / "a.csv", "--json"]
    one = typed("compare", "--within", "horizon", "--csv", tmp_path / "c.csv", home=store.home)
    assert "a cell has only one seed" in one.stderr and "CELLS" in one.stdout
    cells = [(row["task"], row["seeds"], row["mean"]) for row in csv.DictReader((tmp_path / "c.csv").open())]
    name = "pendulum_swingup, horizon="
    assert cells == [(f"{name}5", "2", "200.0"), (f"{name}7", "1", "500.0")]
    clash = typed(*command, "--plot", tmp_path / "a.png", home=store.home)
    assert clash.returncode == 2 and "would overwrite the CSV of --plot" in clash.stderr
    done = typed(*command, "--plot", tmp_path / "b0.9", home=store.home)
    assert done.stderr.count(str(tmp_path / "b0.9.")) == 3
    rows = json.loads(done.stdout)
    keys = ("group", "seeds", "runs", "mean", "median", "std")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("horizon=7", 1, 1, 500.0, 500.0, None),
        ("horizon=5", 2, 2, 200.0, 200.0, 100.0),
    ]
    written = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["group"], row["task"], row["seeds"], row["mean"], row["std"]) for row in written] == [
        ("horizon=7", "pendulum_swingup", "1", "500.0", "0.0"),
        ("horizon=5", "pendulum_swingup", "2", "200.0", "100.0"),
    ]


def test_the_picture_holds_the_numbers(store, runs, tmp_path):
    from dreamctl.results.figures import intervals

    groups = comparison.compare(store, runs, ("horizon",)).groups
    paths = intervals.draw(groups, tmp_path / "p")
    rows = list(csv.DictReader(paths[-1].open()))
    iqms = {r["group"]: float(r["value"]) for r in rows if r["what"] == "iqm"}
    assert iqms == {"horizon=7": 0.5, "horizon=5": 0.2}
    mine = [r for r in rows if r["what"] == "profile" and r["group"] == "horizon=5"]
    shares = {float(r["score"]): float(r["value"]) for r in mine}
    assert [shares[score] for score in (0, 90, 200, 310)] == [1.0, 1.0, 0.5, 0.0] and np.isclose(len(shares), 101)


def test_how_long_runs_take_to_a_score(store, evaluated):
    from dreamctl.results import reaching, scores

    runs = [
        evaluated({80: [10], 160: [60], 400: [40]}),
        evaluated({80: [10], 160: [20], 400: [70]}, seed=1),
        evaluated({80: [10], 160: [20], 400: [70]}, seed=2),
    ]
    finals = list(scores.finals(store, runs).values())
    (found,) = reaching.groups(store, finals, 50)
    assert found == ("pendulum_swingup", 3, 3, 400, None)  # no hours are on record
    (found,) = reaching.groups(store, finals, 65)
    assert found[1:4] == (2, 3, 400)
    (found,) = reaching.groups(store, finals, 80)
    assert found[1:4] == (0, 3, None)
