"""Environments from pixels (Section 5): action repeat, [S, S, 3] uint8 images, episodes seeded one by one."""

from __future__ import annotations

import sys
from typing import Protocol

import numpy as np

from agent.config import Config, make
from agent.external import EnvironmentProblem, External
from agent.rendering import RenderError
from agent.suite import Suite
from agent.tasks import Task, get

_LARGEST = float(np.finfo(np.float32).max)  # replay holds rewards as float32


class Simulator(Protocol):
    """What an environment is made of. low, high: the bounds of an action, [A]."""

    low: np.ndarray
    high: np.ndarray

    def reset(self, seed: int) -> None:
        """Start an episode that depends on nothing but the seed."""

    def step(self, action: np.ndarray) -> tuple[float, bool, bool]:
        """One environment step: reward, whether the episode has ended, whether its time is up."""

    def image(self) -> np.ndarray:
        """The present state, [S, S, 3] uint8."""


class Environment:
    """One task. `reset(seed)` begins an episode; `step` takes one decision.

    All episodes last `episode_length` environment steps. One that comes to its end before that stays as it is and
    earns nothing more, so that the value of an end is zero without a model of ends.
    """

    def __init__(self, task: Task, config: Config) -> None:
        self.task, self.config = task, config
        self.simulator: Simulator = External(task, config) if task.factory else Suite(task, config)
        self._centre = (self.simulator.high + self.simulator.low) / 2  # 0 and 1 for most of the suite
        self._scale = (self.simulator.high - self.simulator.low) / 2
        self._steps = 0
        self._over = False

    @property
    def action_size(self) -> int:
        """The number of continuous actions (A)."""
        return len(self._scale)

    def reset(self, seed: int) -> np.ndarray:
        """Start an episode; seed below 2^32. Returns the first image, [S, S, 3] uint8."""
        self.simulator.reset(seed)
        self._steps, self._over = 0, False
        return self.simulator.image()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Hold an action [A] in [-1, 1], stretched to the task's bounds, for `action_repeat` environment steps.

        Returns the image, the sum of the rewards and whether the episode is over. Raises `EnvironmentProblem` when
        the environment's own time is up before that, and for a reward that is not finite.
        """
        action = self._centre + self._scale * action
        total = 0.0
        for _ in range(self.config.action_repeat):
            self._steps += 1
            if self._over:
                continue
            reward, self._over, late = self.simulator.step(action)
            total += reward
            if not abs(total) <= _LARGEST:
                raise EnvironmentProblem(f"environment {self.task.name} gave a reward of {reward}: it must be finite")
            if late and self._steps < self.config.episode_length:
                raise EnvironmentProblem(
                    f"environment {self.task.name} cut its episode off after {self._steps} steps: "
                    f"--set episode_length={self._steps}"
                )
        return self.simulator.image(), total, self._steps == self.config.episode_length


def check(task: Task) -> None:
    """Load an environment and play a few steps. Raises `EnvironmentProblem`, `RenderError`, or what it raises."""
    environment = Environment(task, make("smoke"))
    decisions = 1 if task.factory else 20

    def begin() -> list[np.ndarray]:
        image = environment.reset(0)
        return [image, *(environment.step(np.ones(environment.action_size))[0] for _ in range(decisions))]

    if not np.array_equal(begin(), begin()):
        raise EnvironmentProblem(
            f"environment {task.name} plays two different episodes from one seed: an episode must depend on its seed "
            "and the actions alone, or no run could be repeated or resumed (docs/environments.md)"
        )


def main() -> None:
    """`python -m agent.environment [TASK]`: whether a task can be played here, by the exit code and a line on stderr.

    Without a task, of the suite: whether images can be rendered.
    """
    try:
        check(get(sys.argv[1] if len(sys.argv) > 1 else "pendulum_swingup"))
    except (EnvironmentProblem, RenderError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
