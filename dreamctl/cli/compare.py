"""dreamctl compare: whether a difference between groups of runs is real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli.common import Home, Json, Recorded, console, print_json, reading

if TYPE_CHECKING:
    from dreamctl.results.comparison import Group
    from dreamctl.store import Run


def compare(
    run: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs by id, name or an unambiguous beginning [all].")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Config fields that make groups; also preset, name [default: method, objective]."
        ),
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be given again.")] = None,
    preset: Annotated[str | None, typer.Option(help="Only runs of this preset.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Only runs of this sweep.")] = None,
    at: Annotated[
        int | None, typer.Option(min=1, metavar="STEPS", help="Scores after so many environment steps.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="GROUP", help="The group to hold against, or `published` [default: the best].")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw intervals and profiles into this PNG, PDF and CSV beside.")
    ] = None,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Compare groups of runs: IQM with a 95 % bootstrap interval, probability of improvement."""
    from dreamctl.errors import BadInput
    from dreamctl.results import comparison, selection
    from dreamctl.results.cells import Choice
    from dreamctl.store import open_store

    if csv is not None and plot is not None and csv == plot.with_suffix(".csv"):
        raise BadInput(f"{csv} would be both the table and the picture's numbers: give --csv another name")
    store = open_store(reading(home, recorded), create=False)
    keys = tuple(by) if by else ("method", "objective")
    choice = Choice(preset=preset, tasks=tuple(task) if task else None, sweep=sweep)
    runs = selection.select(store, run or [], choice, mixed="preset" in keys)
    groups = comparison.compare(store, runs, keys, at, against)
    for note in _remarks(runs, groups, at):
        typer.echo(f"note: {note}", err=True)
    rows = [_row(group) for group in groups]
    if csv is not None:
        _write(csv, rows)
    if plot is not None:
        from dreamctl.results.figures import intervals

        for path in intervals.draw(groups, plot.with_suffix("")):
            typer.echo(path, err=json)
    if json:
        print_json(rows)
    else:
        _print(groups, rows)


def _remarks(runs: list[Run], groups: list[Group], at: int | None) -> list[str]:
    """What makes groups less comparable than they look."""
    from dreamctl.results import comparison, selection

    notes = selection.remarks(runs) if at is None else []
    behind = [run.name for run in runs if at is not None and run.env_steps < at]
    if behind:
        notes.append(f"{len(behind)} run(s) have not come to {at} environment steps and are left out")
    if len({frozenset(group.scores) for group in groups}) > 1:
        notes.append("the groups are not of the same tasks: choose some that all have, --task")
    if at is None and any(group.name == comparison.PUBLISHED for group in groups):
        notes.append("the published final scores are after 5e6 environment steps: --at STEPS compares at equal ones")
    for group in groups:
        if group.interval is None and group.runs:
            notes.append(f"no interval for {group.name or 'all'}: there is a task with a single seed")
    return notes


def _row(group: Group) -> dict[str, Any]:
    values = group.values
    return {
        "group": group.name,
        "tasks": len(group.scores),
        "seeds": len({run.seed for run in group.runs}) or None,
        "runs": len(values),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "median": float(sorted(values)[len(values) // 2] + sorted(values)[(len(values) - 1) // 2]) / 2,
        "iqm": group.iqm,
        "iqm_interval": group.interval,
        "improvement": group.improvement,
        "improvement_interval": group.improvement_interval,
        "scores": group.scores,
        "differs": group.differs,
    }


def _print(groups: list[Group], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False)
    for heading in ("GROUP", "TASKS", "SEEDS", "MEAN", "STD", "MEDIAN", "IQM / 1000", "P(BETTER)"):
        table.add_column(heading, justify="left" if heading == "GROUP" else "right", no_wrap=heading != "GROUP")
    for row in rows:
        table.add_row(
            row["group"] or "all",
            str(row["tasks"]),
            str(row["seeds"] or "-"),
            *(f"{row[key]:.1f}" for key in ("mean", "std", "median")),
            _range(row["iqm"], row["iqm_interval"]),
            _range(row["improvement"], row["improvement_interval"]),
        )
    out.print(table)
    reference = next(group.name for group in groups if group.reference)
    if len(groups) > 1:
        out.print(
            f"P(better): probability that a run scores higher than one of {reference!r}; in brackets 95 % intervals"
        )
    keys = sorted({key for group in groups for key in group.differs})
    if keys:
        out.print("\nconfigs differ in")
        grid = Table.grid(padding=(0, 2))
        for key in keys:
            grid.add_row(
                f"  {key}", *("/".join(map(str, group.differs.get(key, []))) for group in groups if group.runs)
            )
        out.print(grid)


def _range(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """One line for each group and task."""
    import csv

    from dreamctl.errors import BadInput

    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("group", "task", "seeds", "mean", "std", "iqm", "low", "high", "improvement"))
            for row in rows:
                low, high = row["iqm_interval"] or ("", "")
                for task, values in row["scores"].items():
                    mean = sum(values) / len(values)
                    std = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
                    pooled = (row["iqm"], low, high, "" if row["improvement"] is None else row["improvement"])
                    writer.writerow((row["group"], task, len(values), mean, std, *pooled))
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}): choose another --csv") from error
