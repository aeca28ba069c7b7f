"""Which worker lives: other PID namespaces, stopped processes, clocks that step; with real processes."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from dreamctl.jobs.launch import spawn, submit
from dreamctl.store import processes
from tests.dreamctl.conftest import spec, typed

CLAIM = (
    "import sys, time; from dreamctl.store import open_store\n"
    "open_store(sys.argv[1]).claim(sys.argv[2], 'cpu'); print('claimed', flush=True); time.sleep(600)"
)
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
can_unshare = shutil.which("unshare") and not subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode


@pytest.fixture
def worker(store):
    """A process that has claimed a run, and the run."""
    run = submit(store, spec())
    process = subprocess.Popen([sys.executable, "-c", CLAIM, str(store.home), run.id], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"claimed\n"
    yield process, run
    process.kill()
    process.wait()


def age(store, run, seconds):
    """Make a run's sign of life that old."""
    with sqlite3.connect(store.home / "dreamctl.db") as database:
        database.execute("UPDATE run SET heartbeat_at = heartbeat_at - ? WHERE id = ?", [seconds, run.id])
    database.close()


def hold(process, store):
    """Stop a worker where it holds no lock of the database: in the middle of a write nobody else could write."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        database = sqlite3.connect(store.home / "dreamctl.db", timeout=0, isolation_level=None)
        try:
            database.execute("BEGIN EXCLUSIVE")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.05)
        finally:
            database.close()


def test_a_process_is_known_by_boot_namespace_and_clock_tick(worker, store):
    process, run = worker
    row = store.get(run.id)
    key = (row.pid, row.process_started, row.process_space)
    assert row.pid == process.pid and processes.is_alive(*key) is True
    assert processes.is_alive(row.pid, row.process_started + 1, row.process_space) is False  # its number was used again
    assert processes.is_alive(row.pid, row.process_started, "another boot") is None
    for nonsense in (0, -1, 2**40, None, "1"):
        assert processes.is_alive(nonsense, row.process_started, row.process_space) is None
    process.kill()
    deadline = time.monotonic() + 10
    while processes.is_alive(*key) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.is_alive(*key) is False  # a zombie: nobody has waited for it yet
    assert process.returncode is None


def test_the_start_of_a_process_does_not_follow_the_clock(worker, store):
    """A clock that is set moves the time of boot that psutil and ps reckon from; the ticks after boot stay."""
    _, run = worker
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - store.get(run.id).process_started / os.sysconf("SC_CLK_TCK")
    assert 0 < age < 60


@pytest.mark.skipif(not can_unshare, reason="PID namespaces cannot be made here")
def test_a_worker_is_not_judged_from_another_pid_namespace(worker, store):
    """Two containers on one machine, with one home, one host name, one boot."""
    _, run = worker
    for command in (["ls"], ["show", run.name], ["status"]):
        program = [*NAMESPACE, sys.executable, "-m", "dreamctl", *command, "--home", str(store.home)]
        assert subprocess.run(program, capture_output=True, timeout=120).returncode == 0
    assert store.get(run.id).status == "running"


@pytest.mark.skipif(not can_unshare, reason="PID namespaces cannot be made here")
def test_a_worker_in_another_pid_namespace_is_not_judged_from_here(store):
    run = submit(store, spec())
    program = [*NAMESPACE, sys.executable, "-c", CLAIM, str(store.home), run.id]
    process = subprocess.Popen(program, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"claimed\n"
        row = store.get(run.id)
        assert row.pid < 100 and row.host == socket.gethostname()  # a number that here is another process, or none
        assert store.reap() == [] and typed("ls", home=store.home).returncode == 0
        assert store.get(run.id).status == "running"
        age(store, run, 3600)
        assert [r.id for r in store.reap(wait=True)] == [run.id]  # silent for an hour, and still
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_is_held_beyond_its_lease_goes_on(store):
    """SIGSTOP, an hour without a sign of life, SIGCONT: nobody takes its run, and it ends as if nothing had been."""
    run = submit(store, spec())
    process = spawn(store, run.id, "cpu")
    deadline = time.monotonic() + 120
    while store.get(run.id).updates == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    hold(process, store)
    age(store, run, 3600)
    assert store.reap(wait=True) == [] and "running" in typed("show", run.name, home=store.home).stdout
    refused = typed("run", "--resume", run.name, home=store.home)
    assert refused.returncode == 2 and "is running" in refused.stderr
    process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 0
    assert (store.get(run.id).status, store.get(run.id).attempt) == ("finished", 1)


def test_the_schedulers_kill_reaches_no_other_process(store):
    """The number of a process in a database is no reason to kill it; 0 would be the whole group that we are in."""
    run = submit(store, spec())
    store.claim(run.id, "cpu")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for pid in (bystander.pid, 0, -1):
            with sqlite3.connect(store.home / "dreamctl.db") as database:
                database.execute("UPDATE run SET pid = ?", [pid])
            database.close()
            store.kill(run.id)
        time.sleep(0.2)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
