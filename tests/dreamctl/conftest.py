"""A store in a folder of its own, and a real run small enough for tests."""

import io
import os
import secrets
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest

from agent.config import make
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import open_store

# A whole run in about five seconds, most of them imports.
QUICK = [
    "steps=240",
    "episode_length=40",
    "updates=3",
    "batch_length=5",
    "eval_every=80",
    "checkpoint_every=80",
]  # fmt: skip


MLFLOW = {"DREAMCTL_MLFLOW": ""}  # for commands whose copy in MLflow a test looks at


@pytest.fixture(scope="module", autouse=True)
def _without_mlflow(request):
    """Copying to MLflow takes half the time of a quick run, so only the files marked `mlflow` have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMCTL_MLFLOW", "" if request.node.get_closest_marker("mlflow") else "off")
        yield


# What migrations after 0002 have added, newest first: {revision: statements that take it away}.
_ADDED = {
    "0010": [
        *(f"ALTER TABLE run DROP COLUMN {column}" for column in ("code", "hardware", "diverged")),
        *(f"DROP TABLE {table}" for table in ("attempt", "registration", "look")),
    ],
    "0009": ["ALTER TABLE run DROP COLUMN work_seconds"],
    "0008": ["ALTER TABLE run DROP COLUMN parent"],
    "0007": ["ALTER TABLE run DROP COLUMN note"],
    "0006": [],
    "0005": ["ALTER TABLE run DROP COLUMN process_space"],
    "0004": ["ALTER TABLE sweep DROP COLUMN stopped"],
    "0003": ["ALTER TABLE run DROP COLUMN job"],
}


def made_older(execute, revision: str) -> None:
    """Take from a database what it has got since a revision; execute: runs a statement."""
    for newer, statements in _ADDED.items():
        if newer > revision:
            for statement in statements:
                execute(statement)
    execute(f"UPDATE alembic_version SET version_num = '{revision}'")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store; on PostgreSQL, in a database of its own, where `make test-engines` names a server."""
    server = os.environ.get("DREAMCTL_TEST_POSTGRES")
    if server:
        monkeypatch.setenv("DREAMCTL_DB", fresh_database(server))
    return open_store(tmp_path / "home")


def fresh_database(server: str) -> str:
    """The URL of a new database on a server given by URL."""
    from sqlalchemy import create_engine, text

    name = f"test_{secrets.token_hex(4)}"
    with create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return f"{server}/{name}"


def spec(seed=0, task="pendulum_swingup", preset="smoke", **settings) -> RunSpec:
    overrides = dict(item.split("=") for item in QUICK) | settings
    return RunSpec(task, seed, make(preset, overrides), preset)


def cli(*arguments, home=None, **environment) -> subprocess.CompletedProcess:
    """Run the program as a user does."""
    command = [sys.executable, "-m", "dreamctl", *map(str, arguments)]
    if home is not None:
        command += ["--home", str(home)]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DREAMCTL") or key in MLFLOW}
    env = kept | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=env)


def typed(*arguments, home=None) -> subprocess.CompletedProcess:
    """`cli` without the start of a process, for tests of many commands; what would be a traceback is raised."""
    from dreamctl.cli import main

    command = ["dreamctl", *map(str, arguments), *(["--home", str(home)] if home is not None else [])]
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", command), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return subprocess.CompletedProcess(command, end.code, out.getvalue(), err.getvalue())
    raise AssertionError("main() has returned")


def quick_run(*arguments, home, task="pendulum_swingup", **environment) -> subprocess.CompletedProcess:
    """`dreamctl run` of the quick run."""
    settings = [part for item in QUICK for part in ("--set", item)]
    return cli("run", task, "--preset", "smoke", *settings, *arguments, home=home, **environment)
