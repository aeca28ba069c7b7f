"""Control-suite tasks from pixels (Section 6): action repeat, [S, S, 3] uint8 images, episodes seeded one by one.

Rendering is most of an environment's price. Quality settings, all at the size of the image:
  exact    MuJoCo's own settings
  default  a shadow map of 256 and an offscreen buffer no larger than the image, 4 samples; not visible
  fast     no shadows, no reflections, for small presets
Never mix `mujoco.Renderer` with dm_control's contexts in one process: images come out wrong, silently.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.config import Config, make
from agent.rendering import PACKAGES, RenderError, choose_backend
from agent.tasks import TASKS, Task


def _failed(backend: str, error: Exception) -> RenderError:
    cause = f"{type(error).__name__}: {error}"
    return RenderError(f"rendering with MUJOCO_GL={backend} failed ({cause}): install the Debian packages {PACKAGES}")


class Environment:
    """One task. `reset(seed)` begins an episode that depends on nothing but the seed; `step` takes one decision."""

    def __init__(self, task: Task, config: Config) -> None:
        backend = choose_backend()
        try:
            from dm_control import suite
        except ModuleNotFoundError:
            raise
        except ImportError as error:  # it opens the display when it is imported
            raise _failed(backend, error) from error
        self.config = config
        self._env = suite.load(task.domain, task.task)
        spec = self._env.action_spec()
        if spec.shape != (task.action_size,):
            raise ValueError(f"{task.name} takes {spec.shape} actions, not ({task.action_size},)")
        self._centre = (spec.maximum + spec.minimum) / 2  # 0 and 1 but for the quadruped
        self._scale = (spec.maximum - spec.minimum) / 2
        try:
            self._render = self._renderer(task.camera)
            self._render()
        except Exception as error:  # the GL bindings raise what they like
            raise _failed(backend, error) from error
        self._decisions = 0

    def reset(self, seed: int) -> np.ndarray:
        """Start an episode; seed below 2^32. Returns the first image, [S, S, 3] uint8."""
        self._env.task._random = np.random.RandomState(seed)
        self._env.reset()
        self._decisions = 0
        return self._render()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Hold an action [A] in [-1, 1], stretched to the task's bounds, for `action_repeat` environment steps.

        Returns the image, the sum of the rewards and whether the episode is over.
        """
        action = self._centre + self._scale * action
        reward = 0.0
        for _ in range(self.config.action_repeat):
            reward += self._env.step(action).reward or 0.0
        self._decisions += 1
        return self._render(), reward, self._decisions == self.config.decisions

    def _renderer(self, camera: int) -> Callable[[], np.ndarray]:
        """The function that draws the present state; MuJoCo reads the quality before its first image."""
        size, quality = self.config.image_size, self.config.render
        physics = self._env.physics
        visual = physics.model.vis
        if quality != "exact":
            visual.quality.shadowsize = 256
            visual.quality.offsamples = 4
            visual.global_.offwidth = visual.global_.offheight = size
        flags = {"shadow": False, "reflection": False} if quality == "fast" else None
        return lambda: physics.render(size, size, camera_id=camera, render_flag_overrides=flags).copy()


def main() -> None:
    """`python -m agent.environment`: whether images can be rendered here, by the exit code."""
    environment = Environment(TASKS["pendulum_swingup"], make("smoke"))
    environment.reset(0)
    for _ in range(20):
        environment.step(np.zeros(1))


if __name__ == "__main__":
    main()
