"""dreamctl plot: pictures from stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamctl.cli.common import Home

app = typer.Typer(help="Draw pictures from stored runs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def plot() -> None:
    """Draw pictures from stored runs."""


@app.command()
def curves(
    run: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs by id, name or an unambiguous beginning.")],
    out: Annotated[
        Path | None, typer.Option(help="The PNG [default: HOME/figures/curves.png]; PDF and CSV beside.")
    ] = None,
    home: Home = None,
) -> None:
    """Evaluation return over environment steps, seeds averaged: PNG, PDF and CSV."""
    from dreamctl.errors import BadInput
    from dreamctl.results.figures import curves as figure
    from dreamctl.store import open_store

    if out is not None and out.suffix not in ("", ".png"):
        raise BadInput(f"--out is the PNG's path, not {out.name!r}: PDF and CSV are written beside it")
    store = open_store(home, create=False)
    runs = [store.find(reference) for reference in run]
    for left_out in [record.name for record in runs if record.score is None]:
        typer.echo(f"note: {left_out} has not been evaluated yet and is left out", err=True)
    for path in figure.draw(store, runs, (out or store.home / "figures" / "curves.png").with_suffix("")):
        typer.echo(path)
