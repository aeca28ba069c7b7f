"""Final scores as grouped bars: Figure 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dreamctl.results.figures import style

HEADER = ("task", "group", "seeds", "mean", "std", "env_steps", "status", "tasks", "source")
_WIDTH = 0.8  # of a task's bars together

Row = tuple[Any, ...]


class Bar(NamedTuple):
    """A score of a task, or a mean over tasks; std, seeds and env_steps are None where they are not known.

    status: "final", how a shorter run stands, or "published"; tasks: over how many it is a mean.
    """

    mean: float
    std: float | None = None
    seeds: int | None = None
    env_steps: int | None = None
    status: str = "final"
    tasks: int | None = None
    source: str = ""


def draw(
    tasks: Sequence[str],
    scores: Mapping[str, Mapping[str, Bar]],
    labels: Mapping[str, str],
    note: str,
    means: Mapping[str, Bar] | None = None,
) -> tuple[Any, list[Row]]:
    """Grouped bars, tasks in the order of the first method's scores, those without one last; then the means.

    scores: {method: {task: score}}; labels: {method: what the legend says}. Hatched: runs that are shorter than asked
    for or have diverged, with their environment steps. The means are over the tasks that all methods have a score for,
    unless given.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    style.apply()
    first = next(iter(scores.values()))
    order = sorted(tasks, key=lambda task: (task not in first, first[task].mean if task in first else 0.0))
    shared = [task for task in order if all(task in of for of in scores.values() if of)]
    given = means is not None
    if means is None:
        means = {name: _mean([of[t] for t in shared]) for name, of in scores.items() if of and shared}
    figure = Figure(figsize=(style.WIDTH, 2.5), layout="constrained")
    axis = figure.subplots()
    width = _WIDTH / len(scores)
    rows: list[Row] = []
    for index, (name, of) in enumerate(scores.items()):
        shown = {place: of[task] for place, task in enumerate(order) if task in of}
        if name in means:
            shown[len(order)] = means[name]
        color = style.LOOKS[name].color
        offset = (index - (len(scores) - 1) / 2) * width
        x = [place + offset for place in shown]
        bars = axis.bar(x, [bar.mean for bar in shown.values()], width, color=color, label=name)
        known = [(at, bar.mean, bar.std) for at, bar in zip(x, shown.values(), strict=True) if bar.std]
        places, heights, deviations = ([one[column] for one in known] for column in range(3))
        axis.errorbar(places, heights, deviations, fmt="none", ecolor="black", elinewidth=0.5)
        for at, bar, patch in zip(x, shown.values(), bars, strict=True):
            if bar.status not in ("final", "published") and bar.env_steps is not None:
                patch.set(hatch="//////", edgecolor="white", linewidth=0)
                _write(axis, at, bar.mean + (bar.std or 0), _short(bar.env_steps))
        names = [*order, "mean"]
        rows += [_row(names[place], name, bar) for place, bar in shown.items()]
    for place, task in enumerate(order):
        missing = [index for index, of in enumerate(scores.values()) if task not in of]
        if missing:
            at = place + (float(np.mean(missing)) - (len(scores) - 1) / 2) * width
            _write(axis, at, 0, "no runs" if len(missing) == len(scores) and not given else "n/a")
    counts = [str(means[name].tasks) for name in scores if name in means]
    said = " ".join(["Mean", *(["of", ", ".join(counts[:1] if len(set(counts)) == 1 else counts)] if counts else [])])
    names = [*map(style.title, order), said]
    axis.set_xticks(range(len(names)), names, rotation=45, rotation_mode="anchor", ha="right", fontsize=6)
    axis.tick_params(axis="x", length=0, pad=1)
    axis.set_ylim(0, 1000)
    axis.set_xlim(-0.6, len(order) + 0.6)
    axis.set_ylabel("Episode Return")
    axis.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=style.LOOKS[name].color, label=labels[name]) for name in scores]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(scores), fontsize=6.5, handlelength=1, columnspacing=1,
        title=note or None, title_fontsize=6,
    )  # fmt: skip
    return figure, rows


def _mean(bars: Sequence[Bar]) -> Bar:
    """The mean over tasks; its environment steps and status are those of its shortest runs."""
    seeds = [bar.seeds for bar in bars if bar.seeds]
    steps = [bar.env_steps for bar in bars if bar.env_steps]
    status = sorted({bar.status for bar in bars} - {"final"})
    return Bar(
        float(np.mean([bar.mean for bar in bars])),
        None,
        min(seeds, default=None),
        min(steps, default=None),
        "/".join(status) or "final",
        len(bars),
        bars[0].source,
    )


def _row(task: str, name: str, bar: Bar) -> Row:
    values = (bar.seeds, bar.mean, bar.std, bar.env_steps, bar.status, bar.tasks, bar.source)
    return (task, name, *("" if value is None else value for value in values))


def _short(steps: int) -> str:
    """Environment steps, short: 850k, 1.5M."""
    return f"{steps / 1e6:.3g}M" if steps >= 1_000_000 else f"{steps / 1e3:.3g}k"


def _write(axis: Any, x: float, y: float, text: str) -> None:
    axis.text(x, y + 10, text, rotation=90, ha="center", va="bottom", fontsize=6, clip_on=False)
