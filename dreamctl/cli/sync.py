"""dreamctl sync: copy the run database to MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamctl.cli.common import Home


def sync(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until no run is queued or running.")] = False,
    home: Home = None,
) -> None:
    """Bring MLflow up to date with the run database (runs do this by themselves)."""
    from dreamctl.results.figures.curves import learning_curve
    from dreamctl.results.report import of_sweep
    from dreamctl.store import open_store
    from dreamctl.store.database import shown
    from dreamctl.store.mirror import Mirror

    store = open_store(home, create=False)
    if not store.count():
        typer.echo(f"no runs in {store.home}")
        return
    mirror = Mirror(store, learning_curve, of_sweep)
    copied = mirror.follow() if follow else mirror.sync()
    typer.echo(
        f"{copied.runs} run(s), {copied.points:,} points copied to {shown(mirror.uri)}" if copied else "already running"
    )
