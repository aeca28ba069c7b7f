"""Commands for sweeps and their runs: status, pause, resume, retry, stop, logs, rm."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import (
    Home,
    Interrupts,
    Json,
    Recorded,
    RunRef,
    Where,
    console,
    home_option,
    print_json,
    reading,
    say,
)
from dreamctl.wording import counted

if TYPE_CHECKING:
    from dreamctl.store import Run

SweepRef = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A sweep's name or id.", autocompletion=completion.sweeps)
]
Several = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN|SWEEP",
        help="Ids or names of runs (or prefixes) and of sweeps.",
        autocompletion=completion.runs_and_sweeps,
    ),
]

_POLL = 1.0  # seconds


def status(
    sweep: Annotated[
        str | None,
        typer.Argument(metavar="SWEEP", help="A sweep's name or id [default: all].", autocompletion=completion.sweeps),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")] = False,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Show the progress of sweeps: counts, rates, times left, failures."""
    from dreamctl.cli import board
    from dreamctl.errors import BadInput, BadRecord
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    if sweep is not None:
        store.find_sweep(sweep)
    damaged: set[str] = set()  # sweeps that cannot be shown

    def states() -> list[dict]:
        store.reap()
        if sweep is not None:
            return [board.overview(store, store.find_sweep(sweep))]
        found = []
        for each in store.sweeps():
            try:
                found.append(board.overview(store, each))
            except (BadInput, BadRecord) as error:
                if each.name not in damaged:
                    say(f"sweep {each.name} cannot be shown: {error}")
                damaged.add(each.name)
        return found

    if json:
        print_json(states())
        return
    out = console()
    shown = states()
    if not shown and not damaged:
        out.print(f"no sweeps in {store.home}; start one with: dreamctl sweep NAME")
        return
    from rich.console import Group

    def picture(states: list[dict]) -> Group:
        return Group(*map(board.table, states))

    if not watch:
        out.print(picture(shown))
        return
    from rich.live import Live

    with Interrupts() as interrupts, Live(console=out, auto_refresh=False) as live:
        while not interrupts.take():
            live.update(picture(states()), refresh=True)
            time.sleep(_POLL)


def pause(sweep: SweepRef, json: Json = False, home: Home = None) -> None:
    """Keep a sweep from starting more runs; running ones continue."""
    _pause(sweep, True, json, home)


def resume(sweep: SweepRef, json: Json = False, home: Home = None) -> None:
    """Let a paused sweep start runs again. A scheduler that is still running continues by itself."""
    _pause(sweep, False, json, home)


def _pause(sweep: str, paused: bool, json: bool, home: Path | None) -> None:
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    record = store.find_sweep(sweep)
    store.pause(record.id, paused)
    command = f"dreamctl {'resume' if paused else 'sweep'} {record.name}{home_option(home)}"
    say(f"{record.name} {'is paused; continue with' if paused else 'continues; if no scheduler is running'}: {command}")
    if json:
        print_json({"sweep": record.name, "paused": paused})


def retry(what: Several = None, where: Where = None, json: Json = False, home: Home = None) -> None:
    """Put failed and stopped runs back in the queue.

    Runs that have diverged only when they are named.
    """
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store.choose import choose

    store = open_store(home, create=False)
    store.reap(wait=True)
    runs, _ = choose(store, what or (), where or ())
    waiting = [run for run in runs if run.status in ("failed", "stopped")]
    if not waiting:
        raise BadInput(f"no run of {' '.join([*(what or ()), *(where or ())])} has failed or been stopped")
    lost = [run for run in waiting if run.standing == "diverged"]
    sweeps = {name for sweep in store.sweeps() for name in (sweep.name, sweep.id)}
    single = [reference for reference in what or () if reference not in sweeps]
    named = {run.id for run in choose(store, single, where or ())[0]} if single else set()
    waiting = [run for run in waiting if run.standing != "diverged" or run.id in named]
    if not waiting:
        raise BadInput(
            f"{counted(len(lost), 'run')} diverged, which is an outcome: name those to train again, "
            f"dreamctl retry {lost[0].name}{home_option(home)}"
        )
    for run in lost:
        if run.id in named:
            say(f"{run.name} had diverged: its outcome is forgotten (on the CPU, the same code diverges again)")
    of = {run.name: store.sweeps_of(run.id) for run in waiting}
    alone = [name for name, sweeps in of.items() if not sweeps]
    if alone:
        go_on = f"dreamctl run --resume {alone[0]}{home_option(home)}"
        raise BadInput(f"run {alone[0]} is in no sweep: continue with {go_on}")
    store.requeue([run.id for run in waiting])
    for name in dict.fromkeys(sweeps[0].name for sweeps in of.values()):
        count = sum(sweeps[0].name == name for sweeps in of.values())
        command = f"dreamctl sweep {name}{home_option(home)}"
        say(f"{counted(count, 'run')} queued again; if no scheduler is running: {command}")
    if json:
        print_json(_listed(waiting))


def stop(what: Several = None, where: Where = None, json: Json = False, home: Home = None) -> None:
    """Stop runs, or sweeps with their schedulers.

    Runs end after their current update, with checkpoints; queued runs leave the queue.
    """
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store.choose import choose

    store = open_store(home, create=False)
    store.reap()
    runs, sweeps = choose(store, what or (), where or ())
    stopped = []
    for sweep in sweeps:
        running = store.stop_sweep(sweep.id)
        stopped += running
        command = f"dreamctl sweep {sweep.name}{home_option(home)}"
        say(
            f"asked sweep {sweep.name} and its {counted(len(running), 'running run')} to stop; continue with: {command}"
        )
    theirs = {run.id for sweep in sweeps for run in store.members(sweep.id, light=True)}
    single = [run for run in runs if run.id not in theirs]
    ids = [run.id for run in single]
    withdrawn = store.withdraw(ids)
    # read again: one that was queued may have been claimed meanwhile
    at_work = {run.id for run in store.these(ids, light=True) if run.status == "running"}
    if single and not withdrawn and not at_work:
        many = f"none of {len(single)} runs is running" if len(single) > 1 else f"{single[0].status}, not running"
        raise BadInput(many if len(single) > 1 else f"run {single[0].name} is {many}")
    for run in single:
        if run.id in withdrawn:
            say(f"{run.name} left the queue; put it back with: dreamctl retry {run.name}{home_option(home)}")
        elif run.id in at_work:
            store.request_stop(run.id)
            say(f"asked {run.name} to stop; continue with: dreamctl run --resume {run.name}{home_option(home)}")
    stopped += [run for run in single if run.id in withdrawn | at_work]
    if json:
        print_json(_listed(stopped))


def logs(
    run: RunRef,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, metavar="N", help="Print the last N lines.")] = 20,
    json: Json = False,
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
        why = "it has not started" if record.started_at is None else "its folder holds none"
        raise BadInput(f"run {record.name} has no log: {why}")
    if json:
        if follow:
            raise BadInput("--json cannot follow a log: leave out --follow")
        print_json(path.read_text(errors="replace").splitlines()[-lines:])
        return
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
    what: Several = None,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Delete runs with all their files, or sweeps with their runs. MLflow keeps its copy."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store.choose import choose

    store = open_store(home, create=False)
    store.reap(wait=True)
    runs, sweeps = choose(store, what or (), where or ())
    running = [run.name for run in runs if run.status == "running"]
    if running:
        raise BadInput(
            f"still running: {', '.join(running[:3])}; stop first: dreamctl stop {' '.join(what or running[:3])}"
        )
    going = {sweep.id for sweep in sweeps}
    theirs = {run.id for sweep in sweeps for run in store.members(sweep.id, light=True)}
    # a sweep's runs stay if another sweep has them, too
    runs = [run for run in runs if run.id not in theirs or {sweep.id for sweep in store.sweeps_of(run.id)} <= going]
    what_goes = [f"sweep {sweep.name}" for sweep in sweeps]
    if len(runs) == 1 and not sweeps:
        what_goes.append(f"run {runs[0].name} ({runs[0].id})")
    else:
        what_goes.append(counted(len(runs), "run"))
    label = " and ".join(what_goes)
    if not yes:
        typer.confirm(f"delete {label} with checkpoints, episodes and metrics?", abort=True, err=True)
    for run in runs:
        store.remove(run.id)
    for sweep in sweeps:
        store.remove_sweep(sweep.id)
    say(f"deleted {label}")
    if json:
        print_json(_listed(runs))


def _listed(runs: "Sequence[Run]") -> list[dict[str, str]]:
    return [{"id": run.id, "name": run.name} for run in runs]
