"""dreamctl eval: score a checkpoint."""

from typing import Annotated

import typer

from dreamctl.cli.common import Device, Home, Json, Recorded, RunRef, console, print_json, reading
from dreamctl.wording import counted


def eval_(
    run: RunRef,
    checkpoint: Annotated[str, typer.Option(help="latest, best or its environment steps.")] = "latest",
    episodes: Annotated[int, typer.Option(min=1, metavar="N", help="Episodes to play.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, metavar="N", help="Seed of the episodes.")] = 0,
    video: Annotated[bool, typer.Option("--video", help="Save the first episode as a GIF.")] = False,
    device: Device = None,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Score a stored agent on new episodes, without exploration noise. Records the result."""
    from dreamctl import settings
    from dreamctl.jobs import evaluation, files, preflight
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    record = store.find(run)
    chosen = files.choose(store, record, checkpoint)
    device = settings.get("device", device)
    preflight.check(device, [record.task])
    from agent.device import resolve

    device = resolve(device)
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True)
    with Progress(console=errors, disable=json or not errors.is_terminal, transient=True) as progress:
        bar = progress.add_task("playing", total=episodes)
        result = evaluation.evaluate(
            store,
            record,
            chosen,
            episodes=episodes,
            seed=seed,
            device=device,
            video=video,
            progress=lambda index, score: progress.advance(bar),
        )
    if json:
        keys = ("kind", "env_steps", "seed", "mean", "std", "returns", "checkpoint", "video")
        print_json({"run": record.id, "name": record.name} | {key: getattr(result, key) for key in keys})
        return
    out = console()
    out.print(f"{record.name} at {chosen.env_steps:,} env steps ({chosen.path}), seed {seed}")
    out.print(f"return {result.mean:.1f} +- {result.std:.1f} over {counted(episodes, 'episode')}")
    out.print("  ".join(f"{value:.1f}" for value in result.returns))
    if result.video:
        out.print(f"video: {store.file(record.id, result.video)}", soft_wrap=True)
