"""The control suite from pixels."""

import os
import subprocess
import sys

import numpy as np
import pytest

from agent.config import make
from agent.environment import Environment
from agent.tasks import TASKS

CONFIG = make("smoke", dict(episode_length=40, action_repeat=4, batch_length=8))


def roll(environment, seed, decisions=5):
    """Images and rewards of an episode with fixed actions."""
    frames, rewards = [environment.reset(seed)], []
    rng = np.random.default_rng(0)
    size = environment._env.action_spec().shape[0]
    for _ in range(decisions):
        image, reward, done = environment.step(rng.uniform(-1, 1, size))
        frames.append(image)
        rewards.append(reward)
    return np.stack(frames), rewards


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_depends_on_its_seed_alone(name):
    """Every task: shape and type; the same seed gives the same episode whatever was played before."""
    environment = Environment(TASKS[name], CONFIG)
    frames, rewards = roll(environment, 1)
    assert frames.dtype == np.uint8 and frames.shape[1:] == (32, 32, 3)
    assert frames.std() > 1
    roll(environment, 2)
    again, rewards_again = roll(environment, 1)
    assert np.array_equal(frames, again) and rewards == rewards_again


def test_seeds_give_different_starts():
    environment = Environment(TASKS["pendulum_swingup"], CONFIG)
    assert not np.array_equal(environment.reset(1), environment.reset(2))


def test_actions_are_stretched_to_the_bounds_of_the_task():
    environment = Environment(TASKS["quadruped_walk"], CONFIG)
    environment.reset(0)
    environment.step(np.ones(12))
    assert np.array_equal(environment._env.physics.control(), environment._env.action_spec().maximum)
    environment.step(-np.ones(12))
    assert np.array_equal(environment._env.physics.control(), environment._env.action_spec().minimum)


def test_action_repeat_sums_rewards_of_the_plain_suite():
    from dm_control import suite

    environment = Environment(TASKS["cartpole_balance"], CONFIG)
    environment.reset(3)
    plain = suite.load("cartpole", "balance")
    plain.task._random = np.random.RandomState(3)
    plain.reset()
    for decision in range(10):
        action = np.array([np.sin(decision)])
        _, reward, done = environment.step(action)
        assert reward == sum(plain.step(action).reward for _ in range(4))
        assert done == (decision == 9)


def test_a_whole_episode_is_1000_environment_steps():
    config = make("smoke", dict(action_repeat=8))
    environment = Environment(TASKS["walker_stand"], config)
    environment.reset(0)
    steps, done = 0, False
    while not done:
        _, _, done = environment.step(np.zeros(6))
        steps += 8
    assert steps == 1000
    assert environment._env._step_count == 1000


@pytest.mark.parametrize("quality", ["default", "fast"])
def test_render_qualities_stay_close_to_exact(quality):
    limit = {"default": 0.1, "fast": 12.0}[quality]
    frames = [
        roll(Environment(TASKS["walker_walk"], make("smoke", dict(render=q, image_size=64))), 0)[0].astype(float)
        for q in ("exact", quality)
    ]
    assert 0 < np.abs(frames[0] - frames[1]).mean() < limit


def test_a_missing_gl_library_is_named():
    """In a process that cannot load EGL or OSMesa the error says which Debian packages to install."""
    code = (
        "import ctypes\n"
        "def fail(name, *a, **k): raise OSError(name)\n"
        "ctypes.CDLL = fail\n"
        "from agent import environment\n"
        "try: environment.choose_backend()\n"
        "except environment.RenderError as error: print(error)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "libegl1" in done.stdout and "libosmesa6" in done.stdout and done.stdout.count("\n") == 1
