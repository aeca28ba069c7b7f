"""The runs and sweeps that a user points at, to do something with them."""

from __future__ import annotations

from collections.abc import Sequence

from dreamctl.errors import BadInput, UnknownRun
from dreamctl.store import where
from dreamctl.store.models import Run, Sweep
from dreamctl.store.store import Store


def choose(store: Store, references: Sequence[str], conditions: Sequence[str]) -> tuple[list[Run], list[Sweep]]:
    """The runs, each once, and the sweeps that are meant as a whole.

    references: names of sweeps, whose runs are meant, and of runs; none: all runs. With conditions (`where`) only runs
    that fit are meant, and no sweep as a whole. Raises `BadInput` for none, `UnknownRun`.
    """
    if not references and not conditions:
        raise BadInput("which runs? name runs or sweeps, or narrow all of them: --where FIELD=VALUE")
    parsed = where.parse(conditions)
    runs, sweeps = ([] if references else store.runs()), []
    for reference in references:
        try:
            sweep = store.find_sweep(reference)
        except UnknownRun:
            runs.append(store.find(reference))
        else:
            sweeps.append(sweep)
            runs += store.members(sweep.id)
    found = where.fit(list({run.id: run for run in runs}.values()), parsed)
    if not found and (conditions or not sweeps):
        raise BadInput(f"no matching run in {store.home}: dreamctl ls lists the runs")
    return found, [] if conditions else sweeps
