"""Times left, held against runs whose future is known."""

import json
from types import SimpleNamespace

import pytest

from dreamctl.jobs.launch import submit
from dreamctl.jobs.pace import Pace, pace, sweep_left
from dreamctl.store import Point
from dreamctl.store.models import Run
from tests.dreamctl.conftest import spec, typed

SEED, UPDATE, EPISODE, EVALUATION = 2.0, 1.5, 4.0, 5.0  # seconds
STEPS = dict(steps="2000", episode_length="40", updates="20", eval_every="400", final_episodes="3", seed_episodes="5")


def history(config, pretrain=0, resumed_at=None):
    """(time, env_steps, updates, episode's end) of every second of a run; a pause of a day at `resumed_at`."""
    now, done, updates, moments = 0.0, 0, 0, []

    def at(end=None):
        moments.append((now, done * 40, updates, end))

    for _ in range(config.seed_episodes):
        now, done = now + SEED, done + 1
        at(SEED)
    while done * 40 < config.steps:
        for _ in range(config.updates + pretrain):
            now, updates = now + UPDATE, updates + 1
            at()
        pretrain = 0
        now, done = now + EPISODE, done + 1
        at(EPISODE)
        if done * 40 % config.eval_every == 0:
            now += EVALUATION * (config.final_episodes if done * 40 >= config.steps else 1)
        if done == resumed_at:
            now += 86400
    return moments, now


@pytest.mark.parametrize("pretrain", [0, 60])
@pytest.mark.parametrize("part", [0.05, 0.2, 0.5, 0.9])
def test_the_time_left_is_right_from_the_first_updates_on(store, monkeypatch, part, pretrain):
    wanted = spec(pretrain_updates=str(pretrain), **STEPS)
    run = submit(store, wanted)
    attempt = store.claim(run.id, "cpu")
    moments, total = history(wanted.config, pretrain)
    now = next(m[0] for m in moments if m[0] >= part * total)
    past = [m for m in moments if m[0] <= now]
    monkeypatch.setattr("dreamctl.store.sweeps.time", SimpleNamespace(time=lambda: now))
    points = [Point("time/episode_seconds", steps, end, when) for when, steps, _, end in past if end]
    store.heartbeat(run.id, attempt, env_steps=past[-1][1], updates=past[-1][2], scalars=points)
    rate, left = pace(store, store.get(run.id))
    assert left == pytest.approx(total - now, rel=0.12, abs=2 * UPDATE)
    assert rate == pytest.approx(40 / (20 * UPDATE + EPISODE), rel=0.12)


def test_an_odd_run_has_no_pace_and_spoils_no_status(store):
    """A clock that was set back by an hour, twice; a config of another version."""
    runs = [submit(store, spec(seed, **STEPS)) for seed in range(3)]
    store.enroll(store.open_sweep("mine", {}, 1).id, [run.id for run in runs])
    attempts = [store.claim(run.id, "cpu") for run in runs]
    ends = {"steady": [10, 20, 30, 40], "back": [7000, 3600, 1800, 40], "once": [10, 20, 3000, 3010]}
    for run, attempt, moments in zip(runs, attempts, ends.values(), strict=True):
        points = [Point("time/episode_seconds", 200 + 40 * i, 4.0, at) for i, at in enumerate(moments)]
        store.heartbeat(run.id, attempt, env_steps=320, updates=60, scalars=points)
    found = [pace(store, store.get(run.id)) for run in runs]
    assert found[0].rate == found[2].rate == 4 and found[1] == Pace(None, None)
    with store._write() as session:
        session.get(Run, runs[0].id).config = runs[0].config | {"tomorrow": 1}
    assert pace(store, store.get(runs[0].id)) == Pace(None, None)
    done = typed("status", "mine", "--json", home=store.home)
    assert done.returncode == 0 and [row["eta"] is None for row in json.loads(done.stdout)[0]["running"]] == [
        True,
        True,
        False,
    ]
    assert sweep_left(1, [Pace(None, 3.0)]) is None


def test_a_pause_is_no_pace(store, monkeypatch):
    wanted = spec(**STEPS)
    run = submit(store, wanted)
    attempt = store.claim(run.id, "cpu")
    moments, total = history(wanted.config, resumed_at=30)
    past = [m for m in moments if m[1] <= 35 * 40]
    now = past[-1][0]
    monkeypatch.setattr("dreamctl.store.sweeps.time", SimpleNamespace(time=lambda: now))
    points = [Point("time/episode_seconds", steps, end, when) for when, steps, _, end in past if end]
    store.heartbeat(run.id, attempt, env_steps=past[-1][1], updates=past[-1][2], scalars=points)
    assert pace(store, store.get(run.id)).left == pytest.approx(total - now, rel=0.12)


def test_what_an_earlier_attempt_had_beyond_the_checkpoint_is_no_pace(store, monkeypatch):
    wanted = spec(**STEPS)
    run = submit(store, wanted)
    moments, total = history(wanted.config, resumed_at=30)
    before = [m for m in history(wanted.config)[0] if m[1] <= 36 * 40]  # the checkpoint is of 30 episodes
    now = next(m[0] for m in moments if m[1] == 33 * 40)
    after = [m for m in moments if m[0] <= now]
    monkeypatch.setattr("dreamctl.store.sweeps.time", SimpleNamespace(time=lambda: now))
    for past in before, after:
        attempt = store.claim(run.id, "cpu")
        points = [Point("time/episode_seconds", steps, end, when) for when, steps, _, end in past if end]
        store.heartbeat(run.id, attempt, env_steps=past[-1][1], updates=past[-1][2], scalars=points)
        store.finish(run.id, attempt, "stopped")
    assert pace(store, store.get(run.id)).left == pytest.approx(total - now, rel=0.12)


def test_before_the_first_update_nothing_is_promised(store):
    run = submit(store, spec(**STEPS))
    attempt = store.claim(run.id, "cpu")
    points = [Point("time/episode_seconds", 40, 2.0, 1.0)]
    store.heartbeat(run.id, attempt, env_steps=60, updates=0, scalars=points)
    assert pace(store, store.get(run.id)) == Pace(None, None)


def test_a_sweep_takes_as_long_as_its_slots_need():
    paces = [Pace(10, 50.0), Pace(10, 10.0)]
    assert sweep_left(0, paces) == 50
    assert sweep_left(4600, paces) == (50 + 10 + 460) / 2
    assert sweep_left(4600, []) is None and sweep_left(0, [paces[0], Pace(None, None)]) is None
