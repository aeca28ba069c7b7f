"""Playing episodes: with random actions, with exploration, or for evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from agent import seeds
from agent.divergence import Diverged
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.prediction import Prediction, predict
from agent.replay import Episode, stack

Actor = Callable[[np.ndarray], np.ndarray]  # image [S, S, 3] uint8 -> action [A] float32 in [-1, 1]


def play(environment: Environment, actor: Actor, seed: int, action_size: int, tick: Callable[[], None]) -> Episode:
    """One episode from `seed`; calls `tick` after every decision.

    Raises `Diverged` for an action that is not finite.
    """

    def steps() -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        image, done = environment.reset(seed), False
        yield image, np.zeros(action_size, np.float32), 0.0
        while not done:
            action = actor(image)
            if not math.isfinite(action.sum()):  # a simulator would say that its physics are at fault
                raise Diverged(f"an action is {action[~np.isfinite(action)][0]}")
            image, reward, done = environment.step(action)
            tick()
            yield image, action, reward

    return stack(steps())


def random_actor(action_size: int, seed: int, *index: int) -> Actor:
    """Actions uniform in [-1, 1] (the seed episodes)."""
    rng = seeds.numpy_generator(seed, "random", *index)
    return lambda image: rng.uniform(-1, 1, action_size).astype(np.float32)


def training_episode(
    agent: Dreamer, environment: Environment, seed: int, index: int, tick: Callable[[], None] = lambda: None
) -> Episode:
    """Episode number `index` of a run, with exploration noise, keyed by (seed, index)."""
    policy = agent.policy(seeds.torch_generator(agent.device, seed, "policy", index), explore=True)
    return play(environment, policy, seeds.integer(seed, "episode", index), agent.action_size, tick)


class Assessment(NamedTuple):
    """An evaluation: returns, the first episode's images [T + 1, S, S, 3] uint8 and what the model predicts of it."""

    returns: list[float]
    images: np.ndarray
    prediction: Prediction | None


def assess(
    agent: Dreamer,
    environment: Environment,
    seed: int,
    env_steps: int,
    count: int,
    tick: Callable[[], None] = lambda: None,
) -> Assessment:
    """Score the agent without noise over `count` episodes of their own seeds, keyed by (seed, env_steps)."""
    episodes = [evaluation_episode(agent, environment, seed, env_steps, index, tick=tick) for index in range(count)]
    noise = seeds.torch_generator(agent.device, seed, "prediction", env_steps)
    return Assessment([episode.score for episode in episodes], episodes[0].images, predict(agent, episodes[0], noise))


def evaluation_episode(
    agent: Dreamer, environment: Environment, seed: int, *index: int, tick: Callable[[], None] = lambda: None
) -> Episode:
    """An episode with the mode of the action model, without noise, keyed by (seed, index)."""
    policy = agent.policy(seeds.torch_generator(agent.device, seed, "evaluation policy", *index))
    return play(environment, policy, seeds.integer(seed, "evaluation", *index), agent.action_size, tick)
