"""Figures: the table beside the picture holds what was drawn."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from dreamctl.errors import BadInput
from dreamctl.results import curves, selection
from dreamctl.results.cells import Choice
from dreamctl.results.figures import curves as figure
from dreamctl.results.figures import final, style
from dreamctl.results.figures import lines as lines_
from tests.dreamctl.conftest import typed


def draw(store, runs, stem, by=None, **choice):
    return figure.draw(store, runs, stem, by, Choice(**choice), ("png", "pdf"))


def table(stem):
    with stem.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def lines(rows):
    """{group: [(environment steps, mean, std, seeds)]} of the lines that stand for groups."""
    found = {}
    for row in rows:
        if row["env_steps"] and not row.get("run") and not row["source"]:
            line = found.setdefault((row["task"], row["group"]), [])
            line.append((int(row["env_steps"]), float(row["mean"]), float(row["std"]), int(row["seeds"])))
    return found


def test_seeds_become_one_line_with_a_band(store, evaluated, tmp_path):
    runs = [evaluated({80: [10], 400: [20, 40]}), evaluated({80: [20], 400: [50]}, seed=1)]
    paths = draw(store, runs, tmp_path / "deep" / "curves")
    assert [path.name for path in paths] == ["curves.png", "curves.pdf", "curves.csv"]
    assert paths[0].read_bytes()[1:4] == b"PNG" and paths[1].read_bytes()[:4] == b"%PDF"
    rows = table(tmp_path / "deep" / "curves")
    assert lines(rows) == {("pendulum_swingup", "Dreamer"): [(80, 15, 5, 2), (400, 40, 10, 2)]}
    assert [float(row["mean"]) for row in rows if row["group"] == "Random policy"] == [4]


def test_the_lines_of_single_seeds_are_in_the_table(store, evaluated, tmp_path):
    runs = [evaluated({80: [10], 400: [20, 40]}), evaluated({80: [20]}, seed=1)]
    draw(store, runs, tmp_path / "a")
    drawn = [(row["run"], int(row["env_steps"]), float(row["mean"])) for row in table(tmp_path / "a") if row["run"]]
    assert drawn == [(runs[0].name, 80, 10), (runs[0].name, 400, 30), (runs[1].name, 80, 20)]


def test_only_seeds_are_averaged(store, evaluated, tmp_path):
    """Runs with other settings are other lines; how closely a run is watched is no setting of the agent."""
    runs = [
        evaluated({80: [10]}),
        evaluated({80: [20]}, seed=1, eval_episodes="2"),
        evaluated({80: [40]}, horizon="7"),
    ]
    draw(store, runs, tmp_path / "a")
    assert {group: line for (_, group), line in lines(table(tmp_path / "a")).items()} == {
        "horizon=5": [(80, 15, 5, 2)],
        "horizon=7": [(80, 40, 0, 1)],
    }


def test_a_line_by_one_field_does_not_hide_another(store, evaluated, tmp_path):
    runs = [evaluated({80: [10]}), evaluated({80: [40]}, horizon="7"), evaluated({80: [90]}, horizon="7", depth="8")]
    with pytest.raises(BadInput, match=r"differ in depth: .*--by depth"):
        draw(store, runs, tmp_path / "a", ("horizon",))
    draw(store, runs[:2], tmp_path / "a", ("horizon",))
    assert {name: line[0][1] for (_, name), line in lines(table(tmp_path / "a")).items()} == {
        "horizon=5": 10,
        "horizon=7": 40,
    }


def test_what_is_asked_for_is_known_by_any_spelling_or_refused(store, evaluated):
    run = evaluated({80: [10]}, task="walker_walk")
    assert [found.id for found in selection.select(store, [], Choice(tasks=("Walker-Walk",)))] == [run.id]
    for choice, message in (
        (Choice(tasks=("walker_wlk",)), "unknown task 'walker_wlk', did you mean 'walker_walk'"),
        (Choice(methods=("planett",)), "unknown method 'planett', did you mean 'planet'"),
        (Choice(tasks=("hopper_hop",)), "no matching run"),
    ):
        with pytest.raises(BadInput, match=message):
            selection.select(store, [], choice)
    for words, message in (
        (("ls", "--method", "planett"), "unknown method 'planett', did you mean 'planet'"),
        (("ls", "--task", "walker_wlk"), "unknown task 'walker_wlk', did you mean 'walker_walk'"),
        (("plot", "curves", "--version", "v9"), "--version is submission or camera-ready, not 'v9'"),
        (("plot", "figure4", "--x", "hours"), "No such option: --x"),
        (("plot", "curves", "--until", "1e5.5"), "no number of environment steps"),
    ):
        done = typed(*words, home=store.home)
        assert done.returncode == 2 and message in done.stderr, (words, done.stderr)
    assert typed("plot", "curves", "--until", "1e5", "--format", "png", home=store.home).returncode == 0


def test_a_run_done_twice_is_one_seed(store, evaluated, tmp_path):
    draw(store, [evaluated({80: [10], 160: [30]}), evaluated({80: [10]})], tmp_path / "a")
    assert list(lines(table(tmp_path / "a")).values()) == [[(80, 10, 0, 1), (160, 30, 0, 1)]]


def groups(*pairs):
    return [figure.Group(method, objective, "") for method, objective in pairs]


FIGURES = [
    ["Dreamer", "No value", "PlaNet", "D4PG", "A3C", "SLAC"],
    ["Reconstruction", "Contrastive", "Reward only", "D4PG", "A3C"],
    ["Action repeat 1", "Action repeat 2", "Action repeat 4"],
    ["Dreamer", "horizon=5", "horizon=15", "horizon=30", "horizon=40"],
]


def test_a_method_has_one_look_in_all_figures():
    blue = style.LOOKS["Dreamer"]
    assert style.looks(["PlaNet"])["PlaNet"].color == "#984ea3"
    assert style.looks(FIGURES[1])["Reconstruction"] == style.looks(FIGURES[2])["Action repeat 2"] == blue
    assert len({look.color for label, look in style.LOOKS.items()}) == len(style.LOOKS) - 2  # three names for Dreamer
    assert style.looks(["horizon=7", "horizon=5"])["horizon=7"] == blue
    mixed = style.looks(["Dreamer, Reconstruction", "Dreamer, Contrastive", "PlaNet, Reconstruction"])
    assert list(mixed.values()) == [blue, style.LOOKS["Contrastive"], style.LOOKS["PlaNet"]]
    settings = style.looks(["Dreamer, Contrastive, x=1", "PlaNet, x=1", "PlaNet, x=2", "x=3"])
    assert list(settings.values())[:2] == [style.LOOKS["Contrastive"], style.LOOKS["PlaNet"]]
    assert len(set(settings.values())) == 4
    many = style.looks([f"horizon={value}" for value in range(8)])
    assert len(set(many.values())) == 8


@pytest.mark.parametrize("labels", FIGURES, ids=lambda labels: labels[0])
def test_lines_are_told_apart_without_colours(labels):
    """Protan, deutan and grey readers have markers and dashes."""
    looks = style.looks(labels)
    assert len({(look.marker, str(look.style)) for look in looks.values()}) == len(labels)


def test_labels_say_only_what_differs():
    def labels(*pairs):
        return [figure.label(group, groups(*pairs)) for group in groups(*pairs)]

    assert labels(("planet", "reconstruction")) == ["PlaNet"]
    assert labels(("dreamer", "reconstruction"), ("dreamer", "reward")) == ["Reconstruction", "Reward only"]
    assert labels(("dreamer", "reward"), ("planet", "reconstruction")) == [
        "Dreamer, Reward only",
        "PlaNet, Reconstruction",
    ]


LEGENDS = [
    ["Dreamer"],
    ["Dreamer, Reconstruction", "No value, Reconstruction", "PlaNet, x"],
    [f"Dreamer, Reconstruction, batch_length={n}, horizon=8, exploration_noise=0.3" for n in range(19)],
    ["Dreamer", f"Dreamer, {', '.join(f'setting{n}={n}' for n in range(20))}"],
]


@pytest.mark.parametrize("labels", LEGENDS, ids=["one", "three", "many", "long"])
@pytest.mark.parametrize("count", [1, 4, 6])
@pytest.mark.filterwarnings("error")
def test_nothing_is_cut_off_and_nothing_overlaps(count, labels):
    figure_, axes = style.panels(count)
    for axis in axes:
        axis.set_title("Cartpole Swingup Sparse")
        for label in labels:
            axis.plot([0, 200_000], [0, 1000], label=label)
    style.legend(figure_, axes)
    figure_.draw_without_rendering()
    whole = figure_.bbox
    boxes = [figure_.legends[0].get_window_extent()]
    assert whole.y0 <= boxes[0].y0 and boxes[0].y1 <= min(axis.get_tightbbox().y0 for axis in axes)
    assert min(axis.bbox.height for axis in axes) > 0.6 * figure_.dpi  # inches: the panels are not squeezed
    boxes += [axis.xaxis.label.get_window_extent() for axis in axes if axis.get_xlabel()]
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in boxes)
    for axis in axes:
        if axis.get_xlabel() and axis.xaxis.offsetText.get_visible():
            offset = axis.xaxis.offsetText.get_window_extent()
            assert not axis.xaxis.label.get_window_extent().overlaps(offset)


def test_hours_of_a_mean_are_those_of_the_runs_that_are_left():
    """Run b is twice as slow and ends with the second bin."""
    points = {"a": np.array([100, 205, 300]), "b": np.array([100, 205])}
    hours = {"a": (np.array([0, 300]), np.array([0.0, 3.0])), "b": (np.array([0, 205]), np.array([0.0, 4.1]))}
    pen = lines_.Pen({name: (steps, steps * 1.0) for name, steps in points.items()}, 100, 9, hours, False)
    curve = curves.aggregate(list(pen.points.values()), 100, 9)
    runs = [SimpleNamespace(id=name, standing="finished") for name in points]
    assert curve.seeds.tolist() == [2, 2, 1]
    assert lines_._x(pen, curve, runs).tolist() == pytest.approx([1.5, 3.0, 3.0])


def test_what_cannot_be_written_is_one_clear_line(store, evaluated, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="choose another folder"):
        draw(store, [evaluated({80: [10]})], tmp_path / "file" / "a")


def test_runs_without_evaluation_are_left_out_and_none_at_all_is_an_error(store, evaluated, tmp_path):
    empty, run = evaluated({}), evaluated({80: [10]}, seed=1)
    draw(store, [empty, run], tmp_path / "a")
    assert list(lines(table(tmp_path / "a")).values()) == [[(80, 10, 0, 1)]]
    with pytest.raises(BadInput, match="none of these runs has been evaluated"):
        draw(store, [empty], tmp_path / "b")
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


def test_titles_and_the_order_of_panels():
    """As in the paper's Figure 8."""
    assert style.title("walker_walk") == "Walker Walk" and style.title("ball_in_cup_catch") == "Cup Catch"
    assert style.in_order(["finger_spin", "ball_in_cup_catch", "cheetah_run"]) == [
        "cheetah_run",
        "ball_in_cup_catch",
        "finger_spin",
    ]


def test_all_panels_have_one_range(store, evaluated):
    long = evaluated({80: [10], 400: [20]})
    drawn, _ = figure.make(store, [long, evaluated({80: [10]}, task="walker_walk")], None, Choice())
    drawn.draw_without_rendering()
    assert len({axis.get_xlim() for axis in drawn.axes}) == 1 and drawn.axes[1].get_xlim()[1] >= 400


def test_a_lone_method_keeps_its_name_and_several_presets_are_told_apart(store, evaluated, tmp_path):
    planet = evaluated({80: [10]}, method="planet")
    draw(store, [planet], tmp_path / "a", ("depth",))
    assert {group for _, group in lines(table(tmp_path / "a"))} == {"PlaNet"}
    draw(store, [planet, evaluated({80: [30]})], tmp_path / "b", ("depth",))
    assert {group: line[0][1] for (_, group), line in lines(table(tmp_path / "b")).items()} == {
        "PlaNet": 10,
        "Dreamer": 30,
    }
    tiny = evaluated({80: [40]}, preset="tiny")
    draw(store, [planet, tiny], tmp_path / "c")
    assert {group for _, group in lines(table(tmp_path / "c"))} == {"Dreamer, tiny", "PlaNet, smoke"}


def test_bins_can_be_chosen(store, evaluated, tmp_path):
    draw(store, [evaluated({80: [10], 160: [30], 400: [50]})], tmp_path / "a", width=200)
    assert list(lines(table(tmp_path / "a")).values()) == [[(200, 20, 0, 1), (400, 50, 0, 1)]]


def test_final_scores_are_drawn_as_their_table_says(store, evaluated, tmp_path, monkeypatch):
    figures, save = [], style.save
    monkeypatch.setattr(style, "save", lambda drawn, *rest: figures.append(drawn) or save(drawn, *rest))
    scores = {("5", "dreamer"): (10, 30), ("7", "dreamer"): (50, 80), ("5", "planet"): (20,), ("7", "planet"): (5,)}
    runs = [
        evaluated({80: [1], 400: [value]}, seed=seed, task=task, method=method, horizon=horizon)
        for task in ("pendulum_swingup", "walker_walk")
        for (horizon, method), values in scores.items()
        for seed, value in enumerate(value + 100 * (task == "walker_walk") for value in values)
    ]
    final.draw(store, runs, "horizon", "method", Choice(), tmp_path / "a", ("png",))
    rows = table(tmp_path / "a")
    expected = {(h, style.METHODS[m]): (sum(v) / len(v), len(v)) for (h, m), v in scores.items()}
    for axis, task, more in zip(figures[0].axes, ("pendulum_swingup", "walker_walk"), (0, 100), strict=True):
        assert axis.get_title() == style.title(task)
        mine = [r for r in rows if r["task"] == task]
        assert {(r["horizon"], r["group"]): (float(r["mean"]) - more, int(r["seeds"])) for r in mine} == expected
        for line in axis.get_lines():
            of_line = [(float(r["horizon"]), float(r["mean"])) for r in mine if r["group"] == line.get_label()]
            assert list(zip(*line.get_data(), strict=True)) == of_line and len(of_line) == 2
        assert len(axis.get_lines()) == 2


def test_the_final_score_of_a_run_done_twice_is_one_seed(store, evaluated, tmp_path):
    runs = [evaluated({80: [10], 160: [30]}), evaluated({80: [90]}), evaluated({160: [50]}, seed=1)]
    final.draw(store, runs, "horizon", "method", Choice(), tmp_path / "a", ("png",))
    (row,) = table(tmp_path / "a")
    assert (row["group"], row["seeds"], row["mean"], row["std"]) == ("Dreamer", "2", "40.0", "10.0")
    with pytest.raises(BadInput, match="no run was evaluated in its first 10 environment steps"):
        final.draw(store, runs, "horizon", "method", Choice(until=10), tmp_path / "b", ("png",))
    assert not list(tmp_path.glob("b.*"))


def test_one_width_of_a_bin_for_all_lines_of_a_figure(store, evaluated, tmp_path):
    """One line was evaluated every 80 steps, the other every 160: a bin of 160 for both."""
    often = evaluated({80: [10], 160: [30], 240: [50], 320: [70]})
    seldom = evaluated({160: [10], 320: [50]}, horizon="7", eval_every="160")
    draw(store, [often, seldom], tmp_path / "a")
    found = {group: [point[:2] for point in line] for (_, group), line in lines(table(tmp_path / "a")).items()}
    assert found == {"horizon=5": [(160, 20), (320, 60)], "horizon=7": [(160, 10), (320, 50)]}


def test_all_tasks_are_one_curve_up_to_the_length_that_all_runs_have(store, evaluated, tmp_path):
    from dreamctl.results import statistics
    from dreamctl.results.figures import efficiency

    runs = [
        evaluated({80: [100 * seed], 160: [200 + 100 * seed]}, seed=seed, task=task, horizon=horizon)
        for seed in range(2)
        for task, horizon in (("pendulum_swingup", "5"), ("walker_walk", "5"), ("pendulum_swingup", "7"))
    ]
    runs.append(evaluated({80: [500]}, seed=2))
    paths, notes = efficiency.draw(store, runs, tmp_path / "a", None, Choice(), ("png",))
    assert [path.name for path in paths] == ["a.png", "a.csv"]
    assert notes == ["not all lines have these tasks, they are left out: walker_walk"]
    found = {(row["group"], int(row["env_steps"])): row for row in table(tmp_path / "a")}
    assert set(found) == {("horizon=5", 80), ("horizon=7", 80), ("horizon=7", 160)}
    scores = {"pendulum_swingup": [0.0, 0.1, 0.5]}
    row = found["horizon=5", 80]
    assert float(row["iqm"]) == pytest.approx(statistics.iqm(scores)) and (row["tasks"], row["runs"]) == ("1", "3")
    interval = statistics.iqm_interval(scores)
    assert (float(row["low"]), float(row["high"])) == pytest.approx(tuple(interval))


def test_runs_are_drawn_beside_what_was_published(store, evaluated, tmp_path):
    from dreamctl.results import published

    run = evaluated({80: [10]}, preset="paper", task="walker_walk")
    run.steps = 205_000
    draw(store, [run], tmp_path / "a")
    released = [row for row in table(tmp_path / "a") if row["group"].startswith("Dreamer (released code")]
    points = published.curve("walker_walk")
    expected = list(zip(points.steps[:3].tolist(), points.mean[:3].tolist(), strict=True))
    assert [(int(row["env_steps"]), float(row["mean"])) for row in released] == expected
    assert all("official-scores-2021" in row["source"] for row in released)
    draw(store, [run], tmp_path / "b", published=False)
    assert {row["source"] for row in table(tmp_path / "b")} == {""}
    ours = evaluated({80: [10]}, preset="tiny", task="walker_walk", seed=1)
    ours.steps = 100_000  # of a smaller agent: the released curve's next point, and no final scores of others
    draw(store, [ours], tmp_path / "c")
    beside = [row for row in table(tmp_path / "c") if row["source"]]
    assert [(row["group"], int(row["env_steps"])) for row in beside] == [
        (released[0]["group"], steps) for steps in (5_000, 105_000)
    ]
    ours.steps = 4_000  # it ends before the first of them
    draw(store, [ours], tmp_path / "d")
    assert {row["source"] for row in table(tmp_path / "d")} == {""}


def test_the_released_curve_ends_with_a_short_run():
    """A line between its points at 5,000 and 105,000 steps, cut off at 30,000: a quarter of the way."""
    from matplotlib.figure import Figure

    from dreamctl.results import published
    from dreamctl.results.figures import lines, style

    axis = Figure().add_subplot()
    rows = lines.curve_of_released(axis, "walker_walk", style.LOOKS["Dreamer"], until=30_000)
    (line,) = axis.lines
    first, second = published.curve("walker_walk").mean[:2]
    assert line.get_xdata().tolist() == [5_000, 30_000]
    assert line.get_ydata().tolist() == pytest.approx([first, first + (second - first) / 4])
    assert [row[3] for row in rows] == [5_000, 105_000]  # what was published, nothing in between
