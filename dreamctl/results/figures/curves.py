"""Learning curves of given runs: a panel per task, a line per method and objective with its +-1 std band over seeds.

Thin lines are the single seeds; the dotted line is what a random policy scored in the seed episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.results import curves
from dreamctl.results.figures import style
from dreamctl.store import Run, Store

_HEADER = ("task", "group", "seeds", "env_steps", "mean", "std")


def draw(store: Store, runs: Sequence[Run], stem: Path) -> list[Path]:
    """Draw runs into STEM.png, STEM.pdf and STEM.csv; `BadInput` when none of them has been evaluated."""
    figure, rows = _figure(store, runs)
    return style.save(figure, stem, _HEADER, rows)


def learning_curve(store: Store, run: Run, path: Path) -> None:
    """The PNG of a single run's curve."""
    figure, _ = _figure(store, [run])
    figure.savefig(path, dpi=150)


def _figure(store: Store, runs: Sequence[Run]) -> tuple[Any, list[tuple[Any, ...]]]:
    points = {run.id: curves.evaluation_points(store, run) for run in runs}
    runs = [run for run in runs if len(points[run.id][0])]
    if not runs:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    tasks = sorted({run.task for run in runs})
    groups = sorted({_group(run) for run in runs})
    figure, axes = style.panels(len(tasks))
    rows: list[tuple[Any, ...]] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for group, color in zip(groups, style.COLORS * len(groups), strict=False):
            members = [run for run in runs if run.task == task and _group(run) == group]
            if not members:
                continue
            curve = curves.aggregate([points[run.id] for run in members], curves.bin_width(members))
            for run in members if len(members) > 1 else []:
                axis.plot(*points[run.id], color=color, linewidth=0.5, alpha=0.5)
            axis.plot(curve.steps, curve.mean, color=color, linewidth=1.5, label=_label(group, groups))
            axis.fill_between(
                curve.steps, curve.mean - curve.std, curve.mean + curve.std, color=color, alpha=0.15, linewidth=0
            )
            for step, mean, std, seeds in zip(curve.steps, curve.mean, curve.std, curve.seeds, strict=True):
                rows.append((task, _label(group, groups), int(seeds), int(step), float(mean), float(std)))
        baseline = curves.random_return(store, [run for run in runs if run.task == task])
        if baseline is not None:
            axis.axhline(baseline, color="#999999", linewidth=1, linestyle=":", label="Random policy")
            rows.append((task, "Random policy", "", "", baseline, ""))
        axis.set_ylim(0, 1000)
        axis.set_xlim(left=0)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure, rows


def _group(run: Run) -> tuple[str, str]:
    return run.method, run.objective


def _label(group: tuple[str, str], groups: Sequence[tuple[str, str]]) -> str:
    """The method, and the objective where it differs between the groups."""
    method, objective = (style.LABELS.get(part, part) for part in group)
    return method if len({objective for _, objective in groups}) == 1 else f"{method}, {objective}"
