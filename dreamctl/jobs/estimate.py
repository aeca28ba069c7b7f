"""What a sweep will cost, estimated from the rates of stored runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamctl.jobs.spec import RunSpec
from dreamctl.store import Run, Store
from dreamctl.wording import counted

_ENOUGH = 20  # how many of the newest runs a rate is taken from


@dataclass(frozen=True)
class Estimate:
    """device_hours: for all cells one after the other; disk: bytes; both None if no stored run is like the cells.
    memory: bytes of replay of the largest cell; source: the runs that the estimate is based on, and what none of them
    is like, so that the estimate may be off by several times."""

    device_hours: float | None
    disk: int | None
    memory: int
    source: str


def estimate(store: Store, cells: Sequence[RunSpec]) -> Estimate:
    """The cost of training `cells` from scratch."""
    memory = max((replay_bytes(cell) for cell in cells), default=0)
    stored = [run for run in store.runs() if run.env_steps and run.updates]
    kinds: dict[tuple[Any, ...], list[RunSpec]] = {}
    for cell in cells:
        kinds.setdefault(tuple(_traits(cell.preset, cell.config.to_dict()).values()), []).append(cell)
    hours, disk = 0.0, 0.0
    sources: dict[str, dict[str, None]] = {}  # the runs measured on, and what none of them has
    for of_kind in kinds.values():
        like, name, lacking = _alike(stored, of_kind[0])
        rates = [rate for run in like if (rate := _rate(store, run))]
        if not rates:
            return Estimate(None, None, memory, "no stored run is similar, so the rate is unknown")
        steps = sum(cell.config.steps for cell in of_kind)
        hours += steps / statistics.median(rates) / 3600
        disk += steps * statistics.median(_bytes(store, run) / run.env_steps for run in like)
        devices = ", ".join(sorted({run.device or "?" for run in like}))
        sources.setdefault(f"{counted(len(like), f'{name} run')} on {devices}", {}).update(lacking)
    told = [f"{runs}, none with {' or '.join(lacks)}" if lacks else runs for runs, lacks in sorted(sources.items())]
    return Estimate(hours, round(disk), memory, "; ".join(told))


def replay_bytes(cell: RunSpec) -> int:
    """Bytes of memory for the images of all episodes of a run."""
    config = cell.config
    episodes = -(-config.steps // config.episode_length)
    return episodes * (config.decisions + 1) * config.image_size**2 * 3


def _alike(stored: Sequence[Run], cell: RunSpec) -> tuple[list[Run], str, dict[str, None]]:
    """The newest runs that share the most leading `_traits` with a cell, a name for them, the first trait they lack."""
    mine = _traits(cell.preset, cell.config.to_dict())
    for names in (list(mine)[:count] for count in range(len(mine), 0, -1)):
        like = [run for run in stored if all(_traits(run.preset, run.config)[name] == mine[name] for name in names)]
        if like:
            lacking = {f"{name}={mine[name]}": None for name in list(mine)[len(names) :][:1]}
            return like[-_ENOUGH:], "/".join(str(mine[name]) for name in names[:3]), lacking
    return [], "", {}


def _traits(preset: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's speed depends on, most important first."""
    return {"preset": preset} | {name: config[name] for name in ("method", "objective", "action_repeat", "horizon")}


def _rate(store: Store, run: Run) -> float | None:
    """Environment steps per second of its last attempt."""
    points = store.scalars(run.id, "time/env_steps_per_second")
    return points[-1].value if points else None


def _bytes(store: Store, run: Run) -> int:
    """Bytes of all files in a run's folder."""
    return sum(path.stat().st_size for path in store.folder(run.id).rglob("*") if path.is_file())
