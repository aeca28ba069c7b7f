"""Published scores: of Dreamer, its baselines and others, each with its source (data/published.csv)."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from dreamctl.results.curves import Curve

# The sources of final scores, by method: the tables of the paper's third version and the authors' baseline files.
_FINAL = {
    "dreamer": "paper-v3-table",
    "planet": "paper-v3-table",
    "d4pg": "paper-v3-table (Tassa et al. 2018)",
    "a3c": "paper-v3-table (Tassa et al. 2018)",
    "slac": "official-baselines-2021 (Lee et al. 2019)",
}
_CURVES = "official-scores-2021"


class Score(NamedTuple):
    """A mean return over seeds; env_steps, std and seeds are None where the source does not say."""

    task: str
    method: str
    env_steps: int | None
    mean: float
    std: float | None
    seeds: int | None
    source: str


@cache
def scores() -> tuple[Score, ...]:
    """All published scores."""
    text = files("dreamctl.results").joinpath("data/published.csv").read_text()
    return tuple(
        Score(
            row["task"],
            row["method"],
            int(row["env_steps"]) if row["env_steps"] else None,
            float(row["mean"]),
            float(row["std"]) if row["std"] else None,
            int(row["seeds"]) if row["seeds"] else None,
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def final(method: str) -> dict[str, float]:
    """{task: final score} of a method, for the tasks that it was published for."""
    return {s.task: s.mean for s in scores() if s.method == method and s.source == _FINAL.get(method)}


def curve(task: str) -> Curve:
    """The released Dreamer's curve (2021); five seeds, of some tasks fewer in the last third."""
    points = [s for s in scores() if s.task == task and s.source == _CURVES]
    points.sort(key=lambda score: score.env_steps or 0)
    return Curve(
        np.array([s.env_steps for s in points], np.int64),
        np.array([s.mean for s in points]),
        np.array([s.std for s in points]),
        np.array([s.seeds for s in points], np.int64),
    )
