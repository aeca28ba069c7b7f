"""The runs that a user selects, by name or by their properties."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.config import METHODS, nearest
from dreamctl.errors import BadInput
from dreamctl.jobs.sweeps import known_tasks
from dreamctl.results import grouping, standing
from dreamctl.results.cells import Choice, alike, only_preset, short, that_fit
from dreamctl.store import Run, Store


def select(store: Store, references: Sequence[str], choice: Choice, mixed: bool = False) -> list[Run]:
    """The named runs, or all, that fit the choice. Raises `BadInput` if there is none, `UnknownRun`.

    Without names, forks are left out, and the runs must have one preset unless `mixed`.
    """
    if references:
        runs = [store.find(reference) for reference in references]
    elif choice.sweep is not None:
        runs = store.members(store.find_sweep(choice.sweep).id)
    else:
        runs = [run for run in store.runs() if run.parent is None]
    _check(runs, choice)
    wanted = that_fit(runs, choice)
    if not wanted:
        if not runs:
            raise BadInput(f"no run in {store.home}: dreamctl run TASK trains one, --recorded reads those of dreamctl")
        raise BadInput(f"no matching run in {store.home}: dreamctl ls lists the runs")
    if not references and not mixed:
        only_preset(wanted)
    return wanted


def remarks(runs: Sequence[Run], choice: Choice, by: Sequence[str] = ()) -> list[str]:
    """Remarks on runs to draw: which do not count, have diverged, were done twice, are shorter, or of several codes.

    by: the fields by which lines are told apart.
    """
    drawn = [run for run in runs if standing.counts(run)]
    if not drawn:
        return []
    wanted = min(max(run.steps for run in drawn), choice.until or math.inf)
    lines = alike(drawn, by)
    notes = standing.remarks(runs) + standing.again(lines, wanted)
    return notes + short(drawn, choice.until, left_out=choice.complete) + grouping.mixed(lines)


def _check(runs: Sequence[Run], choice: Choice) -> None:
    """Raises `BadInput` for a task or method that is none, nor that of any of the runs."""
    known_tasks(set(choice.tasks or ()) - {run.task for run in runs})
    for method in set(choice.methods or ()) - METHODS.keys():
        raise BadInput(f"unknown method {method!r}{nearest(method, METHODS)}; methods: {', '.join(METHODS)}")
