"""Who has left is told: that a run has failed, that a sweep or a run has ended."""

import sys

from dreamctl.jobs import news
from dreamctl.jobs.launch import submit
from tests.dreamctl.conftest import QUICK, cli, quick_run, spec


def recorder(folder):
    """A command that writes its last argument as a line."""
    script = folder / "note.py"
    script.write_text(f"import sys; open({str(folder / 'told')!r}, 'a').write(sys.argv[-1] + '\\n')")
    return f"{sys.executable} '{script}'"


def told(folder, count, seconds=20.0):
    import time

    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        lines = (folder / "told").read_text().splitlines() if (folder / "told").exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.1)
    raise AssertionError(f"{count} messages wanted")


def test_a_sweep_tells_of_a_failure_and_of_its_end(tmp_path):
    """Of two runs one diverges."""
    settings = [part for item in QUICK for part in ("--set", item)]
    grid = ("--grid", "model_lr=1e-3,1e20", "--set", "gradient_clip=1e30", "--cpu-slots", "2", "--seeds", "1")
    command = ("sweep", "--tasks", "pendulum_swingup", "--preset", "smoke", *settings, *grid)
    done = cli(*command, "--notify", recorder(tmp_path), home=tmp_path / "home")
    assert done.returncode == 0
    failure, end = told(tmp_path, 2)
    assert failure.startswith("run pendulum_swingup-dreamer-model_lr1e20-s0 diverged: ") and " is nan after " in failure
    assert "1 finished, 1 diverged" in end


def test_a_run_tells_of_its_end_and_prints_it_as_json(tmp_path):
    import json

    done = quick_run("--notify", recorder(tmp_path), "--json", "--quiet", home=tmp_path / "home")
    assert done.returncode == 0 and done.stderr == ""
    run = json.loads(done.stdout)
    assert told(tmp_path, 1) == [f"run {run['name']} finished, score {run['score']:.1f}"]


def test_each_failure_is_told_once(store):
    runs = [submit(store, spec(seed)) for seed in range(2)]
    sweep = store.open_sweep("mine", {}, 3)
    store.enroll(sweep.id, [run.id for run in runs])
    store.finish(runs[0].id, store.claim(runs[0].id, "cpu"), "failed", "before")
    failures = news.Failures(store, sweep)
    store.finish(runs[1].id, store.claim(runs[1].id, "cpu"), "failed", "since")
    assert failures.new() == [f"run {runs[1].name} failed: since"] and failures.new() == []
    store.finish(runs[1].id, store.claim(runs[1].id, "cpu"), "failed", "again")
    assert failures.new() == [f"run {runs[1].name} failed: again"]


def test_a_command_that_is_not_there_does_no_harm(tmp_path, capfd):
    news.tell("/no/such/program", "x")
    assert "--notify /no/such/program: No such file" in capfd.readouterr().err
    done = cli("run", "walker_run", "--notify", "say 'x", home=tmp_path / "h")
    assert done.returncode == 2 and "--notify" in done.stderr and len(done.stderr.splitlines()) == 1
