"""dreamctl ui: the MLflow UI."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamctl.cli.common import Home


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    home: Home = None,
) -> None:
    """Browse all runs in the MLflow UI, on this machine only; Ctrl-C ends it."""
    from dreamctl.cli.sync import sync
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store.tracking import check_unserved, serve

    store = open_store(home, create=False)
    if not store.count():
        raise BadInput(f"no runs in {store.home}: start one with dreamctl run")
    check_unserved(store)
    sync(home=home)
    typer.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    raise typer.Exit(serve(store, port))
