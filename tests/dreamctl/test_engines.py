"""The same small sweep as jobs of a real Slurm cluster and of a real Ray cluster (`make test-engines`)."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from dreamctl.store import open_store
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import cli
from tests.dreamctl.test_looks import SHORT, told
from tests.dreamctl.test_scheduler import NAME, ends

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ENGINES = os.environ.get("DREAMCTL_TEST_ENGINES", "slurm,ray").split(",")
SLURM = pytest.mark.skipif("slurm" not in ENGINES, reason="no Slurm cluster answers")
ONE_CPU = {"slurm": "cpus-per-task=1", "ray": "num_cpus=0.5"}


def command(engine):
    return [*NAME, "--executor", engine, "--resource", ONE_CPU[engine]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """How the sweep ends on this machine."""
    home = tmp_path_factory.mktemp("home")
    done = cli(*NAME, "--cpu-slots", "2", home=home, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return ends(home)


def start(engine, home):
    """The sweep on an engine, once all four runs train."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamctl", *command(engine), "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    for _ in range(1200):
        running = [run for run in open_store(home, create=False).runs(status="running") if run.env_steps > 80]
        if len(running) == 4:
            return process, running
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("the jobs did not begin")


def check_ends(home, whole):
    found = ends(home)
    assert found.keys() == whole.keys()
    for digest, end in whole.items():
        assert_same(end[0], found[digest][0])
        assert end[1:] == found[digest][1:]


@pytest.mark.parametrize("engine", ENGINES)
def test_four_jobs_see_a_gpu_each(engine, whole, tmp_path):
    process, running = start(engine, tmp_path)
    seen = []
    for run in running:
        log = (tmp_path / run.id / "log.txt").read_text()
        seen += re.findall(rf"in job {run.job} on \S+ CUDA_VISIBLE_DEVICES (\d+)", log)
    assert sorted(seen) == ["0", "1", "2", "3"]
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0 and "4 runs: 4 finished" in out, err
    assert [run.attempt for run in open_store(tmp_path).runs()] == [1] * 4
    check_ends(tmp_path, whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_is_ended_is_reported_and_its_run_taken_on_again(engine, whole, tmp_path):
    process, running = start(engine, tmp_path)
    victim = running[2]
    if engine == "slurm":
        subprocess.run(["scancel", victim.job.removeprefix("slurm:")], check=True)
    else:
        os.kill(victim.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0 and "4 runs: 4 finished" in out, err
    assert f"{victim.name}: waits again" in err and err.count("waits again") == 1, err
    assert sorted(run.attempt for run in open_store(tmp_path).runs()) == [1, 1, 1, 2]
    check_ends(tmp_path, whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_kill_9_of_the_scheduler_and_the_same_command_again(engine, whole, tmp_path):
    process, running = start(engine, tmp_path)
    process.kill()
    process.communicate()
    again = subprocess.run(
        [sys.executable, "-m", "dreamctl", *command(engine), "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert again.returncode == 0, again.stderr
    if engine == "slurm":  # its jobs do not need us
        assert [run.attempt for run in open_store(tmp_path).runs()] == [1] * 4
    check_ends(tmp_path, whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_stops_with_checkpoints_and_leaves_no_job_behind(engine, tmp_path):
    process, running = start(engine, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0 and "Traceback" not in err and "continue with" in err, (out, err)
    store = open_store(tmp_path)
    assert [run.status for run in store.runs()] == ["stopped"] * 4
    assert all(store.checkpoints(run.id) for run in running)
    if engine == "slurm":
        name = f"dreamctl-{store.sweeps()[0].id}"
        assert not subprocess.check_output(["squeue", "-h", "-n", name, "-t", "PD,R"], text=True).split()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_with_questions_whose_scheduler_dies_at_a_look_ends_like_one_here(engine, tmp_path):
    asked = {"asks": "Is 5 better?", "better": {"horizon": 5}, "than": {"horizon": 4}, "margin": 900}
    content = {"tasks": ["pendulum_swingup"], "preset": "smoke", "set": SHORT, "grid": {"horizon": [4, 5]}}
    content |= {"seeds": {"looks": [2, 3]}, "questions": {"longer": asked}}
    (tmp_path / "mine.yaml").write_text(json.dumps(content))
    here, there = tmp_path / "here", tmp_path / "there"
    assert cli("sweep", tmp_path / "mine.yaml", "--inline", home=here, OMP_NUM_THREADS="1").returncode == 0
    words = ["sweep", str(tmp_path / "mine.yaml"), "--executor", engine, "--resource", ONE_CPU[engine]]
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamctl", *words, "--home", str(there)],
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    store = open_store(there)
    while not (sweeps := store.sweeps()) or not store.looks(sweeps[0].id):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = cli(*words, home=there, OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    whole = open_store(here)
    assert told(store, sweeps[0]) == told(whole, whole.sweeps()[0])
    assert ends(there).keys() == ends(here).keys() and len(store.runs()) == len(whole.runs())


@SLURM
def test_slurms_warning_before_the_time_limit_means_checkpoint_requeue_resume(whole, tmp_path):
    process, running = start("slurm", tmp_path)
    victim = running[0]
    # what --signal=B:TERM@120 sends
    subprocess.run(["scancel", "--signal=TERM", "--batch", victim.job.removeprefix("slurm:")], check=True)
    out, err = process.communicate(timeout=800)
    assert process.returncode == 0, err
    run = open_store(tmp_path).get(victim.id)
    assert (run.status, run.attempt, run.deaths) == ("finished", 2, 0)
    assert f"{victim.name}: waits again: job {victim.job} was ended by its engine" in err
    check_ends(tmp_path, whole)


@SLURM
def test_what_slurm_refuses_is_one_clear_line(tmp_path):
    done = cli(*command("slurm"), "--resource", "partition=nowhere", home=tmp_path)
    assert done.returncode == 2 and "sbatch: " in done.stderr and "Traceback" not in done.stderr


@SLURM
def test_jobs_that_never_begin_their_run_end_the_sweep(tmp_path):
    """Here Python finds no library of its own."""
    (tmp_path / "engines.yaml").write_text(
        "slurm: {cpus-per-task: 1, export: 'PATH=/usr/bin,PYTHONHOME=/nonexistent'}\n"
    )
    done = cli(*NAME, "--executor", "slurm", home=tmp_path)
    assert done.returncode == 1 and "ended before they claimed a run" in done.stderr
    assert "Traceback" not in done.stderr and "slurm-" in done.stderr  # the log to look at
