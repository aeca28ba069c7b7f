"""The runs that claims are judged on: those of one preset, or of one sweep, that differ in what the paper varies."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from agent.config import METHODS, make
from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results import costs, curves, selection, standing
from dreamctl.results.cells import WATCHING, Choice
from dreamctl.results.claims.measure import SEEDS
from dreamctl.store import Run, Store
from dreamctl.wording import counted

TASKS = BUILT_IN["performance"][1].tasks  # all 20
SEEDS_OF = {"action-repeat": 2}  # of a cell (Figure 11); 3 elsewhere
_VARIED = ("method", "objective", "horizon", "action_repeat")


class Cell(NamedTuple):
    """What the paper's experiments vary; runs of one cell differ in their seeds."""

    task: str
    method: str
    objective: str
    horizon: int
    action_repeat: int


class Lacking(NamedTuple):
    """cells: each of a sweep's, and whether it has enough seeds; runs: that are missing, of `of`, and of which tasks;
    empty: cells without any run."""

    cells: list[tuple[Cell, bool]]
    runs: int
    of: int
    tasks: list[str]
    empty: int


class Evidence:
    """The runs of a choice, by cell and seed, their scores at one length, and what they have in common.

    steps: environment steps at which scores are read: `choice.until`, else the length that most runs have. Runs that
    have not come so far, or were not evaluated up to there, do not count (`unfinished`), nor all but one of those of
    one cell and seed (`outcomes`). notes: remarks on runs that have diverged, have failed or were done twice. settings:
    the config of all runs but for what the paper varies; runs with other settings than most are left out, `left_out`
    says how many. Raises `BadInput` when no run fits the choice, and for runs of several presets.
    """

    def __init__(self, store: Store, choice: Choice) -> None:
        self.store, self.sweep = store, choice.sweep
        runs = selection.select(store, [], choice)
        self.preset = runs[0].preset if choice.preset is None else choice.preset
        kinds = {run.id: _settings(run.config) for run in runs}
        common = Counter(kinds.values())
        usual = _settings(make(self.preset).to_dict())
        kind = max(common, key=lambda kind: (common[kind], kind == usual))
        self.settings: dict[str, Any] = json.loads(kind)
        self.runs = runs
        self.waiting = sum(run.status in ("queued", "running") for run in runs)
        kept = [run for run in runs if kinds[run.id] == kind]
        self.left_out = len(runs) - len(kept)
        lengths = Counter(run.steps for run in kept)
        self.steps = choice.until or max(lengths, key=lambda steps: (lengths[steps], steps))
        points = curves.evaluations(store, kept, self.steps)
        scores = {run.id: self._score(run, points[run.id][1]) for run in kept}
        self._scores = {name: score for name, score in scores.items() if score is not None}
        come = [run for run in kept if run.id in self._scores]
        self.unfinished = len(kept) - len(come)
        self.cells: dict[Cell, dict[int, Run]] = defaultdict(dict)
        of_cells: dict[Cell, list[Run]] = defaultdict(list)
        for run in come:
            of_cells[cell_of(run)].append(run)
        for cell, of in of_cells.items():
            self.cells[cell] = {run.seed: run for run in standing.of_each_seed(of, self.steps)}
        ended = [run for run in kept if run.status == "failed"]
        self.notes = standing.remarks(ended) + standing.again(of_cells.values(), self.steps)

    @property
    def exhausted(self) -> bool:
        """Whether these are the runs of one sweep, which has none left to train."""
        return self.sweep is not None and not (self.waiting or self.unfinished)

    @cached_property
    def action_repeat(self) -> int:
        """The usual one: that of which most tasks are there."""
        return self._usual("action_repeat", make(self.preset).action_repeat, self.cells)

    def horizon(self, method: str) -> int:
        """A method's usual horizon: Dreamer's and PlaNet's is that of which most tasks are there; without a value model
        it is Dreamer's, so that the value model is all in which they differ."""
        if method == "no_value":
            return self.horizon("dreamer")
        own = [cell for cell in self.cells if cell.method == method]
        return self._usual("horizon", make(self.preset, {"method": method}).horizon, own)

    def _usual(self, axis: str, preferred: int, cells: Iterable[Cell]) -> int:
        tasks: dict[int, set[str]] = defaultdict(set)
        for cell in cells:
            tasks[getattr(cell, axis)].add(cell.task)
        return max(tasks, key=lambda value: (len(tasks[value]), -abs(value - preferred)), default=preferred)

    def cell(
        self,
        task: str,
        method: str = "dreamer",
        objective: str = "reconstruction",
        horizon: int | None = None,
        action_repeat: int | None = None,
    ) -> Cell:
        """A cell; what is not said is as usual."""
        return Cell(task, method, objective, horizon or self.horizon(method), action_repeat or self.action_repeat)

    def score(self, run: Run) -> float:
        """A run's score at `steps`: its last evaluation up to there."""
        return self._scores[run.id]

    def _score(self, run: Run, returns: np.ndarray) -> float | None:
        """The score of a run with those evaluations up to `steps`; None if it has not come so far, or has none."""
        if run.status == "finished" and run.steps == self.steps:
            return run.score  # evaluated at the end of its last episode, which may be later
        far = standing.counts(run) and standing.come(run) >= self.steps
        return float(returns[-1]) if far and len(returns) else None

    @cached_property
    def rates(self) -> dict[str, float]:
        """Environment steps per second at work of each run."""
        return costs.rates(run for seeds in self.cells.values() for run in seeds.values())

    @property
    def setting(self) -> str:
        """What verdicts are about: preset or sweep, length, seeds."""
        seeds = [len(found) for found in self.cells.values()]
        many = counted(max(seeds, default=0), "seed")
        many = f"{min(seeds)} to {many}" if seeds and min(seeds) < max(seeds) else many
        sweep = f"sweep {self.sweep}, " if self.sweep else ""
        return f"{sweep}preset {self.preset}, {self.steps:,} environment steps, {many}"

    @property
    def as_published(self) -> bool:
        """Whether this is the setting of the paper: its hyper-parameters and the length of its runs."""
        paper = make("paper")
        return self.settings == json.loads(_settings(paper.to_dict())) and self.steps >= paper.steps

    def lacking(self, sweep: str) -> Lacking:
        """What a built-in sweep lacks: how many of its runs, of which tasks, how many cells have none at all."""
        part, enough = BUILT_IN[sweep][1], SEEDS_OF.get(sweep, SEEDS)
        cells, tasks, runs, empty = [], set(), 0, 0
        for task, point in itertools.product(part.tasks, itertools.product(*part.grid.values())):
            axes: dict[str, Any] = {
                key: int(value) if value.isdigit() else value for key, value in zip(part.grid, point, strict=True)
            }
            cell = self.cell(task, **axes)
            seeds = len(self.cells.get(cell, ()))
            cells.append((cell, seeds >= enough))
            runs += max(0, enough - seeds)
            empty += not seeds
            tasks |= {task} if seeds < enough else set()
        return Lacking(cells, runs, enough * len(cells), sorted(tasks), empty)

    def command(self, sweep: str, tasks: Sequence[str] = (), seeds: int | None = None) -> str:
        """The command that fills what a built-in sweep lacks here, at the settings and the length of these runs."""
        if self.sweep is not None:
            return f"dreamctl sweep {self.sweep}"
        part = BUILT_IN["performance" if sweep == "all" else sweep][1]
        words = [f"dreamctl sweep {sweep}"]
        words += [f"--tasks {','.join(sorted(tasks))}"] if tasks and set(tasks) != set(part.tasks) else []
        words += [f"--seeds {seeds}"] if seeds else []
        words += [f"--preset {self.preset}"] if self.preset != "paper" else []
        usual = make(self.preset).to_dict()
        changed = {key: value for key, value in self.settings.items() if key != "returns" and usual[key] != value}
        if self.steps != usual["steps"]:
            changed["steps"] = self.steps
        if "horizon" not in part.grid and self.horizon("dreamer") != usual["horizon"]:
            changed["horizon"] = self.horizon("dreamer")
        if "action_repeat" not in part.grid and self.action_repeat != usual["action_repeat"]:
            changed["action_repeat"] = self.action_repeat
        return " ".join([*words, *(f"--set {key}={value}" for key, value in changed.items())])


class Witness:
    """Evidence as one claim sees it: which of its runs it has looked at, and of which tasks it wanted more."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.runs: dict[str, Run] = {}
        self.lacking: set[str] = set()  # tasks with too few seeds

    def runs_of(self, cell: Cell, seeds: int = SEEDS) -> dict[int, Run]:
        """The runs of a cell by seed; that there are fewer than `seeds` is remembered."""
        found = self.evidence.cells.get(cell, {})
        self.runs |= {run.id: run for run in found.values()}
        if len(found) < seeds:
            self.lacking.add(cell.task)
        return dict(sorted(found.items()))

    def scores(self, task: str, seeds: int = SEEDS, **axes: Any) -> list[float]:
        """The scores of a task's cell, by seed."""
        found = self.runs_of(self.evidence.cell(task, **axes), seeds)
        return [self.evidence.score(run) for run in found.values()]

    def by_task(self, tasks: Sequence[str], **axes: Any) -> dict[str, list[float]]:
        """The scores of several tasks."""
        return {task: self.scores(task, **axes) for task in tasks}


def cell_of(run: Run) -> Cell:
    """The cell that a run belongs to."""
    return Cell(run.task, *(run.config[axis] for axis in _VARIED))


def _settings(config: Mapping[str, Any]) -> str:
    """A config without what the paper varies and what only says how a run is watched, as text.

    The returns that the action model maximises are part of the method where there is no value model.
    """
    rest = {key: value for key, value in config.items() if key not in WATCHING and key not in _VARIED}
    if config["method"] != "dreamer" and rest["returns"] == METHODS[config["method"]].values["returns"]:
        rest["returns"] = "lambda"
    return json.dumps(rest, sort_keys=True)
