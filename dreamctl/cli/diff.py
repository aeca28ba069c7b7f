"""dreamctl diff: the differences between two runs."""

from typing import Any

from dreamctl.cli.common import Home, Json, Recorded, RunRef, console, print_json, reading


def diff(run: RunRef, other: RunRef, json: Json = False, home: Home = None, recorded: Recorded = False) -> None:
    """Show how two runs differ: config, origin, results."""
    from dreamctl.results.difference import differences
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    one, two = store.find(run), store.find(other)
    found = differences(one, two)
    if json:
        print_json(found)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("", one.name, two.name):
        table.add_column(heading, overflow="fold")
    for part, fields in found.items():
        table.add_row(part if fields else f"{part}: the same", style="bold")
        for key, (ours, theirs) in fields.items():
            ours, theirs = (value[:10] if key == "git_commit" and value else value for value in (ours, theirs))
            table.add_row(f"  {key}", _text(ours), _text(theirs))
    console().print(table)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)
