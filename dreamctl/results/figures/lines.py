"""Learning curves in a panel: means with their bands, single seeds, and published scores as dashed lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import curves, published, standing
from dreamctl.results.cells import Choice
from dreamctl.results.curves import Curve, Points
from dreamctl.results.figures import style
from dreamctl.results.figures.style import Look
from dreamctl.store import Run, Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# seeds: how many reached the point, of_seeds: of how many, diverged: of these had diverged by then; run: of a single
# seed's line; source: of what was published
CURVES = ("task", "group", "seeds", "env_steps", "mean", "std", "run", "of_seeds", "diverged", "x", "source")
_X_LABELS = {"steps": "Environment Steps", "updates": "Updates", "hours": "Hours at Work"}

Row = tuple[Any, ...]


class Pen(NamedTuple):
    """What the lines of one figure share: the evaluations of its runs, one width of a bin, what x is."""

    points: Mapping[str, Points]
    width: int
    late: int
    x: Mapping[str, Points] | None  # by run: environment steps and what x is then; None: x is environment steps
    show_seeds: bool


def pen(store: Store, runs: Sequence[Run], choice: Choice) -> Pen:
    """For runs of which some have been evaluated. Raises `BadInput` when none has."""
    points = curves.evaluations(store, runs, choice.until)
    drawn = [run for run in runs if len(points[run.id][0])]
    require(drawn, choice.until)
    width = choice.width or curves.bin_width(drawn)
    x = None if choice.x == "steps" else {run.id: curves.progress(store, run, choice.x) for run in drawn}
    return Pen(points, width, curves.tolerance(drawn), x, choice.show_seeds)


def panels(count: int, choice: Choice) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels for learning curves."""
    return style.panels(count, _X_LABELS[choice.x], powers=choice.x != "hours")


def require(drawn: Sequence[Any], until: int | None) -> None:
    """Raises `BadInput` when there is nothing of a stored run to show."""
    if not drawn and until is None:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    if not drawn:
        raise BadInput(f"no run was evaluated in its first {until:,} environment steps: a later --until shows more")


def line(axis: Any, pen: Pen, runs: Sequence[Run], names: tuple[str, str], look: Look) -> list[Row]:
    """Draw the mean of several seeds with its +-1 std band; returns what was drawn. names: task and label.

    Solid up to the last bin that all seeds reached. Beyond it the mean is of those that are left, and jumps where one
    ends: it is dashed and has no band. A cross is where a seed diverged; from there on it counts as it last was.
    """
    kept = [run for run in runs if len(pen.points[run.id][0])]
    if not kept:
        return []
    mean = curves.aggregate([pen.points[run.id] for run in kept], pen.width, pen.late)
    x = _x(pen, mean, kept)
    whole = int(np.flatnonzero(mean.seeds == len(kept))[-1]) + 1 if (mean.seeds == len(kept)).any() else 0
    every = max(1, len(x) // 5)
    pencil = dict(color=look.color, linewidth=1.2, marker=look.marker, markersize=2.5)
    axis.plot(x[:whole], mean.mean[:whole], label=names[1], linestyle=look.style, markevery=every, **pencil)
    if whole < len(x):
        rest = slice(max(0, whole - 1), None)
        axis.plot(x[rest], mean.mean[rest], linestyle=(0, (2, 1.5)), markevery=every, **(pencil | {"linewidth": 0.8}))
    low, high = (mean.mean + sign * mean.std for sign in (-1, 1))
    axis.fill_between(x[:whole], low[:whole], high[:whole], color=look.color, alpha=0.15, linewidth=0)
    for run in (run for run in kept if standing.diverged(run)):
        here = min(int(np.searchsorted(mean.steps, run.env_steps)), len(x) - 1)
        if mean.steps[here] >= run.env_steps:  # not behind the end of what is drawn
            axis.plot(x[here], mean.mean[here], color=look.color, marker="x", markersize=5, linestyle="", zorder=3)
    rows = rows_of(names, mean, x, kept)
    for run in kept if pen.show_seeds and len(kept) > 1 else []:
        single = curves.aggregate([pen.points[run.id]], pen.width, pen.late)
        x = _x(pen, single, [run])
        axis.plot(x, single.mean, color=look.color, linewidth=0.5, alpha=0.5)
        rows += rows_of(names, single, x, [run], run.name)
    return rows


def _x(pen: Pen, curve: Curve, runs: Sequence[Run]) -> np.ndarray:
    """Where the points of a curve are drawn: [K], the mean of x at its steps, over the runs that came so far.

    Where all have diverged it is the last that they came to.
    """
    if pen.x is None:
        return curve.steps
    ends = [min(pen.points[r.id][0][-1], r.env_steps if standing.diverged(r) else math.inf) for r in runs]
    last, bins = (curves.bins_of(steps, pen.width, pen.late) for steps in (np.array(ends, np.int64), curve.steps))
    x = np.array([np.interp(curve.steps, *pen.x[run.id]) for run in runs])
    beyond = bins[None, :] > last[:, None]
    return np.ma.masked_where(beyond & ~beyond.all(axis=0), x).mean(axis=0).filled()


def rows_of(names: tuple[str, str], curve: Curve, x: np.ndarray, runs: Sequence[Run], run: str = "") -> list[Row]:
    """A curve of runs as rows of `CURVES`."""
    lost = np.array([run.env_steps for run in runs if standing.diverged(run)], np.int64)
    gone = (lost[:, None] <= curve.steps).sum(axis=0)
    columns = [column.tolist() for column in (curve.seeds, curve.steps, curve.mean, curve.std, gone, x)]
    return [(*names, *values, run, len(runs), many, at, "") for *values, many, at in zip(*columns, strict=True)]


def reference(axis: Any, task: str, method: str, version: str) -> list[Row]:
    """The published final score of another method, a dashed line; nothing where there is none."""
    score = published.final(method, version).get(task)
    if score is None:
        return []
    look = style.LOOKS[score.name]
    # not clipped: a score of 1000 is at the panel's edge
    axis.axhline(score.mean, color=look.color, linewidth=1, linestyle=look.style, label=score.label, clip_on=False)
    steps = "" if score.env_steps is None else score.env_steps
    return [(task, score.name, score.seeds or "", steps, score.mean, "", "", "", "", "", score.origin)]


def curve_of_released(axis: Any, task: str, look: Look, until: int | None = None) -> list[Row]:
    """The released Dreamer's published curve, up to environment steps; nothing where it has fewer than two points.

    Its points come every 100,000 steps, the first after 5,000, and what lies between two of them is a line. So that a
    short run has something beside it, the first point not before `until` is in the rows, and the line to it is cut off.
    """
    points = published.curve(task)
    if until is not None:
        points = Curve(*(column[: np.searchsorted(points.steps, until) + 1] for column in points))
    if len(points.steps) < 2:
        return []
    label = f"Dreamer ({published.RELEASED})"
    x = np.unique(np.minimum(points.steps, until or math.inf))
    mean, std = (np.interp(x, points.steps, column) for column in (points.mean, points.std))
    axis.plot(x, mean, color=look.color, linewidth=0.8, linestyle="--", label=label)
    axis.fill_between(x, mean - std, mean + std, color=look.color, alpha=0.1, linewidth=0)
    columns = zip(*(column.tolist() for column in points), strict=True)
    source = f"{published.RELEASED}, from pixels ({published.CURVES})"
    return [(task, label, n, step, mean, std, "", n, "", step, source) for step, mean, std, n in columns]


def note(rows: Sequence[Row], version: str) -> str:
    """What a figure's legend says of seeds and of what is published."""
    of_seeds, lost = CURVES.index("of_seeds"), CURVES.index("diverged")
    words = [style.seeds(row[of_seeds] for row in rows if row[of_seeds] and not row[6] and not row[-1])]
    if any(row[-1] and not row[-1].startswith(published.RELEASED) for row in rows):
        words.append(f"published scores ({version}): training steps, inputs in brackets")
    words += ["cross: a seed diverged"] if any(row[lost] for row in rows) else []
    return "; ".join(word for word in words if word)
