"""Which stored runs a figure is drawn from: those with the configs of its sweep, whatever made them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
    wanted = choice.tasks or (tuple(tasks) if tasks else None)
    preset = choice.preset or _only_preset(store, choice)
    request = Request(wanted, choice.methods if "method" in axes else None, "1", preset)
    cells = request.on(BUILT_IN[name][1]).cells()
    if choice.sweep is None:
        stored = store.runs()
        same: Callable[[str, Mapping[str, Any]], str] = _identity
    else:
        stored = store.members(store.find_sweep(choice.sweep).id)
        same = _by(axes)
    index: dict[str, dict[int, Run]] = {}
    for run in sorted(stored, key=lambda run: run.env_steps):  # of a run that was done twice the one that came further
        chosen = choice.seeds is None or run.seed in choice.seeds
        if run.score is not None and run.preset == preset and chosen:
            index.setdefault(same(run.task, run.config), {})[run.seed] = run
    found: dict[tuple[Any, ...], list[Run]] = {}
    missing: list[RunSpec] = []
    for cell in cells:
        seeds = index.get(same(cell.task, cell.config.to_dict()), {})
        found.setdefault((cell.task, *(getattr(cell.config, axis) for axis in axes)), []).extend(
            seeds[seed] for seed in sorted(seeds)
        )
        if not seeds:
            missing.append(cell)
    if not any(found.values()):
        raise BadInput(f"no stored run fits this figure: {_command(name, preset, missing, cells)}")
    return Found(found, _notes(found, missing, cells, _command(name, preset, missing, cells)))


def _only_preset(store: Store, choice: Choice) -> str:
    """The preset that all chosen runs share, `paper` without any. Raises `BadInput` when there are several."""
    runs = store.members(store.find_sweep(choice.sweep).id) if choice.sweep else store.runs()
    presets = sorted({run.preset for run in runs if run.score is not None})
    if len(presets) > 1:
        raise BadInput(f"there are runs of the presets {', '.join(presets)}: choose one, --preset NAME")
    return presets[0] if presets else "paper"


def _identity(task: str, config: Mapping[str, Any]) -> str:
    return json.dumps([task, {key: value for key, value in config.items() if key not in WATCHING}], sort_keys=True)


def _by(axes: Sequence[str]) -> Callable[[str, Mapping[str, Any]], str]:
    return lambda task, config: json.dumps([task, *(config[axis] for axis in axes)])


def _notes(
    found: Mapping[tuple[Any, ...], list[Run]], missing: Sequence[RunSpec], cells: Sequence[RunSpec], command: str
) -> list[str]:
    notes = []
    if missing:
        notes.append(f"{len(missing)} of {len(cells)} kinds of runs are not stored: {command}")
    unfinished = [run.name for runs in found.values() for run in runs if run.status != "finished"]
    if unfinished:
        more = f" and {len(unfinished) - 5} more" if len(unfinished) > 5 else ""
        notes.append(f"not finished, drawn as far as they go: {', '.join(unfinished[:5])}{more}")
    return notes


def _command(name: str, preset: str, missing: Sequence[RunSpec], cells: Sequence[RunSpec]) -> str:
    """The command that fills what is missing."""
    tasks = sorted({cell.task for cell in missing})
    every = set(tasks) == set(BUILT_IN[name][1].tasks)
    some = "" if every else f" --tasks {','.join(tasks)}"
    return f"dreamctl sweep {name}{some}" + ("" if preset == "paper" else f" --preset {preset}")
