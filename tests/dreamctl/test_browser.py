"""The MLflow UI as a browser shows it: Debian's Chromium on a server that `dreamctl ui` has started."""

import re
import shutil
import socket
import subprocess
import time

import psutil
import pytest

from dreamctl.errors import BadInput
from dreamctl.jobs.launch import submit
from dreamctl.jobs.sweeps import Request, build
from dreamctl.store import Point, open_store
from dreamctl.store.serving import LOCAL, free_port
from tests.dreamctl.conftest import cli, spec

pytestmark = pytest.mark.mlflow

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=30000"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A home with two runs of a sweep and a failed one, served; the store and the UI's address."""
    store = open_store(tmp_path_factory.mktemp("home"))
    plan = build(None, Request(tasks=("pendulum_swingup",)))
    sweep = store.open_sweep("two-seeds", plan.to_dict(), 3)
    for seed, status in ((0, "finished"), (1, "finished"), (2, "failed")):
        run = submit(store, spec(seed=seed, horizon=7))
        attempt = store.claim(run.id, "cpu")
        points = [Point("eval/return", 40 * step, step + seed, 1e9 + step) for step in range(7)]
        store.heartbeat(run.id, attempt, env_steps=240, updates=1, scalars=points)
        store.record_evaluation(run.id, kind="final", env_steps=240, seed=0, returns=[600 + seed], attempt=attempt)
        store.finish(run.id, attempt, status, "the loss is not finite" if status == "failed" else None)
    store.enroll(sweep.id, [run.id for run in store.runs(status="finished")])
    port = free_port(LOCAL, 5500)
    with socket.create_server((LOCAL, port)):  # taken: the next free one is to be found, and told
        done = cli("ui", "--detach", "--port", port, home=store.home)
    assert done.returncode == 0, done.stderr
    assert f"port {port} is taken" in done.stderr
    address, pid = re.search(r"(http://127\.0\.0\.1:\d+)/\S* \(kill (\d+) ends it\)", done.stdout).groups()
    assert address != f"http://{LOCAL}:{port}"
    yield open_store(store.home), address
    server = psutil.Process(int(pid))
    processes = [server, *server.children(recursive=True)]
    server.terminate()
    _, alive = psutil.wait_procs(processes, timeout=30)
    for process in alive:
        process.kill()


def seen(address: str, place: str, profile, *expected: str) -> str:
    """The text of a page once scripts have filled it; asked again until it has what is expected."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    missing: list[str] = []
    for attempt in range(3):  # a busy machine may be slower than the page's time
        command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile / str(attempt)}", "--window-size=1400,2400"]
        page = subprocess.run(
            [*command, "--dump-dom", f"{address}/{place}"], capture_output=True, text=True, timeout=90
        )
        text = " ".join(re.sub(r"<[^>]+>", " ", page.stdout).split())
        missing = [words for words in expected if words not in text]
        if not missing:
            return text
        time.sleep(2)
    raise AssertionError(f"{place} does not show {missing}: {text}")


def test_the_list_of_experiments(served, tmp_path):
    """One for the task, one for sweeps, each with what it holds; none that is empty."""
    text = seen(served[1], "#/experiments", tmp_path, "pendulum_swingup", "sweeps", "Runs of the task")
    assert "Default" not in text


def mirrored(store, run):
    return store.mirrored(run.id)["run"]


def test_a_run_has_score_settings_metrics_and_its_sweep(served, tmp_path):
    store, address = served
    run = store.runs(status="finished")[0]
    place = f"#/experiments/{experiment(store)}/runs/{mirrored(store, run)}?workflowType=machine_learning"
    changed = "horizon=7"
    seen(address, place, tmp_path, run.name, "600.0", changed, "eval/return", "two-seeds", f"dreamctl show {run.id}")


def test_a_failed_run_says_why(served, tmp_path):
    store, address = served
    run = store.runs(status="failed")[0]
    place = f"#/experiments/{experiment(store)}/runs/{mirrored(store, run)}"
    seen(address, place, tmp_path, "Failed", "the loss is not finite")


def test_a_sweep_lists_its_runs(served, tmp_path):
    store, address = served
    sweep = store.sweeps()[0]
    place = f"#/experiments/{experiment(store, 'sweeps')}/runs/{sweep.mlflow_run}"
    names = [run.name for run in store.runs(status="finished")]
    text = seen(address, place, tmp_path, "two-seeds", "2 runs: 2 finished", *names, "601.0")
    assert store.runs(status="failed")[0].name not in text
    ended = max(run.finished_at for run in store.members(sweep.id))
    assert client(store).get_run(sweep.mlflow_run).info.end_time == round(1000 * ended)  # not when it was copied


def test_two_runs_compared(served, tmp_path):
    store, address = served
    runs = [mirrored(store, run) for run in store.runs(status="finished")]
    place = f'#/compare-runs?runs=["{runs[0]}","{runs[1]}"]&experiments=["{experiment(store)}"]'
    seen(address, place, tmp_path, *(run.name for run in store.runs(status="finished")), "eval/return", "horizon")


def client(store):
    from mlflow import MlflowClient

    from dreamctl.store.tracking import uri

    return MlflowClient(tracking_uri=uri(store))


def experiment(store, name: str = "pendulum_swingup") -> str:
    return client(store).get_experiment_by_name(name).experiment_id


def test_a_host_that_others_reach_is_warned_of(store):
    """The address does not exist here, so nothing is served; the check comes before anything is started."""
    submit(store, spec())
    refused = cli("ui", "--host", "192.0.2.1", home=store.home)
    assert refused.returncode == 2 and "192.0.2.1 is not an address of this machine" in refused.stderr


def test_the_names_that_a_server_answers_to():
    from dreamctl.store.serving import _names

    assert _names(LOCAL) == [LOCAL, "localhost"]
    assert {LOCAL, "localhost", socket.gethostname()} <= set(_names("0.0.0.0"))
    assert "0.0.0.0" not in _names("0.0.0.0")


def test_the_next_free_port():
    with socket.create_server((LOCAL, 0)) as taken:
        port = taken.getsockname()[1]
        assert port < free_port(LOCAL, port) < port + 100
    with pytest.raises(BadInput, match="not an address of this machine"):
        free_port("192.0.2.1", 5000)
