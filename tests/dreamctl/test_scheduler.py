"""Sweeps with real schedulers and workers: sharing, killing, going on."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import checkpoints
from agent.config import Config
from dreamctl.jobs.launch import submit
from dreamctl.jobs.scheduler import Job, Scheduler, enroll
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import open_store
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import MLFLOW, QUICK, cli, spec, typed

GRID = [
    *("--tasks", "pendulum_swingup", "--preset", "smoke", "--seeds", "2"),
    *(part for item in [*QUICK, "steps=400", "updates=16"] for part in ("--set", item)),
]
NAME = ["sweep", "--grid", "horizon=4,5", *GRID]


def sweep(*arguments, home, **environment) -> subprocess.CompletedProcess:
    return cli(*NAME, *arguments, home=home, OMP_NUM_THREADS="1", **environment)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A home whose sweep of four runs was never disturbed."""
    home = tmp_path_factory.mktemp("home")
    done = sweep("--cpu-slots", "2", home=home, **MLFLOW)
    assert done.returncode == 0, done.stderr
    return home, done


def ends(home):
    """Final parameters, evaluations and metrics of every cell, by digest."""
    store = open_store(home)
    found = {}
    for run in store.runs():
        assert run.status == "finished", (run.name, run.status, run.reason)
        path = store.folder(run.id) / store.checkpoints(run.id)[-1].path
        metrics = {
            name: [(p.step, p.value) for p in store.scalars(run.id, name)]
            for name in store.last_scalars(run.id)
            if not name.startswith("time/")
        }
        returns = {e.env_steps: e.returns for e in store.evaluations(run.id)}
        found[run.digest] = (checkpoints.load(path)["agent"], returns, metrics)
    return found


def test_a_mirror_that_has_ended_is_no_zombie(store, monkeypatch):
    monkeypatch.setenv("DREAMCTL_MLFLOW", "")
    scheduler = Scheduler(store, store.open_sweep("mine", {}, 1), [])  # the home has no runs: its mirror ends at once
    status = Path(f"/proc/{scheduler.mirror.pid}/status")
    while "State:\tZ" not in status.read_text():
        time.sleep(0.05)
    scheduler.step()
    assert not status.exists()


def test_a_sweep_runs_every_cell_once(whole):
    home, done = whole
    store = open_store(home)
    names = sorted(run.name for run in store.runs())
    assert names == [f"pendulum_swingup-dreamer-horizon{h}-s{s}" for h in (4, 5) for s in (0, 1)]
    assert all(run.status == "finished" and run.attempt == 1 for run in store.runs())
    assert "4 runs: 4 finished" in done.stdout and "Traceback" not in done.stderr


def test_a_finished_sweep_has_nothing_to_do(whole):
    home, _ = whole
    before = time.monotonic()
    name = open_store(home).sweeps()[0].name
    done = cli("sweep", name, home=home)  # that is all a stored sweep needs
    assert done.returncode == 0 and f"{name}: 4 runs: 4 finished" in done.stdout
    assert time.monotonic() - before < 60 and all(run.attempt == 1 for run in open_store(home).runs())
    dry = json.loads(sweep("--dry-run", "--json", home=home).stdout)
    assert [cell["status"] for cell in dry] == ["finished"] * 4
    text = sweep("--dry-run", "--set", "steps=800", home=home).stdout
    assert "4 missing" in text and "hours on one slot" in text and "smoke/dreamer/reconstruction" in text


def test_status_is_told(whole):
    home, _ = whole
    (state,) = json.loads(cli("status", "--json", home=home).stdout)
    assert state["counts"]["finished"] == 4 and state["runs"] == 4 and not state["paused"]
    assert "4 runs: 4 finished" in cli("status", home=home).stdout


def test_the_sweep_is_the_parent_in_mlflow(whole):
    home, _ = whole
    name = open_store(home).sweeps()[0].name
    drawn = cli(
        "plot", "figure4", "--sweep", name, "--tasks", "pendulum_swingup", "--format", "png", home=home, **MLFLOW
    )
    assert drawn.returncode == 0, drawn.stderr
    for _ in range(100):  # the plot may have begun a mirror
        if "copying already" not in cli("sync", home=home, **MLFLOW).stderr:
            break
    code = (
        "import os, sys, json; os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'\n"
        "from mlflow import MlflowClient\n"
        "client = MlflowClient(tracking_uri='sqlite:///' + sys.argv[1] + '/mlflow.db')\n"
        "ids = {e.name: e.experiment_id for e in client.search_experiments()}\n"
        "(parent,) = client.search_runs([ids['sweeps']])\n"
        "children = client.search_runs([ids['pendulum_swingup']])\n"
        "print(json.dumps([parent.info.run_id, parent.info.status,"
        " [c.data.tags.get('mlflow.parentRunId') for c in children],"
        " [f.path for f in client.list_artifacts(parent.info.run_id, 'figures')]]))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True).stdout
    parent, status, parents, figures = json.loads(out.splitlines()[-1])
    assert status == "FINISHED" and parents == [parent] * 4
    assert figures == ["figures/figure4.csv", "figures/figure4.png"]


def start(home, *arguments):
    """A scheduler in the background, once two of its workers train."""
    command = [sys.executable, "-m", "dreamctl", *NAME, "--cpu-slots", "2", *arguments, "--home", str(home)]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    for _ in range(1200):
        running = [run for run in open_store(home, create=False).runs(status="running") if run.env_steps > 120]
        if len(running) == 2:
            return process, running
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the workers did not begin")


def test_kill_9_of_scheduler_and_worker_loses_nothing(whole, tmp_path):
    """The next scheduler starts the killed worker's run again and takes the other worker over, which has gone on."""
    process, running = start(tmp_path)
    process.kill()
    process.communicate()
    assert {run.id for run in open_store(tmp_path).orphans()} == {run.id for run in running}
    killed, outlives = running
    os.kill(open_store(tmp_path).get(killed.id).pid, signal.SIGKILL)
    again = sweep("--cpu-slots", "2", home=tmp_path)
    assert again.returncode == 0, again.stderr
    attempts = {run.id: run.attempt for run in open_store(tmp_path).runs()}
    assert attempts.pop(killed.id) == 2 and set(attempts.values()) == {1}  # nobody else was started twice
    disturbed, undisturbed = ends(tmp_path), ends(whole[0])
    assert disturbed.keys() == undisturbed.keys()
    for digest, end in undisturbed.items():
        assert_same(end[0], disturbed[digest][0])
        assert end[1:] == disturbed[digest][1:]


def test_ctrl_c_stops_with_checkpoints_and_the_same_command_goes_on(whole, tmp_path):
    process, running = start(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err and "continue with: dreamctl sweep sweep-" in err
    store = open_store(tmp_path)
    assert {run.id for run in store.runs(status="stopped")} == {run.id for run in running}
    assert all(store.checkpoints(run.id) for run in running) and len(store.runs(status="queued")) == 2
    assert sweep("--cpu-slots", "2", home=tmp_path).returncode == 0
    disturbed = ends(tmp_path)
    for digest, end in ends(whole[0]).items():
        assert_same(end[0], disturbed[digest][0])


def test_a_second_ctrl_c_kills(tmp_path):
    process, running = start(tmp_path)
    for run in running:
        os.kill(run.pid, signal.SIGSTOP)  # it cannot hear the first
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Ctrl-C again kills" in err and "Traceback" not in err
    store = open_store(tmp_path)
    ends = [store.get(run.id) for run in running]
    assert all(run.status == "stopped" and run.reason.startswith("the worker died (killed") for run in ends)


def test_a_kill_does_not_wait_for_a_worker_that_holds_the_lock(tmp_path):
    """As one does that is suspended while it writes."""
    store = open_store(tmp_path)
    record = store.open_sweep("one", {}, 3)
    store.enroll(record.id, [submit(store, spec()).id])
    run = store.claim_next(record.id, "cpu")
    hold = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None)"
    hold += "; c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(tmp_path / "dreamctl.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        scheduler = Scheduler(store, record, [])
        scheduler.jobs[0] = Job(run, process)
        begin = time.monotonic()
        scheduler.kill()
        assert time.monotonic() - begin < 10 and process.wait() == -signal.SIGKILL
    assert store.get(run.id).stop_requested


def wait(until, what):
    for _ in range(1200):
        if until():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_a_detached_sweep_is_steered_by_commands(tmp_path):
    """Pause, resume, watch, follow, stop, remove: each typed, against a scheduler in the background."""
    done = sweep("--cpu-slots", "1", "--detach", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    store = open_store(tmp_path)
    (record,) = store.sweeps()
    assert json.loads(done.stdout)["name"] == record.name
    log = tmp_path / "sweeps" / f"{record.name}.log"
    assert f"stop it: dreamctl stop {record.name} --home {tmp_path}" in done.stderr
    wait(lambda: store.runs(status="running"), "no run began")
    (first,) = store.runs(status="running")
    assert cli("pause", record.name, home=tmp_path).returncode == 0
    follow = cli("logs", first.name, "-f", home=tmp_path)
    assert follow.returncode == 0 and "eval/return" in follow.stdout and store.get(first.id).status == "finished"
    time.sleep(2)
    assert store.counts(record.id) == {"finished": 1, "queued": 3}
    watch = [sys.executable, "-m", "dreamctl", "status", "--watch", "--home", str(tmp_path)]
    process = subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(6)  # without a terminal it prints at its end
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and "3 queued, 1 finished (paused)" in out and not err
    assert cli("resume", record.name, home=tmp_path).returncode == 0
    wait(lambda: store.runs(status="running"), "no run went on")
    refused = cli("rm", record.name, home=tmp_path)
    assert refused.returncode == 2 and "stop first" in refused.stderr
    stopped = cli("stop", record.name, home=tmp_path)
    assert stopped.returncode == 0 and f"continue with: dreamctl sweep {record.name}" in stopped.stderr
    wait(lambda: "continue with: dreamctl sweep" in log.read_text(), "the scheduler goes on")
    counts = store.counts(record.id)  # on a busy machine a run may end before it is told to stop
    assert counts.keys() <= {"finished", "stopped", "queued"} and counts["queued"] >= 1
    assert "(stopped)" in cli("status", home=tmp_path).stdout
    remove = [sys.executable, "-m", "dreamctl", "rm", record.name, "--home", str(tmp_path)]
    for answer, left in (("n", 4), ("y", 0)):
        done = subprocess.run(remove, input=answer, capture_output=True, text=True)
        assert done.returncode == (130 if left else 0) and "delete sweep" in done.stderr
        assert len(open_store(tmp_path).runs()) == left


def test_a_full_disk_fails_the_run_and_the_sweep_goes_on(tmp_path):
    """A limit on the size of files stands for the disk: the small model's checkpoint fits, the big one's does not."""
    limit = 8_000_000
    command = [sys.executable, "-m", "dreamctl", "sweep", "--grid", "hidden=4000,8", *GRID[:5], "1", *GRID[6:]]
    done = subprocess.run(
        [*command, "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    store = open_store(tmp_path)
    big, small = store.members(store.sweeps()[0].id)
    assert done.returncode == 1 and (big.status, small.status) == ("failed", "finished"), done.stderr
    assert big.reason.startswith("OSError: [Errno 27] File too large")
    assert not list(tmp_path.rglob("*.tmp")) and max(c.bytes for c in store.checkpoints(small.id)) < limit


def test_a_failing_run_says_why_and_the_sweep_goes_on(tmp_path):
    command = ["sweep", "--grid", "model_lr=1e30,1e-3", *GRID[:5], "1", *GRID[6:]]
    done = cli(*command, home=tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0 and "1 finished, 1 diverged" in done.stdout and "Traceback" not in done.stderr
    store = open_store(tmp_path)
    failed, finished = sorted(store.runs(), key=lambda run: run.status)
    assert (failed.status, finished.status) == ("failed", "finished")
    assert failed.diverged and not finished.diverged and " is nan after " in failed.reason
    shown = cli("status", home=tmp_path).stdout
    assert "1 diverged" in shown and f"{failed.name} diverged: {failed.reason}" in " ".join(shown.split())
    assert "Diverged: " in cli("logs", failed.name, home=tmp_path).stdout
    for again in (store.sweeps()[0].name, "--where=model_lr=1e30"):
        refused = typed("retry", again, home=tmp_path)
        assert refused.returncode == 2 and f"dreamctl retry {failed.name}" in refused.stderr
    cell = RunSpec(failed.task, failed.seed, Config.from_dict(failed.config), failed.preset)
    record = enroll(store, "again", [cell], {}, max_attempts=3, retry_failed=True)
    assert store.counts(record.id) == {"diverged": 1}
    retried = typed("retry", failed.name, home=tmp_path)
    assert retried.returncode == 0 and f"{failed.name} had diverged" in retried.stderr
    assert (store.get(failed.id).status, store.get(failed.id).diverged) == ("queued", False)
    assert cli("rm", finished.name, "--yes", home=tmp_path).returncode == 0
    assert not store.folder(finished.id).exists() and len(store.runs()) == 1


def test_inline(tmp_path):
    done = cli(*NAME[:2], "horizon=4", *GRID[:5], "1", *GRID[6:], "--inline", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [run.status for run in open_store(tmp_path).runs()] == ["finished"]


def test_ctrl_c_interrupts_nothing_it_is_counted():
    """Wherever it comes: an exception would end the view's generator, or leave a run claimed without a worker."""
    code = """
import os, signal
from dreamctl.cli.common import Interrupts
def view():
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        yield
with Interrupts() as interrupts:
    lines = view()
    next(lines), next(lines)
    print(interrupts.take(), interrupts.take())
    try:
        next(lines), next(lines), next(lines)
    except KeyboardInterrupt:
        print("out")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "0", "out"]
