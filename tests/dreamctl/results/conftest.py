"""Runs with given evaluations, written through the store as a worker writes them."""

import shutil
import time
from pathlib import Path

import pytest

from dreamctl.jobs.launch import submit
from dreamctl.store import Point
from dreamctl.store.database import RECORDED
from tests.dreamctl.conftest import spec, typed

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture
def evaluated(store):
    """A function that stores a run of 400 environment steps with {environment steps: returns of its episodes}.

    The seed episodes (those of a random policy, 40 environment steps each) scored 3 and 5.
    """

    def make(returns, seed=0, **settings):
        run = submit(store, spec(seed, steps="400", **settings))
        attempt = store.claim(run.id, "cpu")
        now = time.time()
        training = [Point("train/return", step, value, now) for step, value in ((40, 3.0), (80, 5.0), (120, 900.0))]
        store.heartbeat(run.id, attempt, env_steps=max(returns, default=0), updates=1, scalars=training)
        for step, values in returns.items():
            kind = "final" if step == 400 else "training"
            store.record_evaluation(
                run.id, attempt=attempt, kind=kind, env_steps=step, seed=seed, returns=[float(v) for v in values]
            )
        store.finish(run.id, attempt, "finished")
        return store.get(run.id)

    return make


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """A copy of the recorded runs, of which the files in experiments/ have asked their questions."""
    home = tmp_path_factory.mktemp("asked") / "recorded"
    shutil.copytree(RECORDED, home)
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        done = typed("sweep", path, home=home)
        assert done.returncode == 0, done.stderr
    return home
