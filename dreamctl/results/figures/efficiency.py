"""Sample efficiency: all tasks in one curve, the IQM of scores / 1000 over environment steps with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import curves as binning
from dreamctl.results import statistics
from dreamctl.results.cells import Choice
from dreamctl.results.comparison import SCALE
from dreamctl.results.figures import curves, lines, style
from dreamctl.results.figures.lines import Pen
from dreamctl.store import Run, Store

HEADER = ("group", "env_steps", "iqm", "low", "high", "tasks", "runs", "x")

Row = tuple[Any, ...]


def draw(
    store: Store,
    runs: Sequence[Run],
    stem: Path,
    by: tuple[str, ...] | None,
    choice: Choice,
    formats: Sequence[str],
) -> tuple[list[Path], list[str]]:
    """Draw runs into STEM.*, over the tasks that all lines have; returns the files and remarks. Raises `BadInput`."""
    figure, rows, notes = make(store, runs, by, choice)
    return style.save(figure, stem, HEADER, rows, formats), notes


def make(
    store: Store, runs: Sequence[Run], by: tuple[str, ...] | None, choice: Choice
) -> tuple[Any, list[Row], list[str]]:
    """The figure of `draw`, its rows and remarks."""
    groups = curves.grouped(store, runs, by, choice)
    pen = lines.pen(store, [run for by_task in groups.values() for same in by_task.values() for run in same], choice)
    tasks = set.intersection(*(set(by_task) for by_task in groups.values()))
    every = {task for by_task in groups.values() for task in by_task}
    if not tasks:
        raise BadInput("no task is in all of these lines: choose some that share one, --where FIELD=VALUE")
    notes = [f"not all lines have these tasks, they are left out: {', '.join(sorted(every - tasks))}"] * (
        every != tasks
    )
    looks = style.looks(list(groups))
    figure, (axis,) = lines.panels(1, choice)
    rows: list[Row] = []
    for name, by_task in groups.items():
        own = _curve(pen, {task: by_task[task] for task in sorted(tasks)})
        rows += [(name, *row) for row in own]
        steps, iqm, low, high, *_, x = (np.array(column, float) for column in zip(*own, strict=True))
        look = looks[name]
        (drawn,) = axis.plot(x, iqm, color=look.color, linewidth=1.2, label=name)
        drawn.set(marker=look.marker, markersize=2.5, markevery=max(1, len(x) // 5))
        axis.fill_between(x, low, high, color=look.color, alpha=0.15, linewidth=0)
    style.curve_range([axis])
    axis.set(ylim=(0, 1), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="IQM of scores / 1000")
    seeds = [len(members) for by_task in groups.values() for task, members in by_task.items() if task in tasks]
    note = f"{len(tasks)} task{'s' * (len(tasks) > 1)}, {style.seeds(seeds, 'IQM and 95 % interval')}"
    style.legend(figure, [axis], note=note)
    return figure, rows, notes


def _curve(pen: Pen, of: dict[str, list[Run]]) -> list[Row]:
    """Rows of `HEADER` but for the group: of each bin that all runs have reached."""
    bins: dict[str, list[dict[int, float]]] = {}
    for task, members in of.items():
        single = [binning.aggregate([pen.points[run.id]], pen.width, pen.late) for run in members]
        bins[task] = [dict(zip(s.steps.tolist(), s.mean.tolist(), strict=True)) for s in single]
    shared = set.intersection(*(set(seed) for seeds in bins.values() for seed in seeds))
    everyone = [run for members in of.values() for run in members]
    rows: list[Row] = []
    for step in sorted(shared):
        scores = {task: [seed[step] / SCALE for seed in seeds] for task, seeds in bins.items()}
        value = statistics.iqm(scores)
        low, high = statistics.iqm_interval(scores) or (value, value)
        at = step if pen.x is None else float(np.mean([np.interp(step, *pen.x[run.id]) for run in everyone]))
        rows.append((step, value, low, high, len(of), len(everyone), at))
    if not rows:
        raise BadInput("there is no length that all of these runs have come to: choose some, --complete or --where")
    return rows
