"""The agent in a checkpoint: to act with, and to be scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agent import checkpoints, tasks
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.rendering import choose_by_trial
from agent.rollout import evaluation_episode


def evaluate(
    checkpoint: Path,
    task: str,
    episodes: int,
    seed: int,
    device: str = "cpu",
    video: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[list[float], np.ndarray | None]:
    """Score a checkpoint of a run of `task` on `episodes` fresh episodes without noise.

    Returns the returns and, with `video`, the first episode's images [T + 1, S, S, 3] uint8. `progress` is called
    with each episode's index and return. Raises `CheckpointError`.
    """
    agent, environment = load(checkpoint, task, device)
    returns, images = [], None
    for index in range(episodes):
        episode = evaluation_episode(agent, environment, seed, index)
        returns.append(episode.score)
        images = episode.images if video and index == 0 else images
        if progress:
            progress(index, episode.score)
    return returns, images


def load(checkpoint: Path, task: str, device: str = "cpu") -> tuple[Dreamer, Environment]:
    """The agent of a checkpoint and the environment that it was trained in. Raises `CheckpointError`.

    task: of its run. The file is not asked for it: it would name the code of an environment that is then imported.
    """
    choose_by_trial(device, 1)
    content: dict[str, Any] = checkpoints.load(checkpoint, device)
    if content["task"] != task:
        raise checkpoints.CheckpointError(f"checkpoint {checkpoint} belongs to another run: its task differs")
    environment = Environment(tasks.get(task), content["config"])
    agent = Dreamer(content["config"], environment.action_size, content["seed"], device)
    checkpoints.fit(agent, content["agent"], checkpoint)
    return agent, environment
