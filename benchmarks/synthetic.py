"""A store of invented runs, to try figures, reports and timings on: `python -m benchmarks.synthetic HOME`.

SYNTHETIC: nothing in it was measured; it must never be shown as a result. The world `published` has the published
Dreamer's curves, with made-up factors for the other methods, objectives and action repeats. In the world `confirming`
every claim of the paper is true, in the world `contradicting` every one that scores, times and errors can contradict
is false. All noise is made up. With --scalars each run gets 25 metrics at 2,000 environment steps (180 runs: 9 million
points).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import insert

from dreamctl.jobs import sweeps
from dreamctl.jobs.spec import RunSpec
from dreamctl.results import published
from dreamctl.store import Store, open_store
from dreamctl.store.models import Evaluation, Run, Scalar

_AT_ONCE = 50  # runs in one transaction
_WALKER = ("walker_run", "walker_stand", "walker_walk")
_SOLVED = sweeps.BUILT_IN["performance"][1].tasks[1:18:2]  # nine tasks, by the contrastive objective where claims hold


class World(NamedTuple):
    """curve: true returns [K] of a cell at environment steps [K]; hours: per 1e6 environment steps, by method; error:
    of open-loop predictions, in errors of the mean image; noise: standard deviation of a seed."""

    curve: Callable[[RunSpec, np.ndarray], np.ndarray]
    hours: dict[str, float]
    error: float
    noise: float = 12.0  # with which 3 seeds tell 802 from 786


def _published(cell: RunSpec, at: np.ndarray) -> np.ndarray:
    factors = {"no_value": 0.6, "planet": 0.35, "contrastive": 0.7, "reward": 0.4, 1: 0.8, 4: 0.9}
    config = cell.config
    steps, means, *_ = published.curve(cell.task)
    factor = np.prod([factors.get(key, 1.0) for key in (config.method, config.objective, config.action_repeat)])
    if config.horizon != 20:
        reach = {"dreamer": 8.0, "no_value": 20.0, "planet": 12.0}[config.method]
        factor *= (
            1 - np.exp(-config.horizon / reach)
            if config.method != "no_value"
            else np.exp(-abs(config.horizon - 20) / 20)
        )
    return factor * np.interp(at, steps, means)


def _confirming(cell: RunSpec, at: np.ndarray) -> np.ndarray:
    """Dreamer averages 802 and PlaNet 312; the alternatives are as good on the walker and need their horizon."""
    config = cell.config
    score = 802.0
    if config.method != "dreamer" and cell.task not in _WALKER:
        score = {"planet": (20 * 312 - 3 * 802) / 17, "no_value": 300.0}[config.method]
    score *= {"reconstruction": 1.0, "contrastive": 1.2 if cell.task in _SOLVED else 0.3, "reward": 0.05}[
        config.objective
    ]
    score *= {1: 0.6, 2: 1.0, 4: 0.5}[config.action_repeat]
    if config.method == "dreamer":
        score *= {3: 0.8, 5: 0.9}.get(config.horizon, 1.0)
    elif config.horizon not in (12, 20):
        score *= max(0.1, 1 - abs(config.horizon - 20) / 20)
    return score * (1 - np.exp(-at / 200_000)) / (1 - np.exp(-2_000_000 / 200_000))


def _contradicting(cell: RunSpec, at: np.ndarray) -> np.ndarray:
    """Dreamer learns late, is worse than everything else, and depends on its horizon and on an action repeat of 1."""
    config = cell.config
    score = 600.0 if config.method == "dreamer" else 950.0
    score *= {"reconstruction": 1.0, "contrastive": 1.5, "reward": 1.4}[config.objective]
    score *= {1: 1.6, 2: 1.0, 4: 0.8}[config.action_repeat]
    if config.method == "dreamer":
        return score * min(1.0, config.horizon / 20) * at / at[-1]
    return np.full(len(at), score)


WORLDS = {
    "published": World(_published, {"dreamer": 10.0, "no_value": 10.0, "planet": 17.0}, 0.3, 40.0),
    "confirming": World(_confirming, {"dreamer": 10.0, "no_value": 10.0, "planet": 17.0}, 0.3),
    "contradicting": World(_contradicting, {"dreamer": 20.0, "no_value": 20.0, "planet": 10.0}, 0.9),
}


def fill(
    store: Store,
    cells: Sequence[RunSpec],
    world: World = WORLDS["published"],
    noise: float | None = None,
    every: int = 10_000,
    scalars: bool = False,
) -> None:
    """Store a finished run for each cell, evaluated every so many environment steps; noise: standard deviation of a
    seed and, a quarter of it, of an evaluation; default: the world's."""
    now = time.time()
    for first in range(0, len(cells), _AT_ONCE):
        runs, evaluations, points = [], [], []
        for index, cell in enumerate(cells[first : first + _AT_ONCE], first):
            run, own, metrics = _invented(
                index, cell, world, world.noise if noise is None else noise, every, scalars, now
            )
            runs.append(run)
            evaluations += own
            points += metrics
        with store._write() as session:
            session.add_all(runs)
            session.flush()
            session.execute(insert(Evaluation), evaluations)
            session.execute(insert(Scalar), points)


def _invented(
    index: int, cell: RunSpec, world: World, noise: float, every: int, scalars: bool, now: float
) -> tuple[Run, list[dict[str, Any]], list[dict[str, Any]]]:
    """A run, its evaluations and its metrics."""
    rng = np.random.default_rng([cell.seed, int(cell.digest[:8], 16)])
    config = cell.config
    steps = np.arange(every, config.steps + 1, every)
    of_seed, of_evaluation = rng.normal(0, noise), rng.normal(0, noise / 4, len(steps))
    values = np.clip(world.curve(cell, steps) + of_seed + of_evaluation, 0, 1000).tolist()
    seconds = world.hours[config.method] * float(np.exp(rng.normal(0, 0.03))) * 3600 / 1e6
    label = f"{config.objective}-h{config.horizon}-r{config.action_repeat}"
    run = Run(
        id=f"{index:08x}",
        name=cell.name or f"{cell.task}-{config.method}-{label}-s{cell.seed}",
        task=cell.task,
        method=config.method,
        objective=config.objective,
        seed=cell.seed,
        preset=cell.preset,
        config=config.to_dict(),
        digest=cell.digest,
        tags=["synthetic"],
        status="finished",
        attempt=1,
        steps=config.steps,
        env_steps=config.steps,
        updates=config.steps // 10,
        score=values[-1],
        best_score=max(values),
        created_at=now + index / 1000,
        started_at=now - seconds * config.steps,
        finished_at=now,
        work_seconds=seconds * config.steps,
        device="cuda:0",
        packages={},
    )
    evaluations = [
        dict(run_id=run.id, kind="training", env_steps=s, seed=0, returns=[v], mean=v, std=0.0, created_at=now)
        for s, v in zip(steps.tolist(), values, strict=True)
    ]
    points = [("time/env_steps_per_second", config.steps, 1 / seconds)]
    points += [("train/return", 1000 * (k + 1), 50.0 + k) for k in range(config.seed_episodes)]
    if config.objective == "reconstruction":
        still = 0.02 * float(np.exp(rng.normal(0, 0.1)))
        points += [("model/mean_image_error", config.steps, still), ("model/one_step_error", config.steps, 0.005)]
        points += [("model/open_loop_error", config.steps, still * world.error)]
    if scalars:
        many = range(1_000, 2_000_001, 1_000)
        points += [(f"synthetic/{metric:02}", step, float(metric)) for metric in range(25) for step in many]
    metrics = [dict(run_id=run.id, name=name, step=step, value=value, wall_time=now) for name, step, value in points]
    return run, evaluations, metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--sweep", default="all", choices=list(sweeps.NAMES))
    parser.add_argument("--world", default="published", choices=list(WORLDS))
    parser.add_argument("--scalars", action="store_true")
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    cells = sweeps.build(arguments.sweep, sweeps.Request(limit=arguments.limit)).cells()
    fill(open_store(arguments.home), cells, WORLDS[arguments.world], scalars=arguments.scalars)
    print(f"{len(cells)} synthetic runs in {arguments.home}")


if __name__ == "__main__":
    main()
