"""What a question is decided by: the estimates and intervals of its contrasts, one under the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamctl.results.figures import style

_HEADER = ("contrast", "estimate", "low", "high", "unit", "floored")
_WIDTH, _ROW, _REST = 3.6, 0.14, 0.42  # inches: of a picture, of a contrast's row, of axis and margins
_NOTHING = {"points": 0.0, "ratio": 1.0}  # no difference
_MOST = {"points": (-1000.0, 1000.0), "ratio": (0.1, 10.0)}  # of an axis: an interval may be wider than all scores
_LABELS = {"points": "difference of returns", "ratio": "ratio"}


def draw(answer: Mapping[str, Any], margins: Mapping[str, float], stem: Path) -> list[Path]:
    """Draw the numbers of an answer into STEM.png and .csv.

    Filled: the one that decides. Grey: the margin, which goes by unit; on the scale `ratio` it is a factor.
    """
    from matplotlib.figure import Figure

    style.apply()
    units = [unit for unit in _NOTHING if any(number["unit"] == unit for number in answer["numbers"])]
    of = {unit: [number for number in answer["numbers"] if number["unit"] == unit] for unit in units}
    heights = [_REST + _ROW * len(numbers) for numbers in of.values()]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(units), 1, squeeze=False, height_ratios=heights).flat
    for axis, (unit, numbers) in zip(axes, of.items(), strict=True):
        _rows(axis, unit, numbers, answer["decides"], margins.get(unit))
    rows = [
        (n["name"], *(n[key] for key in ("estimate", "low", "high")), n["unit"], "; ".join(n["floored"]))
        for n in answer["numbers"]
    ]
    return style.save(figure, stem, _HEADER, rows, ("png",))


def _rows(axis: Any, unit: str, numbers: Sequence[Mapping[str, Any]], decides: str, margin: float | None) -> None:
    nothing, (least, most) = _NOTHING[unit], _MOST[unit]
    known = [n for n in numbers if n["estimate"] is not None]
    band = ((1 / margin, margin) if unit == "ratio" else (-margin, margin)) if margin else ()
    ends = [end for n in known for end in (n["estimate"], n["low"], n["high"]) if end is not None] + [nothing, *band]
    low, high = max(least, min(ends)), min(most, max(ends))
    if unit == "ratio":
        axis.set_xscale("log")
        low, high = min(low, 0.8) / 1.1, max(high, 1.25) * 1.1
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    else:
        room = 0.05 * (high - low) or 1.0
        low, high = low - room, high + room
    if band:
        axis.axvspan(*band, color="#999999", alpha=0.2, linewidth=0)
    axis.axvline(nothing, color="#777777", linewidth=0.6)
    for place, number in enumerate(numbers):
        color = style.LOOKS["Dreamer"].color if number["name"] == decides else "#444444"
        if number["estimate"] is None:
            axis.text(nothing, -place, "runs are missing", color="#777777", ha="center", va="center")
            continue
        reach = (  # an end that is not known is beyond the edge
            low if number["low"] is None else number["low"],
            high if number["high"] is None else number["high"],
        )
        axis.plot(reach, (-place, -place), color=color, linewidth=1, solid_capstyle="butt")
        fill = color if number["name"] == decides else "white"
        axis.plot(number["estimate"], -place, "o", color=color, markersize=3.5, markerfacecolor=fill)
    names = [n["name"] + (" (floor)" if n["floored"] else "") for n in numbers]
    axis.set_yticks([-place for place in range(len(numbers))], names)
    axis.set(xlim=(low, high), ylim=(-len(numbers) + 0.4, 0.6), xlabel=_LABELS[unit])
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
