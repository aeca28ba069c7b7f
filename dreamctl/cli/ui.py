"""dreamctl ui: the MLflow UI."""

from typing import Annotated

import typer

from dreamctl.cli.common import Home


def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="PORT", help="Port; if taken, the next free one.")
    ] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all. There is no password.")] = "127.0.0.1",
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background.")] = False,
    home: Home = None,
) -> None:
    """Browse all runs in the MLflow UI; Ctrl-C ends it."""
    from dreamctl.cli.sync import sync
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store, serving

    store = open_store(home, create=False)
    if not store.count():
        raise BadInput(f"no runs in {store.home}: start one with dreamctl run")
    serving.check_unserved(store)
    free = serving.free_port(host, port)
    if free != port:
        typer.echo(f"port {port} is taken: using {free}", err=True)
    if host not in (serving.LOCAL, "localhost"):
        typer.echo(
            f"warning: anyone who reaches {host}:{free} can read and delete what MLflow holds; "
            f"safer: ssh -L {free}:127.0.0.1:{free} from the other machine",
            err=True,
        )
    sync(home=home)
    if detach:
        pid = serving.detach(store, host, free)
        typer.echo(f"http://{host}:{free}/{serving.START} (kill {pid} ends it)")
        return
    typer.echo(f"http://{host}:{free}/{serving.START} (Ctrl-C ends it)")
    raise typer.Exit(serving.serve(store, host, free))
