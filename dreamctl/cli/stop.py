"""dreamctl stop: end a running run cleanly."""

from __future__ import annotations

import typer

from dreamctl.cli.common import Home, RunRef, home_option


def stop(run: RunRef, home: Home = None) -> None:
    """Stop a running run after its current update, with a checkpoint."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    store.reap()
    record = store.find(run)
    if record.status != "running":
        raise BadInput(f"run {record.name} is {record.status}, not running")
    store.request_stop(record.id)
    typer.echo(f"asked {record.name} to stop; go on with: dreamctl run --resume {record.name}{home_option(home)}")
