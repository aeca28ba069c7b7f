"""dreamctl export, dreamctl import: move runs between homes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Json, Recorded, Where, home_option, print_json, reading, say
from dreamctl.wording import counted


def export(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|SWEEP", help="Names or ids of runs and sweeps.", autocompletion=completion.runs_and_sweeps
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The tar file to write.")],
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Include checkpoints, for eval.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Include checkpoints and episodes, for run --resume.")
    ] = False,
    where: Where = None,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Write runs to a file, to import on another machine. Holds config, metrics, evaluations, pictures and log."""
    from dreamctl.store import moving, open_store
    from dreamctl.store.choose import choose

    store = open_store(reading(home, recorded), create=False)
    runs, sweeps = choose(store, what, where or ())
    part = moving.Part(checkpoints or replay, replay)
    with _bar("writing") as total:
        moving.export(
            store, [run.id for run in runs], [sweep.id for sweep in sweeps], file.absolute(), part, _note, total
        )
    size = file.stat().st_size
    say(
        f"wrote {counted(len(runs), 'run')} to {file}, {size / 2**20:.1f} MiB; import with: dreamctl import {file.name}"
    )
    if json:
        print_json({"file": str(file), "bytes": size, "runs": [{"id": run.id, "name": run.name} for run in runs]})


def import_(
    origin: Annotated[Path, typer.Argument(metavar="FILE|HOME", help="A file written by export, or another home.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Import runs from a file or another home. Adds what is missing; a run whose name is taken gets another."""
    from dreamctl.cli.sync import sync
    from dreamctl.store import moving, open_store, tracking

    store = open_store(home)
    with _bar("reading") as total:
        entered = moving.import_(store, origin.absolute(), say, total)
    say(f"{counted(len(entered), 'run')} imported into {store.home}")
    if json:
        print_json(entered)
    if entered and not tracking.off():
        try:
            sync(home=home)
        except Exception as error:  # any error of MLflow's: the runs are here, and the mirror can wait
            _note(f"not copied to MLflow yet ({' '.join(str(error).split())[:200]}): dreamctl sync{home_option(home)}")


def _note(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A progress bar of bytes: call what it yields with their total, and the result with each increment."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    errors = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:

        def total(size: int) -> Callable[[int], None]:
            task = progress.add_task("", total=size)
            return lambda done: progress.update(task, advance=done)

        yield total
