"""Random numbers: the same key gives the same, another seed other ones, everywhere."""

import numpy as np
import pytest
import torch

from agent import rollout, seeds
from agent.config import make
from agent.rollout import evaluation_episode, training_episode
from agent.training import Run
from tests.agent.test_training import Recorder


def test_seed_stream_and_index_all_matter():
    keys = [(0, "replay", 1), (1, "replay", 1), (0, "update", 1), (0, "replay", 2), (0, "replay", 1, 2)]
    assert len({seeds.integer(*key) for key in keys}) == len(keys)
    for key in keys:
        assert seeds.numpy_generator(*key).random() == seeds.numpy_generator(*key).random()
        assert seeds.torch_generator("cpu", *key).initial_seed() == seeds.integer(*key)
    assert len({seeds.numpy_generator(*key).random() for key in keys}) == len(keys)


CONFIG = make("smoke", dict(episode_length=40, batch_length=5, steps=160, eval_episodes=1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in their seeds alone: the second has the first one's parameters and episodes."""
    one, two = (
        Run("cartpole_balance", CONFIG, seed, tmp_path_factory.mktemp("run"), Recorder(), "cpu") for seed in (1, 2)
    )
    assert not torch.equal(one.agent.vector(), two.agent.vector())
    two.agent.load_vector(one.agent.vector())
    for _ in range(2):
        episode = one.random_episode()
        for run in (one, two):
            run.replay.add(episode)
    return one, two


def episodes(run):
    """Of each kind: images and actions."""
    played = {"seed": run.random_episode(), "training": run.next_episode()}
    played["evaluation"] = evaluation_episode(run.agent, run.environment, run.seed, run.env_steps, 0)
    run.evaluate()
    return played


def test_another_seed_is_another_run(runs):
    """Starts and actions of all kinds of episodes, batches, the noise of updates and of evaluations."""
    one, two = map(episodes, runs)
    for kind in one:
        assert not np.array_equal(one[kind].images[0], two[kind].images[0]), kind
        assert not np.array_equal(one[kind].actions, two[kind].actions), kind
    evaluated = [run.recorder.evaluations[80][0] for run in runs]
    assert evaluated[0] != evaluated[1] and min(min(evaluated)) > 0
    batches = [run.replay.sample(0) for run in runs]
    assert not torch.equal(batches[0].actions, batches[1].actions)
    noises = [run.agent.noise(batches[0], 0) for run in runs]
    assert all(not torch.equal(a, b) for a, b in zip(*noises, strict=True))


class Still:
    """A world that looks the same whatever happens: what differs in its episodes is the noise of who plays."""

    def __init__(self):
        self.image = np.full((CONFIG.image_size, CONFIG.image_size, 3), 90, np.uint8)

    def reset(self, seed):
        self.time = 0
        return self.image

    def step(self, action):
        self.time += 1
        return self.image, 0.0, self.time == 10


def test_the_noise_of_players_and_predictions(runs):
    agent, still = runs[0].agent, Still()
    keys = [(1, 80), (2, 80), (1, 120)]
    for play in (training_episode, evaluation_episode):
        played = [play(agent, still, *key).actions for key in keys]
        assert len({actions.tobytes() for actions in played}) == 3, play
        assert np.array_equal(play(agent, still, *keys[0]).actions, played[0])
    episode = evaluation_episode(agent, still, 1, 80)
    with pytest.MonkeyPatch.context() as patch:  # the same episode is predicted, by other noise
        patch.setattr(rollout, "evaluation_episode", lambda *_, **__: episode)
        found = [rollout.assess(agent, still, *key, 1).prediction.open_loop_error for key in keys]
    assert len(set(found)) == 3


def test_another_number_is_another_episode_batch_and_noise(runs):
    run, _ = runs
    before, batch, noise = episodes(run), run.replay.sample(0), run.agent.noise(run.replay.sample(0), 0)
    first = run.recorder.evaluations[80][0]
    run.replay.add(before["seed"])
    after = episodes(run)
    for kind in before:
        assert not np.array_equal(before[kind].images[0], after[kind].images[0]), kind
    assert not np.array_equal(before["seed"].actions, after["seed"].actions)
    assert first != run.recorder.evaluations[120][0]
    assert not torch.equal(batch.actions, run.replay.sample(1).actions)
    assert all(not torch.equal(a, b) for a, b in zip(noise, run.agent.noise(batch, 1), strict=True))
