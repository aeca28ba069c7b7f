"""MLflow broken, of another version, not writable, silent, slow: training does not notice, the mirror says so.

Real processes: the worker, the mirror that `dreamctl run` starts, an MLflow server.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import pytest

from dreamctl.jobs.launch import spawn, spawn_mirror, submit
from dreamctl.store import open_store
from dreamctl.store.mirror import Mirror
from tests.dreamctl.conftest import cli, spec
from tests.dreamctl.test_mirror import draw, there
from tests.dreamctl.test_outlast import check, whole  # noqa: F401
from tests.dreamctl.test_secrets import free_port

pytestmark = pytest.mark.mlflow


def said(store, text, seconds=120):
    """Whether the mirror says so in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        log = store.home / "mirror.log"
        if log.is_file() and text in log.read_text():
            return True
        time.sleep(0.2)
    return False


def all_copied(store, run, client):
    """Whether MLflow has each point of the run, and that it is finished."""
    copy = there(store, client)[run.id].info
    names = store.last_scalars(run.id)
    return copy.status == "FINISHED" and all(
        len(client.get_metric_history(copy.run_id, name)) == len(store.scalars(run.id, name)) for name in names
    )


def no_package(store, monkeypatch, tmp_path):
    """MLflow cannot be imported."""
    (tmp_path / "broken" / "mlflow").mkdir(parents=True)
    (tmp_path / "broken" / "mlflow" / "__init__.py").write_text("raise ImportError('half of it is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    return "cannot be used (ImportError: half of it is missing)", lambda: monkeypatch.delenv("PYTHONPATH")


def newer_schema(store, monkeypatch, tmp_path):
    """An MLflow of a later version has been at the store."""

    def set_to(version):
        with closing(sqlite3.connect(store.home / "mlflow.db")) as database, database:
            (before,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            database.execute("UPDATE alembic_version SET version_num = ?", [version])
        return before

    Mirror(store, draw).sync()
    version = set_to("ffffffffffff")
    return "cannot be used (", lambda: set_to(version)


def not_writable(store, monkeypatch, tmp_path):
    """The store's file may not be changed."""
    Mirror(store, draw).sync()
    file = str(store.home / "mlflow.db")
    if subprocess.run(["chattr", "+i", file], capture_output=True).returncode:
        pytest.skip("no file may be made immutable here")
    return "readonly database", lambda: subprocess.run(["chattr", "-i", file], check=True)


@pytest.mark.parametrize(
    "trouble",
    [no_package, *(pytest.param(trouble, marks=pytest.mark.slow) for trouble in (newer_schema, not_writable))],
)
def test_training_does_not_notice_and_sync_catches_up(whole, tmp_path, monkeypatch, trouble):  # noqa: F811
    from mlflow import MlflowClient

    store = open_store(tmp_path / "home")
    run = submit(store, spec())
    words, mend = trouble(store, monkeypatch, tmp_path)
    try:
        mirror = spawn_mirror(store)
        assert spawn(store, run.id, "cpu").wait(120) == 0
        check(store, run, whole)
        assert said(store, words) and mirror.poll() is None  # it tries again
        mirror.kill()
        mirror.wait()
        once = cli("sync", home=store.home, **{k: v for k, v in os.environ.items() if k == "PYTHONPATH"})
        assert words in once.stderr and "Traceback" not in once.stderr + (store.home / "mirror.log").read_text()
    finally:
        mend()
    assert cli("sync", home=store.home).returncode == 0
    assert all_copied(store, run, MlflowClient(Mirror(store, draw).uri))


class Between(threading.Thread):
    """A server that keeps connections without an answer, or passes what another one answers on after a while."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.other, self.silent, self.kept = port, True, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        with suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                self.kept.append(client)
                if not self.silent:
                    server = socket.create_connection(("127.0.0.1", self.other))
                    threading.Thread(target=self.copy, args=(client, server, 0), daemon=True).start()
                    threading.Thread(target=self.copy, args=(server, client, 0.3), daemon=True).start()

    def copy(self, source, target, seconds):
        with suppress(OSError):
            while data := source.recv(1 << 20):
                time.sleep(seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_server_that_is_silent_and_then_slow(whole, tmp_path, monkeypatch):  # noqa: F811
    """The mirror that said that MLflow does not answer copies all of it, once each answer comes late."""
    from mlflow import MlflowClient

    port, where = free_port(), f"sqlite:///{tmp_path / 'mlflow.db'}"
    between = Between(port)
    between.start()
    store = open_store(tmp_path / "home")
    run = submit(store, spec())
    program = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    program += ["--backend-store-uri", where, "--allowed-hosts", "*"]
    server = subprocess.Popen(program, start_new_session=True, stderr=subprocess.DEVNULL, cwd=tmp_path)
    monkeypatch.setenv("DREAMCTL_MLFLOW", f"http://127.0.0.1:{between.port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    try:
        mirror = spawn_mirror(store)
        assert spawn(store, run.id, "cpu").wait(120) == 0
        check(store, run, whole)
        assert said(store, "cannot be used (")
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.5)
        between.silent = False
        assert mirror.wait(300) == 0
        assert "over after" in (store.home / "mirror.log").read_text()
        assert all_copied(store, run, MlflowClient(where))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
        between.socket.close()
