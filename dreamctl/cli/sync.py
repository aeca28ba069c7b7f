"""dreamctl sync: copy the run database to MLflow."""

import dataclasses
from typing import Annotated

import typer

from dreamctl.cli.common import Home, Json, print_json, say
from dreamctl.wording import counted


def sync(
    follow: Annotated[bool, typer.Option("--follow", help="Continue until no run is queued or running.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Copy what is new to MLflow. While runs train, this happens automatically."""
    from dreamctl.results.figures.curves import learning_curve
    from dreamctl.results.report import of_sweep
    from dreamctl.store import open_store
    from dreamctl.store.database import shown
    from dreamctl.store.mirror import Copied, Mirror

    store = open_store(home, create=False)
    mirror = Mirror(store, learning_curve, of_sweep)
    copied = (mirror.follow() if follow else mirror.sync()) if store.count() else Copied()
    if json:
        print_json(copied and dataclasses.asdict(copied))
    elif not store.count():
        say(f"no runs in {store.home}")
    elif copied:
        say(f"{counted(copied.runs, 'run')} and {counted(copied.points, 'point')} copied to {shown(mirror.uri)}")
    else:
        say("another process is copying already")
