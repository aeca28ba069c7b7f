"""What is played: evaluation with the mode and without noise, training with noise inside the bounds."""

import dataclasses

import numpy as np
import pytest
import torch

from agent import seeds
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.rollout import evaluation_episode, play
from agent.tasks import get
from agent.world_model import preprocess
from tests.agent.conftest import small


@pytest.fixture(scope="module")
def played():
    """An agent, its environment and an evaluation episode of ten decisions."""
    config = small(episode_length=20, action_repeat=2, render="fast")
    agent, environment = Dreamer(config, 1, seed=0), Environment(get("pendulum_swingup"), config)
    return agent, environment, evaluation_episode(agent, environment, 3, 7)


def modes(agent, episode):
    """tanh of the action model's mean at each state that the images filter to, by the scan over the whole episode."""
    generator = seeds.torch_generator("cpu", 3, "evaluation policy", 7)
    noise = torch.stack([torch.randn(1, 1, agent.config.stochastic, generator=generator)[0] for _ in episode.images])
    rssm, length = agent.world_model.rssm, len(episode.images)
    embeddings = agent.world_model.encoder(preprocess(torch.from_numpy(episode.images))).unsqueeze(1)
    actions = torch.from_numpy(episode.actions).unsqueeze(1)
    posterior, _ = rssm.observe(embeddings, actions, noise, rssm.start(1))
    mean, _ = agent.behavior.action.gaussian(posterior.features)
    return torch.tanh(mean).reshape(length, 1).detach().numpy()


def test_evaluation_takes_the_mode_without_noise(played):
    agent, _, episode = played
    np.testing.assert_allclose(episode.actions[1:], modes(agent, episode)[:-1], atol=1e-5)


def test_exploration_adds_noise_inside_the_bounds(played):
    agent, environment, _ = played

    def of_noise(noise, explore=True):
        explorer = Dreamer(dataclasses.replace(agent.config, exploration_noise=noise), 1, seed=0)
        policy = explorer.policy(torch.Generator().manual_seed(0), explore)
        return play(environment, policy, 0, 1, lambda: None)

    loud, quiet, silent = of_noise(5.0), of_noise(0.1), of_noise(5.0, explore=False)
    assert np.abs(loud.actions).max() == 1 and len(np.unique(loud.actions[1:])) > 1
    difference = quiet.actions[1] - silent.actions[1]  # the first decision, from the same image
    assert 0 < abs(difference) < 0.5


@pytest.mark.parametrize("noise", [0.0, 1e-6])
@pytest.mark.parametrize(("start", "moves"), [("mode", False), ("sample", True)])
def test_exploration_starts_from_what_the_config_says(played, start, moves, noise):
    """With next to no noise, or none, the mode stays where it is; a sample of an untrained action model does not."""
    agent, environment, _ = played
    explorer = Dreamer(dataclasses.replace(agent.config, explore_from=start, exploration_noise=noise), 1, seed=0)
    first = [
        play(environment, explorer.policy(torch.Generator().manual_seed(0), explore), 0, 1, lambda: None).actions[1]
        for explore in (True, False)
    ]
    assert (abs(first[0] - first[1]).item() > 0.05) == moves


def test_evaluation_takes_the_best_of_100_samples_where_the_config_says_so(played):
    """An action model of great width has its density at the bounds, its mode near 0."""
    agent, environment, episode = played
    config = dataclasses.replace(agent.config, evaluate_from="best", action_init_std=5.0)
    actions = evaluation_episode(Dreamer(config, 1, seed=0), environment, 3, 7).actions[1:]
    assert np.abs(actions).min() > 0.999 and np.abs(episode.actions).max() < 0.9
