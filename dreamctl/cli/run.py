"""dreamctl run: train one agent."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from dreamctl.cli.common import Device, Home, home_option


def run(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task of the paper, such as walker_walk.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="paper, official, tiny or smoke [default: paper].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random [default: 0].")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a config field.")] = None,
    device: Device = "auto",
    name: Annotated[str | None, typer.Option(help="Name of the run [default: TASK-METHOD[-OBJECTIVE]-sSEED].")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A label to find the run by; may be given again.")] = None,
    inline: Annotated[bool, typer.Option("--inline", help="Train in this process, for a debugger.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a trace of some updates and a table of where time goes.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run; --set steps=N makes it longer.")
    ] = None,
    home: Home = None,
) -> None:
    """Train one agent; Ctrl-C stops it with a checkpoint, --resume RUN goes on."""
    from dreamctl.cli.live import conclude, follow
    from dreamctl.errors import BadInput, RunFailed
    from dreamctl.jobs import launch, preflight, spec, worker
    from dreamctl.store import open_store

    if resume is not None:
        if task or preset or name or tag or seed is not None:
            raise BadInput("--resume goes on with a run as it is: give no task, preset, seed, name or tags")
        store = open_store(home, create=False)
        preflight.check(device, [store.find(resume).task])
        record = launch.resume(store, resume, set_ or [])
    else:
        if task is None:
            raise BadInput("which task? dreamctl run TASK, for example: dreamctl run cartpole_balance --preset tiny")
        wanted = spec.parse(task, seed or 0, "paper" if preset is None else preset, set_ or [], name, tag or [])
        preflight.check(device, [wanted.task])
        store = open_store(home)
        for twin in store.runs(digest=wanted.digest):
            typer.echo(f"note: {twin.name} is the same run ({twin.status}): task, seed and config are equal", err=True)
        record = launch.submit(store, wanted)
    typer.echo(f"run {record.name} ({record.id}) in {store.folder(record.id)}")
    mirror = launch.spawn_mirror(store)
    if inline:
        record = worker.work(store, record.id, device, profile=profile)
    else:
        start = functools.partial(launch.spawn, store, record.id, device, profile=profile)
        record = follow(store, record, start)
    conclude(store, record, mirror, home_option(home))
    if profile:
        typer.echo(f"profile    {store.folder(record.id) / 'profile'}")
    if record.status in ("failed", "queued"):  # queued: its worker died, and it is a sweep's
        log = store.folder(record.id) / "log.txt"
        again = ", and waits in its sweep" if record.status == "queued" else ""
        raise RunFailed(f"run {record.name} failed: {record.reason}{again}" + ("" if inline else f" (log: {log})"))
