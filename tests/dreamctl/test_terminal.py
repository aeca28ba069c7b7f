"""Where output goes: other locales, no terminal, narrow ones, pipes that close; two of everything at once."""

import os
import stat
import subprocess
import sys
import time

import pytest

from dreamctl.jobs.launch import submit
from dreamctl.store import Point, open_store
from tests.dreamctl.conftest import QUICK, cli, spec

pytestmark = pytest.mark.mlflow

PROGRAM = [sys.executable, "-m", "dreamctl"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("terminal"))
    for seed in range(30):
        run = submit(store, spec(seed))
    attempt = store.claim(run.id, "cpu")
    store.heartbeat(run.id, attempt, env_steps=80, updates=1, scalars=[Point("train/return", 80, 1.0, 1.0)])
    store.finish(run.id, attempt, "failed", "not enough \N{GREEK SMALL LETTER MU}-memory")
    return store.home


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"TERM": "dumb"}, {"COLUMNS": "20"}, {"LC_ALL": "C", "TERM": ""}],
)
def test_locales_and_terminals(home, environment):
    for command in (["ls"], ["show", "pendulum_swingup-dreamer-s29"]):
        done = cli(*command, home=home, **environment)
        assert done.returncode == 0 and not done.stderr, (environment, command, done.stderr)
    assert "not enough" in done.stdout.replace("\n", " ") or "COLUMNS" in environment


@pytest.mark.parametrize("command", [["ls"], ["ls", "--json"], ["methods"], ["--help"]])
def test_a_pipe_that_closes_is_no_traceback(home, command):
    arguments = [] if command == ["--help"] else ["--home", str(home)] if command[0] == "ls" else []
    process = subprocess.Popen([*PROGRAM, *command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.wait(60)
    assert "Traceback" not in error and "Exception ignored" not in error, error


def test_the_same_command_twice_at_once_is_two_runs_each_whole(tmp_path):
    """Ids and names are told apart by the database; nothing of one is in the other's folder."""
    settings = [part for item in [*QUICK, "steps=80"] for part in ("--set", item)]
    command = [*PROGRAM, "run", "pendulum_swingup", "--preset", "smoke", *settings, "--home", str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=280)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    first, second = open_store(tmp_path).runs()
    assert {first.name, second.name} == {"pendulum_swingup-dreamer-s0", "pendulum_swingup-dreamer-s0-2"}
    assert first.id != second.id and first.score == second.score and first.digest == second.digest
    assert [run.status for run in (first, second)] == ["finished"] * 2


def test_what_others_can_read_is_what_the_umask_allows(tmp_path):
    """Under 077 nothing of a home is open to others; MLflow's files included."""
    before = os.umask(0o077)
    try:
        submit(open_store(tmp_path / "home"), spec())
        assert cli("sync", home=tmp_path / "home").returncode == 0
    finally:
        os.umask(before)
    paths = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    open_to_others = [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert len(paths) > 8 and not open_to_others


def test_a_mirror_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path):
    """SIGKILL in the middle of batches, again and again; then every point is in MLflow once."""
    store = open_store(tmp_path)
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    points = [Point(f"m{k}", step, float(step), 1e9 + step) for k in range(8) for step in range(1500)]
    store.heartbeat(run.id, attempt, env_steps=1, updates=1, scalars=points)
    store.finish(run.id, attempt, "stopped")
    kills = 0
    while kills < 3:
        process = subprocess.Popen([*PROGRAM, "sync", "--home", str(tmp_path)], stdout=subprocess.PIPE)
        mark = len(store.mirrored(run.id))
        while process.poll() is None and len(store.mirrored(run.id)) == mark:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert kills == 3 and cli("sync", home=tmp_path).returncode == 0
    code = (
        "import sys; from mlflow import MlflowClient; c = MlflowClient(tracking_uri=sys.argv[1])\n"
        "runs = c.search_runs([e.experiment_id for e in c.search_experiments()])\n"
        "print(len(runs), *(len(c.get_metric_history(runs[0].info.run_id, f'm{k}')) for k in range(8)))"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.split() == ["1", *["1500"] * 8]
