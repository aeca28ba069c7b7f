"""Runs with given evaluations, written through the store as a worker writes them."""

import shutil
import time
from pathlib import Path

import pytest

from dreamctl.jobs import sweeps
from dreamctl.jobs.launch import submit
from dreamctl.jobs.sweeps import Request
from dreamctl.results import answers
from dreamctl.store import Point, open_store
from dreamctl.store.database import RECORDED
from dreamctl.store.models import Look, Registration
from tests.dreamctl.conftest import spec

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


def judged(store, plan, runs):
    """Make a sweep of stored runs, with its questions registered after them, and the look at its end."""
    sweep = store.open_sweep(plan.name, plan.to_dict(), 3)
    store.enroll(sweep.id, [run.id for run in runs])
    seeds = dict.fromkeys(plan.points(), len(plan.seeds))
    found = answers.judge(store, plan, 0, seeds, [], runs)
    look = {"version": 1, "asked": "", "counted": seeds}
    with store._write() as session:
        session.add(
            Registration(sweep_id=sweep.id, version=1, content=sweep.spec, created_at=time.time(), runs=len(runs))
        )
        session.add(
            Look(
                sweep_id=sweep.id,
                number=0,
                seeds=len(plan.seeds),
                version=1,
                judged_at=time.time(),
                answers=[answer | look for answer in found],
            )
        )
    return store.find_sweep(plan.name)


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """A copy of the recorded runs, of which the files in experiments/ have asked their questions."""
    home = tmp_path_factory.mktemp("asked") / "recorded"
    shutil.copytree(RECORDED, home)
    store = open_store(home)
    known = {run.digest: run for run in store.runs()}
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        plan = sweeps.build(str(path), Request())
        judged(store, plan, [known[cell.digest] for cell in plan.cells()])
    return home
