"""The mirror against a real MLflow store."""

import json
import os
import subprocess
import sys

import pytest

from dreamctl.jobs.launch import submit
from dreamctl.store import Point, open_store, pages
from tests.dreamctl.conftest import cli, quick_run, spec

pytestmark = pytest.mark.mlflow


def draw(store, run, path):
    """A picture that costs nothing: drawing is not under test here."""
    path.write_bytes(b"\x89PNG")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """A store with finished, failed, stopped, queued and killed runs, mirrored; the mirror and an MLflow client."""
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror

    store = open_store(tmp_path_factory.mktemp("home"))
    for status in ("finished", "failed", "stopped"):
        run = submit(store, spec(seed=1))
        attempt = store.claim(run.id, "cpu")
        points = [Point(f"m{k}", 40 * step, step + k, 1e9 + step) for k in range(5) for step in range(500)]
        store.heartbeat(run.id, attempt, env_steps=240, updates=1, scalars=points)
        store.record_evaluation(run.id, kind="final", env_steps=240, seed=0, returns=[1, 2], attempt=attempt)
        store.finish(run.id, attempt, status, "it broke" if status == "failed" else None)
    submit(store, spec(seed=2))
    code = "import sys; from dreamctl.store import open_store; open_store(sys.argv[1]).claim(sys.argv[2], 'cpu')"
    lost = submit(store, spec(seed=3))
    subprocess.run([sys.executable, "-c", code, str(store.home), lost.id], check=True)
    store.reap()
    mirror = Mirror(store, draw)
    copied = mirror.sync()
    assert (copied.runs, copied.points) == (5, 7500)
    return store, mirror, MlflowClient(tracking_uri=mirror.uri)


def there(store, client):
    """MLflow's runs by dreamctl's id."""
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    return {run.data.tags["dreamctl.run"]: run for run in client.search_runs([experiment.experiment_id])}


def test_statuses_and_times(mirrored):
    store, _, client = mirrored
    found = there(store, client)
    statuses = {(run.seed, run.status): found[run.id].info for run in store.runs()}
    assert {key: info.status for key, info in statuses.items()} == {
        (1, "finished"): "FINISHED",
        (1, "failed"): "FAILED",
        (1, "stopped"): "KILLED",
        (2, "queued"): "SCHEDULED",
        (3, "failed"): "FAILED",
    }
    for run in store.runs():
        info = found[run.id].info
        if run.finished_at:
            assert info.end_time == round(1000 * run.finished_at) and info.start_time == round(1000 * run.started_at)


def test_metrics_are_the_stores(mirrored):
    store, _, client = mirrored
    run = store.runs(status="finished")[0]
    for name in store.last_scalars(run.id):
        history = client.get_metric_history(there(store, client)[run.id].info.run_id, name)
        expected = [(p.step, p.value, round(1000 * p.wall_time)) for p in store.scalars(run.id, name)]
        assert sorted((m.step, m.value, m.timestamp) for m in history) == expected


def test_artifacts_and_reason(mirrored):
    store, _, client = mirrored
    run = [run for run in store.runs() if run.reason == "it broke"][0]
    copy = there(store, client)[run.id]
    files = {file.path for file in client.list_artifacts(copy.info.run_id)}
    assert {"config.json", "learning_curve.png"} <= files and copy.data.tags["reason"] == "it broke"
    assert copy.info.artifact_uri.startswith(str(store.home / "mlartifacts"))
    shown = list(copy.data.params)  # in this order the UI shows them
    first = ["task", "seed", "preset", *pages.from_preset(run)]
    assert shown[: len(first)] == first and len(first) > 3 and set(shown) == {*first, *run.config}


def test_a_reason_goes_when_a_later_attempt_does_better(tmp_path):
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror

    store = open_store(tmp_path)
    run = submit(store, spec())
    mirror = Mirror(store, draw)
    tags = []
    for status, reason in (("failed", "it broke"), ("finished", None)):
        store.finish(run.id, store.claim(run.id, "cpu"), status, reason)
        mirror.sync()
        tags.append(there(store, MlflowClient(tracking_uri=mirror.uri))[run.id].data.tags)
    assert tags[0]["reason"] == "it broke" and "reason" not in tags[1]


def test_nothing_is_copied_twice(mirrored):
    store, mirror, client = mirrored
    copied = mirror.sync()
    assert (copied.runs, copied.points) == (0, 0)


def test_points_sent_again_after_a_crash_are_not_doubled(mirrored):
    """A crash after MLflow has a batch and before the store knows: the cursor is behind."""
    from dreamctl.store.mirror import Mirror

    store, _, client = mirrored
    run = store.runs(status="finished")[0]
    store.mark_mirrored(run.id, {"scalar:m0": "400", "stamp": "old"})
    assert Mirror(store, draw).sync().points == 489
    history = client.get_metric_history(there(store, client)[run.id].info.run_id, "m0")
    assert len(history) == 500


def test_a_mirror_killed_after_creating_a_run_leaves_no_second_one(mirrored):
    """MLflow has the run, the store does not know: the next mirror takes it over."""
    from dreamctl.store.mirror import Mirror

    store, _, client = mirrored
    run = store.runs(status="stopped")[0]
    before = there(store, client)[run.id].info.run_id
    store.forget_mirrored(run.id)
    Mirror(store, draw).sync()
    assert len(there(store, client)) == 5 and store.mirrored(run.id)["run"] == before
    assert len(client.get_metric_history(before, "m1")) == 500


def test_a_run_that_cannot_be_copied_does_not_hold_up_the_others(mirrored, capsys):
    from dreamctl.store.mirror import Mirror

    store, _, _ = mirrored
    runs = store.runs(status="finished") + store.runs(status="stopped")
    for run in runs:
        store.mark_mirrored(run.id, {"stamp": "old"})

    def fails(store, run, path):
        if run.id == runs[0].id:
            raise RuntimeError("no ink")
        draw(store, run, path)

    copied = Mirror(store, fails).sync()
    assert (copied.runs, copied.failed) == (1, 1)
    assert f"{runs[0].name} was not copied: RuntimeError: no ink" in capsys.readouterr().err
    assert Mirror(store, draw).sync().runs == 1  # tried again


def test_one_mirror_at_a_time(mirrored):
    from filelock import FileLock

    store, mirror, _ = mirrored
    with FileLock(store.home / "mirror.lock"):
        assert mirror.sync() is None and mirror.follow() is None


def test_a_deleted_mlflow_database_is_filled_again(mirrored):
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror

    store, _, _ = mirrored
    for path in store.home.glob("mlflow.db*"):
        os.unlink(path)
    code = "import sys; from dreamctl.store import open_store; from dreamctl.store.mirror import Mirror\n"
    code += "from tests.dreamctl.test_mirror import draw; print(Mirror(open_store(sys.argv[1]), draw).sync())"
    done = subprocess.run([sys.executable, "-c", code, str(store.home)], capture_output=True, text=True, check=True)
    assert "points=7500" in done.stdout
    client = MlflowClient(tracking_uri=Mirror(store, draw).uri)
    assert len(there(store, client)) == 5


def test_mlflow_may_be_elsewhere(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror

    monkeypatch.setenv("DREAMCTL_MLFLOW", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    store = open_store(tmp_path / "home")
    run = submit(store, spec())
    Mirror(store, draw).sync()
    assert list(there(store, MlflowClient(f"sqlite:///{tmp_path / 'elsewhere.db'}"))) == [run.id]
    assert not (tmp_path / "home" / "mlflow.db").exists()
    done = cli("ui", home=store.home, DREAMCTL_MLFLOW="http://mlflow:5000")
    assert done.returncode == 2 and "served already (DREAMCTL_MLFLOW): open http://mlflow:5000" in done.stderr


def test_a_sweep_ends_with_its_last_run_and_links_them(tmp_path):
    """Not when it is copied; the runs are in another experiment, so its description leads to them."""
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror
    from dreamctl.store.pages import DESCRIPTION

    store = open_store(tmp_path / "home")
    sweep = store.open_sweep("one", {}, 3)
    run = submit(store, spec())
    attempt = store.claim(run.id, "cpu")
    store.record_evaluation(run.id, kind="final", env_steps=240, seed=0, returns=[7], attempt=attempt)
    store.finish(run.id, attempt, "finished")
    store.enroll(sweep.id, [run.id])
    later = store.open_sweep("later", {}, 3)  # needs only a run that has ended already
    store.enroll(later.id, [run.id])
    mirror = Mirror(store, draw)
    mirror.sync()
    client = MlflowClient(tracking_uri=mirror.uri)
    info = client.get_run(store.find_sweep("later").mlflow_run).info
    assert info.start_time == info.end_time == round(1000 * later.created_at)
    parent = client.get_run(store.sweeps()[0].mlflow_run)
    assert parent.info.end_time == round(1000 * store.get(run.id).finished_at)
    told, copy = parent.data.tags[DESCRIPTION], client.get_run(store.mirrored(run.id)["run"])
    assert told.startswith("1 run: 1 finished.") and f"[{run.name}](#/experiments/{copy.info.experiment_id}/" in told
    assert f"runs/{copy.info.run_id}" in told and "| finished | 7.0 |" in told
    assert "score **7.0**" in copy.data.tags[DESCRIPTION] and "`episode_length=40`" in copy.data.tags[DESCRIPTION]
    assert {e.name for e in client.search_experiments()} == {"sweeps", run.task}


def test_mlflow_can_be_switched_off_for_a_while(tmp_path):
    done = quick_run(home=tmp_path, DREAMCTL_MLFLOW="off")
    assert done.returncode == 0 and "switched off (DREAMCTL_MLFLOW=off)" in done.stdout
    refused = cli("sync", home=tmp_path, DREAMCTL_MLFLOW="off")
    assert refused.returncode == 2 and "unset that, and dreamctl sync catches up" in refused.stderr
    doctor = cli("doctor", "--json", home=tmp_path, DREAMCTL_MLFLOW="off")
    assert "switched off" in {row["what"]: row["text"] for row in json.loads(doctor.stdout)}["MLflow"]
    assert not (tmp_path / "mlflow.db").exists()
    assert "1 run and" in cli("sync", home=tmp_path).stderr


@pytest.mark.parametrize("where", ["log_batch", "mark_mirrored", "note_mlflow", "log_dict"])
def test_a_mirror_that_is_killed_between_two_steps_leaves_nothing_half(tmp_path, monkeypatch, where):
    """After a run or a sweep was made in MLflow, before its parameters, its plan or its id are on record."""
    from dreamctl.store.mirror import Mirror
    from dreamctl.store.tracking import open_client

    store = open_store(tmp_path)
    run = submit(store, spec())
    sweep = store.open_sweep("mine", {"parts": []}, 1)
    store.enroll(sweep.id, [run.id])
    client = open_client(store)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client if where.startswith("log") else store, where, killed)
        with pytest.raises(KeyboardInterrupt):
            Mirror(store, draw)._pass(client)
    assert Mirror(store, draw)._pass(client).failed == 0
    experiments = {e.name: e.experiment_id for e in client.search_experiments()}
    (parent,), (child,) = (client.search_runs([experiments[name]]) for name in ("sweeps", run.task))
    assert child.data.params.items() >= {"task": run.task, "seed": "0", "horizon": str(run.config["horizon"])}.items()
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id == store.find_sweep("mine").mlflow_run
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["sweep.json"]
