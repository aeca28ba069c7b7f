"""The control suite from pixels.

Rendering is most of an environment's price. Quality settings, all at the size of the image:
  exact    MuJoCo's own settings
  default  a shadow map of 256 and an offscreen buffer no larger than the image, 4 samples; not visible
  fast     no shadows, no reflections, for small presets
Never mix `mujoco.Renderer` with dm_control's contexts in one process: images come out wrong, silently.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from agent.config import Config
from agent.rendering import PACKAGES, RenderError, choose_backend
from agent.tasks import Task

_UNBOUNDED = 1e10  # how MuJoCo says that a control has no limit


class Suite:
    """A control-suite task as a `Simulator` (agent.environment)."""

    def __init__(self, task: Task, config: Config) -> None:
        backend = choose_backend()
        try:
            from dm_control import suite
        except ModuleNotFoundError:
            raise
        except ImportError as error:  # it opens the display when it is imported
            raise _failed(backend, error) from error
        self.env = suite.load(task.domain, task.task, task_kwargs={"random": 0})  # lqr draws its model when loaded
        spec = self.env.action_spec()
        self.low = np.where(spec.minimum <= -_UNBOUNDED, -1.0, spec.minimum)
        self.high = np.where(spec.maximum >= _UNBOUNDED, 1.0, spec.maximum)
        try:
            self.image = self._renderer(task.camera, config.image_size, config.render)
            self.image()
        except Exception as error:  # the GL bindings raise what they like
            raise _failed(backend, error) from error

    def reset(self, seed: int) -> None:
        """Start an episode."""
        self.env.task._random = np.random.RandomState(seed)
        self.env.reset()

    def step(self, action: np.ndarray) -> tuple[float, bool, bool]:
        """One environment step: reward, whether the episode has ended, whether its time is up."""
        step = self.env.step(action)
        return step.reward or 0.0, step.last() and step.discount == 0, step.last() and step.discount != 0

    def _renderer(self, camera: int, size: int, quality: str) -> Callable[[], np.ndarray]:
        """The function that draws the present state; MuJoCo reads the quality before its first image."""
        from dm_control.mujoco import engine

        physics = self.env.physics
        visual = physics.model.vis
        if quality != "exact":
            visual.quality.shadowsize = 256
            visual.quality.offsamples = 4
            visual.global_.offwidth = visual.global_.offheight = size
        flags = {"shadow": False, "reflection": False} if quality == "fast" else None
        eye = engine.Camera(physics, size, size, camera)  # kept: physics.render makes one, and a scene, for every image
        return lambda: eye.render(render_flag_overrides=flags).copy()


def _failed(backend: str, error: Exception) -> RenderError:
    loaded = getattr(sys.modules.get("dm_control._render"), "BACKEND", backend)
    if loaded != backend:  # a notebook that imports dm_control first; it is never imported anew
        return RenderError(f"dm_control was imported first and took {loaded}: set MUJOCO_GL={backend} before")
    cause = f"{type(error).__name__}: {error}"
    return RenderError(f"rendering with MUJOCO_GL={backend} failed ({cause}): install the Debian packages {PACKAGES}")
