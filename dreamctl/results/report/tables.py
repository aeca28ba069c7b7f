"""Tables of final scores, and how a table is written: LaTeX, CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamctl.results import statistics
from dreamctl.results.comparison import SCALE
from dreamctl.results.statistics import Interval
from dreamctl.wording import counted


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

    def table(self) -> Table:
        """Mean +- std over seeds, how many seeds where that varies; at the end the mean of what all columns have."""
        seeds = {len(scores) for of in self.rows.values() for scores in of.values()}
        lines = [
            (name, *(_cell(of.get(column, ()), len(seeds) > 1) for column in self.columns))
            for name, of in self.rows.items()
        ]
        shared = [of for of in self.rows.values() if set(self.columns) <= of.keys()]
        if self.pooled and len(shared) > 1:
            means = [[of[column] for of in shared] for column in self.columns]
            lines.append((f"Mean of the {len(shared)} that all have", *(f"{_mean(of):.0f}" for of in means)))
            found = [_interval(of) for of in means]
            if None not in found:
                lines.append(("95 % interval", *(f"{one.low:.0f} to {one.high:.0f}" for one in found if one)))
        many = counted(min(seeds), "seed") if len(seeds) == 1 else "in brackets how many seeds"
        return Table(self.title, (self.first, *self.columns), tuple(lines), f"mean +- std over seeds; {many}")


def write_csv(path: Path, tables: Sequence[Scores]) -> None:
    """One line for each cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("table", "row", "column", "seeds", "mean", "std", "low", "high", "scores"))
        for scores in tables:
            for row, of in scores.rows.items():
                for column, values in of.items():
                    found = _interval([values])
                    ends = (f"{found.low:.3f}", f"{found.high:.3f}") if found else ("", "")
                    numbers = (f"{np.mean(values):.3f}", f"{np.std(values):.3f}", *ends)
                    listed = " ".join(f"{value:.3f}" for value in values)
                    writer.writerow((scores.title, row, column, len(values), *numbers, listed))


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


def _mean(samples: Sequence[Sequence[float]]) -> float:
    return float(np.mean([np.mean(sample) for sample in samples]))


def _interval(samples: Sequence[Sequence[float]]) -> Interval | None:
    """The 95 % interval of the mean over samples of their means, within the scores that there can be."""
    terms = [(1 / len(samples), np.asarray(sample, float) / SCALE) for sample in samples]
    found = statistics.contrast_interval(terms)
    return found and Interval(max(0.0, found.low * SCALE), min(SCALE, found.high * SCALE))


def _cell(scores: Sequence[float], count: bool) -> str:
    if not scores:
        return "-"
    text = f"{np.mean(scores):.0f}" + (f" +- {np.std(scores):.0f}" if len(scores) > 1 else "")
    return text + (f" ({len(scores)})" if count else "")


def _tex(text: str) -> str:
    for plain, written in (("\\", r"\textbackslash "), ("+-", r"$\pm$"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_")):
        text = text.replace(plain, written)
    return text.replace("#", r"\#")
