"""What came of the runs of each cell: the numbers that questions are about, one per seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from dreamctl.results import costs, curves
from dreamctl.store import Run, Store

EARLY = 0.25  # the part of a run that the outcome `early` is about
_ERRORS = ("model/open_loop_error", "model/mean_image_error")


class Outcomes:
    """The outcomes of the runs of cells, {cell: its runs, one per seed}, up to the length that they were to have."""

    def __init__(self, store: Store, runs: Mapping[str, Sequence[Run]], steps: int | None = None) -> None:
        self.store, self.runs = store, runs
        self.steps = steps or max((run.steps for own in runs.values() for run in own), default=0)
        self._samples: dict[tuple[str, str, str | None], list[float]] = {}

    def grouped(self, runs: Mapping[str, Sequence[Run]]) -> Outcomes:
        """Of some of these runs, in other cells."""
        found = Outcomes(self.store, runs, self.steps)
        found._curves = self._curves  # what has been read is not read again
        return found

    @cached_property
    def _curves(self) -> dict[str, curves.Points]:
        every = [run for own in self.runs.values() for run in own]
        late = curves.tolerance(every) if every else 0
        return curves.evaluations(self.store, every, self.steps + late)

    @cached_property
    def _rates(self) -> dict[str, float]:
        return costs.rates(run for own in self.runs.values() for run in own)

    def sample(self, cell: str, outcome: str, machine: str | None = None) -> list[float]:
        """The outcome of each run of a cell that has one; machine: only of runs on machines of this kind."""
        key = (cell, outcome, machine)
        if key not in self._samples:
            own = [run for run in self.runs.get(cell, ()) if machine is None or costs.machine(run) == machine]
            found = [self.of(run, outcome) for run in own]
            self._samples[key] = [value for value in found if value is not None]
        return self._samples[key]

    def machine(self, groups: Sequence[Sequence[str]]) -> str:
        """The kind of machine on which the group of cells with the fewest runs has the most; "" if all have none.

        Hours on another kind say nothing of a method, whatever the devices are called.
        """
        counted = [
            Counter(costs.machine(run) for key in keys for run in self.runs.get(key, ()) if run.id in self._rates)
            for keys in groups
        ]
        kinds = sorted(set().union(*counted))
        return max(
            kinds, key=lambda kind: (min(of[kind] for of in counted), sum(of[kind] for of in counted)), default=""
        )

    def of(self, run: Run, outcome: str) -> float | None:
        """A run's outcome: mean returns in points, `hours` per 1e6 environment steps; None where it has none.

        A run that has diverged has the returns that `standing.carried_on` gives it.
        """
        if outcome == "hours":
            return costs.hours_per_million(self._rates.get(run.id))
        if outcome == "prediction_error":
            error, still = (self.store.scalars(run.id, name) for name in _ERRORS)
            return error[-1].value / still[-1].value if error and still and still[-1].value > 0 else None
        steps, returns = self._curves[run.id]
        if outcome == "early":
            returns = returns[steps <= EARLY * self.steps]
        if not len(returns):
            return None
        return float(returns[-1]) if outcome == "final" else float(np.mean(returns))

    def random(self, task: str) -> float | None:
        """What a random policy gets on a task, the mean over the runs' seed episodes; None where it is not known."""
        return self._random.get(task)

    @cached_property
    def _random(self) -> dict[str, float]:
        by_task: dict[str, list[Run]] = {}
        for own in self.runs.values():
            for run in own:
                by_task.setdefault(run.task, []).append(run)
        found = {task: curves.random_return(self.store, runs) for task, runs in by_task.items()}
        return {task: value for task, value in found.items() if value is not None and math.isfinite(value)}
