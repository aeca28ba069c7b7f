"""The runs of a report: those of each sweep, at one length, and the tables and figures that all read the same of them.

A table has the values of one field as columns. Its rows are tasks, and combinations of other fields that vary with it:
a sweep over horizons and methods gives one table, one over methods and then over objectives two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamctl.results import grouping, scores, selection, standing
from dreamctl.results.cells import WATCHING, Choice, alike
from dreamctl.results.figures import curves as curve_figure
from dreamctl.results.figures import final, style
from dreamctl.results.report.tables import Scores
from dreamctl.store import Run, Store
from dreamctl.store.paths import inside
from dreamctl.wording import counted

_MANY = 4  # values of a number from which on scores are drawn over it; else they are lines of a figure


@dataclass(frozen=True)
class Drawn:
    """A figure: its file, what it shows, and the command that draws it."""

    path: Path
    caption: str
    command: str


@dataclass(frozen=True)
class Part:
    """Runs that are shown together: of a sweep (None: of none) and one preset, at one length.

    steps: environment steps at which scores are read; runs: {run id: run}, one for each cell and seed, that have come
    so far; scores: by run id; until: as in a `Choice`, for runs that went on; notes: remarks.
    """

    sweep: str | None
    preset: str
    steps: int
    runs: Mapping[str, Run]
    scores: Mapping[str, float]
    until: int | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """For a heading."""
        return self.sweep or "Runs of no sweep"

    @property
    def setting(self) -> str:
        """What its scores are about."""
        seeds = [len(runs) for runs in alike(self.runs.values())]
        low, high = min(seeds), max(seeds)
        many = counted(high, "seed") if low == high else f"{low} to {counted(high, 'seed')}"
        return f"preset {self.preset}, {self.steps:,} environment steps, {many}"

    def tables(self) -> list[tuple[str, Scores]]:
        """Its tables, each with the field that has the columns."""
        return [(table.axis, self._scores(table)) for table in _tables(list(self.runs.values()))]

    def draw(self, store: Store, folder: Path, recorded: str) -> list[Drawn]:
        """A figure for each table, of the same runs; recorded: what its command ends in. Raises `BadInput`."""
        drawn = []
        for number, table in enumerate(_tables(list(self.runs.values())), 1):
            choice = Choice(until=self.until)
            stem = inside(folder, self.sweep or self.preset) / f"{number}-{table.axis or 'scores'}"
            values = {run.config[table.axis] for run in table.runs} if table.axis else set()
            of = f" --sweep {self.sweep}" if self.sweep else f" --preset {self.preset}"
            if len(values) >= _MANY and len(table.others) <= 1 and all(isinstance(v, int | float) for v in values):
                by = table.others[0] if table.others else "method"
                paths = final.draw(store, table.runs, table.axis, by, choice, stem, ("png",))
                command = f"dreamctl plot final{of} --x {table.axis} --by {by}{recorded}"
                drawn.append(Drawn(paths[0], f"final score over {table.axis.replace('_', ' ')}", command))
            else:
                by_fields = (table.axis,) if table.axis and not table.others else None
                paths = curve_figure.draw(store, table.runs, stem, by_fields, choice, ("png",))
                some = f" --by {table.axis}" if by_fields else ""
                command = f"dreamctl plot curves{of}{some}{recorded}"
                lines = f" by {table.axis.replace('_', ' ')}" if by_fields else ""
                drawn.append(Drawn(paths[0], f"learning curves{lines}", command))
        return drawn

    def _scores(self, table: _Table) -> Scores:
        values = sorted({_value(run, table.axis) for run in table.runs}, key=_rank(table.axis)) if table.axis else []
        columns = {value: grouping.label(table.axis, value) for value in values} or {None: "Score"}
        rows: dict[str, dict[str, list[float]]] = {}
        for run in sorted(table.runs, key=lambda run: (*_row(run, table.others), run.seed)):
            label = ", ".join([style.title(run.task), *(grouping.label(key, run.config[key]) for key in table.others)])
            column = columns[_value(run, table.axis) if table.axis else None]
            rows.setdefault(label, {}).setdefault(column, []).append(self.scores[run.id])
        first = ", ".join(["Task", *(key.replace("_", " ") for key in table.others)])
        title = f"{self.name}, {self.setting}"
        return Scores(title, first, tuple(columns.values()), rows, pooled=not table.others)


@dataclass(frozen=True)
class _Table:
    """axis: the field that has the columns, "" for none; others: fields that tell rows of one task apart."""

    axis: str
    others: tuple[str, ...]
    runs: list[Run]


def find(store: Store, choice: Choice) -> list[Part]:
    """The parts of a choice that have been evaluated; a sweep that is a part of another is not shown twice."""
    sweeps = [store.find_sweep(choice.sweep)] if choice.sweep is not None else store.sweeps()
    members = {sweep.name: selection.that_fit(store.members(sweep.id), choice) for sweep in sweeps}
    ids = {name: {run.id for run in runs} for name, runs in members.items()}
    shown: list[tuple[str | None, list[Run]]] = [
        (name, runs)
        for index, (name, runs) in enumerate(members.items())
        if not any(ids[name] < others or ids[name] == others and at < index for at, others in enumerate(ids.values()))
    ]
    if choice.sweep is None:
        known = {run_id for of in ids.values() for run_id in of}
        single = [run for run in store.runs() if run.parent is None and run.id not in known]
        shown.append((None, selection.that_fit(single, choice)))
    parts = []
    for name, runs in shown:
        for preset in dict.fromkeys(run.preset for run in runs):
            of_preset = [run for run in runs if run.preset == preset]
            if any(map(standing.counts, of_preset)):
                parts.append(_part(store, name, preset, of_preset, choice.until))
    return [part for part in parts if part.runs]


def _part(store: Store, sweep: str | None, preset: str, runs: Sequence[Run], until: int | None) -> Part:
    there = [run for run in runs if standing.counts(run)]
    lengths = Counter(run.steps for run in there)
    steps = until or max(lengths, key=lambda length: (lengths[length], length))
    cells = alike(there)
    single = [run for cell in cells for run in standing.of_each_seed(cell, steps) if standing.come(run) >= steps]
    last = None if all(run.steps == steps for run in single) else steps
    finals = scores.finals(store, single, steps, last, complete=True)
    kept = {run.id: run for run in there if run.id in finals}
    notes = standing.remarks(runs) + standing.again(cells, steps) + grouping.mixed(alike(kept.values()))
    short = sum(standing.come(run) < steps for run in there)
    notes += [f"{counted(short, 'run')} shorter than {steps:,} steps left out"] if short else []
    return Part(sweep, preset, steps, kept, {key: found.score for key, found in finals.items()}, last, tuple(notes))


def _tables(runs: Sequence[Run]) -> Iterator[_Table]:
    """Tables that show every run: for each field that varies those lines of cells that differ in it alone."""
    left = {run.id: run for run in runs}
    axes = _axes(runs)
    for axis in axes:
        others = [key for key in axes if key != axis]
        lines: dict[tuple[str, ...], list[Run]] = {}
        for run in runs:
            lines.setdefault(_row(run, others), []).append(run)
        shown = [run for line in lines.values() if len({_value(run, axis) for run in line}) > 1 for run in line]
        if any(run.id in left for run in shown):
            yield _Table(axis, tuple(key for key in others if len({_value(run, key) for run in shown}) > 1), shown)
            left = {run.id: run for run in left.values() if run not in shown}
    if left:
        rest = list(left.values())
        yield _Table("", tuple(_axes(rest)), rest)


def _axes(runs: Sequence[Run]) -> list[str]:
    """The config fields in which runs differ, those with most values first; not what only goes with the method."""
    keys = sorted({key for run in runs for key in run.config} - WATCHING)
    varied = [key for key in keys if len({_value(run, key) for run in runs}) > 1]
    if "method" in varied:
        methods = {run.method for run in runs}
        varied = [
            key
            for key in varied
            if key == "method"
            or any(len({_value(run, key) for run in runs if run.method == method}) > 1 for method in methods)
        ]
    usual = ("method", "objective", "action_repeat")
    order = {key: usual.index(key) if key in usual else len(usual) for key in varied}
    return sorted(varied, key=lambda key: (-len({_value(run, key) for run in runs}), order[key], key))


def _value(run: Run, key: str) -> Any:
    value = run.config.get(key)
    return value if isinstance(value, int | float | str) else str(value)


def _row(run: Run, keys: Iterable[str]) -> tuple[str, ...]:
    return run.task, *(str(run.config.get(key)) for key in keys)


def _rank(key: str) -> Any:
    """By the paper's order, else numbers before names."""
    names = list({"method": style.METHODS, "objective": style.OBJECTIVES}.get(key, {}))
    return lambda value: (names.index(value) if value in names else len(names), isinstance(value, str), value)
