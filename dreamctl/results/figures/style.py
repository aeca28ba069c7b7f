"""The look that all figures share (the paper's), and how they are saved."""

from __future__ import annotations

import csv
import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dreamctl.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.5  # inches
DPI = 300
METHODS = {"dreamer": "Dreamer", "no_value": "No value", "planet": "PlaNet"}
OBJECTIVES = {"reconstruction": "Reconstruction", "contrastive": "Contrastive", "reward": "Reward only"}
REPEATS = {1: "Action repeat 1", 2: "Action repeat 2", 4: "Action repeat 4"}

_COLUMNS = 4
_CHARACTER = 0.055  # inches, a letter of the legend
_HANDLE = 0.45  # inches, the line and the gaps of a legend's entry
_LINE = 0.15  # inches, the height of a legend's line
_LINES = 2  # of the legend that a figure has room for


class Look(NamedTuple):
    """How a line is drawn; marks tell lines apart where colours do not."""

    color: str
    marker: str = ""
    style: Any = "-"


_DREAMER = Look("#377eb8", "o")  # the default agent has one look in all figures, whatever it is called there
LOOKS = {
    "Dreamer": _DREAMER,
    "Reconstruction": _DREAMER,
    "Action repeat 2": _DREAMER,
    "No value": Look("#4daf4a", "^"),
    "PlaNet": Look("#984ea3", "s"),
    "Contrastive": Look("#00a5a8", "v"),
    "Reward only": Look("#f781bf", "D"),
    "Action repeat 1": Look("#b8860b", "<"),
    "Action repeat 4": Look("#444444", ">"),
    "D4PG": Look("#ff7f00", style="--"),
    "A3C": Look("#e41a1c", style="-."),
    "SLAC": Look("#a65628", style=(0, (1, 1))),
    "Random policy": Look("#999999", style=":"),
}
_OTHERS = (
    *(Look("#4daf4a", "^"), Look("#984ea3", "s"), Look("#b8860b", "<"), Look("#00a5a8", "v"), Look("#f781bf", "D")),
    *(Look("#444444", ">"), Look("#a6761d", "P"), Look("#1b4f72", "X")),
)


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """How the lines of a figure are drawn: those that have a look of their own so, the others by rank."""
    found: dict[str, Look] = {}
    for label in labels:
        own = _own(label)
        if own is not None and own not in found.values():
            found[label] = own
    if not found and labels:
        found[labels[0]] = _DREAMER
    others = itertools.cycle(_OTHERS)
    for label in labels:
        while label not in found:
            look = next(others)
            if look not in found.values() or len(found) > len(_OTHERS):
                found[label] = look
    return found


def _own(label: str) -> Look | None:
    """The look of a method, or of what is not usual in "Dreamer, Contrastive, horizon=5"; None of what has none."""
    parts = [part for part in label.split(", ") if part in LOOKS]
    if not parts:
        return None
    unusual = [LOOKS[part] for part in parts if LOOKS[part] != _DREAMER]
    return None if len(unusual) > 1 else unusual[0] if unusual else _DREAMER


def apply() -> None:
    """Set what all figures share."""
    import matplotlib

    matplotlib.rcParams.update(
        {
            "font.family": "serif",
            "font.size": 7,
            "axes.titlesize": 7,
            "legend.frameon": False,
            "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
            "ps.fonttype": 42,
            "hatch.linewidth": 0.5,
        }
    )


def panels(count: int, x_label: str = "Environment Steps", powers: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, up to four in a row, without pyplot (no global state, no display).

    powers: whether the x axis is in units of a power of ten, which stands in the last panel alone.
    """
    from matplotlib.figure import Figure

    apply()
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 1.4 * rows + 0.5 if columns > 1 else 3.2), layout="constrained")
    flat = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for index, axis in enumerate(flat[:count]):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelbottom=True)  # one range for all, but read in each panel
        if powers:
            axis.xaxis.offsetText.set_visible(index == count - 1)
            axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        if index % columns == 0:
            axis.set_ylabel("Episode Return")
        if index + columns >= count:
            axis.set_xlabel(x_label, labelpad=11 if powers and columns > 2 else None)  # below the power of ten
    return figure, flat[:count]


def legend(figure: Figure, axes: Sequence[Axes], order: Sequence[str] = (), note: str = "") -> None:
    """One legend under all panels, in one row if it fits, else in even rows; the labels in `order` come first.

    A legend of many rows makes the figure higher, so that the panels keep their size. note: a line of text above it.
    """
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    first = [label for label in order if label in found]
    handles = {label: found[label] for label in (*first, *(label for label in found if label not in first))}
    widths = [_HANDLE + _CHARACTER * len(label) for label in handles]
    rows = 1 if sum(widths) <= WIDTH else math.ceil(len(widths) / max(1, int(WIDTH / max(widths))))
    labels = [textwrap.fill(label, int((WIDTH - _HANDLE) / _CHARACTER)) for label in handles]
    lines = rows if rows < len(labels) else sum(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + _LINE * max(0, lines - _LINES))
    figure.legend(
        handles.values(),
        labels,
        title=note or None,
        title_fontsize=6,
        loc="outside lower center",
        ncols=math.ceil(len(widths) / rows),
        handlelength=2.2,
        columnspacing=1,
    )


def seeds(counts: Iterable[int], what: str = "mean and standard deviation") -> str:
    """ "3 seeds: mean and standard deviation"."""
    found = sorted(set(counts))
    if not found:
        return ""
    many = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{many} seed{'' if many == '1' else 's'}" + (f": {what}" if found[-1] > 1 else "")


def empty(axis: Axes) -> None:
    """Say that a panel has no runs."""
    axis.text(
        0.5, 0.5, "no runs", transform=axis.transAxes, ha="center", va="center", color="#777777",
        bbox={"color": "white", "pad": 1},
    )  # fmt: skip


def curve_range(axes: Sequence[Axes]) -> None:
    """x from 0 to the last that is drawn, returns from 0 to 1000: one range for panels that share it.

    Called when all panels are drawn: an x range set on an empty panel would hold for those that have lines too.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator

    last = max(axis.dataLim.x1 for axis in axes)  # dataLim leaves out what crosses a whole panel
    if not math.isfinite(last) or last <= 0:
        last = 1.0
    axes[0].set_xlim(0, 1.02 * last)
    axes[0].set_ylim(0, 1000)
    ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, last)
    for axis in axes:
        axis.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if 0 < tick <= 1.02 * last]))
        axis.yaxis.set_major_locator(FixedLocator([0, 250, 500, 750, 1000]))


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
            figure.savefig(path, dpi=DPI)
        with paths[-1].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise BadInput(
            f"cannot write {error.filename or paths[0]} ({error.strerror}): choose another folder"
        ) from error
    return paths
