"""Training outlasts a database that is locked, a disk that is full or read-only, damaged episodes; all of them real."""

import os
import sqlite3
import subprocess
import threading
import time

import pytest

from agent import checkpoints, patience
from dreamctl.jobs import worker
from dreamctl.jobs.launch import spawn, submit
from dreamctl.jobs.spec import with_steps
from dreamctl.store import database, open_store
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import spec


def known(store, run):
    """All that is on record of how a run learned, and its parameters at the end."""
    scalars = {name: store.scalars(run.id, name) for name in store.last_scalars(run.id) if not name.startswith("time/")}
    return (
        {name: [(p.step, p.value) for p in points] for name, points in scalars.items()},
        [(e.kind, e.env_steps, e.returns, e.video) for e in store.evaluations(run.id)],
        [(c.path, c.env_steps, c.updates) for c in store.checkpoints(run.id)],
        sorted((a.path, a.kind, a.bytes) for a in store.artifacts(run.id)),
    )


def parameters(store, run):
    return checkpoints.load(store.folder(run.id) / store.checkpoints(run.id)[-1].path)["agent"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed, and its store."""
    store = open_store(tmp_path_factory.mktemp("whole"))
    run = submit(store, spec())
    assert worker.work(store, run.id, "cpu").status == "finished"
    return store, run


def check(store, run, whole):
    assert store.get(run.id).status == "finished", store.get(run.id).reason
    assert known(store, run) == known(*whole)
    assert_same(parameters(store, run), parameters(*whole))


def test_a_database_that_is_locked_while_everything_is_written_loses_nothing(whole, tmp_path, monkeypatch, capfd):
    """Locked from before the run is claimed until after training has ended; on SQLite's own terms."""
    monkeypatch.setattr(patience, "PAUSE", 0.1)
    connect = database.create_engine
    monkeypatch.setattr(
        database, "create_engine", lambda url, **options: connect(url, **options | {"connect_args": {"timeout": 0.05}})
    )
    store = open_store(tmp_path)
    run = submit(store, spec())
    other = sqlite3.connect(tmp_path / "dreamctl.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def let_in() -> None:
        """For a moment, so that the run is claimed; then again when all has been trained and nothing is on record."""
        time.sleep(1)
        other.rollback()
        while store.get(run.id).status == "queued":
            time.sleep(0.01)
        other.execute("BEGIN IMMEDIATE")
        while len(list((store.folder(run.id) / "checkpoints").glob("*.pt"))) < 3:
            time.sleep(0.1)
        time.sleep(1)
        found.append((known(store, run), store.get(run.id).status))
        other.rollback()

    found: list = []
    thread = threading.Thread(target=let_in)
    thread.start()
    worker.work(store, run.id, "cpu")
    thread.join()
    other.close()
    assert found == [(({}, [], [], known(store, run)[3][:1]), "running")]  # config.json
    check(store, run, whole)
    said = capfd.readouterr().err
    assert "warning: database is locked; nothing is lost, trying again" in said and "over after" in said


@pytest.fixture
def small(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def filled(place):
    """Fill a file system to its last byte; returns the file to remove."""
    path = place / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def between_updates(store, run):
    """The run's worker, once it learns."""
    process = spawn(store, run.id, "cpu")
    while store.get(run.id).updates == 0 and process.poll() is None:
        time.sleep(0.05)
    return process


PHASES = {  # what there is when the disk becomes full
    "seed episodes": lambda store, run: list(store.folder(run.id).glob("episodes/*")),
    "learning": lambda store, run: store.get(run.id).updates,
    "checkpoint": lambda store, run: list(store.folder(run.id).glob("checkpoints/*")),  # being written
    "evaluation with video": lambda store, run: list(store.folder(run.id).glob("videos/*")),
    "the end": lambda store, run: list(store.folder(run.id).glob("videos/0000000240*")),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_outlasts_a_full_disk(whole, small, phase):
    store = open_store(small / "home")
    run = submit(store, spec())
    process = spawn(store, run.id, "cpu")
    while not PHASES[phase](store, run) and process.poll() is None:
        time.sleep(0.002)
    filler = filled(small)
    time.sleep(4)
    assert process.poll() is None
    filler.unlink()
    assert process.wait(120) == 0
    told = (store.folder(run.id) / "log.txt").read_text()
    assert "over after" in told and ("No space left" in told or "disk is full" in told)
    check(store, run, whole)


def test_a_run_outlasts_a_home_that_becomes_read_only(whole, tmp_path):
    """Folders that nobody may write to, as far as files are concerned that are not open yet."""
    store = open_store(tmp_path / "home")
    run = submit(store, spec())
    folder = store.folder(run.id)
    process = between_updates(store, run)
    if subprocess.run(["chattr", "-R", "+i", str(folder)], capture_output=True).returncode:
        process.kill()
        process.wait()
        pytest.skip("no file may be made immutable here")
    try:
        time.sleep(4)
        assert process.poll() is None
    finally:
        subprocess.run(["chattr", "-R", "-i", str(folder)], check=True)
    assert process.wait(120) == 0
    assert "Operation not permitted" in (folder / "log.txt").read_text()
    check(store, run, whole)


@pytest.mark.parametrize(("episode", "back"), [(1, 240), (4, 160), (2, 0)])
def test_a_run_goes_on_from_before_a_damaged_episode(whole, tmp_path, episode, back, capfd):
    """Two seed episodes can be played again; of others what was learned from them is learned anew; all as it was."""
    store = open_store(tmp_path)
    run = submit(store, spec(steps="240"))
    worker.work(store, run.id, "cpu")
    path = store.folder(run.id) / f"episodes/{episode:06d}.npz"
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes([content[2000] ^ 16]) + content[2001:])
    wanted = with_steps(store.get(run.id), ["steps=280"])
    store.change_steps(run.id, wanted.config.to_dict(), wanted.digest)
    capfd.readouterr()
    worker.work(store, run.id, "cpu")
    said = capfd.readouterr().err
    assert path.read_bytes() == content
    assert f"{path.name} was damaged: played again" in said if back == 240 else f"{path} is damaged" in said
    first = min(int(line.split()[0].replace(",", "")) for line in said.splitlines() if "train/return" in line)
    assert first == back + 40
    longer = submit(whole[0], spec(steps="280"))
    worker.work(whole[0], longer.id, "cpu")
    assert store.get(run.id).status == "finished", store.get(run.id).reason
    assert_same(parameters(store, run), parameters(whole[0], longer))
    assert known(store, run)[0] == known(whole[0], longer)[0]
