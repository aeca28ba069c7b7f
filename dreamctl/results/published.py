"""Published scores of Dreamer, its baselines and other methods, each with version, steps, inputs and source.

The numbers are in data/published.csv. The submission gives only means over tasks; scores by task come from the
camera-ready, whose training lengths differ.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results.curves import Curve

SUBMISSION, CAMERA_READY = "submission", "camera-ready"
RELEASED = "released code, 2021"  # source of the curves, not a version of the paper
VERSIONS = (SUBMISSION, CAMERA_READY)
_MEAN = "mean"  # stands for the task of a mean over tasks
_TASSA = "paper-v3-table (Tassa et al. 2018)"

# Sources of the final scores by task: the camera-ready's tables and the authors' baseline files. The scores of D4PG and
# A3C are from Tassa et al., whom both versions cite.
_FINAL = {
    "dreamer": "paper-v3-table",
    "planet": "paper-v3-table",
    "d4pg": _TASSA,
    "a3c": _TASSA,
    "slac": "official-baselines-2021 (Lee et al. 2019)",
}
_BOTH = ("d4pg", "a3c", "slac")  # methods whose scores are the same in both versions
_STEPS = {"d4pg": 1_000_000_000, "a3c": None}  # environment steps according to the submission; it gives none for A3C
_INPUTS = {"a3c": "states"}  # the others see pixels
CURVES = "official-scores-2021"
_NAMES = {"dreamer": "Dreamer", "planet": "PlaNet", "d4pg": "D4PG", "a3c": "A3C", "slac": "SLAC"}


class Score(NamedTuple):
    """A mean return over seeds; env_steps, std and seeds are None if the source does not give them."""

    task: str
    method: str
    env_steps: int | None
    mean: float
    std: float | None
    seeds: int | None
    source: str
    version: str = CAMERA_READY

    @property
    def inputs(self) -> str:
        """What the method observes: pixels or states."""
        return _INPUTS.get(self.method, "pixels")

    @property
    def origin(self) -> str:
        """Version, steps, inputs and source, in words."""
        steps = "unknown steps" if self.env_steps is None else f"{power(self.env_steps)} environment steps"
        return f"{self.version}, {steps}, from {self.inputs} ({self.source})"

    @property
    def label(self) -> str:
        """For a legend: the method with its steps and inputs."""
        steps = [] if self.env_steps is None else [power(self.env_steps)]
        return f"{self.name} ({', '.join([*steps, self.inputs])})"

    @property
    def name(self) -> str:
        """The method's name."""
        return _NAMES[self.method]


def power(steps: int) -> str:
    """Environment steps as in a legend: 1e8, 2.5e6."""
    digits, exponent = f"{steps:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


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
            SUBMISSION if row["source"].startswith("submission") else CAMERA_READY,
        )
        for row in csv.DictReader(text.splitlines())
    )


def final(method: str, version: str = CAMERA_READY) -> dict[str, Score]:
    """{task: final score} of a method in a version of the paper; empty if it has none by task. Raises `BadInput`."""
    check(version)
    if version == SUBMISSION and method not in _BOTH:
        return {}
    found = {s.task: s for s in scores() if s.method == method and s.source == _FINAL.get(method)}
    if version == CAMERA_READY:
        return found
    return {task: s._replace(version=version, env_steps=_STEPS.get(method, s.env_steps)) for task, s in found.items()}


def average(method: str, version: str = CAMERA_READY) -> Score | None:
    """A method's mean over tasks: as stated in the submission, or computed from the camera-ready's scores by task."""
    by_task = final(method, version)
    if version == SUBMISSION:
        stated = [s for s in scores() if (s.task, s.method, s.version) == (_MEAN, method, SUBMISSION)]
        if stated:
            return stated[0]
    if not by_task:
        return None
    first = next(iter(by_task.values()))
    return first._replace(task=_MEAN, mean=float(np.mean([s.mean for s in by_task.values()])), std=None)


def curve(task: str) -> Curve:
    """The curve of the released Dreamer (2021): five seeds, on some tasks fewer in the last third."""
    points = [s for s in scores() if s.task == task and s.source == CURVES]
    points.sort(key=lambda score: score.env_steps or 0)
    return Curve(
        np.array([s.env_steps for s in points], np.int64),
        np.array([s.mean for s in points]),
        np.array([s.std for s in points]),
        np.array([s.seeds for s in points], np.int64),
    )


def at(task: str, env_steps: int) -> Score | None:
    """The released Dreamer's score at an environment step, interpolated on its curve; None outside the curve."""
    points = curve(task)
    if not len(points.steps) or not points.steps[0] <= env_steps <= points.steps[-1]:
        return None
    mean, std = (float(np.interp(env_steps, points.steps, values)) for values in (points.mean, points.std))
    seeds = int(points.seeds[np.searchsorted(points.steps, env_steps)])
    return Score(task, "dreamer", env_steps, mean, std, seeds, CURVES, RELEASED)


def check(version: str) -> None:
    """Raises `BadInput` if `version` is not one of `VERSIONS`."""
    if version not in VERSIONS:
        raise BadInput(f"--version is {' or '.join(VERSIONS)}, not {version!r}")
