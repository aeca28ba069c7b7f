"""Shell completion of runs, sweeps, tasks, presets and config fields, without heavy imports and without messages.

Names come from the SQLite file, opened read-only. With a database given by URL (DREAMCTL_DB) no names are offered.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import typer

_MOST = 500  # names offered at most
# as jobs.sweeps.NAMES, by a test
SWEEPS = ("horizon", "performance", "behavior", "representation", "action-repeat", "all")
STATUSES = ("queued", "running", "finished", "failed", "stopped")


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs, newest first; ids if no name matches."""
    names = _stored(context, "SELECT name FROM run WHERE {} ORDER BY created_at DESC", "name", incomplete)
    return names or _stored(context, "SELECT id FROM run WHERE {}", "id", incomplete)


def sweeps(context: typer.Context, incomplete: str) -> list[str]:
    """Names of stored sweeps."""
    return _stored(context, "SELECT name FROM sweep WHERE {} ORDER BY created_at DESC", "name", incomplete)


def runs_and_sweeps(context: typer.Context, incomplete: str) -> list[str]:
    """Names of sweeps, then of runs."""
    return sweeps(context, incomplete) + runs(context, incomplete)


def plans(context: typer.Context, incomplete: str) -> list[str]:
    """Sweeps that can be run: built-in, in a file of the working directory, or stored."""
    files = [str(path) for end in ("*.yaml", "*.yml") for path in Path().glob(end)]
    return _beginning([*SWEEPS, *files], incomplete) + sweeps(context, incomplete)


def tags(context: typer.Context, incomplete: str) -> list[str]:
    """Tags of stored runs."""
    query = "SELECT DISTINCT value FROM run, json_each(run.tags) WHERE {} ORDER BY value"
    return _stored(context, query, "value", incomplete)


def statuses(incomplete: str) -> list[str]:
    """Statuses of runs."""
    return _beginning(STATUSES, incomplete)


def tasks(incomplete: str) -> list[str]:
    """The paper's tasks; once something has been typed, also the others that match."""
    from agent.tasks import MORE, TASKS

    return _beginning(TASKS if not incomplete else (*TASKS, *MORE), incomplete)


def presets(incomplete: str) -> list[str]:
    """Presets."""
    from agent.config import PRESETS

    return _beginning(PRESETS, incomplete)


def methods(incomplete: str) -> list[str]:
    """Methods."""
    from agent.config import METHODS

    return _beginning(METHODS, incomplete)


def settings(incomplete: str) -> list[str]:
    """Config fields as "key="; after the "=", the choices of the field."""
    from dataclasses import fields

    from agent.config import Config

    key, given, value = incomplete.partition("=")
    if not given:
        return _beginning([f"{field.name}=" for field in fields(Config)], key)
    choices: Any = next((f.metadata["choices"] or () for f in fields(Config) if f.name == key), ())
    return [f"{key}={choice}" for choice in _beginning(map(str, choices), value)]


def several(offer: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Complete the last item of a comma-separated list."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + item for item in offer(last)]

    return complete


def _beginning(names: Any, incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _stored(context: typer.Context, query: str, column: str, incomplete: str) -> list[str]:
    """First column of the rows in the home's database whose `column` starts with `incomplete`; empty on any error."""
    import sqlite3

    from dreamctl.settings import home

    if os.environ.get("DREAMCTL_DB"):
        return []
    try:
        file = home(context.params.get("home")) / "dreamctl.db"
        query = query.format(f"substr({column}, 1, ?) = ?")  # in LIKE an underscore matches any letter
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            rows = database.execute(f"{query} LIMIT {_MOST}", (len(incomplete), incomplete))
            return [row[0] for row in rows]
    except Exception:  # no traceback into the command line being typed
        return []
