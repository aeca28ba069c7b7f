"""A run that comes to nothing says which metric did, and keeps all that was good."""

import math
import os
import signal
import time

import pytest

from dreamctl.errors import BadInput
from dreamctl.jobs import files
from dreamctl.jobs.launch import spawn, submit
from tests.dreamctl.conftest import spec


def values(store, run):
    return {name: store.scalars(run.id, name) for name in store.last_scalars(run.id)}


@pytest.mark.parametrize("every", ["40", "80"])  # found at an evaluation, or among the losses of the next updates
def test_a_metric_that_is_not_finite_fails_the_run_by_name(store, every):
    run = submit(store, spec(method="planet", model_lr="1e30", updates="1", eval_every=every))
    assert spawn(store, run.id, "cpu").wait(200) == 1
    ended = store.get(run.id)
    assert ended.status == "failed" and ended.diverged and ended.reason.startswith("model/"), ended.reason
    assert f"is nan after {ended.updates} updates, {ended.env_steps} env steps" in ended.reason
    points = values(store, run)
    assert [p.step for p in points["train/return"]] == list(range(40, ended.env_steps + 1, 40))
    assert all(math.isfinite(p.value) for series in points.values() for p in series)
    assert ended.reason.split()[0] not in {name for name, series in points.items() if series[-1].step > ended.env_steps}
    good, env_steps, whole = next(files.newest_first(store, ended))
    assert whole and env_steps == 80 and good.name == "0000000080-0.pt"  # from before the first update


def test_a_run_that_is_killed_has_not_diverged(store):
    run = submit(store, spec(updates="2000"))
    process = spawn(store, run.id, "cpu")
    deadline = time.monotonic() + 100
    while store.get(run.id).status != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait(100)
    store.reap()
    ended = store.get(run.id)
    assert (ended.standing, ended.diverged) == ("failed", False) and "died" in ended.reason


def test_an_evaluation_that_is_not_finite_is_refused_in_one_line(store):
    run = submit(store, spec())
    for bad in (math.nan, math.inf):
        with pytest.raises(BadInput, match="must be finite"):
            store.record_evaluation(run.id, kind="manual", env_steps=1, seed=0, returns=[1.0, bad])
    assert store.evaluations(run.id) == []


def test_a_run_that_is_stopped_after_it_came_to_nothing_keeps_no_checkpoint_of_it(store):
    """The first update leaves parameters that are not finite, the second shows it: then comes SIGTERM."""
    run = submit(store, spec(model_lr="1e30", updates="2000"))
    process = spawn(store, run.id, "cpu")
    deadline = time.monotonic() + 150
    while store.get(run.id).updates < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 1
    ended = store.get(run.id)
    assert ended.status == "failed" and ended.diverged and "is nan after" in ended.reason
    assert [checkpoint.updates for checkpoint in store.checkpoints(run.id)] == [0]
    assert len(os.listdir(store.folder(run.id) / "checkpoints")) == 1
