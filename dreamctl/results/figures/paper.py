"""The paper's figures from stored runs: 4 (horizons), 6 (final scores) and 7 to 11 (learning curves)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamctl.errors import BadInput
from dreamctl.results import cells, curves, published
from dreamctl.results.cells import Choice
from dreamctl.results.figures import style
from dreamctl.store import Run, Store

CURVES = ("task", "group", "seeds", "env_steps", "mean", "std", "run")  # run: of a single seed's line
_REFERENCES = {"d4pg": ("D4PG", "#ff7f00"), "a3c": ("A3C", "#e41a1c"), "slac": ("SLAC", "#a65628")}
_REPEATS = {1: "Action repeat 1", 2: "Action repeat 2", 4: "Action repeat 4"}

Row = tuple[Any, ...]


class Drawn(NamedTuple):
    """A figure, the table of what it shows with its header, and remarks."""

    figure: Any
    header: Sequence[str]
    rows: list[Row]
    notes: list[str]


class _Curves(NamedTuple):
    """Learning curves: the sweep they are drawn from, the field that lines differ in, its labels, the panels."""

    sweep: str
    axis: str
    labels: dict[Any, str]
    tasks: tuple[str, ...] | None = None
    references: tuple[str, ...] = ("d4pg", "a3c")


_SEVEN = (
    "acrobot_swingup",
    "cartpole_swingup_sparse",
    "hopper_hop",
    "hopper_stand",
    "pendulum_swingup",
    "quadruped_walk",
    "walker_run",
    "walker_walk",
)
_EIGHT = (
    "acrobot_swingup",
    "ball_in_cup_catch",
    "cheetah_run",
    "finger_spin",
    "hopper_stand",
    "pendulum_swingup",
    "quadruped_run",
    "walker_stand",
)
_LEARNING = {
    "figure7": _Curves("behavior", "method", style.METHODS, _SEVEN),
    "figure8": _Curves("representation", "objective", style.OBJECTIVES, _EIGHT),
    "figure9": _Curves("behavior", "method", style.METHODS, references=("d4pg", "a3c", "slac")),
    "figure10": _Curves("representation", "objective", style.OBJECTIVES),
    "figure11": _Curves("action-repeat", "action_repeat", _REPEATS, references=()),
}


def draw(store: Store, name: str, choice: Choice) -> Drawn:
    """The figure of that name. Raises `BadInput` when nothing stored fits it."""
    if name == "figure4":
        return _horizons(store, choice)
    if name == "figure6":
        return _performance(store, choice)
    return _learning(store, _LEARNING[name], choice)


def _learning(store: Store, what: _Curves, choice: Choice) -> Drawn:
    """Panels of learning curves with the published scores of other methods as dashed lines."""
    found = cells.find(store, what.sweep, (what.axis,), choice, what.tasks)
    tasks = style.in_order({task for task, *_ in found.runs})
    others = sorted({value for _, value in found.runs} - what.labels.keys())  # of a sweep of one's own
    labels = what.labels | {value: f"{what.axis.replace('_', ' ').capitalize()} {value}" for value in others}
    figure, axes = style.panels(len(tasks))
    rows: list[Row] = []
    references: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for (value, label), color in zip(labels.items(), itertools.cycle(style.COLORS), strict=False):
            runs = found.runs.get((task, value), [])
            if runs:
                rows += line(axis, store, runs, (task, label), color, choice)
        for method in what.references if choice.published else ():
            references += _reference(axis, task, method)
    require(rows, choice.until)
    style.curve_range(axes)
    style.legend(figure, axes, list(labels.values()))
    return Drawn(figure, CURVES, rows + references, found.notes)


def require(rows: Sequence[Row], until: int | None) -> None:
    """Raises `BadInput` when there is nothing of a stored run to show."""
    if not rows and until is None:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    if not rows:
        raise BadInput(f"no run was evaluated in its first {until:,} environment steps: a later --until shows more")


def line(axis: Any, store: Store, runs: Sequence[Run], names: tuple[str, str], color: str, choice: Choice) -> list[Row]:
    """Draw the mean of several seeds with its +-1 std band; returns what was drawn. names: task and label."""
    points = curves.evaluations(store, runs, choice.until)
    kept = [(run, points[run.id]) for run in runs if len(points[run.id][0])]
    if not kept:
        return []
    width = choice.width or curves.bin_width([run for run, _ in kept])
    mean = curves.aggregate([point for _, point in kept], width)
    axis.plot(mean.steps, mean.mean, color=color, linewidth=1.2, label=names[1])
    low, high = mean.mean - mean.std, mean.mean + mean.std
    axis.fill_between(mean.steps, low, high, color=color, alpha=0.15, linewidth=0)
    rows = _rows(names, mean)
    for run, point in kept if choice.show_seeds else []:
        single = curves.aggregate([point], width)
        axis.plot(single.steps, single.mean, color=color, linewidth=0.5, alpha=0.5)
        rows += _rows(names, single, run.name)
    return rows


def _rows(names: tuple[str, str], curve: curves.Curve, run: str = "") -> list[Row]:
    columns = zip(curve.seeds.tolist(), curve.steps.tolist(), curve.mean.tolist(), curve.std.tolist(), strict=True)
    return [(*names, *values, run) for values in columns]


def _reference(axis: Any, task: str, method: str) -> list[Row]:
    """The published final score of another method, a dashed line; nothing where there is none."""
    found = published.final(method).get(task)
    if found is None:
        return []
    score = found.mean
    label, color = _REFERENCES[method]
    axis.axhline(score, color=color, linewidth=1, linestyle="--", label=label)
    return [(task, label, "", "", score, "", "")]


def _horizons(store: Store, choice: Choice) -> Drawn:
    """Figure 4: final score over the imagination horizon, a panel per task, a line per method."""
    found = cells.find(store, "horizon", ("method", "horizon"), choice)
    tasks = style.in_order({task for task, *_ in found.runs})
    values = sorted({horizon for _, _, horizon in found.runs})
    figure, axes = style.panels(len(tasks), "Imagination Horizon", powers=False)
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for (method, label), color in zip(style.METHODS.items(), style.COLORS, strict=False):
            members = {value: found.runs.get((task, method, value), []) for value in values}
            points = [(value, *final_score(store, runs, choice)) for value, runs in members.items()]
            drawn = [point for point in points if point[3]]
            if drawn:
                x, y = [point[0] for point in drawn], [point[1] for point in drawn]
                axis.plot(x, y, color=color, marker="o", markersize=2.5, linewidth=1.2, label=label)
                rows += [(task, label, seeds, value, mean, std) for value, mean, std, seeds in drawn]
        axis.set_ylim(0, 1000)
        axis.set_xlim(0, max(values) + 2)
    require(rows, choice.until)
    style.legend(figure, axes)
    return Drawn(figure, ("task", "group", "seeds", "horizon", "mean", "std"), rows, found.notes)


def final_score(store: Store, runs: Sequence[Run], choice: Choice) -> tuple[float, float, int]:
    """Mean and population std over seeds of the last evaluation, and how many seeds."""
    import numpy as np

    scores = [points[1][-1] for points in curves.evaluations(store, runs, choice.until).values() if len(points[0])]
    return (float(np.mean(scores)), float(np.std(scores)), len(scores)) if scores else (float("nan"), float("nan"), 0)


def _performance(store: Store, choice: Choice) -> Drawn:
    """Figure 6: final scores on all tasks as bars, Dreamer and PlaNet from stored runs, the others published."""
    found = cells.find(store, "performance", ("method",), choice)
    shown = {method for _, method in found.runs} | {"dreamer", "planet"}
    scores: dict[str, dict[str, float]] = {label: {} for method, label in style.METHODS.items() if method in shown}
    for (task, method), runs in found.runs.items():
        mean, _, seeds = final_score(store, runs, choice)
        if seeds:
            scores[style.METHODS[method]][task] = mean
    require([(label, task) for label, of in scores.items() for task in of], choice.until)
    if choice.published:
        scores |= {label: {t: s.mean for t, s in published.final(label.lower()).items()} for label in ("D4PG", "A3C")}
    tasks = style.in_order({task for task, *_ in found.runs})
    return Drawn(*bars(tasks, scores), found.notes)


def bars(tasks: Sequence[str], scores: dict[str, dict[str, float]]) -> tuple[Any, Sequence[str], list[Row]]:
    """Grouped bars, tasks in the order of the first method's scores, then their mean; "n/a" where there is none.

    scores: {label: {task: score}}. The means are over the tasks that the first method has a score for, as far as a
    method has one: of all that the paper shows 20 for Dreamer, 18 for D4PG.
    """
    import numpy as np
    from matplotlib.figure import Figure

    style.apply()
    first = next(iter(scores.values()))
    order = sorted(tasks, key=lambda task: first.get(task, -1.0))
    counted = [task for task in order if task in first] or order
    figure = Figure(figsize=(style.WIDTH, 1.7), layout="constrained")
    axis = figure.subplots()
    colors = dict(zip((*style.METHODS.values(), "D4PG", "A3C"), style.COLORS, strict=False))
    rows: list[Row] = []
    width = 0.8 / len(scores)
    for index, (label, of) in enumerate(scores.items()):
        mine = [of[task] for task in counted if task in of]
        values = [of.get(task) for task in order] + [float(np.mean(mine)) if mine else None]
        x = np.arange(len(values)) + (index - (len(scores) - 1) / 2) * width
        axis.bar(x, [value or 0 for value in values], width, color=colors[label], label=label)
        for place, value in zip(x, values, strict=True):
            if value is None:
                axis.text(place, 8, "n/a", rotation=90, ha="center", va="bottom", fontsize=3.5, color=colors[label])
        rows += [
            (task, label, value) for task, value in zip([*order, "mean"], values, strict=True) if value is not None
        ]
    axis.set_xticks(range(len(order) + 1), [*map(style.title, order), "Mean"], rotation=40, ha="right", fontsize=5)
    axis.tick_params(axis="x", length=0, pad=0)
    axis.set_ylim(0, 1000)
    axis.set_xlim(-0.6, len(order) + 0.6)
    axis.set_ylabel("Episode Return")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(scores), fontsize=6, handlelength=1, columnspacing=1)
    return figure, ("task", "group", "mean"), rows


def published_performance() -> Drawn:
    """Figure 6 from published scores alone."""
    names = {"Dreamer": "dreamer", "PlaNet": "planet", "D4PG": "d4pg", "A3C": "a3c"}
    scores = {label: {t: s.mean for t, s in published.final(method).items()} for label, method in names.items()}
    return Drawn(*bars(sorted(scores["Dreamer"]), scores), [])


def published_curves() -> Drawn:
    """The released Dreamer's curves on all tasks, with the other methods' scores."""
    tasks = style.in_order(published.final("dreamer"))
    figure, axes = style.panels(len(tasks))
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        points = published.curve(task)
        steps, means, stds = points.steps, points.mean, points.std
        axis.set_title(style.title(task))
        axis.plot(steps, means, color=style.COLORS[0], linewidth=1.2, label="Dreamer (released code, 2021)")
        axis.fill_between(steps, means - stds, means + stds, color=style.COLORS[0], alpha=0.15, linewidth=0)
        rows += _rows((task, "Dreamer"), points)
        for method in ("d4pg", "a3c", "slac"):
            rows += _reference(axis, task, method)
    style.curve_range(axes)
    style.legend(figure, axes)
    return Drawn(figure, CURVES, rows, [])


PUBLISHED: dict[str, Callable[[], Drawn]] = {
    "published_figure6": published_performance,
    "published_curves": published_curves,
}


def save(drawn: Drawn, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in the formats, and its table."""
    return style.save(drawn.figure, stem, drawn.header, drawn.rows, formats)
