"""Commands on sweeps and their runs: status, pause, resume, retry, logs, rm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dreamctl.cli.common import Home, Interrupts, Json, RunRef, console, home_option, print_json

if TYPE_CHECKING:
    from dreamctl.store import Run, Store

SweepRef = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name or id.")]
Either = Annotated[str, typer.Argument(metavar="RUN|SWEEP", help="A run (id, name, beginning) or a sweep (name, id).")]

_POLL = 1.0  # seconds


def status(
    sweep: Annotated[str | None, typer.Argument(help="A sweep's name or id [default: all].")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until Ctrl-C.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show how sweeps stand: counts, running runs with rate and time left, failures."""
    from dreamctl.cli import board
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    if sweep is not None:
        store.find_sweep(sweep)

    def states() -> list[dict]:
        store.reap()
        chosen = store.sweeps() if sweep is None else [store.find_sweep(sweep)]
        return [board.overview(store, each) for each in chosen]

    if json:
        print_json(states())
        return
    out = console()
    if not states():
        out.print(f"no sweeps in {store.home}; begin one: dreamctl sweep NAME")
        return
    from rich.console import Group

    def picture() -> Group:
        return Group(*(board.table(state) for state in states()))

    if not watch:
        out.print(picture())
        return
    from rich.live import Live

    with Interrupts() as interrupts, Live(console=out, auto_refresh=False) as live:
        while not interrupts.take():
            live.update(picture(), refresh=True)
            time.sleep(_POLL)


def pause(sweep: SweepRef, home: Home = None) -> None:
    """Let a sweep begin no further runs; those at work go on."""
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    record = store.find_sweep(sweep)
    store.pause(record.id, True)
    typer.echo(f"{record.name} is paused; go on with: dreamctl resume {record.name}{home_option(home)}")


def resume(sweep: SweepRef, home: Home = None) -> None:
    """Let a paused sweep begin runs again (its scheduler waits for this)."""
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    record = store.find_sweep(sweep)
    store.pause(record.id, False)
    typer.echo(f"{record.name} goes on; without a scheduler at work: dreamctl sweep {record.name}{home_option(home)}")


def retry(what: Either, home: Home = None) -> None:
    """Put failed and stopped runs of a sweep, or one of them, back in the queue."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    store.reap(wait=True)
    runs, sweep = _resolve(store, what)
    if sweep is None and not store.sweeps_of(runs[0].id):
        go_on = f"dreamctl run --resume {runs[0].name}{home_option(home)}"
        raise BadInput(f"run {runs[0].name} is in no sweep: go on with {go_on}")
    count = store.requeue([run.id for run in runs])
    if not count:
        raise BadInput(f"nothing of {what} has failed or been stopped")
    name = sweep or store.sweeps_of(runs[0].id)[0].name
    typer.echo(f"{count} run(s) wait again; a scheduler takes them on: dreamctl sweep {name}{home_option(home)}")


def stop(what: Either, home: Home = None) -> None:
    """Stop a running run, or a sweep with its schedulers: runs end after their current update, with checkpoints."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    store.reap()
    runs, sweep = _resolve(store, what)
    if sweep is not None:
        running = store.stop_sweep(store.find_sweep(sweep).id)
        typer.echo(
            f"{sweep} stops, {len(running)} run(s) at work; go on with: dreamctl sweep {sweep}{home_option(home)}"
        )
        return
    if runs[0].status != "running":
        raise BadInput(f"run {runs[0].name} is {runs[0].status}, not running")
    store.request_stop(runs[0].id)
    typer.echo(f"asked {runs[0].name} to stop; go on with: dreamctl run --resume {runs[0].name}{home_option(home)}")


def logs(
    run: RunRef,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 20,
    home: Home = None,
) -> None:
    """Print the end of a run's log."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store.columns import printable

    store = open_store(home, create=False)
    record = store.find(run)
    path = store.file(record.id, "log.txt")
    if not path.is_file():
        raise BadInput(f"run {record.name} has no log: it has not begun")
    with path.open(errors="replace") as file:
        typer.echo(printable("".join(file.readlines()[-lines:]), "\n\t"), nl=False)
        while follow:
            ended = store.get(record.id).status not in ("running", "queued")
            typer.echo(printable(file.read(), "\n\t"), nl=False)
            if ended:
                return
            store.reap()
            time.sleep(_POLL)


def rm(
    what: Either,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: Home = None,
) -> None:
    """Delete a run with all its files, or a sweep with its runs. MLflow keeps its copy."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    store.reap(wait=True)
    runs, sweep = _resolve(store, what)
    running = [run.name for run in runs if run.status == "running"]
    if running:
        raise BadInput(f"{', '.join(running[:3])} running: stop first (dreamctl stop {what})")
    if sweep is not None:  # what other sweeps share stays
        runs = [run for run in runs if len(store.sweeps_of(run.id)) == 1]
    label = f"sweep {sweep} and {len(runs)} run(s)" if sweep else f"run {runs[0].name} ({runs[0].id})"
    if not yes:
        typer.confirm(f"delete {label} with checkpoints, episodes and metrics?", abort=True)
    for run in runs:
        store.remove(run.id)
    if sweep is not None:
        store.remove_sweep(store.find_sweep(sweep).id)
    typer.echo(f"deleted {label}")


def _resolve(store: Store, what: str) -> tuple[list[Run], str | None]:
    """A run, or the runs and the name of a sweep."""
    from dreamctl.errors import UnknownRun

    try:
        record = store.find_sweep(what)
        return store.members(record.id), record.name
    except UnknownRun:
        return [store.find(what)], None
