"""The runs that claims are judged on: those of one preset, or of one sweep, that differ in what the paper varies."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from agent.config import METHODS, make
from dreamctl.jobs.contrasts import Cell as Asked
from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results import selection, standing
from dreamctl.results.cells import WATCHING, Choice
from dreamctl.results.outcomes import Outcomes
from dreamctl.store import Run, Store
from dreamctl.wording import counted

SEEDS = 3  # of a cell, the paper's number
TASKS = BUILT_IN["performance"][1].tasks  # all 20
SEEDS_OF = {"action-repeat": 2}  # Figure 11
_VARIED = ("method", "objective", "horizon", "action_repeat")


class Cell(NamedTuple):
    """What the paper's experiments vary; runs of one cell differ in their seeds."""

    task: str
    method: str
    objective: str
    horizon: int
    action_repeat: int

    @property
    def key(self) -> str:
        """Its name."""
        return f"{self.task}, {self.method}, {self.objective}, horizon {self.horizon}, repeat {self.action_repeat}"


class Evidence:
    """The runs of a choice, by cell and seed, at one setting and length, and what came of them.

    steps: environment steps at which scores are read. Setting and length are those of the paper if one of its sweeps is
    complete there; else those at which most of its cells have runs, however many other runs there are. Runs that have
    not come so far, or were not evaluated up to there, do not count (`unfinished`), nor all but one of those of a cell
    and seed (`standing`). settings: the
    config of all runs but for what the paper varies; runs with others are left out, `left_out` says how many. Raises
    `BadInput` when no run fits the choice, and for runs of several presets.
    """

    def __init__(self, store: Store, choice: Choice) -> None:
        self.store, self.sweep = store, choice.sweep
        self.runs = selection.select(store, [], choice)
        self.preset = self.runs[0].preset if choice.preset is None else choice.preset
        self.waiting = sum(run.status in ("queued", "running") for run in self.runs)
        kind, self.steps = self._most(choice.until)
        self.settings: dict[str, Any] = json.loads(kind)
        kept = [run for run in self.runs if _settings(run.config) == kind]
        self.left_out = len(self.runs) - len(kept)
        come = [run for run in kept if _come(run, self.steps)]
        every = Outcomes(store, {run.id: [run] for run in come}, self.steps)
        come = [run for run in come if every.of(run, "final") is not None]
        self.unfinished = len(kept) - len(come)
        self.cells: dict[Cell, dict[int, Run]] = defaultdict(dict)
        self._come: dict[str, list[Run]] = defaultdict(list)
        self._failed: dict[str, list[Run]] = defaultdict(list)
        for run in come:
            self._come[cell_of(run).key].append(run)
        for run in kept:
            if run.status == "failed":
                self._failed[cell_of(run).key].append(run)
        for of in self._come.values():
            self.cells[cell_of(of[0])] = {run.seed: run for run in standing.of_each_seed(of, self.steps)}
        own = {cell.key: [run for _, run in sorted(seeds.items())] for cell, seeds in self.cells.items()}
        self.outcomes = every.grouped(own)

    def _most(self, until: int | None) -> tuple[str, int]:
        """The setting and the length to judge at."""
        paper = make("paper")
        published = _settings(paper.to_dict()), until or paper.steps
        own: dict[tuple[str, int], dict[Cell, set[int]]] = defaultdict(lambda: defaultdict(set))  # of this length
        there: dict[Cell, set[int]] = defaultdict(set)  # at the paper's
        for run in self.runs:
            setting = _settings(run.config), until or run.steps
            seeds = own[setting][cell_of(run)]
            if _come(run, setting[1]):
                seeds.add(run.seed)
            if setting[0] == published[0] and _come(run, published[1]):
                there[cell_of(run)].add(run.seed)
        if self.preset == "paper" and _complete(there):
            return published
        usual = _settings(make(self.preset).to_dict())

        def merit(setting: tuple[str, int]) -> tuple[int, int, bool, int]:
            seeds = [len(of) for of in own[setting].values()]
            return sum(min(SEEDS, of) for of in seeds), sum(seeds), setting[0] == usual, setting[1]

        return max(own, key=merit)

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
        found = self.outcomes.of(run, "final")
        assert found is not None  # a run without one is none of the evidence
        return found

    def remarks(self, keys: Iterable[str]) -> list[str]:
        """On runs of some cells that have diverged, have failed or were done twice."""
        wanted = list(keys)
        failed = [run for key in wanted for run in self._failed.get(key, ())]
        return standing.remarks(failed) + standing.again([self._come.get(key, []) for key in wanted], self.steps)

    def asked(self, sweep: str) -> list[Asked]:
        """The cells of a built-in sweep, as its questions name them, at the settings of these runs."""
        return [Asked(cell.key, at) for cell, at in self.grid(sweep)]

    def grid(self, sweep: str) -> Iterator[tuple[Cell, dict[str, str]]]:
        """Each cell of a built-in sweep, and its task and values of the axes."""
        for at in _points(sweep):
            axes: dict[str, Any] = {key: int(value) if value.isdigit() else value for key, value in at.items()}
            yield self.cell(**axes), at

    @property
    def setting(self) -> str:
        """What verdicts are about: preset or sweep, length, seeds."""
        seeds = [len(found) for found in self.cells.values()]
        many = counted(max(seeds, default=0), "seed")
        many = f"{min(seeds)} to {many}" if seeds and min(seeds) < max(seeds) else many
        sweep = f"sweep {self.sweep}, " if self.sweep else ""
        others = self.left_out + self.unfinished
        more = f", {counted(others, 'other run')} left out" if others else ""
        return f"{sweep}preset {self.preset}, {self.steps:,} environment steps, {many}{more}"

    @property
    def as_published(self) -> bool:
        """Whether this is the setting of the paper: its hyper-parameters and the length of its runs."""
        paper = make("paper")
        return self.settings == json.loads(_settings(paper.to_dict())) and self.steps >= paper.steps

    def command(self, sweep: str, tasks: Sequence[str] = (), looks: Sequence[int] = ()) -> str:
        """The command that fills what a built-in sweep lacks here, at the settings and the length of these runs.

        looks: after how many seeds of each cell its claims are to be judged.
        """
        part = BUILT_IN["performance" if sweep == "all" else sweep][1]
        words = [f"dreamctl sweep {sweep}"]
        words += [f"--tasks {','.join(sorted(tasks))}"] if tasks and set(tasks) != set(part.tasks) else []
        words += [f"--looks {','.join(map(str, looks))}"] if looks else []
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


def cell_of(run: Run) -> Cell:
    """The cell that a run belongs to."""
    return Cell(run.task, *(run.config[axis] for axis in _VARIED))


def _points(sweep: str) -> Iterator[dict[str, str]]:
    """The task and the values of the axes of each cell of a built-in sweep."""
    part = BUILT_IN[sweep][1]
    for task, point in itertools.product(part.tasks, itertools.product(*part.grid.values())):
        yield {"task": task, **dict(zip(part.grid, point, strict=True))}


def _complete(cells: Mapping[Cell, set[int]]) -> bool:
    """Whether all runs of one of the paper's sweeps are there, at its own horizon and action repeat."""
    paper = make("paper").to_dict()
    for sweep in BUILT_IN:
        grid = [
            Cell(at["task"], *(type(paper[axis])(at.get(axis, paper[axis])) for axis in _VARIED))
            for at in _points(sweep)
        ]
        if all(len(cells.get(cell, ())) >= SEEDS_OF.get(sweep, SEEDS) for cell in grid):
            return True
    return False


def _come(run: Run, steps: int) -> bool:
    """Whether a run counts at this length."""
    return standing.counts(run) and standing.come(run) >= steps


def _settings(config: Mapping[str, Any]) -> str:
    """A config without what the paper varies and what only says how a run is watched, as text.

    The returns that the action model maximises are part of the method where there is no value model.
    """
    rest = {key: value for key, value in config.items() if key not in WATCHING and key not in _VARIED}
    if config["method"] != "dreamer" and rest["returns"] == METHODS[config["method"]].values["returns"]:
        rest["returns"] = "lambda"
    return json.dumps(rest, sort_keys=True)
