"""`dreamctl run` and its worker, with real processes: finishing, stopping, being killed, resuming."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from agent import checkpoints
from dreamctl.cli.live import follow
from dreamctl.errors import RunFailed
from dreamctl.jobs.launch import submit
from dreamctl.jobs.scheduler import enroll
from dreamctl.store import open_store
from tests.agent.test_training import assert_same
from tests.dreamctl.conftest import MLFLOW, QUICK, cli, quick_run, spec

# Long enough to be interrupted in the middle: 24 updates an episode.
SLOWER = ["--set", "steps=400", "--set", "updates=24"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A home with one undisturbed run."""
    home = tmp_path_factory.mktemp("home")
    done = quick_run(*SLOWER, "--tag", "a", "--tag", "b", "--name", "whole", home=home, **MLFLOW)
    assert done.returncode == 0, done.stderr
    return home, done


def final_parameters(home, run):
    path = open_store(home).folder(run.id) / open_store(home).checkpoints(run.id)[-1].path
    return checkpoints.load(path)["agent"]


def test_a_run_is_on_record(whole):
    home, done = whole
    assert "dreamctl show whole" in done.stdout and "Traceback" not in done.stderr
    (listed,) = json.loads(cli("ls", "--json", home=home).stdout)
    assert {key: listed[key] for key in ("name", "task", "method", "objective", "seed", "preset", "status")} == {
        "name": "whole",
        "task": "pendulum_swingup",
        "method": "dreamer",
        "objective": "reconstruction",
        "seed": 0,
        "preset": "smoke",
        "status": "finished",
    }
    assert listed["env_steps"] == 400 and listed["tags"] == ["a", "b"]
    shown = json.loads(cli("show", "whole", "--json", home=home).stdout)
    assert shown["config"]["updates"] == 24
    assert [(e["kind"], e["env_steps"], len(e["returns"])) for e in shown["evaluations"]][-1] == ("final", 400, 2)
    assert listed["score"] == shown["evaluations"][-1]["mean"]
    assert shown["scalars"]["train/updates"] == {"step": 400, "value": 192.0}
    folder = home / listed["id"]
    for checkpoint in shown["checkpoints"]:
        assert (folder / checkpoint["path"]).stat().st_size == checkpoint["bytes"]
    assert len(list((folder / "episodes").glob("*.npz"))) == 10
    assert json.loads((folder / "config.json").read_text())["config"] == shown["config"]
    assert {a["kind"] for a in shown["artifacts"]} == {"config", "video", "prediction", "strip"}


def test_a_profile_says_where_time_goes(tmp_path):
    begin = time.monotonic()
    done = quick_run("--profile", home=tmp_path)
    elapsed = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    store = open_store(tmp_path)
    (run,) = store.runs()
    table = (store.folder(run.id) / "profile" / "table.txt").read_text()
    phases = dict(line.split() for line in table.splitlines()[1:7])
    assert phases.keys() == {"batch", "checkpoint", "episode", "evaluation", "replay", "update"}
    seconds = {phase: float(seconds) for phase, seconds in phases.items()}
    assert 0 < sum(seconds.values()) < elapsed and "aten::mm" in table
    points = [(name, store.scalars(run.id, f"time/{name}_seconds")) for name in seconds]
    assert seconds == {name: pytest.approx(sum(p.value for p in of_phase), abs=0.006) for name, of_phase in points}
    trace = json.loads(gzip.decompress((store.folder(run.id) / "profile" / "trace.json.gz").read_bytes()))
    assert any(event.get("name") == "aten::mm" for event in trace["traceEvents"])
    assert {a.path for a in store.artifacts(run.id) if a.kind == "profile"} == {
        "profile/table.txt",
        "profile/trace.json.gz",
    }


def test_no_checkpoints_pile_up(whole):
    home, _ = whole
    store = open_store(home)
    run = store.find("whole")
    kept = {checkpoint.path for checkpoint in store.checkpoints(run.id)}
    on_disk = {f"checkpoints/{path.name}" for path in (store.folder(run.id) / "checkpoints").iterdir()}
    assert kept == on_disk and 2 <= len(kept) <= 3
    _, best = max((e.mean, e.env_steps) for e in store.evaluations(run.id))
    assert best in {checkpoint.env_steps for checkpoint in store.checkpoints(run.id)}


def test_the_run_is_in_mlflow(whole):
    home, _ = whole
    code = (
        "import os, sys, json; os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'\n"
        "from mlflow import MlflowClient\n"
        "client = MlflowClient(tracking_uri='sqlite:///' + sys.argv[1] + '/mlflow.db')\n"
        "experiment = client.get_experiment_by_name('pendulum_swingup')\n"
        "(run,) = client.search_runs([experiment.experiment_id])\n"
        "points = {n: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, n)]"
        " for n in run.data.metrics}\n"
        "files = [f.path for f in client.list_artifacts(run.info.run_id)]\n"
        "print(json.dumps([run.info.status, run.info.run_name, run.data.params, run.data.tags, points, files]))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True).stdout
    status, name, params, tags, points, files = json.loads(out.splitlines()[-1])
    store = open_store(home)
    run = store.find("whole")
    assert (status, name) == ("FINISHED", "whole")
    assert params.items() >= {key: str(value) for key, value in run.config.items()}.items()
    assert (tags["task"], tags["method"], tags["seed"], tags["tag.a"]) == ("pendulum_swingup", "dreamer", "0", "true")
    assert tags.get("mlflow.source.git.commit") == run.git_commit
    assert set(points) == set(store.last_scalars(run.id))
    for metric, values in points.items():
        assert sorted(map(tuple, values)) == [(p.step, p.value) for p in store.scalars(run.id, metric)], metric
    assert {"config.json", "learning_curve.png", "videos", "predictions"} <= set(files)
    assert (home / "mlartifacts").is_dir()


def start(home, name, *more):
    """`dreamctl run` in the background, and its run once an update after the first episode of the agent is done."""
    settings = [part for item in QUICK for part in ("--set", item)]
    command = [sys.executable, "-m", "dreamctl", "run", "pendulum_swingup", "--preset", "smoke", *settings, *SLOWER]
    process = subprocess.Popen(
        [*command, *more, "--name", name, "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        store = open_store(home, create=False)
        runs = [run for run in store.runs() if run.name == name]
        if runs and runs[0].env_steps > 160 and store.checkpoints(runs[0].id):
            return process, runs[0]
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def test_ctrl_c_stops_with_a_checkpoint_and_resume_is_exact(whole):
    home, _ = whole
    process, run = start(home, "stopped")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err
    assert "--resume stopped" in out
    stopped = open_store(home).get(run.id)
    assert stopped.status == "stopped" and stopped.env_steps < 400
    resumed = cli("run", "--resume", "stopped", home=home)
    assert resumed.returncode == 0, resumed.stderr
    check_same(home, "stopped")


def test_kill_9_of_the_worker_loses_nothing(whole):
    home, _ = whole
    process, run = start(home, "killed")
    os.kill(open_store(home).get(run.id).pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "the worker died" in err
    newest = open_store(home).checkpoints(run.id)[-1]
    path = open_store(home).folder(run.id) / newest.path
    path.write_bytes(path.read_bytes()[: newest.bytes // 2])  # and the newest checkpoint is damaged, too
    resumed = cli("run", "--resume", "killed", home=home)
    assert resumed.returncode == 0, resumed.stderr
    check_same(home, "killed")


def check_same(home, name):
    """The run called `name` has ended as the undisturbed one: parameters, metrics and evaluations."""
    store = open_store(home)
    one, two = store.find("whole"), store.find(name)
    assert two.status == "finished" and two.attempt == 2 and one.digest == two.digest
    assert_same(final_parameters(home, one), final_parameters(home, two))
    assert {e.env_steps: e.returns for e in store.evaluations(one.id)} == {
        e.env_steps: e.returns for e in store.evaluations(two.id)
    }
    for metric in store.last_scalars(one.id):
        if not metric.startswith("time/"):
            values = [[(p.step, p.value) for p in store.scalars(run.id, metric)] for run in (one, two)]
            assert values[0] == values[1], metric


def test_a_finished_run_goes_further_with_more_steps(whole):
    """160 environment steps, then 400: the parameters and scores of the run that was that long at once."""
    home, _ = whole
    short = ["--name", "short", "--set", "steps=160"]
    assert quick_run(*SLOWER, *short, home=home).returncode == 0
    assert "--set steps=N" in cli("run", "--resume", "short", home=home).stderr
    refused = cli("run", "--resume", "short", "--set", "steps=160", home=home)
    assert refused.returncode == 2 and "has 160 environment steps already" in refused.stderr
    refused = cli("run", "--resume", "short", "--set", "horizon=9", home=home)
    assert refused.returncode == 2 and "only steps can change" in refused.stderr
    done = cli("run", "--resume", "short", "--set", "steps=400", home=home)
    assert done.returncode == 0, done.stderr
    store = open_store(home)
    one, two = store.find("whole"), store.find("short")
    assert (two.status, two.digest, two.steps, two.score) == ("finished", one.digest, 400, one.score)
    assert_same(final_parameters(home, one), final_parameters(home, two))
    assert json.loads((store.folder(two.id) / "config.json").read_text())["config"] == one.config


def test_stop_command(whole):
    home, _ = whole
    process, run = start(home, "asked", "--set", "steps=4000")  # it must not end before it is asked
    assert cli("stop", "asked", home=home).returncode == 0
    process.communicate(timeout=120)
    assert open_store(home).get(run.id).status == "stopped"
    assert "is stopped, not running" in cli("stop", "asked", home=home).stderr


def test_a_worker_that_is_stopped_before_it_begins_stops_cleanly(tmp_path):
    """SIGTERM as soon as the worker's handlers stand, long before training: a stopped run, not a lost one."""
    from dreamctl.jobs.launch import spawn, submit
    from tests.dreamctl.conftest import spec

    store = open_store(tmp_path)
    run = submit(store, spec())
    worker = spawn(store, run.id, "cpu")
    while store.get(run.id).status == "queued":
        time.sleep(0.05)
    worker.terminate()
    assert worker.wait(60) == 0
    assert store.get(run.id).status == "stopped" and store.checkpoints(run.id)


def test_a_terminal_that_is_closed_stops_a_run_in_it_with_a_checkpoint(tmp_path):
    """--inline trains in the terminal's own process. Under nohup it goes on."""
    settings = [part for item in [*QUICK, "steps=4000", "updates=24"] for part in ("--set", item)]
    command = ["-m", "dreamctl", "run", "pendulum_swingup", "--preset", "smoke", *settings, "--inline"]
    for before, ended in (([], "stopped"), (["nohup"], "running")):
        home = tmp_path / ended
        process = subprocess.Popen(
            [*before, sys.executable, *command, "--home", home], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not any(run.updates > 0 for run in open_store(home, create=False).runs()):
            assert process.poll() is None
            time.sleep(0.1)
        store = open_store(home)
        (run,) = store.runs()
        process.send_signal(signal.SIGHUP)
        if ended == "stopped":
            process.wait(60)
            assert store.checkpoints(run.id)[-1].updates == store.get(run.id).updates
        else:
            progress = store.get(run.id).updates
            while store.get(run.id).updates < progress + 24:
                assert process.poll() is None
                time.sleep(0.1)
            process.kill()
            process.wait()
        assert store.get(run.id).status == ended


def test_a_worker_that_dies_before_it_claims_is_not_waited_for(tmp_path):
    store = open_store(tmp_path)
    run = submit(store, spec())
    with pytest.raises(RunFailed, match="the worker ended before it started the run"):
        follow(store, run, lambda: subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]))
    assert (store.get(run.id).status, store.get(run.id).reason) == (
        "failed",
        "the worker ended before it started the run",
    )


def test_a_sweeps_run_that_is_gone_on_with_by_hand_goes_back_to_its_queue(tmp_path):
    store = open_store(tmp_path)
    enroll(store, "mine", [spec(steps="800", updates="24")], {}, max_attempts=2)
    (run,) = store.runs()
    command = [sys.executable, "-m", "dreamctl", "run", "--resume", run.name, "--home", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if store.get(run.id).updates > 0:
            break
        time.sleep(0.05)
    os.kill(store.get(run.id).pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "and is back in the queue of its sweep" in err
    assert (store.get(run.id).status, store.get(run.id).deaths) == ("queued", 1)


def test_a_failing_run_says_why(tmp_path):
    done = quick_run("--set", "model_lr=1e30", "--inline", home=tmp_path)
    assert done.returncode == 1
    (run,) = open_store(tmp_path).runs()
    assert run.status == "failed" and run.diverged and " is nan after " in run.reason
    assert done.stderr.strip().splitlines()[-1] == f"dreamctl: run {run.name} diverged: {run.reason}"


def test_eval_scores_a_checkpoint(whole):
    home, _ = whole
    done = cli("eval", "whole", "--episodes", "2", "--seed", "7", "--video", "--json", home=home)
    result = json.loads(done.stdout)
    assert result["seed"] == 7 and len(result["returns"]) == 2 and result["env_steps"] == 400
    store = open_store(home)
    run = store.find("whole")
    manual = [e for e in store.evaluations(run.id) if e.kind == "manual"]
    assert manual[-1].returns == result["returns"]
    assert run.score == [e for e in store.evaluations(run.id) if e.kind == "final"][0].mean  # untouched
    assert (store.folder(run.id) / result["video"]).read_bytes()[:4] == b"GIF8"
    again = cli("eval", "whole", "--episodes", "2", "--seed", "7", "--checkpoint", "400", "--json", home=home)
    assert json.loads(again.stdout)["returns"] == result["returns"]


def test_eval_of_a_corrupt_checkpoint_is_one_line(whole):
    home, _ = whole
    store = open_store(home)
    run = store.find("whole")
    path = store.folder(run.id) / store.checkpoints(run.id)[0].path
    content = path.read_bytes()
    try:
        path.write_bytes(b"x" + content[1:])
        done = cli("eval", "whole", "--checkpoint", store.checkpoints(run.id)[0].env_steps, home=home)
    finally:
        path.write_bytes(content)
    assert done.returncode == 2 and "is corrupt" in done.stderr and len(done.stderr.splitlines()) == 1


def test_plotted_numbers_are_the_stored_ones(whole, tmp_path):
    home, _ = whole
    done = cli("plot", "curves", "whole", "--out", tmp_path / "a.png", home=home)
    assert done.returncode == 2 and "--out is a folder" in done.stderr and not list(tmp_path.iterdir())
    done = cli("plot", "curves", "whole", "--out", tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    assert [line.rsplit(".", 1)[1] for line in done.stdout.split()] == ["png", "pdf", "csv"]
    stem = tmp_path / "curves"
    assert stem.with_suffix(".png").read_bytes()[1:4] == b"PNG" and stem.with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
    rows = [line.split(",") for line in stem.with_suffix(".csv").read_text().splitlines()[1:]]
    store = open_store(home)
    evaluations = [e for e in store.evaluations(store.find("whole").id) if e.kind != "manual"]
    drawn = {int(row[3]): float(row[4]) for row in rows if row[3]}
    assert drawn == {e.env_steps: e.mean for e in evaluations}


def test_the_checkpoint_loads_without_running_code(whole):
    home, _ = whole
    store = open_store(home)
    run = store.find("whole")
    content = torch.load(store.folder(run.id) / store.checkpoints(run.id)[-1].path, weights_only=True)
    assert content["task"] == "pendulum_swingup" and content["config"] == run.config
