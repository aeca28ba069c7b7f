"""Learning curves of given runs: a panel per task, a line per kind of run with its +-1 std band over seeds.

Runs are of one kind when only their seeds differ: same method, objective and settings. Thin lines are the single
seeds; the dotted line is what a random policy scored in the seed episodes. The released code's curve is drawn beside
all runs, as far as they go; other methods' final scores, of full length, beside the presets `paper` and `official`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dreamctl.results import curves, grouping, standing
from dreamctl.results.cells import WATCHING, Choice, must_agree
from dreamctl.results.figures import lines, style
from dreamctl.store import Run, Store


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

    by: the fields whose values are lines besides method and objective, instead of all in which the runs differ.
    """
    figure, rows = make(store, runs, by, choice)
    return style.save(figure, stem, lines.CURVES, rows, formats)


def learning_curve(store: Store, run: Run, path: Path) -> None:
    """The PNG of a single run's curve."""
    figure, _ = make(store, [run], None, Choice(published=False))
    figure.savefig(path, dpi=150)


def make(store: Store, runs: Sequence[Run], by: tuple[str, ...] | None, choice: Choice) -> tuple[Any, list[lines.Row]]:
    """The figure of `draw`, and its rows of `lines.CURVES`."""
    groups = grouped(store, runs, by, choice)
    drawn = [run for by_task in groups.values() for members in by_task.values() for run in members]
    pen = lines.pen(store, drawn, replace(choice, show_seeds=True))
    tasks = style.in_order({run.task for run in drawn})
    looks = style.looks(list(groups))
    figure, axes = lines.panels(len(tasks), choice)
    rows: list[lines.Row] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for name, by_task in groups.items():
            rows += lines.line(axis, pen, by_task.get(task, []), (task, name), looks[name])
        rows += _beside(axis, store, task, [run for run in drawn if run.task == task], choice)
    style.curve_range(axes)
    style.legend(figure, axes, note=lines.note(rows, choice.version))
    return figure, rows


def _beside(axis: Any, store: Store, task: str, runs: Sequence[Run], choice: Choice) -> list[lines.Row]:
    """What else a panel shows: the random policy, and what was published."""
    rows: list[lines.Row] = []
    baseline = curves.random_return(store, runs)
    if baseline is not None:
        look = style.LOOKS["Random policy"]
        axis.axhline(baseline, color=look.color, linewidth=1, linestyle=look.style, label="Random policy")
        rows.append((task, "Random policy", "", "", baseline, "", "", "", "", "", ""))
    if not choice.published or choice.x != "steps":
        return rows
    until = choice.until or max(run.steps for run in runs)
    rows += lines.curve_of_released(axis, task, style.LOOKS["Dreamer"], until)
    if {run.preset for run in runs} <= {"paper", "official"}:
        for method in ("d4pg", "a3c"):
            rows += lines.reference(axis, task, method, choice.version)
    return rows


def grouped(
    store: Store, runs: Sequence[Run], by: tuple[str, ...] | None, choice: Choice
) -> dict[str, dict[str, list[Run]]]:
    """{label of a line: {task: its runs by seed}}, in the paper's order; of a run done twice the one that counts.

    Runs that do not count (`outcomes`) are left out, unless there are no others.

    Raises `BadInput` when there is none, for an unknown field, and when runs of one line differ in more than seeds.
    """
    grouping.check(by or ())
    points = curves.evaluations(store, runs, choice.until)
    runs = [run for run in runs if len(points[run.id][0])]
    runs = [run for run in runs if standing.counts(run)] or list(runs)
    lines.require(runs, choice.until)
    asked = min(max(run.steps for run in runs), choice.until or math.inf)
    if choice.complete:
        runs = [run for run in runs if standing.come(run) >= asked]
        lines.require(runs, None)
    varied, presets = _varied(runs), len({run.preset for run in runs})
    members: dict[Group, dict[str, list[Run]]] = {}
    for run in runs:
        members.setdefault(_group(run, varied, presets, by), {}).setdefault(run.task, []).append(run)
    for by_task in members.values():
        for task, same in by_task.items():
            must_agree(same)
            by_task[task] = standing.of_each_seed(same, asked)
    return {label(group, list(members)): members[group] for group in sorted(members, key=_place)}


def _group(run: Run, varied: Mapping[tuple[str, ...], list[str]], presets: int, by: tuple[str, ...] | None) -> Group:
    """The line that a run belongs to: its preset where there are several, and the settings in which its like differ.

    With `by` the values of these fields are all that counts besides method and objective.
    """
    if by is not None:
        rest = [key for key in by if key not in ("method", "objective")]
        return Group(run.method, run.objective, grouping.name(run, rest))
    words = [run.preset] if presets > 1 else []
    words += [f"forked at {run.parent['env_steps']:,}"] if run.parent else []
    words += [f"{key}={run.config[key]}" for key in varied[_kind(run)]]
    return Group(run.method, run.objective, ", ".join(words))


def _kind(run: Run) -> tuple[str, ...]:
    return run.method, run.objective, run.preset


def _varied(runs: Sequence[Run]) -> dict[tuple[str, ...], list[str]]:
    """{method, objective, preset: the config fields in which its runs differ, on whatever task}."""
    found = {}
    for kind in {_kind(run) for run in runs}:
        configs = [run.config for run in runs if _kind(run) == kind]
        keys = sorted({key for config in configs for key in config} - WATCHING)
        found[kind] = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    return found


def _place(group: Group) -> tuple[int, int, str]:
    """The paper's order."""
    return list(style.METHODS).index(group.method), list(style.OBJECTIVES).index(group.objective), group.settings


def label(group: Group, groups: Sequence[Group]) -> str:
    """What tells a group from the others: method, objective, settings; the method when there is nothing to tell."""
    names = (style.METHODS[group.method], style.OBJECTIVES[group.objective], group.settings)
    varied = [name for name, values in zip(names, zip(*groups, strict=True), strict=True) if len(set(values)) > 1]
    return ", ".join(name for name in varied if name) or names[0]
