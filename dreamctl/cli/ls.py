"""dreamctl ls: the runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dreamctl.cli.common import Home, Json, Recorded, Where, ago, console, number, print_json, reading, steps

_WIDE = 80  # columns of a terminal from which on everything fits


def ls(
    status: Annotated[str | None, typer.Option(help="Only queued, running, finished, failed or stopped runs.")] = None,
    task: Annotated[str | None, typer.Option(help="Only runs of this task.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many (--json: all).")] = 100,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """List runs, oldest first."""
    from dreamctl.errors import BadInput
    from dreamctl.store import open_store
    from dreamctl.store import where as narrow
    from dreamctl.store.models import STATUSES

    if status is not None and status not in STATUSES:
        raise BadInput(f"unknown status {status!r}: one of {', '.join(STATUSES)}")
    store = open_store(reading(home, recorded), create=False)
    given = {key: value for key, value in {"status": status, "task": task}.items() if value is not None}
    conditions = narrow.parse(where or ())
    chosen = bool(tag or conditions)
    runs = store.runs(light=not narrow.needs_config(conditions), newest=None if json or chosen else limit, **given)
    runs = store.refreshed([run for run in narrow.fit(runs, conditions) if tag is None or tag in run.tags])
    if json:
        print_json([summary(run) for run in runs])
        return
    if not runs:
        typer.echo(f"no runs in {store.home}" + (" like that" if given or chosen else ""))
        return
    from rich.table import Table

    out = console()
    columns = {"ID": "left", "NAME": "left", "STATUS": "left", "ENV STEPS": "right", "SCORE": "right"}
    if out.width >= _WIDE:
        columns["CREATED"] = "right"
    table = Table(box=None, pad_edge=False)
    for heading, justify in columns.items():
        table.add_column(heading, justify=justify, no_wrap=heading != "NAME", overflow="fold")  # type: ignore[arg-type]
    older = (len(runs) if chosen else store.count(**given)) - limit
    if older > 0:
        out.print(f"{older} older runs are not shown (--limit)")
    for run in runs[-limit:]:
        done = f"{steps(run.env_steps)}/{steps(run.steps)}"
        cells = (run.id, run.name, run.status, done, number(run.score), ago(run.created_at))
        table.add_row(*cells[: len(columns)])
    out.print(table)


def summary(run: Any) -> dict[str, Any]:
    """A run in `ls --json`. Times are UTC seconds since the epoch; score is the latest evaluation's mean return."""
    keys = (
        "id", "name", "task", "method", "objective", "seed", "preset", "status", "reason", "env_steps", "steps",
        "updates", "score", "best_score", "tags", "digest", "device", "host", "job", "attempt", "created_at",
        "started_at", "finished_at", "git_commit", "git_dirty",
    )  # fmt: skip
    return {key: getattr(run, key) for key in keys}
