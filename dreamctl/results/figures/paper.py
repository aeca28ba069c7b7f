"""The paper's figures from stored runs: 4 (horizons), 6 (final scores) and 7 to 11 (learning curves)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamctl.results import cells, published, scores
from dreamctl.results.cells import Choice
from dreamctl.results.figures import bars, lines, style
from dreamctl.results.figures.bars import Bar
from dreamctl.store import Store

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
    "figure11": _Curves("action-repeat", "action_repeat", style.REPEATS, references=()),
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
    others = sorted({value for _, value in found.runs} - what.labels.keys())  # of a user's sweep
    labels = what.labels | {value: f"{what.axis.replace('_', ' ').capitalize()} {value}" for value in others}
    pen = lines.pen(store, [run for runs in found.runs.values() for run in runs], choice)
    looks = style.looks(list(labels.values()))
    figure, axes = lines.panels(len(tasks), choice)
    rows: list[Row] = []
    references: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        own: list[Row] = []
        for value, label in labels.items():
            own += lines.line(axis, pen, found.runs.get((task, value), []), (task, label), looks[label])
        if not own:
            style.empty(axis)
        rows += own
        for method in what.references if choice.published else ():
            references += lines.reference(axis, task, method, choice.version)
    style.curve_range(axes)
    style.legend(figure, axes, list(labels.values()), lines.note(rows + references, choice.version))
    return Drawn(figure, lines.CURVES, rows + references, found.notes)


def _horizons(store: Store, choice: Choice) -> Drawn:
    """Figure 4: final score over the imagination horizon, a panel per task, a line per method."""
    found = cells.find(store, "horizon", ("method", "horizon"), choice)
    finals = scores.finals(store, [run for runs in found.runs.values() for run in runs], found.wanted, choice.until)
    tasks = style.in_order({task for task, *_ in found.runs})
    values = sorted({horizon for _, _, horizon in found.runs})
    figure, axes = style.panels(len(tasks), "Imagination Horizon", powers=False)
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        own: list[Row] = []
        for method, label in style.METHODS.items():
            runs = {value: found.runs.get((task, method, value), []) for value in values}
            of = {value: [finals[run.id] for run in members if run.id in finals] for value, members in runs.items()}
            own += points(axis, of, (task, label), style.LOOKS[label])
        if not own:
            style.empty(axis)
        rows += own
    axes[0].set(ylim=(0, 1000), xlim=(0, max(values) + 2))
    lines.require(rows, choice.until)
    style.legend(figure, axes, note=note(rows))
    return Drawn(figure, points_header("horizon"), rows, found.notes)


def points_header(x: str) -> tuple[str, ...]:
    """The columns of what `points` draws."""
    return ("task", "group", "seeds", x, "mean", "std", "env_steps", "status")


def points(
    axis: Any, finals: Mapping[Any, Sequence[scores.Final]], names: tuple[str, str], look: style.Look
) -> list[Row]:
    """Draw final scores over x with error bars over seeds; hollow where `scores.cell` marks them.

    finals: {x: those of its seeds}, drawn at the x of its rank if it is no number. Returns what was drawn.
    """
    found = {x: cell for x, of in finals.items() if (cell := scores.cell(of)) is not None}
    numbers = all(isinstance(x, int | float) for x in finals)
    place = {x: x if numbers else rank for rank, x in enumerate(finals)}
    if found:
        at, means = [place[x] for x in found], [cell.mean for cell in found.values()]
        deviations = [cell.std if cell.seeds > 1 else 0.0 for cell in found.values()]
        pencil = dict(color=look.color, marker=look.marker, markersize=2.5, label=names[1])
        axis.plot(at, means, linewidth=1.2, **pencil)
        axis.errorbar(at, means, deviations, fmt="none", ecolor=look.color, elinewidth=0.6, alpha=0.6)
        short = [(place[x], cell.mean) for x, cell in found.items() if cell.status != "final"]
        if short:
            hollow = dict(color=look.color, marker=look.marker, markersize=4, markerfacecolor="white", linestyle="")
            axis.plot(*zip(*short, strict=True), zorder=3, **hollow)
    return [(*names, cell.seeds, x, cell.mean, cell.std, cell.env_steps, cell.status) for x, cell in found.items()]


def note(rows: Sequence[Row]) -> str:
    """What a figure of final scores says of its seeds; and of runs that it marks, if there are some."""
    marked = scores.marked(row[-1] for row in rows)
    return "; ".join([style.seeds(row[2] for row in rows), *([f"hollow: {marked}"] if marked else [])])


def _performance(store: Store, choice: Choice) -> Drawn:
    """Figure 6: final scores on all tasks as bars, Dreamer and PlaNet from stored runs, the others published."""
    found = cells.find(store, "performance", ("method",), choice)
    finals = scores.finals(store, [run for runs in found.runs.values() for run in runs], found.wanted, choice.until)
    shown = {method for _, method in found.runs} | set(choice.methods or ("dreamer", "planet"))
    of: dict[str, dict[str, Bar]] = {label: {} for method, label in style.METHODS.items() if method in shown}
    for (task, method), runs in found.runs.items():
        cell = scores.cell([finals[run.id] for run in runs if run.id in finals])
        if cell is not None:
            deviation = cell.std if cell.seeds > 1 else None
            of[style.METHODS[method]][task] = Bar(cell.mean, deviation, cell.seeds, cell.env_steps, cell.status)
    mine = [bar for by_task in of.values() for bar in by_task.values()]
    lines.require(mine, choice.until)
    labels = {label: label for label in of}
    for method in ("d4pg", "a3c") if choice.published else ():
        known = published.final(method, choice.version)
        first = next(iter(known.values()))
        of[first.name], labels[first.name] = {task: _bar(score) for task, score in known.items()}, first.label
    tasks = style.in_order({task for task, *_ in found.runs})
    words = [style.seeds(bar.seeds or 0 for bar in mine)]
    words += [f"published scores ({choice.version}): training steps, inputs in brackets"] if choice.published else []
    marked = scores.marked(bar.status for bar in mine)
    words += [f"\nhatched: {marked}"] if marked else []
    return Drawn(*_with_header(bars.draw(tasks, of, labels, "; ".join(words).replace("; \n", "\n"))), found.notes)


def _bar(score: published.Score) -> Bar:
    return Bar(score.mean, None, score.seeds, score.env_steps, "published", None, score.origin)


def _with_header(drawn: tuple[Any, list[Row]]) -> tuple[Any, Sequence[str], list[Row]]:
    return drawn[0], bars.HEADER, drawn[1]


def published_performance(version: str = published.CAMERA_READY) -> Drawn:
    """Figure 6 from published scores alone; of the submission only the means and D4PG's and A3C's scores are known."""
    of, labels, means = {}, {}, {}
    for method in ("dreamer", "planet", "d4pg", "a3c"):
        known, mean = published.final(method, version), published.average(method, version)
        if mean is not None:
            of[mean.name], labels[mean.name] = {task: _bar(score) for task, score in known.items()}, mean.label
            count = len(known) or len(published.final(method))
            means[mean.name] = _bar(mean)._replace(tasks=count)
    note = f"{version}; training steps, inputs in brackets"
    tasks = sorted(published.final("dreamer"))
    return Drawn(*_with_header(bars.draw(tasks, of, labels, note, means)), [])


def published_curves(version: str = published.CAMERA_READY) -> Drawn:
    """The released Dreamer's curves on all tasks, with the other methods' scores."""
    tasks = style.in_order(published.final("dreamer"))
    figure, axes = style.panels(len(tasks))
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        rows += lines.curve_of_released(axis, task, style.LOOKS["Dreamer"])
        for method in ("d4pg", "a3c", "slac"):
            rows += lines.reference(axis, task, method, version)
    style.curve_range(axes)
    note = f"up to 5 seeds: mean and standard deviation; scores of others ({version}): training steps, inputs"
    style.legend(figure, axes, note=note)
    return Drawn(figure, lines.CURVES, rows, [])


PUBLISHED: dict[str, Callable[[str], Drawn]] = {
    "published_figure6": published_performance,
    "published_curves": published_curves,
}


def save(drawn: Drawn, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in the formats, and its table."""
    return style.save(drawn.figure, stem, drawn.header, drawn.rows, formats)
