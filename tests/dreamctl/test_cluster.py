"""Sweeps as jobs of an engine; here the smallest engine there is: processes of this machine."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dreamctl.errors import BadInput, RunFailed
from dreamctl.jobs import cluster as cluster_module
from dreamctl.jobs import engines, launch
from dreamctl.jobs.cluster import Cluster
from dreamctl.jobs.scheduler import enroll
from dreamctl.store import open_store
from tests.dreamctl.conftest import cli, spec


class Processes:
    """Jobs as processes, at most two at once; the others wait."""

    def __init__(self, home, sweep, program=("dreamctl.jobs.pull",)):
        self.home, self.sweep, self.program = home, sweep, program
        self.waiting, self.running, self.codes, self.asked = [], {}, {}, 0
        self.silent = False

    def submit(self, count):
        for _ in range(count):
            self.waiting.append(f"test:{self.asked}")
            self.asked += 1

    def jobs(self):
        if self.silent:
            raise BadInput("no answer")
        for job, process in list(self.running.items()):
            if process.poll() is not None:
                self.codes[job] = self.running.pop(job).returncode
        while self.waiting and len(self.running) < 2:
            job = self.waiting.pop(0)
            command = [sys.executable, "-m", *self.program, self.sweep.id, "--home", str(self.home), "--job", job]
            env = dict(os.environ, OMP_NUM_THREADS="1")
            self.running[job] = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        return {*self.waiting, *self.running}

    def failure(self, job):
        return f"exit code {self.codes[job]}" if self.codes.get(job) else None

    def cancel(self, jobs, kill=False):
        self.codes |= {job: "cancelled" for job in self.waiting if job in jobs}
        self.waiting = [job for job in self.waiting if job not in jobs]
        for job in jobs & self.running.keys():
            self.running[job].send_signal(signal.SIGKILL if kill else signal.SIGTERM)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    ended = subprocess.Popen(["true"])
    monkeypatch.setattr(launch, "keep_mirror", lambda *_: ended)  # not what is looked at here
    store = open_store(tmp_path)
    sweep = enroll(store, "small", [spec(seed, steps="400", updates="24") for seed in range(3)], {}, 3)
    found = Cluster(store, sweep, Processes(tmp_path, sweep))
    yield found
    found.engine.cancel(found.engine.jobs(), kill=True)


def go_on(cluster, until=lambda: False):
    for _ in range(1500):
        if cluster.done or until():
            return
        cluster.step()
        time.sleep(0.1)
    raise AssertionError("the sweep did not end")


def training(cluster):
    """The runs that have begun to learn."""
    return [run for run in cluster.store.runs(status="running") if run.updates > 0]


def test_there_is_a_job_for_each_waiting_run_and_no_more(cluster):
    go_on(cluster)
    assert cluster.engine.asked == 3
    runs = sorted(cluster.store.runs(), key=lambda run: run.job)  # which job takes which run is a race
    assert [(run.status, run.attempt, run.job) for run in runs] == [("finished", 1, f"test:{job}") for job in range(3)]
    log = (cluster.store.folder(runs[0].id) / "log.txt").read_text()
    assert "attempt 1 in job test:0" in log and "eval/return" in log


def test_a_run_taken_on_while_the_queue_is_counted_gets_no_second_job(cluster, monkeypatch):
    count = cluster.store.counts

    def count_then_claim(sweep):
        counts = count(sweep)
        cluster.store.claim_next(sweep, "cpu", job="test:2")
        return counts

    cluster.step()
    monkeypatch.setattr(cluster.store, "counts", count_then_claim)
    cluster.step()
    assert cluster.store.runs(job="test:2") and cluster.engine.asked == 3


def test_a_job_told_to_end_gives_its_run_back_and_a_killed_one_is_found(cluster):
    go_on(cluster, lambda: len(training(cluster)) == 2)
    told, killed = training(cluster)
    os.kill(told.pid, signal.SIGTERM)
    os.kill(killed.pid, signal.SIGKILL)
    go_on(cluster, lambda: cluster.store.get(told.id).status != "running")
    assert cluster.store.get(told.id).reason == f"job {told.job} was ended by its engine"
    assert cluster.store.get(told.id).deaths == 0 and cluster.store.checkpoints(told.id)
    go_on(cluster)
    ends = {run.id: (run.status, run.attempt, run.deaths) for run in cluster.store.runs()}
    assert ends[told.id] == ("finished", 2, 0) and ends[killed.id] == ("finished", 2, 1)
    assert cluster.engine.asked == 5


def test_a_stop_asked_for_is_no_giving_back(cluster):
    go_on(cluster, lambda: len(training(cluster)) == 2)
    cluster.stop()
    go_on(cluster)
    assert sorted(run.status for run in cluster.store.runs()) == ["queued", "stopped", "stopped"]
    assert not cluster.engine.jobs()


def test_stopping_with_many_idle_jobs_is_no_error(cluster):
    go_on(cluster, lambda: len(training(cluster)) == 2)
    cluster.engine.submit(4)
    cluster.step()
    cluster.stop()
    cluster.engine.submit(1)  # of another scheduler, or on its way when the stop came
    go_on(cluster)
    assert sorted(run.status for run in cluster.store.runs()) == ["queued", "stopped", "stopped"]
    assert len([code for code in cluster.engine.codes.values() if code == "cancelled"]) >= 5


def test_an_engine_may_be_silent_for_a_while(cluster, monkeypatch):
    cluster.step()
    cluster.engine.silent = True
    cluster.step()
    monkeypatch.setattr(cluster_module, "_PATIENCE", 0.0)
    with pytest.raises(BadInput, match="no answer"):
        cluster.step()
    cluster.engine.silent = False
    go_on(cluster, lambda: len(training(cluster)) == 1)
    assert cluster.engine.asked == 3


def test_a_mirror_is_begun_when_runs_begin(cluster, monkeypatch):
    """Jobs may wait for longer than a mirror does."""
    begun = []

    def keep(store, mirror):
        begun.append(len(store.runs(status="running")))
        return mirror

    monkeypatch.setattr(launch, "keep_mirror", keep)
    cluster.engine.submit(1)
    go_on(cluster, lambda: training(cluster))
    assert begun and begun[0] >= 1 and len(begun) <= 2


def test_a_second_scheduler_asks_for_nothing_that_is_there(cluster):
    go_on(cluster, lambda: len(training(cluster)) == 2)
    other = Cluster(cluster.store, cluster.sweep, cluster.engine)
    other.step()
    assert cluster.engine.asked == 3


def test_jobs_that_never_take_a_run_on_end_the_sweep(cluster):
    cluster.engine.program = ("no_such_module",)
    with pytest.raises(
        RunFailed, match="3 jobs in a row ended before they claimed a run; the last, test:.*: exit code 1"
    ):
        go_on(cluster)
    assert [run.status for run in cluster.store.runs()] == ["queued"] * 3


def test_a_paused_sweep_asks_for_no_jobs(cluster):
    cluster.store.pause(cluster.sweep.id, True)
    cluster.step()
    assert cluster.engine.asked == 0 and not cluster.done


def test_engines_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="no sbatch here"):
        engines.check("slurm", ["time=1"])
    with pytest.raises(BadInput, match="KEY=VALUE, not 'time'"):
        engines.check("slurm", ["time"])
    done = cli("sweep", "horizon", "--executor", "slurm", home=tmp_path / "home", PATH=str(tmp_path))
    assert done.returncode == 2 and "no sbatch here" in done.stderr and not (tmp_path / "home").exists()
    done = cli("sweep", "horizon", "--executor", "slurm", "--inline", home=tmp_path / "home")
    assert done.returncode == 2 and "leave out --executor" in done.stderr


def test_what_a_profile_holds_is_text(tmp_path):
    """YAML takes 8:00:00 for a number in base 60."""
    (tmp_path / "engines.yaml").write_text("slurm: {time: 8:00:00, mem: 16G}")
    assert engines._profile(tmp_path / "engines.yaml") == {"slurm": {"time": "8:00:00", "mem": "16G"}}


@pytest.mark.parametrize("text", ["- a", "slrm: {time: 1}", "slurm: 3", "slurm: ["])
def test_a_profile_that_cannot_be_read_is_one_clear_line(tmp_path, text):
    (tmp_path / "engines.yaml").write_text(text)
    with pytest.raises(BadInput, match="engines.yaml"):
        engines._profile(tmp_path / "engines.yaml")
