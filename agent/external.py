"""Custom environments, by Gymnasium's interface (docs/environments.md); Gymnasium itself is not needed.

Images [H, W, 3] uint8 of any size, bounded continuous actions, and episodes that depend on their seed alone.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import numpy as np

from agent.config import Config
from agent.tasks import Task


class EnvironmentProblem(ValueError):
    """A custom environment that cannot be used; the message is one line that says what to do."""


class External:
    """What the factory of a task makes, as a `Simulator` (agent.environment)."""

    def __init__(self, task: Task, config: Config) -> None:
        self.name, self.size = task.name, config.image_size
        self.env = _load(task.factory)()
        observations, actions = (getattr(self.env, f"{kind}_space", None) for kind in ("observation", "action"))
        shape: tuple[int, ...] = getattr(observations, "shape", None) or ()
        if len(shape) != 3 or shape[2] != 3 or getattr(observations, "dtype", None) != np.uint8:
            raise self._problem(f"must observe images, a Box [H, W, 3] of uint8, not {observations}")
        low, high = (np.asarray(getattr(actions, side, np.nan), np.float64) for side in ("low", "high"))
        if low.ndim != 1 or low.shape != high.shape or not np.isfinite([low, high]).all() or not (low < high).all():
            raise self._problem(f"must take continuous actions, a Box [A] with finite bounds, not {actions}")
        self.low, self.high, self.kind = low, high, actions.dtype  # type: ignore[union-attr]
        self._last = np.zeros(shape, np.uint8)

    def reset(self, seed: int) -> None:
        """Start an episode."""
        self._observe(self.env.reset(seed=seed)[0])

    def step(self, action: np.ndarray) -> tuple[float, bool, bool]:
        """One environment step: reward, whether the episode has ended, whether its time is up."""
        image, reward, terminated, truncated, _ = self.env.step(action.astype(self.kind))
        self._observe(image)
        return float(reward), bool(terminated), bool(truncated) and not terminated

    def image(self) -> np.ndarray:
        """The last observation, [S, S, 3] uint8: averaged over the area of each pixel."""
        if self._last.shape[:2] == (self.size, self.size):
            return self._last.copy()
        rows, columns = (_areas(length, self.size) for length in self._last.shape[:2])
        return np.einsum("sh,hwc,tw->stc", rows, self._last, columns, optimize=True).round().astype(np.uint8)

    def _observe(self, image: Any) -> None:
        image = np.asarray(image)
        if image.shape != self._last.shape or image.dtype != np.uint8:
            raise self._problem(f"gave {image.dtype} {image.shape}, not the images of its observation_space")
        self._last = image.copy()

    def _problem(self, what: str) -> EnvironmentProblem:
        return EnvironmentProblem(f"environment {self.name} {what} (docs/environments.md)")


def _load(factory: str) -> Any:
    """What "module:callable" names; modules are looked for in the working directory, too."""
    module, _, attribute = factory.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        hint = "install it, set PYTHONPATH, or start dreamctl in its folder"
        raise EnvironmentProblem(f"no module {error.name!r} for the environment {factory}: {hint}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise EnvironmentProblem(f"{module} has no {attribute!r} for the environment {factory}")
        found = getattr(found, part)
    return found


def _areas(length: int, size: int) -> np.ndarray:
    """[size, length] weights: how much of each of `length` pixels lies in each of `size` equal parts; rows sum to 1."""
    edges, pixels = np.linspace(0, length, size + 1), np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return overlap.clip(0) * size / length
