"""Tables of final scores, and how a table is written: LaTeX, CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamctl.results import statistics
from dreamctl.results.claims import Evidence
from dreamctl.results.claims.evidence import Cell
from dreamctl.results.comparison import SCALE
from dreamctl.results.figures import style
from dreamctl.results.statistics import Interval
from dreamctl.wording import counted

_OBJECTIVE, _METHOD = "reconstruction", "dreamer"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; note: what stands below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Scores:
    """Final scores: {row: {column: scores of its seeds}}; the columns in order."""

    title: str
    first: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Sequence[float]]]
    pooled: bool = True  # whether a mean over the rows means something
    note: str = ""

    def table(self) -> Table:
        """Mean +- std over seeds, how many seeds where that varies; at the end the mean of what all columns have."""
        seeds = {len(scores) for of in self.rows.values() for scores in of.values()}
        lines = [
            (name, *(_cell(of.get(column, ()), len(seeds) > 1) for column in self.columns))
            for name, of in self.rows.items()
        ]
        shared = [of for of in self.rows.values() if set(self.columns) <= of.keys()]
        if self.pooled and len(shared) > 1:
            of_column = {column: [of[column] for of in shared] for column in self.columns}
            means = [np.mean([np.mean(scores) for scores in found]) for found in of_column.values()]
            lines.append((f"Mean of the {len(shared)} that all have", *(f"{mean:.0f}" for mean in means)))
            ends = [mean_interval(found) for found in of_column.values()]
            if all(ends):
                lines.append(("95 % interval", *(f"{end.low:.0f} to {end.high:.0f}" for end in ends if end)))
        many = counted(min(seeds), "seed") if len(seeds) == 1 else "in brackets how many seeds"
        more = f"; {self.note}" if self.note else ""
        return Table(self.title, (self.first, *self.columns), tuple(lines), f"mean +- std over seeds; {many}{more}")


def of_scores(evidence: Evidence) -> list[Scores]:
    """The tables that there are runs for: methods, objectives, action repeats, horizons."""
    cells = {cell: [evidence.score(run) for _, run in sorted(seeds.items())] for cell, seeds in evidence.cells.items()}
    repeat, horizon = evidence.action_repeat, evidence.horizon(_METHOD)
    methods: dict[Cell, tuple[str, str]] = {}
    objectives, repeats, horizons = dict(methods), dict(methods), dict(methods)
    for cell in cells:
        task = style.title(cell.task)
        usual = cell.horizon == evidence.horizon(cell.method)
        if usual and cell.action_repeat == repeat:
            if cell.objective == _OBJECTIVE:
                methods[cell] = (task, style.METHODS[cell.method])
            if cell.method == _METHOD:
                objectives[cell] = (task, style.OBJECTIVES[cell.objective])
        if (cell.method, cell.objective, cell.horizon) == (_METHOD, _OBJECTIVE, horizon):
            repeats[cell] = (task, f"R = {cell.action_repeat}")
        if (cell.objective, cell.action_repeat) == (_OBJECTIVE, repeat):
            horizons[cell] = (f"{task}, {style.METHODS[cell.method]}", f"H = {cell.horizon}")
    lengths = f"after {evidence.steps:,} environment steps"
    several = {task for task, _ in horizons.values() if len({c for t, c in horizons.values() if t == task}) > 2}
    horizons = {cell: place for cell, place in horizons.items() if place[0] in several}
    used = {cell.method: cell.horizon for cell in methods}
    note = "horizon: " + ", ".join(f"{name} {used[key]}" for key, name in style.METHODS.items() if key in used)
    found = [
        _scores(f"Methods {lengths}", "Task", methods, cells, tuple(style.METHODS.values()), note=note),
        _scores(f"Objectives {lengths}", "Task", objectives, cells, tuple(style.OBJECTIVES.values())),
        _scores(f"Action repeats {lengths}", "Task", repeats, cells),
        _scores(f"Imagination horizons {lengths}", "Task, method", horizons, cells, pooled=False),
    ]
    return [scores for scores in found if scores.rows and (scores is found[0] or len(scores.columns) > 1)]


def write_csv(path: Path, tables: Sequence[tuple[str, Scores]]) -> None:
    """One line for each cell; tables: with the preset that they are of."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("preset", "table", "row", "column", "seeds", "mean", "std", "low", "high", "scores"))
        for preset, scores in tables:
            for row, of in scores.rows.items():
                for column, values in of.items():
                    found = mean_interval([values])
                    low, high = (f"{end:.3f}" for end in found) if found else ("", "")
                    numbers = (f"{np.mean(values):.3f}", f"{np.std(values):.3f}", low, high)
                    listed = " ".join(f"{value:.3f}" for value in values)
                    writer.writerow((preset, scores.title, row, column, len(values), *numbers, listed))


def latex(table: Table) -> str:
    """A table for a paper, with the package booktabs."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [" & ".join(map(_tex, row)) + r" \\" for row in (table.header, *table.rows)]
    return "\n".join(
        [
            f"% {table.title}; {table.note}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def mean_interval(samples: Sequence[Sequence[float]]) -> Interval | None:
    """The 95 % interval of a mean over tasks of the means over seeds, in points; None if one has a single seed."""
    found = statistics.mean_interval({str(task): np.divide(of, SCALE) for task, of in enumerate(samples)})
    return Interval(found.low * SCALE, found.high * SCALE) if found else None


def _scores(
    title: str, first: str, places: Mapping[Cell, tuple[str, str]], cells: Mapping[Cell, list[float]],
    order: tuple[str, ...] = (), pooled: bool = True, note: str = "",
) -> Scores:  # fmt: skip
    rows: dict[str, dict[str, list[float]]] = {}
    for cell, (row, column) in sorted(places.items(), key=lambda item: item[1][0]):
        rows.setdefault(row, {})[column] = cells[cell]
    used = {column for of in rows.values() for column in of}
    rest = sorted(used - set(order), key=lambda column: int(column.rpartition(" ")[2]))
    return Scores(title, first, (*(column for column in order if column in used), *rest), rows, pooled, note)


def _cell(scores: Sequence[float], count: bool) -> str:
    if not scores:
        return "-"
    text = f"{np.mean(scores):.0f}" + (f" +- {np.std(scores):.0f}" if len(scores) > 1 else "")
    return text + (f" ({len(scores)})" if count else "")


def _tex(text: str) -> str:
    for plain, written in (("\\", r"\textbackslash "), ("+-", r"$\pm$"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_")):
        text = text.replace(plain, written)
    return text.replace("#", r"\#")
