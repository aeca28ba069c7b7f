"""Which stored runs a figure is drawn from: those with the configs of its sweep, however they were started."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import BUILT_IN, Request
from dreamctl.store import Run, Store, where

# Settings of a run's length and evaluations, which do not change what it learns.
WATCHING = {"steps", "eval_every", "eval_episodes", "final_episodes", "checkpoint_every"}


@dataclass(frozen=True)
class Choice:
    """What a user wants to see; None: all. until: environment steps; width: of a bin, environment steps."""

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
    complete: bool = False  # only runs as long as was asked for
    version: str = "camera-ready"  # of the paper, that published scores are of
    x: str = "steps"  # what learning curves are drawn over: steps, updates or hours


@dataclass(frozen=True)
class Found:
    """A figure's runs: by (task, values of its axes) those of several seeds; what to say of them; how long they are to
    be, environment steps."""

    runs: Mapping[tuple[Any, ...], list[Run]]
    notes: list[str]
    wanted: int


def find(store: Store, name: str, axes: Sequence[str], choice: Choice, tasks: Sequence[str] | None = None) -> Found:
    """The runs of the built-in sweep `name`, told apart by the config fields `axes`.

    tasks: those of the figure, if it does not show all of the sweep's. Without `choice.seeds` those of the sweep are
    missed where they are not stored, but all that are stored are drawn. With `choice.sweep` the runs are those of that
    sweep, whatever their other settings. Raises `BadInput` when there is none.
    """
    if choice.methods and len(choice.methods) > 1 and "method" not in axes:
        raise BadInput(f"this figure is of one method, not of {', '.join(choice.methods)}: choose one")
    if choice.sweep is not None:
        return _of_sweep(store, axes, choice, tasks)
    stored = _evaluated([run for run in store.runs() if run.parent is None], choice)
    preset = choice.preset or only_preset(stored)
    panels = choice.tasks or (tuple(tasks) if tasks else None)
    sweep = Request(panels, choice.methods, None, preset).on(BUILT_IN[name][1])
    cells = replace(sweep, seeds=choice.seeds or sweep.seeds).cells()
    wanted = min(cells[0].config.steps, choice.until or math.inf)
    index: dict[str, dict[int, Run]] = {}
    for run in stored:
        if run.preset == preset and (not choice.complete or come(run) >= wanted):
            index.setdefault(_identity(run.task, run.config), {})[run.seed] = run
    found, missing = {}, []
    for cell in cells:
        seeds = index.get(_identity(cell.task, cell.config.to_dict()), {})
        found[_place(cell.task, cell.config.to_dict(), axes)] = [seeds[seed] for seed in sorted(seeds)]
        missing += [] if cell.seed in seeds else [cell]
    command = _command(name, preset, missing, choice)
    if not any(found.values()):
        shipped = "" if store.read_only or store.count() else " (or add --recorded: runs that come with dreamctl)"
        raise BadInput(f"no stored run fits this figure: {command}{shipped}")
    notes = [f"{len(missing)} of {len(cells)} runs are not stored or not evaluated yet: {command}"] if missing else []
    return Found(found, notes + short([run for runs in found.values() for run in runs], wanted=wanted), int(wanted))


def _of_sweep(store: Store, axes: Sequence[str], choice: Choice, tasks: Sequence[str] | None) -> Found:
    """The runs of the user's sweep; only those of the figure's tasks, if the sweep has them all.

    `BadInput` when those of one line differ in more than their seeds.
    """
    sweep = store.find_sweep(choice.sweep or "")
    members = [
        run
        for run in where.fit(store.members(sweep.id), where.parse(choice.where))
        if (choice.tasks is None or run.task in choice.tasks)
        and (choice.methods is None or run.method in choice.methods)
        and (choice.preset is None or run.preset == choice.preset)
        and (choice.seeds is None or run.seed in choice.seeds)
    ]
    if tasks and choice.tasks is None and set(tasks) <= {run.task for run in members}:
        members = [run for run in members if run.task in tasks]
    runs = _evaluated(members, choice)
    wanted = min(max((run.steps for run in runs), default=0), choice.until or math.inf)
    runs = [run for run in runs if not choice.complete or come(run) >= wanted]
    if not runs:
        raise BadInput(f"no evaluated run of sweep {sweep.name} fits this figure: dreamctl status {sweep.name}")
    only_preset(runs)
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(_place(run.task, run.config, axes), []).append(run)
    lines = {}
    for place, of_line in found.items():
        must_agree(of_line)
        by_seed = {run.seed: run for run in of_line}
        lines[place] = [by_seed[seed] for seed in sorted(by_seed)]
    waiting = len(members) - len(runs)
    notes = [f"{waiting} of {len(members)} runs are not evaluated yet: dreamctl sweep {sweep.name}"] if waiting else []
    return Found(lines, notes + short(runs, wanted=wanted), int(wanted))


def _evaluated(runs: Sequence[Run], choice: Choice) -> list[Run]:
    """Of a run that was done twice the one that came further is last."""
    chosen = where.fit(runs, where.parse(choice.where))
    fit = [run for run in chosen if run.score is not None and (choice.seeds is None or run.seed in choice.seeds)]
    return sorted(fit, key=lambda run: run.env_steps)


def come(run: Run) -> int:
    """How many environment steps a run has come; a finished one all that it was to."""
    return run.steps if run.status == "finished" else run.env_steps


def must_agree(runs: Sequence[Run], what: str = "line") -> None:
    """Raises `BadInput` when the runs of one line, point or group differ in more than their seeds."""
    if len({str(fork(run)) for run in runs}) > 1:
        raise BadInput(
            f"runs of one {what} were forked at different environment steps, or only some of them: name some"
        )
    differ = {k for run in runs for k in run.config if run.config[k] != runs[0].config.get(k)} - WATCHING
    keys = sorted(differ, key=lambda key: (key not in ("method", "objective"), key))
    if keys:
        raise BadInput(
            f"runs of one {what} differ in {', '.join(keys)}: make a {what} for each value (--by {keys[0]}) "
            "or choose the runs of one sweep (--sweep NAME)"
        )


def fork(run: Run) -> tuple[int, Mapping[str, Any]] | None:
    """Where a fork goes on and what it changed there, which sets its scores apart; None for other runs."""
    if run.parent is None:
        return None
    return run.parent["env_steps"], {key: old for key, old in run.parent["changed"].items() if key not in WATCHING}


def only_preset(runs: Sequence[Run]) -> str:
    """The preset that all runs share, `paper` without any. Raises `BadInput` when there are several."""
    presets = sorted({run.preset for run in runs})
    if len(presets) > 1:
        raise BadInput(f"there are runs of the presets {', '.join(presets)}: choose one, --preset NAME")
    return presets[0] if presets else "paper"


def _identity(task: str, config: Mapping[str, Any]) -> str:
    """What two runs share that differ in their seeds alone."""
    return json.dumps([task, {key: value for key, value in config.items() if key not in WATCHING}], sort_keys=True)


def _place(task: str, config: Mapping[str, Any], axes: Sequence[str]) -> tuple[Any, ...]:
    return (task, *(config[axis] for axis in axes))


def short(runs: Sequence[Run], until: int | None = None, wanted: float | None = None) -> list[str]:
    """A remark that names the runs that end before `wanted`, else before the longest of them will, or before `until`.

    None if none does.
    """
    longest = min(wanted or max(run.steps for run in runs), until or math.inf)
    names = [run.name for run in runs if come(run) < longest]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    if not names:
        return []
    return [f"not finished or shorter than {longest:,} steps, taken as far as they go: {', '.join(names[:5])}{more}"]


def _command(name: str, preset: str, missing: Sequence[RunSpec], choice: Choice) -> str:
    """The command that fills what is missing."""
    tasks = sorted({cell.task for cell in missing})
    every = set(tasks) == set(BUILT_IN[name][1].tasks)
    some = "" if every else f" --tasks {','.join(tasks)}"
    some += f" --methods {','.join(choice.methods)}" if choice.methods else ""
    if choice.seeds:
        some += f" --seeds {','.join(map(str, choice.seeds))}" + ("," if len(choice.seeds) == 1 else "")
    return f"dreamctl sweep {name}{some}" + ("" if preset == "paper" else f" --preset {preset}")
