"""Homes and runs that are large: what is not printed is not loaded."""

import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing

import pytest

from dreamctl.cli import board
from dreamctl.jobs import news
from dreamctl.jobs.launch import submit
from dreamctl.store import open_store
from dreamctl.store.mirror import Mirror
from tests.dreamctl.conftest import cli, spec


def multiplied(store, count, every=1):
    """A run, and so many like it with other ids, names and times; one in `every` runs on another host, every second one
    has a tag."""
    run = submit(store, spec())
    store._engine.dispose()
    with closing(sqlite3.connect(store.home / "dreamctl.db")) as raw, raw:
        columns = [row[1] for row in raw.execute("PRAGMA table_info(run)")]
        new = {
            "id": "printf('%08x', value)",
            "name": "'walker_walk-dreamer-s' || value",
            "created_at": "created_at + value",
            "status": f"CASE WHEN value % {every} THEN 'finished' ELSE 'running' END",
            "git_diff": "NULL",
            "tags": "CASE WHEN value % 2 THEN '[\"odd\"]' ELSE '[]' END",
            "host": "'elsewhere'",
            "process_space": "'elsewhere'",
            "heartbeat_at": str(time.time() + 3600),
        }
        raw.execute(
            f"INSERT INTO run ({', '.join(columns)}) WITH RECURSIVE n(value) AS "
            f"(SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {count}) "
            f"SELECT {', '.join(new.get(column, column) for column in columns)} FROM run, n"
        )
    return run


def seconds(*arguments):
    """CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "dreamctl", *map(str, arguments)], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and done.stdout, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """One with ten runs, one with a hundred thousand."""
    found = []
    for count in (10, 100_000):
        store = open_store(tmp_path_factory.mktemp("home"))
        multiplied(store, count, every=3)
        found.append(store.home)
    return found


def test_a_sweep_of_ten_thousand_runs_is_watched_without_loading_them(tmp_path, monkeypatch):
    """What `sweep` and the mirror ask for every second or two takes less than half as long as loading the runs once."""
    store = open_store(tmp_path)
    multiplied(store, 10_000, every=20_000)
    running, failed, _ = (submit(store, spec(seed)) for seed in (1, 2, 3))
    sweep = store.open_sweep("mine", {}, 1)
    store.enroll(sweep.id, [run.id for run in store.runs(light=True)])
    failures = news.Failures(store, sweep)
    store.claim(running.id, "cpu")
    store.finish(failed.id, store.claim(failed.id, "cpu"), "failed", "x")
    monkeypatch.setenv("DREAMCTL_MLFLOW", "")
    mirror = Mirror(store, lambda *_: None)
    begin = time.process_time()
    state, told, states = board.overview(store, sweep), failures.new(), store.states(sweep.id)
    active = mirror._active()
    watched = time.process_time() - begin
    begin = time.process_time()
    assert len(store.members(sweep.id)) == 10_004
    assert watched < (time.process_time() - begin) / 2
    assert state["counts"] == {"queued": 2, "running": 1, "finished": 10_000, "failed": 1, "stopped": 0, "diverged": 0}
    assert (state["env_steps"], state["steps"], state["runs"]) == (0, 10_004 * 240, 10_004)
    assert [row["name"] for row in state["running"] + state["failed"]] == [running.name, failed.name]
    assert told == [f"run {failed.name} failed: x"] and (running.id, "running", 1) in states and active


@pytest.mark.parametrize(
    "command",
    [["ls", "--status", "finished", "--limit", "3"], ["show", "walker_walk-dreamer-s7"]],
    ids=["ls", "show"],
)
def test_a_command_on_a_hundred_thousand_runs_takes_no_longer_than_on_ten(homes, command):
    """Within 1.5 times; medians of CPU seconds, interleaved."""
    times = {home: [] for home in homes}
    for _ in range(3):
        for home in homes:
            times[home].append(seconds(*command, "--home", home))
    few, many = (statistics.median(times[home]) for home in homes)
    assert many <= 1.5 * few, times


def test_ls_loads_no_more_of_the_runs_than_it_looks_at(homes):
    """Of those that are not shown, the columns that are asked for: within 300 MB of address space."""
    for chosen in (["--where", "seed=0"], ["--tag", "odd"], ["--where", "task=pendulum_swingup", "--tag", "none"]):
        limited = ["bash", "-c", 'ulimit -v 300000; exec "$0" "$@"', sys.executable, "-m", "dreamctl", "ls", *chosen]
        done = subprocess.run([*limited, "--limit", "3", "--home", homes[1]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "no matching runs" in done.stderr


def test_a_mistyped_name_among_a_hundred_thousand_is_answered_soon(homes):
    start = time.perf_counter()
    done = cli("show", "walker_wlk-dreamer-s99999", home=homes[1])
    assert "did you mean 'walker_walk-dreamer-s" in done.stderr and time.perf_counter() - start < 30
    assert "could be more than 5 runs" in cli("show", "walker_walk", home=homes[1]).stderr


def test_ls_and_show_look_only_after_what_they_show(tmp_path):
    """A worker that was killed: found by who shows its run, once it is late; not by who shows another."""
    store = open_store(tmp_path)
    runs = [submit(store, spec(seed)) for seed in range(2)]
    code = "import sys; from dreamctl.store import open_store; open_store(sys.argv[1]).claim(sys.argv[2], 'cpu')"
    for run in runs:
        subprocess.run([sys.executable, "-c", code, str(tmp_path), run.id], check=True)
    with closing(sqlite3.connect(tmp_path / "dreamctl.db")) as raw, raw:
        raw.execute("UPDATE run SET heartbeat_at = heartbeat_at - 20")
    assert "failed" in cli("ls", "--limit", "1", home=tmp_path).stdout
    assert [store.get(run.id).status for run in runs] == ["running", "failed"]
    assert json.loads(cli("show", runs[0].id, "--json", home=tmp_path).stdout)["status"] == "failed"


def test_the_last_points_of_a_run_with_very_many_are_read_at_once(store):
    run = submit(store, spec())
    if store._engine.dialect.name != "sqlite":
        pytest.skip("filled by SQLite's own means")
    with closing(sqlite3.connect(store.home / "dreamctl.db")) as raw, raw:
        raw.execute(
            "INSERT INTO scalar (run_id, name, step, value, wall_time) WITH RECURSIVE n(value) AS "
            "(SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < 499999) "
            "SELECT ?, 'metric' || (value % 20), value / 20, value, 0 FROM n",
            [run.id],
        )
    found = store.last_scalars(run.id)  # and the statement is compiled
    taken = []
    for _ in range(5):
        start = time.process_time()
        assert store.last_scalars(run.id) == found
        taken.append(time.process_time() - start)
    assert min(taken) < 0.05
    assert len(found) == 20 and {p.step for p in found.values()} == {24999}
    assert [found[f"metric{k}"].value for k in range(20)] == [499980 + k for k in range(20)]
    assert store.last_scalars("0" * 8) == {}
    assert [p.step for p in store.scalars(run.id, "metric3", after=10, first=3)] == [11, 12, 13]
