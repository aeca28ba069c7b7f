"""Which checkpoints of a run are kept, and which one it goes on from."""

import errno
import math
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from sqlalchemy import update

from agent import patience
from dreamctl.jobs import files, forking, launch, worker
from dreamctl.jobs.launch import submit
from dreamctl.store import open_store
from dreamctl.store.models import Checkpoint
from tests.dreamctl.conftest import spec, typed


def test_new_checkpoints_stay_when_the_clock_goes_back(store):
    """As after a wrong clock was set right, or on a machine whose clock is behind that of the last one."""
    run = submit(store, spec())
    recorder = worker.StoreRecorder(store, run, store.claim(run.id, "cpu"), threading.Event())

    def save(env_steps):
        path = store.file(run.id, f"checkpoints/{env_steps}.pt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(env_steps))
        recorder.checkpoint(env_steps, 1, path)
        recorder.flush()

    save(40)
    save(80)
    with store._write() as session:
        session.execute(update(Checkpoint).values(created_at=time.time() + 86400 + Checkpoint.env_steps))
    for env_steps in (120, 160, 200):
        save(env_steps)
    assert [checkpoint.env_steps for checkpoint in store.checkpoints(run.id)] == [160, 200]
    assert {path.name for path in store.file(run.id, "checkpoints").iterdir()} == {"160.pt", "200.pt"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a run of 160 environment steps, of which 80 are seed episodes."""
    store = open_store(tmp_path_factory.mktemp("home"))
    run = submit(store, spec(steps="160"))
    assert worker.work(store, run.id, "cpu").status == "finished"
    return store.home


@pytest.fixture
def extended(home, tmp_path):
    """Its copy, to be resumed: 80 environment steps more."""
    store = open_store(shutil.copytree(home, tmp_path / "copy"))
    (run,) = store.runs()
    return store, launch.resume(store, run.id, ["steps=240"])


def files_of(store, run):
    """The checkpoints on disk: name and SHA-256."""
    return {path.name: files.sha256(path) for path in store.file(run.id, "checkpoints").glob("*.pt")}


@pytest.mark.parametrize("what", ["checkpoints/0000000160-6.pt", "episodes/000003.npz"])
def test_a_disk_that_does_not_answer_is_waited_for(extended, what, monkeypatch, capfd):
    """A run that is resumed just then goes on from its newest checkpoint, once it can be read."""
    store, run = extended
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    real, refused = Path.open, []

    def failing(self, *arguments, **options):
        if self == store.file(run.id, what) and len(refused) < 3 and arguments[:1] in ((), ("rb",)):
            refused.append(self)
            raise OSError(errno.EIO, "Input/output error", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)
    assert worker.work(store, run.id, "cpu").status == "finished"
    said = capfd.readouterr().err
    assert len(refused) == 3 and "Input/output error" in said and "over after" in said
    steps = [int(line.split()[0]) for line in said.splitlines() if "train/return" in line]
    assert steps == [200, 240]


@pytest.mark.parametrize("what", ["checkpoints/0000000160-6.pt", "episodes/000003.npz"])
def test_a_disk_that_never_answers_fails_the_run_and_costs_nothing(extended, what, monkeypatch):
    store, run = extended
    before = files_of(store, run)
    monkeypatch.setattr(patience, "LIMIT", 0.0)
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    real = Path.open

    def failing(self, *arguments, **options):
        if self == store.file(run.id, what):
            raise OSError(errno.EIO, "Input/output error", str(self))
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        ended = worker.work(store, run.id, "cpu")
    assert ended.status == "failed" and "Input/output error" in ended.reason and what in ended.reason
    assert files_of(store, run) == before
    assert worker.work(store, run.id, "cpu").status == "finished"


@pytest.mark.parametrize("away", ["", "checkpoints", "episodes"], ids=["all", "checkpoints", "episodes"])
def test_a_run_whose_files_are_away_is_not_trained_from_the_start(extended, tmp_path, away):
    """The disk with them is not mounted: they are moved off, and back."""
    store, run = extended
    before, place = files_of(store, run), store.folder(run.id) / away
    place.rename(tmp_path / "elsewhere")
    launch.resume(store, run.id, ["steps=280"])
    ended = worker.work(store, run.id, "cpu")
    assert ended.status == "failed" and f"none of the {away or 'checkpoints'}" in ended.reason, ended.reason
    assert len(store.checkpoints(run.id)) == len(before)
    shutil.rmtree(place, ignore_errors=True)
    (tmp_path / "elsewhere").rename(place)
    assert files_of(store, run) == before
    assert worker.work(store, run.id, "cpu").status == "finished"


@pytest.mark.parametrize("forked", [False, True], ids=["extended", "forked"])
def test_a_kill_after_the_first_save_of_a_resumed_run_spoils_nothing(extended, forked):
    """SIGKILL while a checkpoint is written or before it is recorded: the run goes on from the one that it had."""
    store, run = extended
    if forked:
        run = launch.submit(store, forking.plan(store, run, "latest", spec(steps="240", action_lr="0.5")))
    before = files_of(store, run)
    code = (
        "import os, sys\n"
        "from dreamctl.jobs import worker\n"
        "from dreamctl.store import open_store\n"
        "worker.StoreRecorder.checkpoint = lambda *_: os.kill(os.getpid(), 9)\n"
        "worker.work(open_store(sys.argv[1]), sys.argv[2], 'cpu')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store.home), run.id]).returncode == -9
    assert files_of(store, run).items() > before.items()
    store.reap()
    assert all(whole for *_, whole in files.newest_first(store, run))
    assert worker.work(store, run.id, "cpu").status == "finished"


def test_an_agent_that_has_come_to_nothing_is_told_in_one_line(extended):
    """Its parameters are not finite, as with a checkpoint that somebody has made."""
    store, run = extended

    def spoilt(value):
        if isinstance(value, dict):
            return {key: spoilt(part) for key, part in value.items()}
        return torch.full_like(value, math.nan) if torch.is_tensor(value) and value.is_floating_point() else value

    path = store.file(run.id, store.checkpoints(run.id)[-1].path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"agent": spoilt(content["agent"])}, path)
    with store._write() as session:
        session.execute(update(Checkpoint).values(sha256=files.sha256(path)))
    done = typed("eval", run.id, "--episodes", "1", home=store.home)
    assert done.returncode == 2 and "an action is nan" in done.stderr and len(done.stderr.splitlines()) == 1
