"""dreamctl ls: list runs."""

import textwrap
import time
from typing import Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import (
    Home,
    Json,
    Recorded,
    Where,
    ago,
    console,
    duration,
    listed,
    number,
    print_json,
    progress,
    reading,
    say,
)
from dreamctl.wording import counted

# Columns of the table, each with the terminal width from which it is shown.
_COLUMNS = {"ID": 0, "NAME": 0, "SEED": 80, "STATUS": 0, "ENV STEPS": 0, "SCORE": 0, "TIME": 80, "CREATED": 90}
_RIGHT = ("SEED", "ENV STEPS", "SCORE", "TIME", "CREATED")


def ls(
    status: Annotated[
        str | None,
        typer.Option(
            help="Only queued, running, finished, failed or stopped runs.", autocompletion=completion.statuses
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only runs of this task.", autocompletion=completion.tasks)] = None,
    method: Annotated[
        str | None, typer.Option(help="Only runs of this method.", autocompletion=completion.methods)
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.", autocompletion=completion.tags)] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Only runs of this sweep.", autocompletion=completion.sweeps)
    ] = None,
    where: Where = None,
    sort: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Largest value last; -FIELD: smallest last [default: by age].")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="FIELD,...", help="Show these fields of a run or its config.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show the last N (--json: all).")] = 100,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """List runs, oldest first."""
    from agent.config import METHODS, nearest
    from agent.tasks import known_as
    from dreamctl.errors import BadInput
    from dreamctl.store import fields, listing, open_store
    from dreamctl.store import where as narrow
    from dreamctl.store.models import STATUSES

    for what, value, known in (("status", status, STATUSES), ("method", method, METHODS)):
        if value is not None and value not in known:
            raise BadInput(f"unknown {what} {value!r}{nearest(value, known)}: one of {', '.join(known)}")
    shown = listed(columns) or ()
    listing.check(shown, "--columns")
    store = open_store(reading(home, recorded), create=False)
    wanted = {"status": status, "task": task and known_as(task), "method": method}
    given = {key: value for key, value in wanted.items() if value is not None}
    conditions = narrow.parse(where or ())
    members = {run.id for run in store.members(store.find_sweep(sweep).id)} if sweep else None
    chosen = bool(tag or sweep or conditions or sort)
    config = listing.needs_config((*shown, (sort or "id").removeprefix("-")))
    if chosen:  # find the ids that match, then load the rows to show
        rows = store.rows({"id", "tags"} | narrow.columns(conditions), **given)
        ids = [row.id for row in narrow.fit(rows, conditions) if tag is None or tag in row.tags]
        ids = [each for each in ids if members is None or each in members]
        count, runs = len(ids), store.these(ids if json or sort else ids[-limit:], light=not config)
    else:
        count = store.count(**given)
        runs = store.runs(light=not config, newest=None if json else limit, **given)
    runs = listing.arranged(store.refreshed(runs), sort)
    if json:
        print_json([{field: fields.value(run, field) for field in shown or fields.OWN} for run in runs])
        return
    if not runs:
        if task is not None:
            from dreamctl.jobs.sweeps import known_tasks

            known_tasks([task])
        say(f"no {'matching ' if given or chosen else ''}runs in {store.home}")
        return
    if count > limit:
        say(f"{counted(count - limit, 'more run' if sort else 'older run')} not shown (--limit)")
    (_fields if shown else _table)(runs[-limit:], shown)


def _table(runs: list[Any], _: tuple[str, ...]) -> None:
    from rich.table import Table

    out = console()
    shown = [heading for heading, width in _COLUMNS.items() if out.width >= width]
    table = Table(box=None, pad_edge=False)
    for heading in shown:
        justify: Any = "right" if heading in _RIGHT else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "NAME", overflow="fold")
    rows = [
        {
            "ID": run.id,
            "SEED": str(run.seed),
            "STATUS": run.standing,
            "ENV STEPS": progress(run.env_steps, run.steps),
            "SCORE": number(run.score),
            "TIME": "-" if run.started_at is None else duration(run.work_seconds),
            "CREATED": ago(run.created_at),
        }
        for run in runs
    ]
    others = [heading for heading in shown if heading != "NAME"]
    room = out.width - sum(2 + max(len(text) for text in (h, *(row[h] for row in rows))) for h in others)
    for run, row in zip(runs, rows, strict=True):
        name = textwrap.wrap(run.name, max(room, 12))  # long names break at their hyphens
        why = [f"  {run.reason}"] if run.reason and run.status != "finished" else []
        row["NAME"] = "\n".join(name + why)
        table.add_row(*(row[heading] for heading in shown))
    out.print(table)


def _fields(runs: list[Any], shown: tuple[str, ...]) -> None:
    from rich.table import Table

    from dreamctl.store.fields import value

    table = Table(box=None, pad_edge=False)
    for field in shown:
        numbers = all(isinstance(value(run, field), int | float | None) for run in runs)
        table.add_column(field, overflow="fold", justify="right" if numbers else "left")
    for run in runs:
        table.add_row(*(_text(field, value(run, field)) for field in shown))
    console().print(table)


def _text(field: str, value: Any) -> str:
    """A value as text: times in UTC, time at work as a duration, other numbers to six digits."""
    if value is not None and field.endswith("_at"):
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(value))
    if field == "work_seconds":
        return duration(value)
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def summary(run: Any) -> dict[str, Any]:
    """A run as `ls --json` prints it."""
    from dreamctl.store.fields import OWN, value

    return {field: value(run, field) for field in OWN}
