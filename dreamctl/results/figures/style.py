"""The look that all figures share (the paper's), and how they are saved."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.5  # inches
COLORS = ("#377eb8", "#4daf4a", "#984ea3", "#ff7f00", "#e41a1c", "#a65628")
LABELS = {
    "dreamer": "Dreamer",
    "no_value": "No value",
    "planet": "PlaNet",
    "reconstruction": "Reconstruction",
    "contrastive": "Contrastive",
    "reward": "Reward only",
}


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, up to four in a row, without pyplot (no global state, no display)."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({"font.family": "serif", "font.size": 8, "axes.titlesize": 8, "legend.frameon": False})
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 1.5 * rows + 0.9 if columns > 1 else 3.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=False)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for index, axis in enumerate(flat[:count]):
        axis.spines[["top", "right"]].set_visible(False)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(3, 3))
        if index % columns == 0:
            axis.set_ylabel("Episode Return")
        if index + columns >= count:
            axis.set_xlabel("Environment Steps")
    return figure, flat[:count]


def title(task: str) -> str:
    """walker_walk -> Walker Walk."""
    return task.replace("_", " ").title()


def save(figure: Figure, stem: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Path]:
    """Write STEM.png, STEM.pdf and STEM.csv, the numbers that were drawn; returns the paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(stem.name + ending) for ending in (".png", ".pdf", ".csv")]
    figure.savefig(paths[0], dpi=200)
    figure.savefig(paths[1])
    with paths[2].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return paths
