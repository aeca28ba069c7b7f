"""Sweeps: grids of runs, built in (one for each experiment of the paper), from a file or from the command line."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.config import METHODS, OBJECTIVES, ConfigError, make, nearest
from agent.tasks import TASKS, get
from dreamctl import settings
from dreamctl.errors import BadInput, UnknownRun
from dreamctl.jobs import claims
from dreamctl.jobs import questions as asking
from dreamctl.jobs.contrasts import Cell, contrasts
from dreamctl.jobs.questions import Question
from dreamctl.jobs.reading import read_yaml, table, values
from dreamctl.jobs.spec import RunSpec, pairs, parse
from dreamctl.store.identity import NAME

_ALL_TASKS = tuple(sorted(TASKS))
_OF_PRESET = "preset"  # as the value of a setting: that of the preset, not the method's default
_RUNS = 20_000  # of a sweep at most; more are probably a mistake


@dataclass(frozen=True)
class Sweep:
    """Every task with every combination of the grid's values and every seed; settings apply to all of them."""

    tasks: tuple[str, ...]
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: str = "paper"

    def cells(self) -> list[RunSpec]:
        """The runs, seed by seed, so that a sweep cut short has each cell at least once. Raises `BadInput`."""
        self._check_size()
        return [replace(point, seed=seed) for seed in self.seeds for point in self.points()]

    def points(self) -> list[RunSpec]:
        """A run of each cell, with the first seed. Raises `BadInput`."""
        self._check_size()
        axes = [[(key, value) for value in values] for key, values in self.grid.items()]
        return [
            replace(
                parse(task, self.seeds[0], self.preset, _typed({**self._settings(), **dict(point)})),
                label=_label(point),
            )
            for task in self.tasks
            for point in itertools.product(*axes)
        ]

    def _check_size(self) -> None:
        count = len(self.tasks) * len(self.seeds) * math.prod(map(len, self.grid.values()))
        if count > _RUNS:
            raise BadInput(f"this sweep would have {count:,} runs; at most {_RUNS:,} are possible: split it")

    def _settings(self) -> dict[str, str]:
        """The settings, with the preset's values where `_OF_PRESET` stands."""
        usual = make(self.preset) if _OF_PRESET in self.settings.values() else None
        return {k: str(getattr(usual, k)) if v == _OF_PRESET else v for k, v in self.settings.items()}


@dataclass(frozen=True)
class Plan:
    """What a sweep is made of: the runs of its parts, or only the first `limit` of them; and what they are to show.

    looks: after how many seeds of each cell its questions are judged; those of its parts are as many as the last look
    may need. Without looks there is one, at the end. unasked: claims of the paper that a built-in sweep so changed
    cannot answer. A name stands for one list of runs. If options change a built-in sweep or a file, the plan is named
    NAME-DIGEST, so that continuing it by name continues exactly these runs.
    """

    name: str
    parts: tuple[Sweep, ...]
    limit: int | None = None
    looks: tuple[int, ...] = ()
    questions: tuple[Question, ...] = ()
    unasked: tuple[str, ...] = field(default=(), compare=False)

    def cells(self, seeds: Mapping[str, int] | None = None) -> list[RunSpec]:
        """The runs of all parts, each once, seed by seed. Raises `BadInput`.

        seeds: {cell: how many of its seeds}; without it, with looks, as many as the first look needs.
        """
        if seeds is None and not self.looks:
            unique = {cell.digest: cell for part in self.parts for cell in part.cells()}
        else:
            points, numbers = self.points(), self.seeds
            wanted = dict.fromkeys(points, self.looks[0]) if seeds is None else seeds
            runs = [
                replace(spec, seed=seed)
                for index, seed in enumerate(numbers)
                for key, (_, spec) in points.items()
                if index < wanted.get(key, 0)
            ]
            unique = {run.digest: run for run in runs}
        if not unique:
            raise BadInput("this sweep has no runs: check --tasks, --methods, --seeds and --grid")
        return list(unique.values())[: self.limit]

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds, of which each look uses the first."""
        return self.parts[0].seeds

    def points(self) -> dict[str, tuple[Cell, RunSpec]]:
        """Its cells by name, in order: where each stands on the axes of the grid, and a run of it."""
        axes = list(dict.fromkeys(key for part in self.parts for key in part.grid))
        specs = {spec.digest: spec for part in self.parts for spec in part.points()}
        at = [
            {"task": spec.task, **{axis: str(getattr(spec.config, axis)) for axis in axes}} for spec in specs.values()
        ]
        varied = [axis for axis in axes if len({place[axis] for place in at}) > 1]
        found = {}
        for place, spec in zip(at, specs.values(), strict=True):
            key = ", ".join([spec.task, *(f"{axis}={place[axis]}" for axis in varied)])
            found[key] = (Cell(key, place), spec)
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON, to store with the sweep."""
        plain = {"parts": [asdict(part) for part in self.parts], "limit": self.limit}
        if not self.questions:
            return plain
        return plain | {"looks": list(self.looks), "questions": {q.name: q.content for q in self.questions}}

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> Plan:
        """The inverse of `to_dict`. Raises `BadInput` for anything else."""
        try:
            parts = [
                Sweep(
                    tuple(map(str, part["tasks"])),
                    {str(key): tuple(map(str, chosen)) for key, chosen in part["grid"].items()},
                    {str(key): str(value) for key, value in part["settings"].items()},
                    tuple(map(int, part["seeds"])),
                    str(part["preset"]),
                )
                for part in content["parts"]
            ]
            limit = content.get("limit")
            questions = tuple(asking.parse(key, asked) for key, asked in content.get("questions", {}).items())
            looks = parse_looks(list(map(str, content["looks"]))) if content.get("looks") else ()
            if not parts or any(len(part.seeds) < (looks[-1] if looks else 1) for part in parts):
                raise ValueError("runs are missing")
            return cls(name, tuple(parts), None if limit is None else int(limit), looks, questions)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadInput(f"the stored plan of sweep {name} is damaged: give its options or its file again") from error


# The runs behind the paper's figures (Section 5, Appendices). Figure 6 summarises the curves of Appendix D (caption of
# Figure 7), which all use a horizon of 20 (Section 5, "Long-horizon behavior"), PlaNet's included; the default of 12
# for PlaNet is that of its own paper.
BUILT_IN: dict[str, tuple[str, Sweep]] = {
    "horizon": (
        "figure 4: imagination horizons, all methods",
        Sweep(
            ("cartpole_swingup", "cheetah_run", "quadruped_walk", "walker_walk"),
            {"horizon": ("3", "5", "10", "15", "20", "25", "30", "40"), "method": tuple(METHODS)},
        ),
    ),
    "performance": (
        "figure 6: Dreamer and PlaNet on all tasks, at one horizon; part of `behavior`",
        Sweep(_ALL_TASKS, {"method": ("dreamer", "planet")}, {"horizon": _OF_PRESET}),
    ),
    "behavior": (
        "figures 7 and 9: all methods on all tasks, at one horizon",
        Sweep(_ALL_TASKS, {"method": tuple(METHODS)}, {"horizon": _OF_PRESET}),
    ),
    "representation": (
        "figures 8 and 10: all objectives on all tasks",
        Sweep(_ALL_TASKS, {"objective": tuple(OBJECTIVES)}),
    ),
    "action-repeat": (
        "figure 11: action repeat 1, 2 and 4 on all tasks",
        Sweep(_ALL_TASKS, {"action_repeat": ("1", "2", "4")}),
    ),
}
NAMES = {name: help for name, (help, _) in BUILT_IN.items()} | {"all": "everything above, each run once"}
_FILE_KEYS = ("name", "tasks", "methods", "objectives", "seeds", "preset", "set", "grid", "limit", "questions")


@dataclass(frozen=True)
class Request:
    """The options of `dreamctl sweep`; None: as in the sweep."""

    tasks: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    seeds: str | None = None
    preset: str | None = None
    settings: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    limit: int | None = None
    looks: str | None = None

    def on(self, sweep: Sweep) -> Sweep:
        """The sweep with the user's choices in place of its own. Raises `BadInput`."""
        grid = dict(sweep.grid) | {key: _listed(values) for key, values in pairs(self.grid, "--grid").items()}
        if self.methods is not None:
            grid["method"] = self.methods
        settings = {key: value for key, value in pairs(self.settings).items()}
        for key in settings:
            if key in pairs(self.grid, "--grid") or (key == "method" and self.methods is not None):
                both = "--methods" if key == "method" and self.methods is not None else "--grid"
                raise BadInput(f"--set and {both} both name {key}: leave out one")
            grid.pop(key, None)
        return replace(
            sweep,
            tasks=sweep.tasks if self.tasks is None else known_tasks(self.tasks),
            grid=grid,
            settings={key: value for key, value in sweep.settings.items() if key not in grid} | settings,
            seeds=sweep.seeds if self.seeds is None else parse_seeds(self.seeds),
            preset=sweep.preset if self.preset is None else self.preset,
        )


def build(name: str | None, request: Request, stored: Callable[[str], Mapping[str, Any]] | None = None) -> Plan:
    """The plan of a sweep: built in, from a YAML file, stored, or (name None) from the request alone.

    stored: returns the plan of a stored sweep by its name, as JSON; raises `UnknownRun` if there is none. Raises
    `BadInput`.
    """
    if name is None or name in NAMES:
        request = replace(request, preset=settings.get("preset", request.preset))
    if name is None:
        if not request.tasks:
            names = ", ".join(NAMES)
            raise BadInput(f"which sweep? dreamctl sweep NAME ({names}), a YAML file, or --tasks with --grid")
        return _changed(Plan("sweep", (Sweep(()),)), request)
    if name in NAMES:
        parts = tuple(sweep for key, (_, sweep) in BUILT_IN.items() if name in (key, "all"))
        return _changed(_claimed(Plan(name, parts), request), request)
    if Path(name).suffix in (".yaml", ".yml"):
        return _changed(read(Path(name)), request)
    if stored is not None:
        with suppress(UnknownRun):
            return _changed(Plan.from_dict(name, stored(name)), request)
    names = ", ".join(NAMES)
    raise BadInput(f"unknown sweep {name!r}{nearest(name, NAMES)}; sweeps: {names}, a .yaml file, a stored one")


def _claimed(plan: Plan, request: Request) -> Plan:
    """A built-in sweep; if it is looked at, with the paper's claims that it can answer. Raises `BadInput` if none."""
    if request.looks is None:
        return plan
    settings = Request(preset=request.preset, settings=request.settings)

    def points(parts: Iterable[Sweep], options: Request) -> dict[str, tuple[Cell, str]]:
        found = Plan(plan.name, tuple(options.on(part) for part in parts)).points()
        return {key: (cell, replace(spec, seed=0).digest) for key, (cell, spec) in found.items()}

    here = points(plan.parts, replace(request, looks=None))
    asked, left = claims.asked(plan.name, here, lambda sweep: points([BUILT_IN[sweep][1]], settings))
    if not asked:
        raise BadInput(
            f"these cells can answer no claim of the paper ({', '.join(left) or 'all'} need others): "
            "leave out --looks, or --tasks and what else changes the cells"
        )
    return replace(plan, questions=tuple(asked), unasked=tuple(left))


def _changed(plan: Plan, request: Request) -> Plan:
    """A plan with the request applied, and a new name if that changes it."""
    limit = plan.limit if request.limit is None else request.limit
    looks = plan.looks if request.seeds is None else ()
    if request.looks is not None:
        if request.seeds is not None:
            raise BadInput("looks say how many seeds there are: give --looks or --seeds, not both")
        looks = parse_looks(request.looks.split(","))
        first = plan.seeds[0] if plan.parts[0].seeds else 0
        request = replace(request, seeds="".join(f"{first + seed}," for seed in range(looks[-1])))
    wanted = Plan(plan.name, tuple(request.on(part) for part in plan.parts), limit, looks, plan.questions, plan.unasked)
    if wanted == plan:
        return plan
    _check(wanted)
    content = json.dumps(wanted.to_dict(), sort_keys=True)
    return replace(wanted, name=f"{plan.name[:191]}-{hashlib.sha256(content.encode()).hexdigest()[:8]}")


def read(path: Path) -> Plan:
    """The plan in a YAML file, which may hold `_FILE_KEYS`. Raises `BadInput`."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path} must hold the keys {', '.join(_FILE_KEYS)}")
    for key in content:
        if key not in _FILE_KEYS:
            raise BadInput(f"{path}: unknown key {key!r}{nearest(str(key), _FILE_KEYS)}")
    grid = {key: values(path, key, found) for key, found in table(path, "grid", content.get("grid")).items()}
    for key, plural in (("method", "methods"), ("objective", "objectives")):
        if plural in content:
            grid[key] = values(path, plural, content[plural])
    settings = table(path, "set", content.get("set"))
    preset, limit = content.get("preset", "paper"), content.get("limit", "")
    seeds, looks = content.get("seeds", "3"), tuple[int, ...]()
    if isinstance(seeds, dict):
        looks, chosen = _looked(path, seeds)
    else:
        given = seeds if isinstance(seeds, str) else "".join(f"{s}," for s in values(path, "seeds", seeds))
        chosen = parse_seeds(given)
    tasks = known_tasks(values(path, "tasks", content["tasks"])) if "tasks" in content else _ALL_TASKS
    if not isinstance(preset, str) or not all(isinstance(value, str) for value in settings.values()):
        raise BadInput(f"{path}: preset is a name, and set holds single values; lists go into grid")
    if not isinstance(limit, str) or limit and not re.fullmatch("[1-9][0-9]{0,8}", limit):
        raise BadInput(f"{path}: limit is a number of runs")
    name = content.get("name", path.stem)
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or name in NAMES:
        given = repr(name[:80]) if isinstance(name, str) else "that"
        raise BadInput(f"{path}: {given} cannot name a sweep: use letters, digits, '.', '_', '+' and '-'")
    asked = content.get("questions") or {}
    if not isinstance(asked, dict):
        raise BadInput(f"{path}: questions go by their names, each with asks, better and than")
    questions = tuple(asking.parse(key, question) for key, question in asked.items())
    plan = Plan(name, (Sweep(tasks, grid, settings, chosen, preset),), int(limit) if limit else None, looks, questions)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    """Raises `BadInput` for questions that the sweep's cells cannot answer, and for looks without a question."""
    if plan.looks and not plan.questions:
        raise BadInput(f"sweep {plan.name} has no questions to look at: ask some in its file, or leave out looks")
    if plan.limit and plan.questions:
        raise BadInput(f"sweep {plan.name}: a limit would leave cells of its questions without runs: leave it out")
    if plan.questions:
        if any(len(part.seeds) < 2 for part in plan.parts):
            raise BadInput(f"sweep {plan.name}: questions need two seeds or more: a single seed shows no spread")
        cells = [cell for cell, _ in plan.points().values()]
        for question in plan.questions:
            for part in question.parts:
                contrasts(part, cells, question.name)


def _looked(path: Path, given: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Looks and seeds from {looks: [4, 8], first: 0}. Raises `BadInput`."""
    if set(given) - {"looks", "first"} or "looks" not in given:
        raise BadInput(f"{path}: seeds are a number, a list, or looks such as {{looks: [4, 8, 12]}}")
    first = given.get("first", "0")
    if not isinstance(first, str) or not re.fullmatch("[0-9]{1,9}", first):
        raise BadInput(f"{path}: first is the first seed, a whole number")
    looks = parse_looks(values(path, "looks", given["looks"]))
    return looks, tuple(range(int(first), int(first) + looks[-1]))


def parse_looks(given: Sequence[str]) -> tuple[int, ...]:
    """Numbers of seeds after which questions are judged, rising, the first at least 2. Raises `BadInput`."""
    if not given or not all(re.fullmatch("[0-9]{1,5}", text.strip()) for text in given):
        raise BadInput("looks are numbers of seeds, such as 4,8,12")
    looks = tuple(int(text) for text in given)
    if looks[0] < 2 or any(later <= earlier for earlier, later in itertools.pairwise(looks)) or looks[-1] > _RUNS:
        raise BadInput("looks rise, and the first has 2 seeds or more: a single seed shows no spread")
    return looks


def parse_seeds(text: str) -> tuple[int, ...]:
    """ "3" is seeds 0, 1, 2; "0,1,4" are those. Raises `BadInput`."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise BadInput(f"seeds are a number (3) or a list (0,1,2), not {text[:80]!r}") from None
    if "," not in text and numbers and numbers[0] > _RUNS:
        raise BadInput(f"a sweep has at most {_RUNS:,} seeds, not {text}; to name single seeds, write a list (0,7)")
    chosen = tuple(numbers) if "," in text else tuple(range(numbers[0])) if numbers else ()
    if not chosen or min(chosen) < 0:
        raise BadInput(f"seeds are a number (at least 1) or a list of numbers (at least 0), not {text[:80]!r}")
    return chosen


def _typed(settings: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _label(point: Iterable[tuple[str, str]]) -> str:
    """The part of a cell's name that tells it from others of its method and objective: horizon15-action_repeat4."""
    return "-".join(f"{key}{value}" for key, value in point if key not in ("method", "objective"))


def known_tasks(names: Iterable[str]) -> tuple[str, ...]:
    """Tasks by the names that runs have. Raises `BadInput` for what is none; it names the nearest."""
    try:
        return tuple(get(name).name for name in names)
    except ConfigError as error:
        raise BadInput(str(error)) from error


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
