"""Environments of one's own, from their page alone: trained, killed and resumed; what is wrong is one line."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agent.config import make
from agent.divergence import Diverged
from agent.environment import Environment, EnvironmentProblem
from agent.external import _areas
from agent.rollout import play
from agent.tasks import get
from dreamctl.store import open_store
from tests.dreamctl.conftest import QUICK, cli

PAGE = Path(__file__).parents[2] / "docs" / "environments.md"
REACH = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S).group(1)
SETTINGS = [part for item in QUICK for part in ("--set", item)]


def program(*arguments):
    """`dreamctl` as a script has it: the working directory is not where modules are looked for."""
    code = "import sys; sys.path[:] = [p for p in sys.path if p]; from dreamctl.cli import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the page's reach.py in it."""
    (tmp_path / "reach.py").write_text(REACH)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("reach", None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def results(store, run):
    names = [name for name in store.last_scalars(run.id) if not name.startswith("time/")]
    return {name: [(p.step, p.value) for p in store.scalars(run.id, name)] for name in names}


def test_the_page_alone_trains_a_run_that_is_killed_and_resumed_bit_for_bit(folder):
    whole, killed = folder / "whole", folder / "killed"
    longer = ("--set", "steps=480", "--set", "updates=30")  # than a kill takes to come
    command = ("run", "reach:Reach", "--preset", "smoke", *SETTINGS, *longer)
    done = subprocess.run(program(*command, "--home", whole), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    store = open_store(whole)
    (run,) = store.runs()
    assert (run.name, run.task, run.status) == ("reach.Reach-dreamer-s0", "reach:Reach", "finished")
    assert run.packages["reach"].startswith("sha256 ") and run.score is not None
    assert cli("eval", run.name, "--episodes", "1", home=whole).returncode == 0

    process = subprocess.Popen(program(*command, "--home", killed), stdout=subprocess.DEVNULL)
    other = open_store(killed)
    while not ((runs := other.runs()) and other.checkpoints(runs[0].id) and runs[0].pid):
        assert process.poll() is None
        time.sleep(0.05)
        other = open_store(killed)
    os.kill(runs[0].pid, signal.SIGKILL)
    process.wait()
    resumed = subprocess.run(
        program("run", "--resume", run.name, "--home", killed), capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert other.runs()[0].attempt == 2
    assert results(other, other.runs()[0]) == results(store, run)


def test_a_sweep_takes_it_among_the_suites_tasks(folder):
    listed = subprocess.run(
        program("sweep", "--tasks", "reach:Reach,cup_catch", "--preset", "smoke", "--dry-run", "--home", folder / "h"),
        capture_output=True,
        text=True,
    )
    assert "reach:Reach" in listed.stdout and "ball_in_cup_catch" in listed.stdout


def test_a_name_of_an_entry_point(folder, monkeypatch):
    package = folder / "reach-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: reach\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[dreamctl.environments]\nreach_dot = reach:Reach\n")
    monkeypatch.syspath_prepend(str(folder))
    task = get("reach_dot")
    assert (task.name, task.factory) == ("reach_dot", "reach:Reach")
    assert Environment(task, make("smoke")).reset(0).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return self.image(), {}", "return self.image() + np.random.randint(99), {}"), "two different episodes"),
        (("(48, 48, 3), np.uint8", "(48,), np.float32"), "must observe images"),
        (("Box(-1, 1, (2,)", "Box(-np.inf, 1, (2,)"), "continuous actions, a Box [A] with finite bounds"),
        (("def image", "def __init__(self, size):\n        pass\n\n    def image"), "missing 1 required positional"),
        (("class Reach", "class Rich"), "reach has no 'Reach'"),
        (("import numpy as np", "import nonesuch"), "No module named 'nonesuch'"),
    ],
)
def test_what_is_wrong_with_an_environment_is_one_line_before_anything_is_stored(folder, change, message):
    assert change[0] in REACH
    (folder / "reach.py").write_text(REACH.replace(*change))
    done = subprocess.run(
        program("run", "reach:Reach", "--preset", "smoke", "--home", "h"), capture_output=True, text=True
    )
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (folder / "h").exists()


def test_a_module_that_is_nowhere_is_one_line(tmp_path):
    done = cli("run", "nowhere:Env", home=tmp_path / "h")
    assert done.returncode == 2 and "no module 'nowhere'" in done.stderr and len(done.stderr.splitlines()) == 1


class Ending:
    """Ends after 5 environment steps: by its nature, or because its time is up."""

    def __init__(self, terminated, reward=1.0):
        from types import SimpleNamespace

        self.observation_space = SimpleNamespace(shape=(32, 32, 3), dtype=np.dtype(np.uint8))
        self.action_space = SimpleNamespace(low=-np.ones(1), high=3 * np.ones(1), dtype=np.dtype(np.float32))
        self.terminated, self.reward, self.actions = terminated, reward, []

    def reset(self, seed=None):
        self.count = 0
        return np.zeros((32, 32, 3), np.uint8), {}

    def step(self, action):
        self.count += 1
        self.actions.append(action)
        assert self.count <= 5, "went on after its end"
        ends = self.count == 5
        return np.full((32, 32, 3), self.count, np.uint8), self.reward, ends and self.terminated, ends, {}


@pytest.fixture
def ending(monkeypatch):
    def make_environment(terminated, reward=1.0, **settings):
        monkeypatch.setattr("agent.external._load", lambda factory: lambda: Ending(terminated, reward))
        return Environment(get("any:thing"), make("smoke", dict(episode_length=20, batch_length=3) | settings))

    return make_environment


def test_an_episode_that_ends_stays_as_it_is_and_earns_nothing_more(ending):
    environment = ending(True)
    environment.reset(0)
    steps = [environment.step(np.array([0.5], np.float32)) for _ in range(5)]
    assert [reward for _, reward, _ in steps] == [4, 1, 0, 0, 0]
    assert [int(image.max()) for image, _, _ in steps] == [4, 5, 5, 5, 5]
    assert [done for *_, done in steps] == [False] * 4 + [True]
    assert {(float(a[0]), a.dtype) for a in environment.simulator.env.actions} == {(2.0, np.dtype(np.float32))}


def test_an_episode_that_is_cut_off_names_the_setting(ending):
    environment = ending(False)
    environment.reset(0)
    environment.step(np.zeros(1))
    with pytest.raises(EnvironmentProblem, match="after 5 steps: --set episode_length=5"):
        environment.step(np.zeros(1))


@pytest.mark.parametrize("reward", [np.nan, -np.inf, 1e39])
def test_a_reward_that_is_not_finite_is_the_environments_fault(ending, reward):
    """And not the method's, whose runs would count as diverged. Replay holds float32, in which 1e39 is infinite."""
    environment = ending(True, reward)
    environment.reset(0)
    with pytest.raises(EnvironmentProblem, match="gave a reward of .*: it must be finite"):
        environment.step(np.zeros(1))


def test_an_action_that_is_not_finite_is_the_methods_fault(ending):
    """It never reaches the simulator, which would say that its physics are broken."""
    environment = ending(True)
    with pytest.raises(Diverged, match="an action is nan"):
        play(environment, lambda image: np.array([np.nan], np.float32), 0, 1, lambda: None)
    assert environment.simulator.env.actions == []


@pytest.mark.parametrize("length", [32, 64, 48, 96, 20])
def test_images_are_averaged_by_area(length):
    """Held against a plain sum over a grid fine enough that every pixel of both sizes is a whole number of cells."""
    size = 32
    values = np.random.default_rng(0).random(length)
    fine = np.repeat(values, size).reshape(size, length).mean(axis=1)
    assert np.allclose(_areas(length, size) @ values, fine)
