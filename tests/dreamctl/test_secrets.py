"""Passwords stay where they were given; URLs mean the file that they name; the UI answers its own pages alone."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamctl.errors import BadRecord, HomeError
from dreamctl.jobs.launch import submit
from dreamctl.store import database, open_store
from tests.dreamctl.conftest import cli, spec, typed
from tests.dreamctl.test_mirror import draw

pytestmark = pytest.mark.mlflow

SECRET = "tr0ub4dor"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/runs",
        f"postgresql+psycopg://me@127.0.0.1:1/runs?password={SECRET}",
        f"nonsense://me:{SECRET}@host/runs",
        f"postgresql://me:{SECRET}@host:port/runs",
        f"postgresql://me:x@{SECRET}@host/runs",
        f"me:{SECRET}@host",
    ],
)
def test_no_message_holds_the_databases_password(tmp_path, monkeypatch, url):
    monkeypatch.setenv("DREAMCTL_DB", url)
    done = typed("ls", home=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout


def test_what_is_shown_of_a_uri():
    assert database.shown(f"http://me:{SECRET}@mlflow:5000/x") == "http://me:***@mlflow:5000/x"
    assert SECRET not in database.shown(f"me:{SECRET}@host") + database.shown(f"a://h/d?token={SECRET}")
    assert database.shown("databricks") == "databricks"


def test_no_message_holds_mlflows_password(tmp_path):
    submit(open_store(tmp_path), spec())
    where = {"DREAMCTL_MLFLOW": f"http://me:{SECRET}@127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    for command in ("sync", "ui"):
        done = cli(command, home=tmp_path, **where)
        assert SECRET not in done.stderr + done.stdout, command
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(SECRET.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("name", ["a?b", "a%41 b", "ä:#b"])
def test_a_home_of_any_name_keeps_everything_in_it(tmp_path, name):
    from dreamctl.store.mirror import Mirror

    store = open_store(tmp_path / "homes" / name)
    run = submit(store, spec())
    assert Mirror(store, draw).sync().runs == 1
    assert typed("ls", home=store.home).stdout.count(run.name) == 1
    assert list((store.home / "mlartifacts").rglob("config.json")) and (store.home / "mlflow.db").is_file()
    files = [path for path in (tmp_path / "homes").rglob("*") if path.is_file()]
    assert all(path.is_relative_to(store.home) for path in files)


def test_a_copied_home_keeps_its_hands_off_the_original(tmp_path):
    from dreamctl.store.mirror import Mirror

    store = open_store(tmp_path / "original")
    submit(store, spec())
    Mirror(store, draw).sync()
    shutil.copytree(store.home, tmp_path / "copy")
    before = {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()}
    copy = open_store(tmp_path / "copy")
    submit(copy, spec(1))
    attempt = copy.claim(copy.runs()[0].id, "cpu")
    copy.record_evaluation(copy.runs()[0].id, kind="final", env_steps=1, seed=0, returns=[1.0], attempt=attempt)
    copy.finish(copy.runs()[0].id, attempt, "finished")
    assert "2 runs and" in cli("sync", home=copy.home).stderr  # a process of its own: MLflow remembers places
    assert {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()} == before
    pictures = list((copy.home / "mlartifacts").rglob("learning_curve.png"))
    assert len(pictures) == 1 and len(list((copy.home / "mlartifacts").rglob("config.json"))) == 2


@pytest.mark.parametrize("artifact", ["config.json", "../../precious.txt", "{outside}/precious.txt"])
def test_the_mirror_follows_no_link_and_no_path_out_of_a_run(tmp_path, artifact, capsys):
    from dreamctl.store.mirror import Mirror
    from dreamctl.store.models import Artifact

    (tmp_path / "precious.txt").write_text("years")
    store = open_store(tmp_path / "home")
    run, other = submit(store, spec()), submit(store, spec(1))
    artifact = artifact.format(outside=tmp_path)
    if artifact == "config.json":
        (store.folder(run.id) / artifact).unlink()
        (store.folder(run.id) / artifact).symlink_to(tmp_path / "precious.txt")
    with store._write() as session:
        session.merge(Artifact(run_id=run.id, path=artifact, kind="config", bytes=5, created_at=1.0))
    copied = Mirror(store, draw).sync()
    assert (copied.runs, copied.failed) == (1, 1) and f"{run.name} was not copied" in capsys.readouterr().err
    there = [path.read_bytes() for path in (store.home / "mlartifacts").rglob("*") if path.is_file()]
    assert there and b"years" not in there and store.mirrored(other.id)
    (store.home / "mlartifacts" / "pendulum_swingup").rename(tmp_path / "elsewhere")
    (store.home / "mlartifacts" / "pendulum_swingup").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadRecord, match="symbolic link"):
        Mirror(store, draw).sync()


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
    response = connection.getresponse()
    return response.status, response.read().decode(errors="replace")


def test_the_ui_answers_no_other_site_and_its_arguments_hold_no_password(tmp_path):
    """DNS rebinding comes with the attacker's host name, a request across origins with his page's."""
    submit(open_store(tmp_path), spec())
    port = free_port()
    where = f"sqlite:///{tmp_path}/mlflow.db?password={SECRET}"  # SQLite does not mind
    program = [sys.executable, "-m", "dreamctl", "ui", "--port", str(port), "--home", str(tmp_path)]
    process = subprocess.Popen(program, env=os.environ | {"DREAMCTL_MLFLOW": where}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            try:
                if ask(port, "GET", "/health")[0] == 200:
                    break
            except OSError:
                time.sleep(0.5)
        search, new = "/api/2.0/mlflow/experiments/search?max_results=5", "/api/2.0/mlflow/experiments/create"
        assert ask(port, "GET", search)[0] == 200
        for host in ("evil.example", f"evil.example:{port}", "10.0.0.1", f"localhost:{port + 1}", ""):
            status, text = ask(port, "GET", search, Host=host)
            assert status in (400, 403) and "pendulum" not in text, (host, status)
        name = '{"name": "planted"}'
        for origin in ("http://evil.example", "null", f"http://evil.example:{port}"):
            status, _ = ask(port, "POST", new, name, Origin=origin)
            assert status == 403, origin
        assert "planted" not in ask(port, "GET", search)[1]
        assert ask(port, "POST", new, name, Origin=f"http://127.0.0.1:{port}")[0] == 200
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
        assert any(b"mlflow" in command and str(port).encode() in command for command in commands)
        assert not any(SECRET.encode() in command for command in commands)
        process.send_signal(signal.SIGHUP)  # its terminal is closed
        process.wait(120)
        left = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
        assert not any(b"mlflow" in command and str(port).encode() in command for command in left)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_a_password_with_an_at_sign_is_told_how_to_write_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMCTL_DB", f"postgresql://me:p@{SECRET}@host/runs")
    with pytest.raises(HomeError, match="%40"):
        open_store(tmp_path)
