"""Learning curves of given runs: a panel per task, a line per kind of run with its +-1 std band over seeds.

Runs are of one kind when only their seeds differ: same method, objective and settings. Thin lines are the single
seeds; the dotted line is what a random policy scored in the seed episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dreamctl.errors import BadInput
from dreamctl.results import curves
from dreamctl.results.cells import WATCHING, Choice, must_agree
from dreamctl.results.figures import final, paper, style
from dreamctl.store import Run, Store

Row = tuple[Any, ...]


class Group(NamedTuple):
    """What the runs of one line share; settings: those in which otherwise equal runs differ, "horizon=15"."""

    method: str
    objective: str
    settings: str


def draw(
    store: Store,
    runs: Sequence[Run],
    stem: Path,
    by: tuple[str, ...] | None,
    choice: Choice,
    formats: Sequence[str],
) -> list[Path]:
    """Draw runs into STEM.*; `BadInput` when none of them has been evaluated.

    by: the config fields whose values are lines besides method and objective, instead of all in which the runs differ.
    """
    for key in by or ():
        final.check(key)
    figure, rows = _figure(store, runs, by, choice)
    return style.save(figure, stem, paper.CURVES, rows, formats)


def learning_curve(store: Store, run: Run, path: Path) -> None:
    """The PNG of a single run's curve."""
    figure, _ = _figure(store, [run], None, Choice())
    figure.savefig(path, dpi=150)


def _figure(store: Store, runs: Sequence[Run], by: tuple[str, ...] | None, choice: Choice) -> tuple[Any, list[Row]]:
    points = curves.evaluations(store, runs, choice.until)
    runs = [run for run in runs if len(points[run.id][0])]
    if not runs:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    lines: dict[tuple[str, Group], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.env_steps):
        lines.setdefault((run.task, _group(run, runs, by)), []).append(run)
    for members in lines.values():
        must_agree(members)
    # a run that was done twice is one seed: the one that came further
    cells = {(task, group, run.seed): run for (task, group), members in lines.items() for run in members}
    tasks = style.in_order({task for task, _, _ in cells})
    groups = sorted({group for _, group, _ in cells}, key=_place)
    figure, axes = style.panels(len(tasks))
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for group, color in zip(groups, _colors(groups), strict=True):
            members = [
                run for (t, g, _), run in sorted(cells.items(), key=lambda cell: cell[0][2]) if (t, g) == (task, group)
            ]
            if members:
                drawn = replace(choice, show_seeds=len(members) > 1)
                rows += paper.line(axis, store, members, (task, _label(group, groups)), color, drawn)
        baseline = curves.random_return(store, [run for run in runs if run.task == task])
        if baseline is not None:
            axis.axhline(baseline, color="#999999", linewidth=1, linestyle=":", label="Random policy")
            rows.append((task, "Random policy", "", "", baseline, "", ""))
    style.curve_range(axes)
    style.legend(figure, axes)
    return figure, rows


def _group(run: Run, runs: Sequence[Run], by: tuple[str, ...] | None) -> Group:
    """The line that a run belongs to: its preset where there are several, settings that differ within task and method.

    With `by` the values of these fields are all that counts besides method and objective.
    """
    if by is not None:
        rest = ", ".join(final.label_of(key, run.config[key]) for key in by if key not in ("method", "objective"))
        return Group(run.method, run.objective, rest)
    alike = [r for r in runs if (r.task, r.method, r.objective) == (run.task, run.method, run.objective)]
    words = [run.preset] if len({r.preset for r in runs}) > 1 else []
    alike = [r for r in alike if r.preset == run.preset]
    for key in sorted(run.config.keys() - WATCHING):
        if len({r.config.get(key) for r in alike}) > 1:
            words.append(f"{key}={run.config[key]}")
    return Group(run.method, run.objective, ", ".join(words))


def _place(group: Group) -> tuple[int, int, str]:
    """The paper's order."""
    return list(style.METHODS).index(group.method), list(style.OBJECTIVES).index(group.objective), group.settings


def _colors(groups: Sequence[Group]) -> list[str]:
    """The paper's colour of each method, or of each objective; by rank when a figure mixes more than that."""
    own = [sum(_place(group)[:2]) for group in groups]
    chosen = own if len(set(own)) == len(own) else range(len(groups))
    return [style.COLORS[index % len(style.COLORS)] for index in chosen]


def _label(group: Group, groups: Sequence[Group]) -> str:
    """What tells a group from the others: method, objective, settings; the method when there is nothing to tell."""
    names = (style.METHODS[group.method], style.OBJECTIVES[group.objective], group.settings)
    varied = [name for name, values in zip(names, zip(*groups, strict=True), strict=True) if len(set(values)) > 1]
    return ", ".join(name for name in varied if name) or names[0]
