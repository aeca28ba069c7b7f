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
    """What stored runs show, on one page: answers, scores, figures.

    Answers to the sweeps' questions, claims of the paper, hours.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from dreamctl.results.cells import Choice
    from dreamctl.results.report import content, folder, page
    from dreamctl.store import open_store
    from dreamctl.wording import estimated

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
        print_json({"files": [str(path) for path in paths], **content.as_json(done)})
    else:
        for asked in done.asked:
            typer.echo(
                " ".join(
                    [f"{asked.sweep}: {asked.answer['asks']}", asked.answer["answer"], estimated(asked.answer)]
                ).rstrip()
            )
        typer.echo(f"{len(done.decided)} claims of the paper decided, {len(done.waiting)} not")
        for path in paths:
            typer.echo(path)
    if out is None and not store.read_only and store.sweeps():
        from dreamctl.jobs.launch import spawn_mirror

        spawn_mirror(store)
