"""MLflow's store of a home: where it is, how it is made, moved and served. This and the mirror alone import mlflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Engine, text

from dreamctl.errors import BadInput
from dreamctl.store import paths
from dreamctl.store.database import refuse_network, shown, sqlite_url
from dreamctl.store.models import Run
from dreamctl.store.store import Store


def uri(store: Store) -> str:
    """MLflow's tracking URI: DREAMCTL_MLFLOW, else a SQLite file in the home."""
    ours = sqlite_url(store.home / "mlflow.db")
    return os.environ.get("DREAMCTL_MLFLOW") or ours.render_as_string(hide_password=False)


def artifacts_at(folder: Path) -> str:
    """A folder as MLflow takes it: a path, or a URI where it would read a path as a URI."""
    return str(folder) if quote(str(folder)) == str(folder) else folder.as_uri()


def page(store: Store, run: Run, port: int) -> str:
    """The address of a run's page in the MLflow UI: `dreamctl ui` at that port, or a server elsewhere.

    Raises `BadInput` for a run that is not there yet.
    """
    there = store.mirrored(run.id).get("run")
    if there is None:
        raise BadInput(f"run {run.name} is not in MLflow yet: dreamctl sync copies it")
    experiment = open_client(store).get_run(there).info.experiment_id
    served = shown(uri(store)) if uri(store).startswith("http") else f"http://127.0.0.1:{port}"
    return f"{served}/#/experiments/{experiment}/runs/{there}"


def check_unserved(store: Store) -> None:
    """Raises `BadInput` where MLflow is a server elsewhere."""
    if uri(store).startswith("http"):
        raise BadInput(f"MLflow is served already (DREAMCTL_MLFLOW): open {shown(uri(store))}")


def serve(store: Store, port: int) -> int:
    """Run `mlflow server` over the home until it ends or Ctrl-C; returns its exit code."""
    _initialise(store)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts_at(store.home / "mlartifacts"), "--serve-artifacts"]
    # a page of another site may send its visitors' browsers here, under its own name or with requests across origins
    command += ["--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"]
    # not among the arguments, which all users see: it may hold a password
    environment = {"MLFLOW_BACKEND_STORE_URI": uri(store), "MLFLOW_DISABLE_TELEMETRY": "true"}
    # a session of its own: Ctrl-C and SIGTERM are ours to pass on, to all of the server's processes at once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(command, env=os.environ | environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        return 0


def open_client(store: Store) -> Any:
    """An MLflow client on the home's store."""
    _initialise(store)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri(store))


def _initialise(store: Store) -> None:
    """Create MLflow's schema and its default experiment, under a lock: MLflow itself does so without one.

    Raises `HomeError` when that would be a SQLite file on a network file system.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if "DREAMCTL_MLFLOW" in os.environ:
        return
    from filelock import FileLock

    refuse_network(store.home, "set DREAMCTL_MLFLOW to the URI of an MLflow server or of a database that it has alone")
    with FileLock(store.home / "mlflow.lock"):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        folder = paths.without_links(store.place("mlartifacts"))
        _keep_inside(SqlAlchemyStore(uri(store), artifacts_at(folder)).engine, folder)


def _keep_inside(engine: Engine, folder: Path) -> None:
    """Have MLflow keep what belongs to a home in it: it stores absolute places, and a home may be moved or copied."""
    columns = (("experiments", "experiment_id", "artifact_location"), ("runs", "run_uuid", "artifact_uri"))
    with engine.begin() as connection:
        for table, key, column in columns:
            stored = connection.execute(text(f"SELECT {key}, {column} FROM {table}")).all()
            places = [(name, place, _moved(place or "", folder, str(name))) for name, place in stored]
            moved = [{"key": name, "place": here} for name, place, here in places if here != place]
            if moved:
                connection.execute(text(f"UPDATE {table} SET {column} = :place WHERE {key} = :key"), moved)


def _moved(place: str, folder: Path, otherwise: str) -> str:
    """A place inside `folder` that stands for one in a folder of that name elsewhere."""
    path = Path(unquote(place.removeprefix("file://")) if place.startswith("file://") else place)
    if not path.is_relative_to(folder):
        before, _, tail = str(path).rpartition(f"/{folder.name}/")
        path = folder / (tail if before else otherwise)
    return artifacts_at(folder / otherwise if ".." in path.parts else path)
