"""Episodes played beside the updates: the same run as in turn, stopped anywhere, whatever dies."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from agent import collector, dreamer, replay, rollout, training
from agent.config import make
from tests.agent.test_training import CONFIG, TASK, Recorder, assert_same, parameters, train

OVERLAPPED = dataclasses.replace(CONFIG, overlap=2)


@pytest.fixture(scope="module")
def overlapped(tmp_path_factory):
    folder, recorder = tmp_path_factory.mktemp("overlapped"), Recorder()
    assert train(folder, recorder, config=OVERLAPPED) == "finished"
    assert multiprocessing.active_children() == []
    return folder, recorder


def test_overlapped_episodes_are_played_with_the_parameters_of_two_iterations_ago(overlapped, monkeypatch):
    """Held against a run in turn that takes the same batches and is shown the same episodes."""
    folder, recorder = overlapped
    run = training.Run(TASK, CONFIG, 5, folder, Recorder(), "cpu")
    past = [run.agent.vector()] * 3  # of two iterations ago, one, now
    actor = dreamer.Dreamer(CONFIG, run.environment.action_size, 5)
    run.replay.load(2)
    for index in range(2, 6):
        run.learn()
        actor.load_vector(past[-2])
        past = [*past[1:], run.agent.vector()]
        mine = training.training_episode(actor, run.environment, 5, index)
        path = folder / "episodes" / f"{index:06d}.npz"
        theirs = replay.unpacked(path.read_bytes(), path)
        assert np.array_equal(mine.images, theirs.images) and np.array_equal(mine.actions, theirs.actions)
        run.replay.load(index + 1)
    assert_same(run.agent.state_dict(), parameters(recorder.files[-1]))
    final = rollout.assess(run.agent, run.environment, 5, 240, 2)
    assert recorder.evaluations[240] == (final.returns, True)
    assert recorder.evaluations.keys() == {80, 160, 240} and recorder.predictions == [80, 160, 240]


def test_jobs_given_faster_than_taken_do_not_block(overlapped):
    """Neither a job nor a result fits into a pipe."""
    agent = dreamer.Dreamer(make("smoke", dict(OVERLAPPED.to_dict(), units=600, episode_length=400)), 1, 5)
    player = collector.Collector(TASK, agent.config, 5)
    try:
        for number in range(3):
            player.give(collector.Job(number, 2, agent.vector().numpy()))
        environment = training.Environment(training.tasks.get(TASK), agent.config)
        for number in range(3):
            found = player.take(lambda: None)
            assert found.returns == rollout.assess(agent, environment, 5, number, 2).returns
        assert not player.jobs and not player.ready
    finally:
        player.close()


def test_the_death_of_a_player_is_told(overlapped):
    agent = dreamer.Dreamer(OVERLAPPED, 1, 5)
    for seconds in (0, 10):  # perhaps while it is written to; surely before
        player = collector.Collector(TASK, OVERLAPPED, 5)
        player._process.kill()
        player._process.join(seconds)
        with pytest.raises(RuntimeError, match=r"plays episodes died \(exit code -9\)"):
            player.give(collector.Job(2, 0, agent.vector().numpy()))
            player.take(lambda: None)


PLAYING = f"""
from agent import collector, dreamer
from agent.config import make

if __name__ == "__main__":
    config = make("smoke")
    player = collector.Collector("{TASK}", config, 5)
    print(player._process.pid, flush=True)
    player.give(collector.Job(2, 100, dreamer.Dreamer(config, 1, 5).vector().numpy()))
    print("given", flush=True)
    player.take(lambda: None)
"""


def test_a_player_outlives_signals_but_not_its_run(tmp_path):
    """Ctrl-C reaches all processes of a terminal, at any time; kill -9 only the run."""
    (tmp_path / "run.py").write_text(PLAYING)
    environment = dict(os.environ, PYTHONPATH=os.getcwd())
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], stdout=subprocess.PIPE, text=True, env=environment)
    player = psutil.Process(int(run.stdout.readline()))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it has not begun to work yet
        player.send_signal(number)
    assert run.stdout.readline() == "given\n"
    time.sleep(1)
    assert player.is_running() and player.status() != psutil.STATUS_ZOMBIE
    run.kill()
    run.wait()
    player.wait(20)


class StopThere(Recorder):
    """Stops where training has come to these environment steps and updates."""

    def __init__(self, *there):
        super().__init__()
        self.there = there

    def progress(self, *here):
        if here == self.there:
            raise training.Stop


@pytest.fixture(scope="module")
def kept_players():
    """Players that outlive their runs, as starting one takes seconds; what it plays depends on its job alone."""
    idle = []

    class Kept(collector.Collector):
        def __new__(cls, *_):
            return idle.pop() if idle else super().__new__(cls)

        def __init__(self, *arguments):
            if not hasattr(self, "jobs"):
                super().__init__(*arguments)
            assert not self.jobs

        def close(self):
            while self.jobs:
                self.take(lambda: None)
            idle.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Collector", Kept)
        yield
    for player in idle:
        collector.Collector.close(player)


# between updates, with an evaluation on its way; later; while the final evaluation is waited for
@pytest.mark.parametrize("there", [(80, 3), (160, 9), (240, 14)])
def test_an_overlapped_run_resumes_bit_identical(overlapped, kept_players, tmp_path, monkeypatch, there):
    monkeypatch.setattr(collector, "_POLL", 0.001)
    whole = overlapped[1]
    first, second = StopThere(*there), Recorder()
    assert train(tmp_path, first, config=OVERLAPPED) == "stopped"
    assert train(tmp_path, second, resume=first.files[-1], config=OVERLAPPED) == "finished"
    assert_same(parameters((first.files + second.files)[-1]), parameters(whole.files[-1]))
    assert first.values | second.values == whole.values
    assert first.evaluations | second.evaluations == whole.evaluations
