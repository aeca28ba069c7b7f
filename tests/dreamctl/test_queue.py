"""The queue in the run database: claims, dead workers, attempts; with real processes on a real file."""

import errno
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError

from agent.patience import patiently
from dreamctl.errors import BadInput, StaleAttempt, UnknownRun
from dreamctl.jobs import files, worker
from dreamctl.jobs import scheduler as scheduler_module
from dreamctl.jobs import slots as slots_module
from dreamctl.jobs.launch import submit
from dreamctl.jobs.scheduler import Job, Scheduler, enroll
from dreamctl.jobs.slots import Slot
from dreamctl.store import open_store
from dreamctl.store.database import may_recover
from dreamctl.store.models import Run
from tests.dreamctl.conftest import spec


@pytest.fixture
def sweep(store):
    """Three waiting runs."""
    return enroll(store, "mine", [spec(seed) for seed in range(3)], {}, max_attempts=2)


def gone(store, run, **changes):
    """Make a running run's worker a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with store._write() as session:
        row = session.get(Run, run.id)
        row.pid, row.process_started = process.pid, 1.0
        for key, value in changes.items():
            setattr(row, key, value)
    return store.get(run.id)


def test_runs_are_claimed_in_order_and_once(store, sweep):
    claimed = [store.claim_next(sweep.id, "cpu") for _ in range(4)]
    assert [run and run.seed for run in claimed] == [0, 1, 2, None]
    assert all(run.status == "running" and run.attempt == 1 for run in claimed[:3])


def test_a_worker_takes_its_schedulers_claim_over_once(store, sweep):
    run = store.claim_next(sweep.id, "cpu")
    store.adopt(run.id, 1)
    store.finish(run.id, 1, "finished")
    with pytest.raises(StaleAttempt):
        store.adopt(run.id, 1)


def test_an_old_worker_cannot_write_for_its_successor(store, sweep):
    run = gone(store, store.claim_next(sweep.id, "cpu"))
    assert [r.id for r in store.reap()] == [run.id]
    again = store.claim_next(sweep.id, "cpu")
    assert (again.id, again.attempt) == (run.id, 2)
    with pytest.raises(StaleAttempt):
        store.heartbeat(run.id, 1, env_steps=1, updates=1, scalars=[])
    with pytest.raises(StaleAttempt):
        store.adopt(run.id, 1)


def test_a_run_that_loses_its_last_worker_fails_with_its_log(store, sweep):
    for expected in ("queued", "failed"):
        run = gone(store, store.claim_next(sweep.id, "cpu"))
        (store.folder(run.id) / "log.txt").write_text("".join(f"line {i}\n" for i in range(50)))
        store.reap()
        assert store.get(run.id).status == expected
    failed = store.get(run.id)
    assert failed.log_tail.splitlines() == [f"line {i}" for i in range(30, 50)]
    assert "worker died" in failed.reason and failed.attempt == 2
    assert store.claim_next(sweep.id, "cpu").seed == 1  # the sweep goes on
    assert store.requeue([run.id]) == 1 and store.get(run.id).deaths == 0
    run = gone(store, store.claim_next(sweep.id, "cpu"))  # it is the first again, and may lose a worker again
    store.reap()
    assert (run.seed, store.get(run.id).status, store.get(run.id).deaths) == (0, "queued", 1)


def test_a_run_without_a_sweep_fails_at_once(store):
    run = submit(store, spec())
    store.claim(run.id, "cpu")
    gone(store, run)
    store.reap()
    assert store.get(run.id).status == "failed"


def test_a_dead_worker_that_was_told_to_stop_leaves_a_stopped_run(store, sweep):
    run = gone(store, store.claim_next(sweep.id, "cpu"), stop_requested=True)
    store.reap()
    assert store.get(run.id).status == "stopped"


def test_another_hosts_worker_is_dead_when_its_lease_is_over(store, sweep):
    """What cannot be seen from here is dead when it is silent, and silent still at a second look."""
    one, two, three = (store.claim_next(sweep.id, "cpu") for _ in range(3))
    gone(store, one, process_space="another boot", heartbeat_at=time.time() - 61)
    gone(store, two, process_space="another boot", heartbeat_at=time.time() - 40)
    gone(store, three, process_space=None, heartbeat_at=time.time() - 61)
    assert store.reap() == []  # one look is no evidence
    store.heartbeat(three.id, 1, env_steps=0, updates=0, scalars=[])  # it was a clock that jumped, or a machine asleep
    assert [run.id for run in store.reap(wait=True)] == [one.id]
    assert [store.get(run.id).status for run in (one, two, three)] == ["queued", "running", "running"]
    assert "no heartbeat" in store.get(one.id).reason


def test_a_paused_sweep_gives_no_runs(store, sweep):
    store.pause(sweep.id, True)
    assert store.claim_next(sweep.id, "cpu") is None
    store.pause(sweep.id, False)
    assert store.claim_next(sweep.id, "cpu").seed == 0


def test_a_queued_run_can_be_held_back(store, sweep):
    running = store.claim_next(sweep.id, "cpu")
    alone = submit(store, spec(seed=9))  # in no queue: its worker is about to start
    queued = store.members(sweep.id, status="queued")
    assert store.withdraw([running.id, alone.id, queued[0].id]) == {queued[0].id}
    assert [store.get(run.id).status for run in (running, alone, queued[0])] == ["running", "queued", "stopped"]
    assert [store.claim_next(sweep.id, "cpu").seed, store.claim_next(sweep.id, "cpu")] == [2, None]
    store.requeue([queued[0].id])
    assert store.claim_next(sweep.id, "cpu").seed == 1


def test_stopping_a_sweep_reaches_what_is_at_work_and_nothing_more_is_claimed(store, sweep):
    run = store.claim_next(sweep.id, "cpu")
    assert [r.id for r in store.stop_sweep(sweep.id)] == [run.id]
    assert store.heartbeat(run.id, 1, env_steps=0, updates=0, scalars=[])  # that is what its worker is told
    assert store.claim_next(sweep.id, "cpu") is None
    scheduler = Scheduler(store, sweep, [Slot("cpu")])
    scheduler.step()
    assert scheduler.stopping and scheduler.done
    store.finish(run.id, 1, "stopped")
    again = enroll(store, "mine", [spec(seed) for seed in range(3)], {}, max_attempts=2)
    assert not again.stopped and store.claim_next(sweep.id, "cpu").seed == 0


def test_a_sweep_is_what_its_plan_says(store, sweep):
    """Runs of an older plan leave it; they stay on record."""
    enroll(store, "mine", [spec(2), spec(1)], {}, max_attempts=2)
    assert [run.seed for run in store.members(sweep.id)] == [2, 1] and len(store.runs()) == 3
    assert [store.claim_next(sweep.id, "cpu").seed for _ in range(2)] == [2, 1]
    assert store.claim_next(sweep.id, "cpu") is None


@contextmanager
def locked(store):
    """Another process has the database, for longer than we wait."""
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(store.home / "dreamctl.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.rollback()
    other.close()


def test_a_database_that_does_not_answer_is_asked_again(tmp_path):
    store = open_store(tmp_path)
    sweep = enroll(store, "mine", [spec(seed) for seed in range(2)], {}, max_attempts=2)
    scheduler = Scheduler(store, sweep, [Slot("cpu")])
    with locked(store):
        scheduler.step()
        assert "database is locked" in scheduler.trouble and not scheduler.jobs and not scheduler.done
    scheduler.step()
    assert scheduler.trouble is None and len(scheduler.jobs) == 1
    with locked(store):
        scheduler.stop()  # by the signal alone
    (job,) = scheduler.jobs.values()
    job.process.wait(60)
    scheduler.step()
    assert scheduler.done and store.get(job.run.id).status in ("queued", "stopped")


def test_a_run_whose_folder_cannot_be_made_fails_and_the_sweep_goes_on(store, sweep):
    first, second, _ = store.members(sweep.id)
    shutil.rmtree(store.folder(first.id))
    store.folder(first.id).touch()  # a file is in the way
    shutil.rmtree(store.folder(second.id))
    scheduler = Scheduler(store, sweep, [Slot("cpu")])
    scheduler.step()
    scheduler.step()
    assert store.get(first.id).status == "failed" and "could not be started" in store.get(first.id).reason
    (job,) = scheduler.jobs.values()
    assert job.run.id == second.id and (store.folder(second.id) / "log.txt").is_file()
    scheduler.kill()
    job.process.wait()
    scheduler.step()
    assert store.get(second.id).status == "stopped"


def test_a_machine_without_memory_for_a_moment_costs_no_run(store, sweep, monkeypatch):
    """Neither a worker nor the mirror can be forked; then both can."""
    monkeypatch.setenv("DREAMCTL_MLFLOW", "")
    monkeypatch.setattr(scheduler_module, "_REST", 0.5)
    real = subprocess.Popen

    def refused(*arguments, **options):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refused)
        scheduler = Scheduler(store, sweep, [Slot("cpu")] * 2)
        for _ in range(20):
            scheduler.step()
            assert "Cannot allocate memory" in scheduler.trouble and not scheduler.done
    assert "failed" not in store.counts(sweep.id) and max(run.attempt for run in store.members(sweep.id)) < 10
    with monkeypatch.context() as patch:  # for the mirror alone
        patch.setattr(subprocess, "Popen", lambda command, **o: (refused if "sync" in command else real)(command, **o))
        time.sleep(0.5)
        scheduler.step()
    assert scheduler.trouble is None and len(scheduler.jobs) == 2
    scheduler.kill()
    for job in scheduler.jobs.values():
        job.process.wait()


def test_a_run_that_is_removed_leaves_its_slot(store, sweep):
    scheduler = Scheduler(store, sweep, [Slot("cpu")])
    run = store.claim_next(sweep.id, "cpu")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    scheduler.jobs[0] = Job(run, process)
    store.finish(run.id, 1, "finished")
    store.remove(run.id)
    store.pause(sweep.id, True)
    scheduler.step()
    assert not scheduler.jobs and len(store.members(sweep.id)) == 2


def test_a_worker_too_young_for_a_signal_leaves_a_stopped_run(store, sweep):
    scheduler = Scheduler(store, sweep, [Slot("cpu")])
    scheduler.step()
    scheduler.stop()
    (job,) = scheduler.jobs.values()
    assert job.process.wait(60) == -signal.SIGTERM
    scheduler.step()
    assert scheduler.done and [run.status for run in store.members(sweep.id)] == ["stopped", "queued", "queued"]


def test_how_a_run_ends_is_written_when_the_database_answers_again(tmp_path):
    store = open_store(tmp_path)
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    with locked(store):
        end = lambda: store.finish(run.id, attempt, "failed")  # noqa: E731
        thread = threading.Thread(target=patiently, args=[end, may_recover])
        thread.start()
        time.sleep(0.5)
        assert thread.is_alive() and store.get(run.id).status == "running"
    thread.join(60)
    assert store.get(run.id).status == "failed"


def test_metrics_of_a_busy_minute_are_written_later_in_order(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    heartbeat = store.heartbeat

    def slow(*arguments, **values):
        recorder.scalars(40, {"a": 4.0})  # meanwhile it is known better
        return heartbeat(*arguments, **values)

    run = submit(store, spec())
    recorder = worker.StoreRecorder(store, run, store.claim(run.id, "cpu"), threading.Event())
    recorder.scalars(40, {"a": 1.0, "b": 2.0})
    with locked(store):
        monkeypatch.setattr(store, "heartbeat", slow)
        with pytest.raises(OperationalError):
            recorder.flush()
        monkeypatch.setattr(store, "heartbeat", heartbeat)
        recorder.scalars(80, {"a": 3.0})
    recorder.flush()
    assert [(p.step, p.value) for p in store.scalars(run.id, "a")] == [(40, 4.0), (80, 3.0)]
    assert [(p.step, p.value) for p in store.scalars(run.id, "b")] == [(40, 2.0)]


def test_a_run_goes_on_from_its_newest_whole_checkpoint(store):
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    paths = [store.folder(run.id) / f"{steps}.pt" for steps in (80, 160, 240)]
    assert list(files.newest_first(store, run)) == []
    for path in paths:
        path.write_text(path.name)
        known = dict(path=path.name, env_steps=int(path.stem), updates=1, bytes=1, sha256=files.sha256(path))
        store.record_checkpoint(run.id, attempt, **known)
    assert next(files.newest_first(store, run)) == (paths[2], 240, True)
    paths[2].write_text("torn")
    assert list(files.newest_first(store, run))[:2] == [(paths[2], 240, False), (paths[1], 160, True)]
    paths[1].unlink()
    assert [whole for *_, whole in files.newest_first(store, run)] == [False, False, True]
    paths[0].unlink()
    assert [whole for *_, whole in files.newest_first(store, run)] == [False, False, False]


def test_an_unclaimed_run_is_ended_unless_a_sweep_has_it(store, sweep):
    alone = submit(store, spec(9))
    assert store.abandon(alone.id, 0, "failed", "x") and store.get(alone.id).status == "failed"
    member = store.members(sweep.id)[0]
    assert store.abandon(member.id, 0, "failed", "x") and store.get(member.id).status == "queued"
    run = gone(store, store.claim_next(sweep.id, "cpu"))
    assert not store.abandon(run.id, 0, "failed", "x")
    store.reap()
    assert not store.abandon(run.id, 0, "failed", "x") and store.get(run.id).status == "queued"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        (" 1 , 0", ["1", "0"]),
        ("GPU-8932,MIG-a/1/0", ["GPU-8932", "MIG-a/1/0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("2", []),
        ("NoDevFiles", []),
        ("0,,1", ["0"]),
        ("9999999999", []),
    ],
)
def test_gpus_are_those_that_cuda_sees(monkeypatch, visible, found):
    """CUDA_VISIBLE_DEVICES, by CUDA's rules: what follows an entry that is no GPU does not count."""
    monkeypatch.setattr("pynvml.nvmlInit", lambda: None)  # a machine with two
    monkeypatch.setattr("pynvml.nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr("pynvml.nvmlShutdown", lambda: None)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert slots_module.gpus() == found


def test_slots_divide_gpus_and_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(slots_module, "gpus", lambda: ["0", "3"])  # what NVML finds elsewhere
    monkeypatch.setattr(slots_module.os, "cpu_count", lambda: 12)
    found = slots_module.slots(per_gpu=2, cpu_slots=None)
    assert [(slot.device, slot.environment["CUDA_VISIBLE_DEVICES"], slot.worker_device) for slot in found] == [
        (f"cuda:{gpu}", gpu, "cuda:0") for gpu in ("0", "0", "3", "3")
    ]
    cpus = slots_module.slots(per_gpu=1, cpu_slots=5)[2:]
    assert [(slot.device, slot.environment["OMP_NUM_THREADS"], slot.worker_device) for slot in cpus] == [
        ("cpu", "2", "cpu")
    ] * 5
    monkeypatch.setattr(slots_module, "gpus", list)
    assert [slot.device for slot in slots_module.slots(per_gpu=1, cpu_slots=None)] == ["cpu"]
    assert slots_module.slots(per_gpu=1, cpu_slots=0) == []


def test_enrolling_again_makes_only_what_is_missing(store, sweep):
    finished, failed, stopped = (store.claim_next(sweep.id, "cpu") for _ in range(3))
    for run, status in ((finished, "finished"), (failed, "failed"), (stopped, "stopped")):
        store.finish(run.id, 1, status)
    other = enroll(store, "other", [spec(seed) for seed in range(5)], {}, max_attempts=2)
    assert len(store.runs()) == 5 and [run.seed for run in store.members(other.id)] == [0, 1, 2, 3, 4]
    assert [run.status for run in store.members(other.id)] == ["finished", "failed", "queued", "queued", "queued"]
    enroll(store, "other", [spec(seed) for seed in range(5)], {}, max_attempts=2, retry_failed=True)
    assert len(store.members(other.id)) == 5 and store.counts(other.id) == {"finished": 1, "queued": 4}
    assert {sweep.name for sweep in store.sweeps_of(finished.id)} == {"mine", "other"}


def test_a_run_made_by_hand_is_not_made_again(store):
    run = submit(store, spec(1))
    sweep = enroll(store, "mine", [spec(seed) for seed in range(3)], {}, max_attempts=2)
    assert [r.id for r in store.members(sweep.id)][1] == run.id and len(store.runs()) == 3


def test_removing_refuses_running_runs(store, sweep):
    run = store.claim_next(sweep.id, "cpu")
    with pytest.raises(BadInput, match="is running"):
        store.remove(run.id)
    store.finish(run.id, 1, "stopped")
    store.remove(run.id)
    with pytest.raises(UnknownRun, match="not stored any more"):
        store.remove(run.id)
    assert len(store.members(sweep.id)) == 2
    store.remove_sweep(sweep.id)
    assert store.sweeps() == [] and len(store.runs()) == 2


def test_four_processes_claim_each_run_once(store):
    sweep = enroll(store, "many", [spec(seed) for seed in range(120)], {}, max_attempts=2)
    code = (
        "import sys\n"
        "from dreamctl.store import open_store\n"
        "store, sweep = open_store(sys.argv[1]), sys.argv[2]\n"
        "while run := store.claim_next(sweep, 'cpu'):\n"
        "    print(run.id, run.attempt)\n"
    )
    command = [sys.executable, "-c", code, str(store.home), sweep.id]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert not any(error for _, error in outputs), outputs
    claims = Counter(line for out, _ in outputs for line in out.splitlines())
    assert set(claims.values()) == {1} and len(claims) == 120
    assert sum(bool(out) for out, _ in outputs) > 1  # the work was shared
    assert all(run.attempt == 1 for run in open_store(store.home).runs())
