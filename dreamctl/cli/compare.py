"""dreamctl compare: whether a difference between groups of runs is real."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Json, Recorded, Where, console, print_json, reading, steps, steps_option
from dreamctl.wording import counted

if TYPE_CHECKING:
    from dreamctl.results.comparison import Comparison, Group
    from dreamctl.store import Run


def compare(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Ids or names of runs, or unambiguous prefixes [default: all].",
            autocompletion=completion.runs,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Group by this config field, preset, name, code or hardware; repeat for several "
            "[default: method, objective].",
        ),
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Let the values of this field weigh the same, as tasks do; repeat for several."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Only this task; repeat for several.", autocompletion=completion.tasks),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Only runs of this preset.", autocompletion=completion.presets)
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Only runs of this sweep.", autocompletion=completion.sweeps)
    ] = None,
    at: Annotated[int | None, steps_option("Compare scores after this many environment steps.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="GROUP", help="The reference group, or `published` [default: the best].")
    ] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Only runs as long as the longest.")] = False,
    where: Where = None,
    reach: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Also show the steps and hours to reach this score.")
    ] = None,
    plan: Annotated[
        float | None,
        typer.Option(metavar="DIFFERENCE", help="Also say how many seeds would tell a difference of so many points."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="STEM", help="Draw intervals and profiles as STEM.png, .pdf and .csv.")
    ] = None,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Compare groups of runs: IQM, probability of improvement, tests."""
    from dreamctl.errors import BadInput
    from dreamctl.results import comparison, planning, reaching, selection
    from dreamctl.results.cells import Choice
    from dreamctl.store import open_store

    stem = plot.with_suffix("") if plot is not None and plot.suffix in (".png", ".pdf", ".csv") else plot
    if csv is not None and stem is not None and csv == stem.with_name(f"{stem.name}.csv"):
        raise BadInput(f"--csv {csv} would overwrite the CSV of --plot: give it another name")
    store = open_store(reading(home, recorded), create=False)
    keys = tuple(by) if by else ("method", "objective")
    choice = Choice(preset=preset, tasks=tuple(task) if task else None, sweep=sweep, where=tuple(where or ()))
    runs = selection.select(store, run or [], choice, mixed="preset" in keys)
    found = comparison.compare(store, runs, keys, at, against, complete, tuple(within or ()))
    wanted = planning.compared(found, plan) if plan is not None else []
    for note in _remarks(runs, found, at, keys):
        typer.echo(f"note: {note}", err=True)
    rows = [_row(group) for group in found.groups]
    if reach is not None:
        for row, group in zip(rows, found.groups, strict=True):
            row["reach"] = [one._asdict() for one in reaching.groups(store, group.finals, reach, at)]
    for row, needed in zip(rows, wanted, strict=False):
        row["plan"] = None if row["reference"] else {"difference": plan, "seeds": needed}
    if csv is not None:
        _write(csv, found)
    if stem is not None:
        from dreamctl.results.figures import intervals

        for path in intervals.draw(found.groups, stem):
            typer.echo(path, err=json)
    if json:
        print_json(rows)
    else:
        _print(found, rows)
        if reach is not None:
            _print_reach(rows, reach)
        if plan is not None:
            _print_plan(found, rows, plan)


def _remarks(runs: "list[Run]", found: "Comparison", at: int | None, by: "Sequence[str]") -> list[str]:
    """Notes on what limits the comparison."""
    from dreamctl.results import grouping, standing
    from dreamctl.results.cells import alike

    notes = standing.remarks(runs) + list(found.again)
    notes += grouping.mixed(alike((run for group in found.groups for run in group.runs), (*by, *found.within)))
    if found.behind:
        names = ", ".join(run.name for run in found.behind[:5])
        more = f" and {len(found.behind) - 5} more" if len(found.behind) > 5 else ""
        notes.append(f"left out, because they had no score yet after {at:,} environment steps: {names}{more}")
    short = [final for group in found.groups for final in group.short]
    if short:
        names = ", ".join(f"{one.run.name} ({steps(one.env_steps)})" for one in short[:5])
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        notes.append(
            f"shorter than {steps(short[0].wanted)} environment steps, but included: {names}{more}; "
            "--complete leaves them out, --at STEPS compares all at one length"
        )
    if found.left_out:
        notes.append(f"left out, because not all groups have these {_cells(found)}: {'; '.join(found.left_out)}")
    if found.source is not None:
        notes.append(f"published: {found.source.origin}; a mean over seeds, not single runs")
    single = [group.name or "all" for group in found.groups if group.interval is None and group.runs]
    if single:
        more = f" and {len(single) - 3} more" if len(single) > 3 else ""
        notes.append(f"no interval for {'; '.join(single[:3])}{more}: a {_cells(found)[:-1]} has only one seed")
    return notes + advice(found)


def advice(found: "Comparison") -> list[str]:
    """A note on what so few seeds can show; none from five seeds on."""
    from dreamctl.results import statistics

    seeds = min(len(values) for group in found.groups if group.runs for values in group.scores.values())
    if seeds >= statistics.FEW:
        return []
    text = f"{counted(seeds, 'seed')} per {_cells(found)[:-1]}: intervals are wide, because other seeds may fail"
    if found.least_p is not None and found.least_p > 0.05:
        text += f"; no difference can be significant here: p is at least {found.least_p:.2f}"
    return [text + f"; use {statistics.FEW} or more to see smaller differences (docs/statistics.md)"]


def _cells(found: "Comparison") -> str:
    """What groups are compared over, in a word."""
    return "cells" if found.within else "tasks"


def _row(group: "Group") -> dict[str, Any]:
    values = group.values
    ordered = sorted(values)
    return {
        "group": group.name,
        "reference": group.reference,
        "tasks": len({run.task for run in group.runs} or group.scores),
        "cells": len(group.scores),
        "seeds": min(map(len, group.scores.values())) if group.runs else None,
        "runs": len(group.runs),
        "short": len(group.short),
        "mean": group.mean,
        "mean_interval": group.mean_interval,
        "std": float(values.std()) if len(values) > 1 else None,
        "median": float(ordered[len(values) // 2] + ordered[(len(values) - 1) // 2]) / 2 if group.runs else None,
        "iqm": group.iqm,
        "iqm_interval": group.interval,
        "difference": group.difference,
        "difference_interval": group.difference_interval,
        "improvement": group.improvement,
        "improvement_interval": group.improvement_interval,
        "p": group.p,
        "scores": group.scores,
        "differs": group.differs,
    }


def _print(found: "Comparison", rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False)
    published = found.source is not None
    better = "DIFFERENCE" if published else "P(BETTER)"
    several = max(row["cells"] for row in rows) > 1  # then a deviation would be that of the cells
    table.add_column("GROUP", overflow="fold", min_width=min(12, max(len(row["group"] or "all") for row in rows)))
    over = [_cells(found).upper()] if several else []
    headings = [*over, "SEEDS", "MEAN", *([] if several else ["STD"]), "IQM / 1000", better]
    for heading in (*headings, *([] if published else ["P"])):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        mean, std = ("-" if row[key] is None else f"{row[key]:.1f}" for key in ("mean", "std"))
        most = max(map(len, row["scores"].values()))
        seeds = "-" if row["seeds"] is None else str(most) if most == row["seeds"] else f"{row['seeds']}-{most}"
        cells = [row["group"] or "all", *([str(row["cells"]), seeds, mean] if several else [seeds, mean, std])]
        cells.append(_range(row["iqm"], row["iqm_interval"], ".2f"))
        if published:
            cells.append(_range(row["difference"], row["difference_interval"], ".0f"))
        else:
            cells += [_range(row["improvement"], row["improvement_interval"], ".2f"), _p(row["p"])]
        table.add_row(*cells)
    out.print(table)
    groups = found.groups
    reference = next(group.name for group in groups if group.reference)
    if len(groups) > 1:
        what = f"cells ({' x '.join(('task', *found.within))})" if found.within else "tasks"
        where = f"over the {len(found.cells)} {what} that all groups have" if len(found.cells) > 1 else "on one task"
        if published:
            out.print(f"difference of the means from {reference!r} {where}")
            corrected = f", those of differences corrected for {found.tests} of them" if found.tests > 1 else ""
            out.print(f"95 % intervals in brackets{corrected}")
        else:
            out.print(f"P(better): probability that a run scores higher than a run of {reference!r}, {where}")
            out.print(f"95 % intervals in brackets; p: exact rank test{_corrected(found)}")
    keys = sorted({key for group in groups for key in group.differs})
    if keys:
        out.print("\nconfigs differ in")
        grid = Table(box=None, pad_edge=False)
        for heading in ("GROUP", *keys):
            grid.add_column(heading, overflow="fold", justify="left" if heading == "GROUP" else "right")
        for group in (group for group in groups if group.runs):
            values = ("/".join(map(str, group.differs.get(key, []))) for key in keys)
            grid.add_row(group.name or "all", *values)
        out.print(grid)


def _print_reach(rows: list[dict[str, Any]], score: float) -> None:
    """Print how soon runs reach a score: a line for each group and task."""
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False)
    for heading in ("GROUP", "TASK", "REACHED", "STEPS", "HOURS"):
        table.add_column(heading, justify="right" if heading in ("REACHED", "STEPS", "HOURS") else "left")
    for row in rows:
        for one in row["reach"]:
            far = "-" if one["env_steps"] is None else steps(int(one["env_steps"]))
            hours = "-" if one["hours"] is None else f"{one['hours']:.3g}"
            table.add_row(row["group"] or "all", one["task"], f"{one['reached']} of {one['runs']}", far, hours)
    out.print(f"\nmedian environment steps and hours at work to a score of {score:g}, if more than half reach it")
    out.print(table)


def _print_plan(found: "Comparison", rows: list[dict[str, Any]], difference: float) -> None:
    """Print how many seeds would tell a difference: a line for each group but the reference."""
    from dreamctl.results.planning import MOST, POWER

    out = console()
    reference = next(row for row in rows if row["reference"])
    corrected = f", corrected for {found.tests} differences" if found.tests > 1 else ""
    out.print(f"\nto tell a difference of {difference:g} points with a chance of {100 * POWER:.0f} %{corrected}")
    for row in (row for row in rows if row is not reference):
        seeds = row["plan"]["seeds"]
        if seeds is None:
            single = any(all(len(own) < 2 for own in side["scores"].values()) for side in (row, reference))
            seeds = "unknown, as single seeds show no spread:" if single else f"more than {MOST:,}"
        here = min(row["seeds"], reference["seeds"])
        out.print(f"{row['group']} and {reference['group']}: {seeds} seeds per {_cells(found)[:-1]}, at hand: {here}")
    out.print("decide on the number before you train more, and compare once; a sweep with questions may look earlier")


def _corrected(found: "Comparison") -> str:
    """How p and the intervals of P(better) are corrected for several tests, in words; empty for one test."""
    if found.tests == 1:
        return ""
    pairs = " (all pairs; --against GROUP needs fewer)" if found.tests >= len(found.groups) else ""
    return f"; p and P(better) are corrected for {found.tests} tests{pairs}"


def _range(value: float | None, interval: tuple[float, float] | None, style: str) -> str:
    if value is None:
        return "-"
    return f"{value:{style}}" + (f" [{interval[0]:{style}}, {interval[1]:{style}}]" if interval else "")


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.0005 else "<0.001"


def _write(path: Path, found: "Comparison") -> None:
    """Write a CSV with a row for each group and task, or cell. Raises `BadInput`."""
    import csv

    from dreamctl.errors import BadInput
    from dreamctl.results import comparison, scores

    header = (
        "group", "task", "seeds", "mean", "std", "env_steps", "status", "iqm", "iqm_low", "iqm_high", "difference",
        "difference_low", "difference_high", "improvement", "improvement_low", "improvement_high", "p",
    )  # fmt: skip
    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for group in found.groups:
                pooled = (
                    *_three(group.iqm, group.interval),
                    *_three(group.difference, group.difference_interval),
                    *_three(group.improvement, group.improvement_interval),
                    "" if group.p is None else group.p,
                )
                for name, values in group.scores.items():
                    own = [final for final in group.finals if comparison.cell_of(final.run, found.within) == name]
                    cell = scores.cell(own)
                    if cell is None:  # published
                        writer.writerow((group.name, name, "", values[0], "", "", group.name, *pooled))
                    else:
                        numbers = (cell.seeds, cell.mean, cell.std, cell.env_steps, cell.status)
                        writer.writerow((group.name, name, *numbers, *pooled))
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}): choose another --csv") from error


def _three(value: float | None, interval: tuple[float, float] | None) -> tuple[Any, Any, Any]:
    return ("" if value is None else value, *(interval or ("", "")))
