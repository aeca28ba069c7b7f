"""Which stored runs a figure is drawn from: those with the configs of its sweep, no matter how they were started."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.config import make
from agent.tasks import known_as
from dreamctl.errors import BadInput
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import BUILT_IN, Request
from dreamctl.results import grouping, standing
from dreamctl.results.standing import come
from dreamctl.store import Run, Store, where

# Config fields that do not change what a run learns: its length, evaluations and checkpoints.
WATCHING = {"steps", "eval_every", "eval_episodes", "final_episodes", "checkpoint_every"}


@dataclass(frozen=True)
class Choice:
    """What to draw or compare; None: everything. until: last environment step; width: of a bin, environment steps."""

    preset: str | None = None
    tasks: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    sweep: str | None = None
    until: int | None = None
    width: int | None = None
    published: bool = True
    show_seeds: bool = False
    where: tuple[str, ...] = ()  # "FIELD=VALUE", as `store.where` takes it
    complete: bool = False  # only runs that have reached the wanted length
    version: str = "camera-ready"  # of the paper, for published scores
    x: str = "steps"  # x-axis of learning curves: steps, updates or hours

    def __post_init__(self) -> None:
        if self.tasks is not None:  # as runs have them, however they are typed
            object.__setattr__(self, "tasks", tuple(map(known_as, self.tasks)))


@dataclass(frozen=True)
class Found:
    """The runs of a figure. runs: {(task, *values of the axes): one run per seed}; notes: remarks for the user;
    wanted: the length that runs should have, in environment steps."""

    runs: Mapping[tuple[Any, ...], list[Run]]
    notes: list[str]
    wanted: int


def find(store: Store, name: str, axes: Sequence[str], choice: Choice, tasks: Sequence[str] | None = None) -> Found:
    """The runs of the built-in sweep `name`, grouped by task and the config fields `axes`.

    tasks: those of the figure, if it does not show all of the sweep's. Without `choice.seeds`, all stored seeds are
    used, and those of the sweep that are not stored are noted as missing. With `choice.sweep`, the runs are those of
    that sweep instead, whatever their other settings. Raises `BadInput` if there is none.
    """
    if choice.methods and len(choice.methods) > 1 and "method" not in axes:
        raise BadInput(f"this figure shows one method: choose one of {', '.join(choice.methods)}")
    if choice.sweep is not None:
        return _of_sweep(store, axes, choice, tasks)
    fitting = that_fit([run for run in store.runs() if run.parent is None], choice)
    stored = [run for run in fitting if standing.counts(run)]
    preset = choice.preset or only_preset(stored)
    panels = choice.tasks or (tuple(tasks) if tasks else None)
    sweep = Request(panels, choice.methods, None, preset).on(BUILT_IN[name][1])
    conditions = where.parse(choice.where)
    cells = [c for c in replace(sweep, seeds=choice.seeds or sweep.seeds).cells() if _may_fit(c, conditions)]
    if not cells:
        raise BadInput("this figure has no run that --where allows: choose other values")
    length = cells[0].config.steps
    wanted = min(length, choice.until or math.inf)
    index: dict[str, list[Run]] = {}
    for run in stored:
        index.setdefault(identity(run.task, run.config), []).append(run)
    found, missing, of_cells = {}, [], {}
    for cell in cells:
        key = identity(cell.task, cell.config.to_dict())
        of_cells[key] = index.get(key, [])
        found[_place(cell.task, cell.config.to_dict(), axes)] = standing.of_each_seed(of_cells[key], wanted)
        missing += [] if cell.seed in {run.seed for run in of_cells[key]} else [cell]
    lengths = {run.steps for runs in found.values() for run in runs}
    command = _command(name, preset, missing or cells, choice, lengths.pop() if len(lengths) == 1 else length)
    notes = short([run for runs in found.values() for run in runs], wanted=wanted, left_out=choice.complete)
    notes += standing.remarks([run for run in fitting if identity(run.task, run.config) in of_cells])
    notes += standing.again(of_cells.values(), wanted)
    notes += [f"{len(missing)} of {len(cells)} runs are not stored or not evaluated yet: {command}"] if missing else []
    found = {place: _long(runs, choice, wanted) for place, runs in found.items()}
    notes += grouping.mixed(found.values())
    if not any(found.values()):
        shipped = "" if store.read_only or store.count() else " (or add --recorded: runs that come with dreamctl)"
        raise BadInput(f"no stored run fits this figure; train some with: {command}{shipped}")
    return Found(found, notes, int(wanted))


def _of_sweep(store: Store, axes: Sequence[str], choice: Choice, tasks: Sequence[str] | None) -> Found:
    """The runs of the user's sweep; only those of the figure's tasks if the sweep has all of these tasks.

    Raises `BadInput` if there is none, or if the runs of one line differ in more than their seeds.
    """
    sweep = store.find_sweep(choice.sweep or "")
    members = that_fit(store.members(sweep.id), choice)
    if tasks and choice.tasks is None and set(tasks) <= {run.task for run in members}:
        members = [run for run in members if run.task in tasks]
    runs = [run for run in members if standing.counts(run)]
    wanted = min(max((run.steps for run in runs), default=0), choice.until or math.inf)
    notes = short(runs, wanted=wanted, left_out=choice.complete) if runs else []
    notes += standing.remarks([run for run in members if run.score is not None or run.standing == "diverged"])
    waiting = len(members) - len(runs)
    notes += [f"{waiting} of {len(members)} runs are not evaluated yet: dreamctl sweep {sweep.name}"] if waiting else []
    runs = _long(runs, choice, wanted)
    if not runs:
        raise BadInput(f"no evaluated run of sweep {sweep.name} fits this figure: dreamctl status {sweep.name}")
    only_preset(runs)
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(_place(run.task, run.config, axes), []).append(run)
    for of_line in found.values():
        must_agree(of_line, by=False)
    lines = {place: standing.of_each_seed(of_line, wanted) for place, of_line in found.items()}
    notes += standing.again(found.values(), wanted) + grouping.mixed(lines.values())
    return Found(lines, notes, int(wanted))


def that_fit(runs: Sequence[Run], choice: Choice) -> list[Run]:
    """The runs that fit the choice, evaluated or not."""
    return [
        run
        for run in where.fit(runs, where.parse(choice.where))
        if (choice.preset is None or run.preset == choice.preset)
        and (choice.tasks is None or run.task in choice.tasks)
        and (choice.methods is None or run.method in choice.methods)
        and (choice.seeds is None or run.seed in choice.seeds)
    ]


def _may_fit(cell: RunSpec, conditions: where.Conditions) -> bool:
    """Whether a run that is not there yet may meet the conditions: those that it can be known to meet."""
    known = {"task": cell.task, "seed": cell.seed, "preset": cell.preset} | cell.config.to_dict()
    return all(field not in known or where.is_any(known[field], values) for field, values in conditions)


def _long(runs: Sequence[Run], choice: Choice, wanted: float) -> list[Run]:
    """With `choice.complete` only the runs that are as long as wanted, else all."""
    return [run for run in runs if not choice.complete or come(run) >= wanted]


def must_agree(runs: Sequence[Run], what: str = "line", by: bool = True, within: bool = False) -> None:
    """Raises `BadInput` if the runs of one line, point or group differ in more than their seeds.

    by, within: whether the user can choose a field by which to divide them (--by), or over which to pool (--within).
    """
    if len({str(fork(run)) for run in runs}) > 1:
        raise BadInput(
            f"runs of one {what} were forked at different environment steps, or not all are forks: name the runs to use"
        )
    differ = {k for run in runs for k in run.config if run.config[k] != runs[0].config.get(k)} - WATCHING
    keys = sorted(differ, key=lambda key: (key not in ("method", "objective"), key))
    if keys:
        ways = [f"make a {what} for each value (--by {keys[0]})"] if by else []
        ways += [f"let its values weigh the same (--within {keys[0]})"] if within else []
        ways += [f"choose some (--where {keys[0]}=VALUE)"]
        raise BadInput(f"runs of one {what} differ in {', '.join(keys)}: {' or '.join(ways)}")


def fork(run: Run) -> tuple[int, Mapping[str, Any]] | None:
    """The environment step at which a fork starts, and its parent's values of changed fields; None for other runs."""
    if run.parent is None:
        return None
    return run.parent["env_steps"], {key: old for key, old in run.parent["changed"].items() if key not in WATCHING}


def only_preset(runs: Sequence[Run]) -> str:
    """The preset that all runs share, `paper` if there are no runs. Raises `BadInput` if there are several."""
    presets = sorted({run.preset for run in runs})
    if len(presets) > 1:
        raise BadInput(f"the runs have different presets ({', '.join(presets)}): choose one, --preset NAME")
    return presets[0] if presets else "paper"


def identity(task: str, config: Mapping[str, Any]) -> str:
    """A key that is equal for runs that differ only in their seeds (and in `WATCHING`)."""
    return json.dumps([task, {key: value for key, value in config.items() if key not in WATCHING}], sort_keys=True)


def alike(runs: Iterable[Run], by: Sequence[str] = ()) -> list[list[Run]]:
    """Runs that differ only in their seeds and in what trained them, if not in the fields `by`."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        key = (identity(run.task, run.config), str(fork(run)), grouping.name(run, by))
        found.setdefault(key, []).append(run)
    return list(found.values())


def _place(task: str, config: Mapping[str, Any], axes: Sequence[str]) -> tuple[Any, ...]:
    return (task, *(config[axis] for axis in axes))


def short(
    runs: Sequence[Run], until: int | None = None, wanted: float | None = None, left_out: bool = False
) -> list[str]:
    """A remark that names the runs shorter than `wanted` (default: the longest planned length), or than `until`.

    An empty list if there are none. Lengths are in environment steps. left_out: whether they are not used at all.
    """
    longest = min(wanted or max(run.steps for run in runs), until or math.inf)
    names = [run.name for run in runs if come(run) < longest]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    if not names:
        return []
    what = "left out" if left_out else "used as far as they go"
    return [f"unfinished or shorter than {longest:,} steps, {what}: {', '.join(names[:5])}{more}"]


def _command(name: str, preset: str, missing: Sequence[RunSpec], choice: Choice, steps: int) -> str:
    """The command that trains the missing runs, as long as those that are there."""
    tasks = sorted({cell.task for cell in missing})
    every = set(tasks) == set(BUILT_IN[name][1].tasks)
    some = "" if every else f" --tasks {','.join(tasks)}"
    some += f" --methods {','.join(choice.methods)}" if choice.methods else ""
    if choice.seeds:
        some += f" --seeds {','.join(map(str, choice.seeds))}" + ("," if len(choice.seeds) == 1 else "")
    some += "" if preset == "paper" else f" --preset {preset}"
    return f"dreamctl sweep {name}{some}" + ("" if steps == make(preset).steps else f" --set steps={steps}")
