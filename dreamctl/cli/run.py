"""dreamctl run: train one agent."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Device, Home, Json, home_option, print_json, say


def run(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            help="A task such as walker_walk, or your own: MODULE:FACTORY.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="paper, official, tiny or smoke [default: paper].", autocompletion=completion.presets),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random [default: 0].")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a config field.", autocompletion=completion.settings),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML with task, seed, preset and config, as show --config prints."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Task, seed and config of a stored run; --seed and --set change them.",
            autocompletion=completion.runs,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help="With --from: fork that run at a checkpoint (its environment steps, latest or best)."
        ),
    ] = None,
    device: Device = None,
    name: Annotated[str | None, typer.Option(help="Name of the run [default: TASK-METHOD[-OBJECTIVE]-sSEED].")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG", help="A label to find the run by; repeat for several.", autocompletion=completion.tags
        ),
    ] = None,
    inline: Annotated[bool, typer.Option("--inline", help="Train in this process, for a debugger.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a trace of some updates and a table of where the time goes.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Continue a run; --set steps=N makes it longer.",
            autocompletion=completion.runs,
        ),
    ] = None,
    notify: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Run COMMAND MESSAGE when the run has ended or failed.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Train one agent. Ctrl-C writes a checkpoint and stops; --resume RUN continues."""
    from dreamctl import settings
    from dreamctl.cli.live import conclude, follow
    from dreamctl.cli.ls import summary
    from dreamctl.errors import BadInput, RunFailed
    from dreamctl.jobs import forking, launch, news, preflight, spec, worker
    from dreamctl.store import open_store

    device = settings.get("device", device)
    news.check(notify)
    if resume is not None:
        if task or preset or name or tag or config or from_ or checkpoint or seed is not None:
            raise BadInput("--resume continues a run as it is: give no task, preset, seed, config, name or tags")
        store = open_store(home, create=False)
        preflight.check(device, [store.find(resume).task])
        record = launch.resume(store, resume, set_ or [])
    else:
        origin = open_store(home, create=False).find(from_) if from_ is not None else None
        basis = spec.basis(config, origin, preset)
        wanted = spec.wanted(basis, task, seed, set_ or [], name, tag or [])
        if checkpoint is not None:
            if origin is None:
                raise BadInput("--checkpoint needs the run to fork: --from RUN")
            wanted = forking.plan(open_store(home), origin, checkpoint, wanted)
        preflight.check(device, [wanted.task])
        store = open_store(home)
        for twin in store.runs(digest=wanted.digest):
            say(f"note: {twin.name} ({twin.status}) has the same task, seed and config")
        record = launch.submit(store, wanted)
    say(f"run {record.name} ({record.id}) in {store.folder(record.id)}")
    mirror = launch.spawn_mirror(store)
    if inline:
        record = worker.work(store, record.id, device, profile=profile)
    else:
        start = functools.partial(launch.spawn, store, record.id, device, profile=profile)
        record = follow(store, record, start)
    conclude(store, record, mirror, home_option(home), json)
    if json:
        print_json(summary(record))
    if profile:
        say(f"profile    {store.folder(record.id) / 'profile'}")
    news.tell(notify, news.ended(record))
    if record.status in ("failed", "queued"):  # queued: its worker died, and its sweep will retry it
        log = store.folder(record.id) / "log.txt"
        word = "diverged" if record.diverged else "failed"
        again = ", and is back in the queue of its sweep" if record.status == "queued" else ""
        raise RunFailed(f"run {record.name} {word}: {record.reason}{again}" + ("" if inline else f" (log: {log})"))
