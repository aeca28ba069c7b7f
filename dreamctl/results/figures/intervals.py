"""Groups compared: IQM with its interval, and performance profiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamctl.results import statistics
from dreamctl.results.comparison import SCALE, Group, scaled
from dreamctl.results.figures import style


def draw(groups: Sequence[Group], stem: Path) -> list[Path]:
    """Draw groups into STEM.png, .pdf and .csv: on the left the IQM, on the right the share of runs above a score."""
    from matplotlib.figure import Figure

    style.apply()
    figure = Figure(figsize=(style.WIDTH, 0.9 + 0.25 * max(3, len(groups))), layout="constrained")
    left, right = figure.subplots(1, 2)
    looks = style.looks([group.name for group in groups])
    thresholds = np.linspace(0, 1, 101)
    rows: list[tuple[Any, ...]] = []
    groups = [group for group in groups if group.iqm is not None]  # of what was published there are no single runs
    for place, group in enumerate(groups):
        assert group.iqm is not None
        color = looks[group.name].color
        low, high = group.interval or (group.iqm, group.iqm)
        left.barh(-place, high - low, left=low, height=0.6, color=color, alpha=0.4, linewidth=0)
        left.plot([group.iqm, group.iqm], [-place - 0.3, -place + 0.3], color=color, linewidth=1.5)
        rows.append(("iqm", group.name, "", group.iqm, low, high))
        shares = statistics.profile(scaled(group.scores), thresholds)
        right.step(thresholds * SCALE, shares, where="post", color=color, linewidth=1.2, label=group.name)
        rows += [("profile", group.name, t * SCALE, s, "", "") for t, s in zip(thresholds, shares, strict=True)]
    left.set_yticks([-place for place in range(len(groups))], [group.name for group in groups])
    left.set_xlim(0, 1)
    left.set_xlabel("IQM of scores / 1000 (95 % interval)")
    right.set_xlabel("Episode Return")
    right.set_ylabel("Share of runs above")
    right.set_ylim(0, 1.02)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    style.legend(figure, [right])
    return style.save(figure, stem, ("what", "group", "score", "value", "low", "high"), rows)
