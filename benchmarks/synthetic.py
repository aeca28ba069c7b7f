"""A store of invented runs, to try figures and timings on: `python -m benchmarks.synthetic HOME [--scalars]`.

SYNTHETIC: the curves are the published Dreamer's with made-up factors for the other methods, objectives and action
repeats and made-up noise. Nothing in it was measured; it must never be shown as a result. With --scalars each run gets
25 metrics at 2,000 environment steps (180 runs: 9 million points).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from dreamctl.jobs import sweeps
from dreamctl.jobs.launch import submit
from dreamctl.jobs.spec import RunSpec
from dreamctl.results import published
from dreamctl.store import Store, open_store
from dreamctl.store.models import Evaluation, Run, Scalar

_FACTORS = {"no_value": 0.6, "planet": 0.35, "contrastive": 0.7, "reward": 0.4, 1: 0.8, 4: 0.9}
_STEPS = np.arange(10_000, 2_000_001, 10_000)


def returns(cell: RunSpec) -> np.ndarray:
    """Invented evaluation returns at 10,000, 20,000, ... environment steps: [200]."""
    config = cell.config
    steps, means, *_ = published.curve(cell.task)
    factor = np.prod([_FACTORS.get(key, 1.0) for key in (config.method, config.objective, config.action_repeat)])
    if config.horizon != 20:
        reach = {"dreamer": 8.0, "no_value": 20.0, "planet": 12.0}[config.method]
        factor *= (
            1 - np.exp(-config.horizon / reach)
            if config.method != "no_value"
            else np.exp(-abs(config.horizon - 20) / 20)
        )
    rng = np.random.default_rng([cell.seed, int(cell.digest[:8], 16)])
    return np.clip(factor * np.interp(_STEPS, steps, means) + rng.normal(0, 40, len(_STEPS)), 0, 1000)


def fill(store: Store, cells: list[RunSpec], scalars: bool) -> None:
    """Store a finished run for each cell, in one transaction each."""
    now = time.time()
    for cell in cells:
        run = submit(store, replace(cell, tags=("synthetic",)))
        values = returns(cell)
        rows = [
            dict(run_id=run.id, kind="training", env_steps=int(s), seed=0, returns=[v], mean=v, std=0.0, created_at=now)
            for s, v in zip(_STEPS, values.tolist(), strict=True)
        ]
        with store._write() as session:
            session.execute(insert(Evaluation), rows)
            done = session.get_one(Run, run.id)
            done.status, done.env_steps, done.updates, done.score = "finished", 2_000_000, 200_000, values[-1]
            done.started_at, done.finished_at, done.best_score = now - 36_000, now, float(values.max())
            if scalars:
                for metric in range(25):
                    points = np.arange(1_000, 2_000_001, 1_000).tolist()
                    session.execute(
                        insert(Scalar),
                        [
                            dict(
                                run_id=run.id, name=f"synthetic/{metric:02}", step=s, value=float(metric), wall_time=now
                            )
                            for s in points
                        ],
                    )
    print(f"{len(cells)} synthetic runs in {store.home}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--sweep", default="all", choices=list(sweeps.NAMES))
    parser.add_argument("--scalars", action="store_true")
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    plan = sweeps.build(arguments.sweep, sweeps.Request(limit=arguments.limit))
    fill(open_store(arguments.home), plan.cells(), arguments.scalars)


if __name__ == "__main__":
    main()
