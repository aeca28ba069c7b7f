"""Figures: the table beside the picture holds what was drawn."""

import csv

import pytest

from dreamctl.errors import BadInput
from dreamctl.results.figures import curves as figure
from dreamctl.results.figures import style


def table(stem):
    with stem.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def lines(rows):
    """{group: [(environment steps, mean, std, seeds)]} of the lines that stand for groups."""
    found = {}
    for row in rows:
        if row["env_steps"] and not row.get("run"):
            line = found.setdefault((row["task"], row["group"]), [])
            line.append((int(row["env_steps"]), float(row["mean"]), float(row["std"]), int(row["seeds"])))
    return found


def test_seeds_become_one_line_with_a_band(store, evaluated, tmp_path):
    runs = [evaluated({80: [10], 400: [20, 40]}), evaluated({80: [20], 400: [50]}, seed=1)]
    paths = figure.draw(store, runs, tmp_path / "deep" / "curves")
    assert [path.name for path in paths] == ["curves.png", "curves.pdf", "curves.csv"]
    assert paths[0].read_bytes()[1:4] == b"PNG" and paths[1].read_bytes()[:4] == b"%PDF"
    rows = table(tmp_path / "deep" / "curves")
    assert lines(rows) == {("pendulum_swingup", "Dreamer"): [(80, 15, 5, 2), (400, 40, 10, 2)]}
    assert [float(row["mean"]) for row in rows if row["group"] == "Random policy"] == [4]


def test_runs_without_evaluation_are_left_out_and_none_at_all_is_an_error(store, evaluated, tmp_path):
    empty, run = evaluated({}), evaluated({80: [10]}, seed=1)
    figure.draw(store, [empty, run], tmp_path / "a")
    assert list(lines(table(tmp_path / "a")).values()) == [[(80, 10, 0, 1)]]
    with pytest.raises(BadInput, match="none of these runs has been evaluated"):
        figure.draw(store, [empty], tmp_path / "b")
    assert not list(tmp_path.glob("b.*"))


def test_a_single_runs_curve_is_a_png(store, evaluated, tmp_path):
    figure.learning_curve(store, evaluated({80: [10]}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("count", [1, 2, 4, 6, 20])
def test_only_the_outer_panels_carry_axis_labels(count):
    _, axes = style.panels(count)
    columns = min(count, 4)
    assert len(axes) == count
    assert [bool(axis.get_ylabel()) for axis in axes] == [index % columns == 0 for index in range(count)]
    assert [bool(axis.get_xlabel()) for axis in axes] == [index + columns >= count for index in range(count)]


def test_titles():
    assert style.title("ball_in_cup_catch") == "Ball In Cup Catch"
