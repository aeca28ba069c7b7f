"""Comparing groups of runs over the cells that all groups have: tasks, or a task with a value of the fields `within`.

Pooled over cells, which weigh the same, scores are returns / 1000.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results import grouping, published, scores, standing, statistics
from dreamctl.results.cells import WATCHING, must_agree
from dreamctl.results.scores import Final
from dreamctl.results.statistics import Interval, Scores
from dreamctl.store import Run, Store

SCALE = 1000.0  # the largest return of every task of the suite
PUBLISHED = "published"


@dataclass
class Group:
    """A group of runs. scores: {cell: returns, one per seed}; means and differences are in returns, the IQM is in
    returns / 1000; improvement: probability that one of its runs beats a run of the reference."""

    name: str
    scores: dict[str, list[float]]
    finals: list[Final] = field(default_factory=list)
    mean: float = 0.0  # over cells of the mean over seeds
    mean_interval: Interval | None = None
    iqm: float | None = None  # None for published scores, which are not single runs
    interval: Interval | None = None  # of the IQM
    reference: bool = False  # whether the others are compared with this one
    difference: float | None = None  # of the means: this group - the reference
    difference_interval: Interval | None = None
    improvement: float | None = None
    improvement_interval: Interval | None = None
    p: float | None = None  # of the exact rank test against the reference, corrected by Holm's method
    differs: dict[str, list[Any]] = field(
        default_factory=dict
    )  # its values of the config fields in which groups differ

    @property
    def runs(self) -> list[Run]:
        """The runs behind the scores."""
        return [final.run for final in self.finals]

    @property
    def short(self) -> list[Final]:
        """Scores of runs that are shorter than wanted."""
        return [final for final in self.finals if not final.complete]

    @property
    def values(self) -> np.ndarray:
        """All scores, of all cells."""
        return np.concatenate([np.asarray(values, float) for values in self.scores.values()])


@dataclass(frozen=True)
class Comparison:
    """Groups, best first. cells: those that all have; left_out: the others; tests: how many p is corrected for;
    least_p: the least p that so few seeds can give; behind: runs that count, but without a score at the steps asked
    for; again: remarks on seeds with several runs."""

    groups: list[Group]
    cells: list[str]
    left_out: list[str]
    tests: int
    least_p: float | None
    behind: list[Run]
    again: Sequence[str] = ()
    within: Sequence[str] = ()
    source: published.Score | None = None  # a score of the group `published`, for its origin


def compare(
    store: Store,
    runs: Sequence[Run],
    by: Sequence[str],
    at: int | None = None,
    against: str | None = None,
    complete: bool = False,
    within: Sequence[str] = (),
) -> Comparison:
    """Group evaluated runs by the fields `by`, and compare the groups over the tasks that all of them have.

    within: fields whose values weigh the same, as tasks do: with "horizon" a cell is a task at one horizon.
    at: use the last evaluation up to this environment step, of the runs that have reached it; default: the last one.
    complete: use only runs as long as the longest. against: the reference group (a prefix of its name, or `published`
    for the published Dreamer). By default it is the best group; because that choice depends on the scores, p values
    and intervals are then corrected for all pairs of groups. Raises `BadInput`, also if the runs of one group differ
    in a cell in more than their seeds.
    """
    grouping.check((*by, *within))
    if both := set(by) & set(within):
        raise BadInput(f"--by and --within both name {', '.join(sorted(both))}: leave out one")
    if within and against == PUBLISHED:
        raise BadInput("the published scores have no settings to compare within: leave out --within")
    come = [run for run in runs if at is None or standing.diverged(run) or run.env_steps >= at]
    finals = scores.finals(store, come, until=at, complete=complete)
    behind = [run for run in runs if at is not None and standing.counts(run) and run.id not in finals]
    groups, again = _grouped(finals.values(), by, within)
    if not groups:
        raise BadInput(
            "none of these runs has been evaluated" + (f" and has reached {at:,} environment steps" if at else "")
        )
    known = {}
    if against == PUBLISHED:
        known = _published({task for group in groups for task in group.scores}, at)
        if not known:
            raise BadInput("nothing was published for these tasks and environment steps")
        groups.append(Group(PUBLISHED, {task: [score.mean] for task, score in known.items()}))
    every = {cell for group in groups for cell in group.scores}
    cells = statistics.common([group.scores for group in groups])
    if not cells:
        shared = " and ".join(("task", *within))
        raise BadInput(f"these groups have no {shared} in common: choose others, --where FIELD=VALUE")
    for group in groups:
        group.scores = {cell: group.scores[cell] for cell in cells}
        group.finals = [final for final in group.finals if cell_of(final.run, within) in cells]
        _summarize(group, group.name != PUBLISHED or not known)
    groups.sort(key=lambda group: -1.0 if group.iqm is None else group.iqm, reverse=True)
    reference = _reference(groups, against)
    tests, least = _test(groups, reference, against is None, {task: known[task] for task in cells if task in known})
    _differences(groups)
    source = next(iter(known.values()), None)
    return Comparison(groups, cells, sorted(every - set(cells)), tests, least, behind, again, within, source)


def cell_of(run: Run, within: Sequence[str]) -> str:
    """The cell of a run: its task, and its values of the fields `within`."""
    return ", ".join((run.task, grouping.name(run, within))) if within else run.task


def scaled(scores: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """{cell: returns / 1000}."""
    return {cell: [value / SCALE for value in values] for cell, values in scores.items()}


def _grouped(finals: Iterable[Final], by: Sequence[str], within: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Groups with their scores by cell, and remarks on seeds with several runs in one.

    Raises `BadInput` if runs of one cell differ in more than their seeds.
    """
    members: dict[tuple[str, str], list[Final]] = {}
    for one in finals:
        members.setdefault((grouping.name(one.run, by), cell_of(one.run, within)), []).append(one)
    groups: dict[str, Group] = {}
    for (name, cell), same in members.items():
        runs = [one.run for one in same]
        must_agree(runs, "group", within=True)
        group = groups.setdefault(name, Group(name, {}))
        of = {one.run.id: one for one in same}
        own = [of[run.id] for run in standing.of_each_seed(runs, same[0].wanted)]
        group.scores[cell] = [one.score for one in own]
        group.finals += own
    cells = [[one.run for one in same] for same in members.values()]
    wanted = max((one.wanted for same in members.values() for one in same), default=0)
    return list(groups.values()), standing.again(cells, wanted)


def _summarize(group: Group, of_runs: bool) -> None:
    """Fill in mean and IQM of a group, with intervals."""
    normal = scaled(group.scores)
    group.mean = SCALE * statistics.mean(normal)
    if of_runs:
        group.mean_interval = _times(statistics.mean_interval(normal))
        group.iqm, group.interval = statistics.iqm(normal), statistics.iqm_interval(normal)


def _test(
    groups: list[Group], reference: Group, chosen_by_score: bool, known: Mapping[str, published.Score]
) -> tuple[int, float | None]:
    """Compare the groups with the reference; returns the number of tests that p is corrected for, and the least p that
    these numbers of seeds can give one of them."""
    reference.reference = True
    others = [group for group in groups if group is not reference]
    pairs = list(itertools.combinations(groups, 2)) if chosen_by_score else [(other, reference) for other in others]
    level = 1 - (1 - statistics.LEVEL) / max(1, len(pairs))
    theirs = scaled(reference.scores)
    for group in others:
        ours = scaled(group.scores)
        group.difference = group.mean - reference.mean
        if known:
            errors = {task: (s.std / SCALE, s.seeds) for task, s in known.items() if s.std is not None and s.seeds}
            interval = statistics.difference_from(ours, {t: s.mean / SCALE for t, s in known.items()}, errors, level)
        else:
            interval = statistics.difference_interval(ours, theirs, level)
            group.improvement = statistics.improvement(ours, theirs)
            group.improvement_interval = statistics.improvement_interval(ours, theirs, level)
        group.difference_interval = _times(interval)
    if known:
        return len(pairs), None
    for (one, other), p in zip(pairs, _corrected(statistics.rank_test, pairs), strict=True):
        if reference in (one, other):
            (other if one is reference else one).p = p
    least = zip(pairs, _corrected(statistics.smallest_p, pairs), strict=True)
    return len(pairs), min((p for pair, p in least if reference in pair), default=None)


def _corrected(test: Callable[[Scores, Scores], float | None], pairs: Sequence[tuple[Group, Group]]) -> list[float]:
    """The p of each pair, corrected for all of them."""
    values = [test(one.scores, other.scores) for one, other in pairs]
    return statistics.holm([1.0 if p is None else p for p in values])


def _published(tasks: Iterable[str], at: int | None) -> dict[str, published.Score]:
    """The published Dreamer on each task: its final score, or that of its curve `at` an environment step."""
    if at is None:
        return {task: score for task, score in sorted(published.final("dreamer").items()) if task in tasks}
    found = {}
    for task in sorted(tasks):
        score = published.at(task, at)
        if score is not None:
            found[task] = score
    return found


def _times(interval: Interval | None) -> Interval | None:
    return interval and Interval(interval.low * SCALE, interval.high * SCALE)


def _reference(groups: Sequence[Group], against: str | None) -> Group:
    """The group with which the others are compared. Raises `BadInput`."""
    if against is None:
        return groups[0]
    exact = [group for group in groups if group.name == against]
    begun = [group for group in groups if _plain(group.name).startswith(_plain(against))]
    found = exact or begun
    if len(found) == 1:
        return found[0]
    wrong = "is how several groups begin" if found else "is not one of the groups"
    raise BadInput(f"{against!r} {wrong}: {'; '.join(group.name for group in found or groups)}")


def _plain(name: str) -> str:
    """A group's name as one may type it: no_value is No value."""
    return name.lower().replace("_", " ")


def _differences(groups: Sequence[Group]) -> None:
    """Fill in each group's values of the config fields that differ between groups."""
    configs = [[run.config for run in group.runs] for group in groups if group.runs]
    keys = sorted({key for group in configs for config in group for key in config} - WATCHING)
    for key in keys:
        values = [sorted({config.get(key) for config in group}, key=str) for group in configs]
        if any(value != values[0] for value in values):
            for group, value in zip((g for g in groups if g.runs), values, strict=True):
                group.differs[key] = value
