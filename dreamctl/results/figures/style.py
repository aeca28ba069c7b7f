"""The look that all figures share (the paper's), and how they are saved."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamctl.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.5  # inches
COLORS = ("#377eb8", "#4daf4a", "#984ea3", "#ff7f00", "#e41a1c", "#a65628")
METHODS = {"dreamer": "Dreamer", "no_value": "No value", "planet": "PlaNet"}
OBJECTIVES = {"reconstruction": "Reconstruction", "contrastive": "Contrastive", "reward": "Reward only"}

_COLUMNS = 4
_CHARACTER = 0.06  # inches, a letter of the legend
_HANDLE = 0.4  # inches, the line and the gaps of a legend's entry


def apply() -> None:
    """Set what all figures share."""
    import matplotlib

    matplotlib.rcParams.update({"font.family": "serif", "font.size": 7, "axes.titlesize": 7, "legend.frameon": False})


def panels(count: int, x_label: str = "Environment Steps", powers: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, up to four in a row, without pyplot (no global state, no display).

    powers: whether the x axis is labelled in powers of ten.
    """
    from matplotlib.figure import Figure

    apply()
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 1.5 * rows + 0.5 if columns > 1 else 3.2), layout="constrained")
    flat = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for index, axis in enumerate(flat[:count]):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelbottom=True)  # one range for all, but read in each panel
        if powers:
            axis.xaxis.offsetText.set_visible(index + columns >= count)  # the power of ten: on the bottom row alone
            axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        if index % columns == 0:
            axis.set_ylabel("Episode Return")
        if index + columns >= count:
            # the power of ten stands at the right, at the height of the label: keep the label to the left of it
            axis.set_xlabel(x_label, loc="left" if powers and columns > 2 else "center")
    return figure, flat[:count]


def legend(figure: Figure, axes: Sequence[Axes], order: Sequence[str] = ()) -> None:
    """One legend under all panels, in one row if it fits, else in even rows; the labels in `order` come first."""
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    first = [label for label in order if label in found]
    handles = {label: found[label] for label in (*first, *(label for label in found if label not in first))}
    widths = [_HANDLE + _CHARACTER * len(label) for label in handles]
    rows = 1 if sum(widths) <= WIDTH else math.ceil(len(widths) / max(1, int(WIDTH / max(widths))))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=math.ceil(len(widths) / rows),
        handlelength=1.5,
        columnspacing=1,
    )


def curve_range(axes: Sequence[Axes]) -> None:
    """Environment steps from 0 to the last that is drawn, returns from 0 to 1000: one range for panels that share it.

    Called when all panels are drawn: an x range set on an empty panel would hold for those that have lines too.
    """
    axes[0].set_xlim(0, 1.02 * max(axis.dataLim.x1 for axis in axes))  # dataLim leaves out what crosses a whole panel
    axes[0].set_ylim(0, 1000)


def title(task: str) -> str:
    """walker_walk -> Walker Walk."""
    return (task.partition(":")[2] or task).replace("ball_in_", "").replace("_", " ").title()


def in_order(tasks: Iterable[str]) -> list[str]:
    """Tasks in the order of their panels: that of their titles."""
    return sorted(tasks, key=title)


def save(
    figure: Figure,
    stem: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    formats: Sequence[str] = ("png", "pdf"),
) -> list[Path]:
    """Write STEM in the formats and STEM.csv, the numbers that were drawn; returns the paths.

    `BadInput` when they cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in (*formats, "csv")]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in paths[:-1]:
            figure.savefig(path, dpi=200)
        with paths[-1].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise BadInput(f"cannot write {error.filename or paths[0]} ({error.strerror}): choose another --out") from error
    return paths
