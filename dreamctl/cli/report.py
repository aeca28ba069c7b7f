"""dreamctl report: one page on the runs of a home."""

from pathlib import Path
from typing import Annotated

import typer

from dreamctl.cli.common import Home, Json, Recorded, print_json, reading, steps_option


def report(
    out: Annotated[Path | None, typer.Option(help="Output folder [default: HOME/report].")] = None,
    preset: Annotated[str | None, typer.Option(help="Only runs of this preset.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Only runs of this sweep, whatever their settings.")] = None,
    until: Annotated[int | None, steps_option("Judge scores at this many environment steps.")] = None,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Judge the paper's claims from stored runs. One page, with figures, scores, hours and missing runs."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from dreamctl.results.cells import Choice
    from dreamctl.results.report import content, folder, page
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    choice = Choice(preset=preset, sweep=sweep, until=until)
    errors = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=json or not errors.is_terminal, transient=True) as progress:
        bar = progress.add_task("runs", total=None)
        done, paths = page.write(
            store, choice, out or folder(store, sweep), lambda what: progress.update(bar, description=what)
        )
    if json:
        print_json({"files": [str(path) for path in paths], "claims": content.as_json(done)})
    else:
        for part in done.parts:
            counted = ", ".join(f"{count} {name}" for name, count in part.outcomes.items())
            typer.echo(f"{part.evidence.setting}: of {len(part.verdicts)} claims {counted}")
        for path in paths:
            typer.echo(path)
    if out is None and not store.read_only and store.sweeps():
        from dreamctl.jobs.launch import spawn_mirror

        spawn_mirror(store)
