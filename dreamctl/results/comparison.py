"""Comparing groups of runs over tasks and seeds. Scores are returns / 1000 where tasks are pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import curves, published, statistics
from dreamctl.results.cells import WATCHING, must_agree
from dreamctl.results.figures import final
from dreamctl.store import Run, Store

SCALE = 1000.0  # the largest return of every task of the suite
PUBLISHED = "published"


@dataclass
class Group:
    """Runs that are compared as one. scores: {task: score of each seed}; iqm and interval of scores / 1000;
    improvement: probability that a run of it beats one of the reference, with its interval."""

    name: str
    scores: dict[str, list[float]]
    runs: list[Run] = field(default_factory=list)
    iqm: float = 0.0
    interval: tuple[float, float] | None = None
    reference: bool = False  # whether it is the one that the others are held against
    improvement: float | None = None
    improvement_interval: tuple[float, float] | None = None
    differs: dict[str, list[Any]] = field(default_factory=dict)  # config fields in which the groups differ

    @property
    def values(self) -> np.ndarray:
        """All scores."""
        return np.concatenate([np.asarray(values, float) for values in self.scores.values()])


def compare(
    store: Store, runs: Sequence[Run], by: Sequence[str], at: int | None = None, against: str | None = None
) -> list[Group]:
    """Groups of evaluated runs by the values of config fields, best first.

    at: score after so many environment steps (the last evaluation up to there) of the runs that have come so far; else
    the last one. against: the group that the others are held against (the beginning of its name), `published` for the
    published Dreamer; the best one by default. Raises `BadInput`, also when runs of one group differ on a task in more
    than their seeds.
    """
    for key in by:
        if key not in ("preset", "name"):
            final.check(key)
    groups: dict[str, Group] = {}
    points = {run.id: curves.evaluation_points(store, run, at)[1] for run in runs if at is None or run.env_steps >= at}
    members: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.env_steps):
        if len(points.get(run.id, ())):
            members.setdefault((_name(run, by), run.task), []).append(run)
    for (name, task), same in members.items():
        must_agree(same, "group")
        for run in {run.seed: run for run in same}.values():  # one that was done twice counts once
            group = groups.setdefault(name, Group(name, {}))
            group.scores.setdefault(task, []).append(float(points[run.id][-1]))
            group.runs.append(run)
    if not groups:
        raise BadInput("none of these runs has been evaluated" + (f" and has {at} environment steps" if at else ""))
    if against == PUBLISHED:
        tasks = {task for group in groups.values() for task in group.scores}
        groups[PUBLISHED] = Group(PUBLISHED, _published(sorted(tasks), at))
        if not groups[PUBLISHED].scores:
            raise BadInput("nothing was published for these tasks and environment steps")
    for group in groups.values():
        scaled = _scaled(group)
        group.iqm = statistics.pooled_iqm(scaled)
        if all(len(values) > 1 for values in scaled.values()):
            group.interval = statistics.interval(statistics.pooled_iqm, scaled)
    ordered = sorted(groups.values(), key=lambda group: -group.iqm)
    reference = _reference(ordered, against)
    reference.reference = True
    for group in ordered:
        if group is not reference:
            group.improvement = statistics.improvement(group.scores, reference.scores)
            if all(len(values) > 1 for side in (group, reference) for values in side.scores.values()):
                group.improvement_interval = statistics.improvement_interval(group.scores, reference.scores)
    _differences(ordered)
    return ordered


def _published(tasks: Sequence[str], at: int | None) -> dict[str, list[float]]:
    """The published Dreamer's mean on each task, as one score: at environment steps its curve, else its final score."""
    if at is None:
        return {task: [score] for task, score in published.final("dreamer").items() if task in tasks}
    scores = {}
    for task in tasks:
        steps, means, *_ = published.curve(task)
        if len(steps) and steps[0] <= at <= steps[-1]:
            scores[task] = [float(np.interp(at, steps, means))]
    return scores


def _reference(groups: Sequence[Group], against: str | None) -> Group:
    """The group that the others are held against. Raises `BadInput`."""
    if against is None:
        return groups[0]
    exact = [group for group in groups if group.name == against]
    begun = [group for group in groups if group.name.lower().startswith(against.lower().replace("_", " "))]
    if len(exact or begun) == 1:
        return (exact or begun)[0]
    raise BadInput(f"{against!r} is not one of the groups {', '.join(group.name for group in groups)}")


def _name(run: Run, by: Sequence[str]) -> str:
    values = {**run.config, "preset": run.preset, "name": run.name}
    return ", ".join(final.label_of(key, values[key]) if key != "name" else run.name for key in by)


def _scaled(group: Group) -> dict[str, list[float]]:
    return {task: [value / SCALE for value in values] for task, values in group.scores.items()}


def _differences(groups: Sequence[Group]) -> None:
    """Note in each group the values of the config fields that are not the same in all groups."""
    configs = [[run.config for run in group.runs] for group in groups if group.runs]
    keys = sorted({key for group in configs for config in group for key in config} - WATCHING)
    for key in keys:
        values = [sorted({config.get(key) for config in group}, key=str) for group in configs]
        if any(value != values[0] for value in values):
            for group, value in zip((g for g in groups if g.runs), values, strict=True):
                group.differs[key] = value
