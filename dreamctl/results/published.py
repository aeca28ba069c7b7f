"""Published scores: of Dreamer, its baselines and others, each with its source (data/published.csv)."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# The sources of final scores, by method: the tables of the paper's third version and the authors' baseline files.
_FINAL = {
    "dreamer": "paper-v3-table",
    "planet": "paper-v3-table",
    "d4pg": "paper-v3-table (Tassa et al. 2018)",
    "a3c": "paper-v3-table (Tassa et al. 2018)",
    "slac": "official-baselines-2021 (Lee et al. 2019)",
}
_CURVES = "official-scores-2021"
_HORIZONS = "paper-v3-figure4 (read off, +-15)"


class Score(NamedTuple):
    """A mean return; env_steps and horizon are None where the source does not say."""

    task: str
    method: str
    horizon: int | None
    env_steps: int | None
    mean: float
    source: str


@cache
def scores() -> tuple[Score, ...]:
    """All published scores."""
    text = files("dreamctl.results").joinpath("data/published.csv").read_text()
    return tuple(
        Score(
            row["task"],
            row["method"],
            int(row["horizon"]) if row["horizon"] else None,
            int(row["env_steps"]) if row["env_steps"] else None,
            float(row["mean"]),
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def final(method: str) -> dict[str, float]:
    """{task: final score} of a method, for the tasks that it was published for."""
    return {s.task: s.mean for s in scores() if s.method == method and s.source == _FINAL.get(method)}


def curve(task: str) -> tuple[list[int], list[float]]:
    """Environment steps and mean returns of the released Dreamer's curve (2021, five seeds)."""
    points = sorted((s.env_steps or 0, s.mean) for s in scores() if s.task == task and s.source == _CURVES)
    return [step for step, _ in points], [mean for _, mean in points]


def horizons(task: str, method: str) -> tuple[list[int], list[float]]:
    """Imagination horizons and final scores of Figure 4, read off the picture."""
    points = sorted(
        (s.horizon or 0, s.mean) for s in scores() if (s.task, s.method, s.source) == (task, method, _HORIZONS)
    )
    return [horizon for horizon, _ in points], [mean for _, mean in points]
