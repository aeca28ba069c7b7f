"""The control suite from pixels."""

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest

from agent import rendering
from agent.config import make
from agent.environment import Environment
from agent.tasks import MORE, TASKS, get

CONFIG = make("smoke", dict(episode_length=40, action_repeat=4, batch_length=8))


def roll(environment, seed, decisions=5):
    """Images and rewards of an episode with fixed actions."""
    frames, rewards = [environment.reset(seed)], []
    rng = np.random.default_rng(0)
    for _ in range(decisions):
        image, reward, done = environment.step(rng.uniform(-1, 1, environment.action_size))
        frames.append(image)
        rewards.append(reward)
    return np.stack(frames), rewards


OTHERS = ["lqr_lqr_2_1", "fish_swim", "point_mass_easy"]


@pytest.mark.parametrize(
    "name", [*TASKS, *OTHERS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE if name not in OTHERS)]
)
def test_an_episode_depends_on_its_seed_alone(name):
    """Every task: shape and type; the same seed gives the same episode whatever was played before, in any process.

    And the camera that is kept draws what a new one does.
    """
    environment = Environment(get(name), CONFIG)
    frames, rewards = roll(environment, 1)
    assert frames.dtype == np.uint8 and frames.shape[1:] == (32, 32, 3)
    assert frames.std() > 1
    roll(environment, 2)
    # lqr draws its model anew whenever it is loaded
    for world in (environment, Environment(get(name), CONFIG)) if name in MORE else (environment,):
        again, rewards_again = roll(world, 1)
        assert np.array_equal(frames, again) and rewards == rewards_again
        flags = {"shadow": False, "reflection": False}  # of quality `fast`
        render, camera = world.simulator.env.physics.render, get(name).camera
        assert np.array_equal(again[-1], render(32, 32, camera_id=camera, render_flag_overrides=flags))


def test_seeds_give_different_starts():
    environment = Environment(TASKS["pendulum_swingup"], CONFIG)
    assert not np.array_equal(environment.reset(1), environment.reset(2))


def test_the_quadruped_is_seen_by_its_third_camera():
    environment = Environment(TASKS["quadruped_walk"], CONFIG)
    image, render = environment.reset(0), environment.simulator.env.physics.render
    flags = {"shadow": False, "reflection": False}  # of quality `fast`
    seen = [render(32, 32, camera_id=camera, render_flag_overrides=flags) for camera in (0, 2)]
    assert np.array_equal(image, seen[1]) and not np.array_equal(image, seen[0])


def test_actions_are_stretched_to_the_bounds_of_the_task():
    environment = Environment(TASKS["quadruped_walk"], CONFIG)
    environment.reset(0)
    environment.step(np.ones(12))
    assert np.array_equal(environment.simulator.env.physics.control(), environment.simulator.env.action_spec().maximum)
    environment.step(-np.ones(12))
    assert np.array_equal(environment.simulator.env.physics.control(), environment.simulator.env.action_spec().minimum)


def test_action_repeat_sums_rewards_of_the_plain_suite():
    rendering.choose_backend()
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
    assert environment.simulator.env._step_count == 1000


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
        "from agent import rendering\n"
        "try: rendering.choose_backend()\n"
        "except rendering.RenderError as error: print(error)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "libegl1" in done.stdout and "libosmesa6" in done.stdout and done.stdout.count("\n") == 1


def test_dm_control_imported_too_soon_is_told():
    """Where no display is, GLFW is what an import without MUJOCO_GL takes; images cannot be drawn with it."""
    code = (
        "from dm_control import suite\n"
        "from agent import config, environment, rendering, tasks\n"
        "try: environment.Environment(tasks.TASKS['walker_walk'], config.make('smoke'))\n"
        "except rendering.RenderError as error: print(error)\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "dm_control was imported first and took glfw: set MUJOCO_GL=egl before\n"


def test_the_first_way_that_several_renderers_manage_is_taken(capsys):
    """By real processes: no GPU has this number, Mesa's EGL works."""
    broken, works = {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "999"}, {"MUJOCO_GL": "egl"}
    assert rendering.first_that_renders([broken, works], processes=2) == works
    assert "cannot render with MUJOCO_GL=egl MUJOCO_EGL_DEVICE_ID=999: " in capsys.readouterr().err
    with pytest.raises(rendering.RenderError, match="DEVICE_ID must be an integer .*install the Debian packages"):
        rendering.first_that_renders([broken], processes=1)


def test_renderers_that_hang_are_ended():
    before = psutil.Process().children()
    with pytest.raises(rendering.RenderError, match="3 renderers at once did not end in 0.01 s"):
        rendering.first_that_renders([{"MUJOCO_GL": "egl"}], processes=3, patience=0.01)
    assert psutil.Process().children() == before


def test_a_gpu_draws_for_its_own_run():
    egl = {"MUJOCO_GL": "egl"}
    assert rendering.ways("cuda:0", {"CUDA_VISIBLE_DEVICES": "3"})[:2] == [egl | {"MUJOCO_EGL_DEVICE_ID": "3"}, egl]
    assert rendering.ways("cuda:1", {})[0] == egl | {"MUJOCO_EGL_DEVICE_ID": "1"}
    assert rendering.ways("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-abc"})[0] == egl
    assert rendering.ways("cuda:0", {"MUJOCO_GL": "osmesa"}) == [{"MUJOCO_GL": "osmesa"}]
    chosen = rendering.ways("cuda:0", {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "2"})
    assert all(way.get("MUJOCO_EGL_DEVICE_ID", "2") == "2" and way["MUJOCO_GL"] == "egl" for way in chosen)
