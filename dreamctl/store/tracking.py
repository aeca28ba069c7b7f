"""The MLflow store of a home: its place, creation and relocation. Only this and `mirror` import mlflow."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Engine, text

from dreamctl.errors import BadInput, BadRecord, HomeError, MlflowAway
from dreamctl.store import pages, paths
from dreamctl.store.database import hidden, refuse_network, shown, sqlite_url
from dreamctl.store.store import Store


def off() -> bool:
    """Whether copying to MLflow is switched off: DREAMCTL_MLFLOW=off."""
    return os.environ.get("DREAMCTL_MLFLOW") == "off"


def uri(store: Store) -> str:
    """MLflow's tracking URI: DREAMCTL_MLFLOW, else a SQLite file in the home. Raises `BadInput` if it is off."""
    if off():
        raise BadInput("MLflow is switched off (DREAMCTL_MLFLOW=off); unset that, and dreamctl sync catches up")
    ours = sqlite_url(store.home / "mlflow.db")
    return os.environ.get("DREAMCTL_MLFLOW") or ours.render_as_string(hide_password=False)


def artifacts_at(folder: Path) -> str:
    """A folder in the form that MLflow understands: a path, or a URI if the path has characters that URIs escape."""
    return str(folder) if quote(str(folder)) == str(folder) else folder.as_uri()


def open_client(store: Store) -> Any:
    """An MLflow client for the home's store. Raises `MlflowAway`, `HomeError`."""
    # we retry ourselves; MLflow would retry each request for a quarter of an hour
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    try:
        initialise(store)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it logs a traceback for every error it raises
        client = MlflowClient(tracking_uri=uri(store))
    except (HomeError, BadRecord):
        raise
    except Exception as error:  # a broken package or a store of another version may raise anything
        raise _away(store, error) from error
    check(store, client)
    return client


def check(store: Store, client: Any) -> None:
    """Raises `MlflowAway` if MLflow does not answer."""
    try:
        client.search_experiments(max_results=1)
    except Exception as error:
        raise _away(store, error) from error


def _away(store: Store, error: Exception) -> MlflowAway:
    cause = hidden(" ".join(f"{type(error).__name__}: {error}".split()))
    return MlflowAway(f"MLflow at {shown(uri(store))} cannot be used ({cause}): `dreamctl sync` catches up once it can")


def experiment(client: Any, store: Store, name: str) -> str:
    """The id of an experiment, which is created if it is missing and restored if it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is None:
        place = artifacts_at(store.place(f"mlartifacts/{name}"))
        return client.create_experiment(name, place, pages.of_experiment(name))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for key, value in pages.of_experiment(name).items():
        if key not in found.tags:  # created by an earlier dreamctl
            client.set_experiment_tag(found.experiment_id, key, value)
    return found.experiment_id


def exists(client: Any, there: str) -> bool:
    """Whether MLflow still has a run (its database may have been deleted)."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(there).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def initialise(store: Store) -> None:
    """Create MLflow's schema under a lock, which MLflow itself does not take.

    Raises `HomeError` if the home is on a network file system, where MLflow's SQLite file is not safe.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if os.environ.get("DREAMCTL_MLFLOW"):
        return
    from filelock import FileLock

    refuse_network(store.home, "set DREAMCTL_MLFLOW to the URI of an MLflow server or of a database of its own")
    with FileLock(store.home / "mlflow.lock"):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        folder, new = paths.without_links(store.place("mlartifacts")), not store.place("mlflow.db").exists()
        tracking = SqlAlchemyStore(uri(store), artifacts_at(folder))
        if new:
            tracking.delete_experiment("0")  # "Default", which stays empty
        _keep_inside(tracking.engine, folder)


def _keep_inside(engine: Engine, folder: Path) -> None:
    """Point MLflow's artifact paths into this home: they are absolute, and a home may have been moved or copied."""
    columns = (("experiments", "experiment_id", "artifact_location"), ("runs", "run_uuid", "artifact_uri"))
    with engine.begin() as connection:
        for table, key, column in columns:
            stored = connection.execute(text(f"SELECT {key}, {column} FROM {table}")).all()
            places = [(name, place, _moved(place or "", folder, str(name))) for name, place in stored]
            moved = [{"key": name, "place": here} for name, place, here in places if here != place]
            if moved:
                connection.execute(text(f"UPDATE {table} SET {column} = :place WHERE {key} = :key"), moved)


def _moved(place: str, folder: Path, otherwise: str) -> str:
    """`place` in another folder of the same name, as a path in `folder`; `folder`/`otherwise` if it is in none."""
    path = Path(unquote(place.removeprefix("file://")) if place.startswith("file://") else place)
    if not path.is_relative_to(folder):
        before, _, tail = str(path).rpartition(f"/{folder.name}/")
        path = folder / (tail if before else otherwise)
    return artifacts_at(folder / otherwise if ".." in path.parts else path)
