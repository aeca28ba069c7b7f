"""Which stored runs a figure is drawn from: those with the configs of its sweep, whatever made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import BUILT_IN, Request
from dreamctl.store import Run, Store

# Settings that say how long and how closely a run is watched, not what it learns.
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


@dataclass(frozen=True)
class Found:
    """A figure's runs: by (task, values of its axes) those of several seeds; and what to say of them."""

    runs: Mapping[tuple[Any, ...], list[Run]]
    notes: list[str]


def find(store: Store, name: str, axes: Sequence[str], choice: Choice, tasks: Sequence[str] | None = None) -> Found:
    """The runs of the built-in sweep `name`, told apart by the config fields `axes`.

    tasks: those of the figure, if it does not show all of the sweep's. With `choice.sweep` the runs are those of that
    sweep, whatever their other settings. Raises `BadInput` when there is none.
    """
    stored = store.runs() if choice.sweep is None else store.members(store.find_sweep(choice.sweep).id)
    stored = [run for run in stored if run.score is not None and (choice.seeds is None or run.seed in choice.seeds)]
    stored.sort(key=lambda run: run.env_steps)  # of a run that was done twice the one that came further is taken
    preset = choice.preset or _only_preset(stored)
    stored = [run for run in stored if run.preset == preset]
    if choice.sweep is not None:
        return _all(stored, axes, choice)
    wanted = choice.tasks or (tuple(tasks) if tasks else None)
    request = Request(wanted, choice.methods if "method" in axes else None, "1", preset)
    cells = request.on(BUILT_IN[name][1]).cells()
    index: dict[str, dict[int, Run]] = {}
    for run in stored:
        index.setdefault(_identity(run.task, run.config), {})[run.seed] = run
    found, missing = {}, []
    for cell in cells:
        seeds = index.get(_identity(cell.task, cell.config.to_dict()), {})
        found[_place(cell.task, cell.config.to_dict(), axes)] = [seeds[seed] for seed in sorted(seeds)]
        missing += [] if seeds else [cell]
    command = _command(name, preset, missing)
    if not any(found.values()):
        raise BadInput(f"no stored run fits this figure: {command}")
    notes = [f"{len(missing)} of {len(cells)} kinds of runs are not stored: {command}"] if missing else []
    return Found(found, notes + _unfinished(found))


def _all(runs: Sequence[Run], axes: Sequence[str], choice: Choice) -> Found:
    """All these runs; `BadInput` when those of one line differ in more than their seeds."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        fits = (choice.tasks is None or run.task in choice.tasks) and (
            choice.methods is None or run.method in choice.methods
        )
        if fits:
            found.setdefault(_place(run.task, run.config, axes), []).append(run)
    if not found:
        raise BadInput(f"no evaluated run of sweep {choice.sweep} fits this figure: dreamctl status {choice.sweep}")
    lines = {}
    for place, members in found.items():
        must_agree(members)
        by_seed = {run.seed: run for run in members}
        lines[place] = [by_seed[seed] for seed in sorted(by_seed)]
    return Found(lines, _unfinished(lines))


def must_agree(runs: Sequence[Run]) -> None:
    """Raises `BadInput` when the runs of one line or point differ in more than their seeds."""
    keys = sorted({k for run in runs for k in run.config if run.config[k] != runs[0].config.get(k)} - WATCHING)
    if keys:
        raise BadInput(
            f"runs of one line differ in {', '.join(keys)}: draw a line for each value "
            f"(dreamctl plot curves --by {keys[0]}) or choose the runs of one sweep (--sweep NAME)"
        )


def _only_preset(runs: Sequence[Run]) -> str:
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


def _unfinished(found: Mapping[tuple[Any, ...], list[Run]]) -> list[str]:
    names = [run.name for runs in found.values() for run in runs if run.status != "finished"]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"not finished, drawn as far as they go: {', '.join(names[:5])}{more}"] if names else []


def _command(name: str, preset: str, missing: Sequence[RunSpec]) -> str:
    """The command that fills what is missing."""
    tasks = sorted({cell.task for cell in missing})
    every = set(tasks) == set(BUILT_IN[name][1].tasks)
    some = "" if every else f" --tasks {','.join(tasks)}"
    return f"dreamctl sweep {name}{some}" + ("" if preset == "paper" else f" --preset {preset}")
