"""Playing episodes: with random actions, with exploration, or for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from agent import seeds
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.replay import Episode, stack

Actor = Callable[[np.ndarray], np.ndarray]  # image [S, S, 3] uint8 -> action [A] float32 in [-1, 1]


def play(environment: Environment, actor: Actor, seed: int, action_size: int, tick: Callable[[], None]) -> Episode:
    """One episode from `seed`; calls `tick` after every decision."""

    def steps() -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        image, done = environment.reset(seed), False
        yield image, np.zeros(action_size, np.float32), 0.0
        while not done:
            action = actor(image)
            image, reward, done = environment.step(action)
            tick()
            yield image, action, reward

    return stack(steps())


def random_actor(action_size: int, seed: int, *index: int) -> Actor:
    """Actions uniform in [-1, 1] (the seed episodes)."""
    rng = seeds.numpy_generator(seed, "random", *index)
    return lambda image: rng.uniform(-1, 1, action_size).astype(np.float32)


def evaluation_episode(
    agent: Dreamer, environment: Environment, seed: int, *index: int, tick: Callable[[], None] = lambda: None
) -> Episode:
    """An episode with the mode of the action model, without noise, keyed by (seed, index)."""
    policy = agent.policy(seeds.torch_generator(agent.device, seed, "evaluation policy", *index))
    return play(environment, policy, seeds.integer(seed, "evaluation", *index), agent.action_size, tick)
