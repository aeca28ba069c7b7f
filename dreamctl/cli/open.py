"""dreamctl open: a run's folder, its newest video, its page in MLflow."""

import os
import sys
from typing import Annotated

import typer

from dreamctl.cli.common import Home, Json, RunRef, home_option, print_json, say


def open_(
    run: RunRef,
    video: Annotated[bool, typer.Option("--video", help="Open its newest video.")] = False,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Open its page in a running dreamctl ui.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port of dreamctl ui.")] = 5000,
    json: Json = False,
    home: Home = None,
) -> None:
    """Open a run's folder, newest video or MLflow page. Prints where it is, and opens it if there is a display."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store

    if video and mlflow:
        raise BadInput("--video and --mlflow exclude each other: give one of them")
    store = open_store(home, create=False)
    record = store.find(run)
    if mlflow:
        from dreamctl.store.serving import page

        place = page(store, record, port)
        say(f"served by: dreamctl ui{home_option(home)}")
    elif video:
        videos = [artifact for artifact in store.artifacts(record.id) if artifact.kind == "video"]
        if not videos:
            raise BadInput(f"run {record.name} has no video yet: dreamctl eval {record.name} --video makes one")
        place = str(store.folder(record.id) / videos[-1].path)
    else:
        place = str(store.folder(record.id))
    if json:
        print_json({"run": record.id, "name": record.name, "place": place})
    else:
        typer.echo(place)
    if sys.stdout.isatty() and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
        typer.launch(place)
