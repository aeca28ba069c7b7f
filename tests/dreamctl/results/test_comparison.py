"""Groups of runs compared, read back from the store."""

import csv
import json

import numpy as np
import pytest

from dreamctl.errors import BadInput
from dreamctl.results import comparison, published
from tests.dreamctl.conftest import cli


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
    best, other = comparison.compare(store, runs, ("horizon",))
    assert (best.name, best.scores) == ("horizon=7", {"pendulum_swingup": [500.0]})
    assert (other.name, other.scores) == ("horizon=5", {"pendulum_swingup": [100.0, 300.0]})
    assert (best.iqm, other.iqm) == (0.5, 0.2) and best.interval is None and other.interval == (0.1, 0.3)
    assert best.improvement is None and other.improvement == 0 and best.reference and not other.reference
    assert comparison.compare(store, runs, ("horizon",), against="HORIZON=5")[1].reference
    assert best.differs == {"horizon": [7]} and other.differs == {"horizon": [5]}


def test_scores_at_a_step_and_against_a_group(store, runs):
    best, other = comparison.compare(store, runs, ("horizon",), at=100, against="horizon=5")
    assert best.scores == {"pendulum_swingup": [400.0]} and best.improvement == 1
    assert other.scores == {"pendulum_swingup": [10.0, 20.0]} and other.improvement is None


def test_against_what_was_published(store, runs):
    runs = runs[:3]
    groups = {g.name: g for g in comparison.compare(store, runs, ("method",), against="published")}
    assert groups["published"].scores == {"pendulum_swingup": [published.final("dreamer")["pendulum_swingup"]]}
    with pytest.raises(BadInput, match="nothing was published"):
        comparison.compare(store, runs, ("method",), at=100, against="published")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": ("horizn",)}, "did you mean 'horizon'"),
        ({"against": "nobody"}, "'nobody' is not one of the groups"),
        ({"against": "horizon"}, "'horizon' is not one of the groups horizon=7, horizon=5"),
        ({"by": ("method",)}, "runs of one group differ in horizon: .*--by horizon"),
        ({"at": 1000}, "has been evaluated and has 1000 environment steps"),
    ],
)
def test_bad_input(store, runs, changes, message):
    with pytest.raises(BadInput, match=message):
        comparison.compare(store, runs, **({"by": ("horizon",)} | changes))


def test_the_command(store, runs, tmp_path):
    table = cli("compare", "--by", "horizon", home=store.home)
    assert table.returncode == 0, table.stderr
    assert "horizon=7" in table.stdout and "0.200 [0.100, 0.300]" in table.stdout
    assert "no interval for horizon=7: there is a task with a single seed" in table.stderr
    command = ["compare", "--by", "horizon", "--csv", tmp_path / "a.csv", "--json"]
    clash = cli(*command, "--plot", tmp_path / "a.png", home=store.home)
    assert clash.returncode == 2 and "give --csv another name" in clash.stderr
    done = cli(*command, "--plot", tmp_path / "b.png", home=store.home)
    rows = json.loads(done.stdout)
    keys = ("group", "seeds", "runs", "mean", "median", "std")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("horizon=7", 1, 1, 500.0, 500.0, 0.0),
        ("horizon=5", 2, 2, 200.0, 200.0, 100.0),
    ]
    written = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["group"], row["task"], row["seeds"], row["mean"], row["std"]) for row in written] == [
        ("horizon=7", "pendulum_swingup", "1", "500.0", "0.0"),
        ("horizon=5", "pendulum_swingup", "2", "200.0", "100.0"),
    ]


def test_the_picture_holds_the_numbers(store, runs, tmp_path):
    from dreamctl.results.figures import intervals

    groups = comparison.compare(store, runs, ("horizon",))
    paths = intervals.draw(groups, tmp_path / "p")
    rows = list(csv.DictReader(paths[-1].open()))
    iqms = {r["group"]: float(r["value"]) for r in rows if r["what"] == "iqm"}
    assert iqms == {"horizon=7": 0.5, "horizon=5": 0.2}
    mine = [r for r in rows if r["what"] == "profile" and r["group"] == "horizon=5"]
    shares = {float(r["score"]): float(r["value"]) for r in mine}
    assert [shares[score] for score in (0, 90, 200, 310)] == [1.0, 1.0, 0.5, 0.0] and np.isclose(len(shares), 101)
