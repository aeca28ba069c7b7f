"""Scoring a stored checkpoint on request."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs import pictures
from dreamctl.store import Checkpoint, Evaluation, Run, Store


def evaluate(
    store: Store,
    run: Run,
    checkpoint: Checkpoint,
    *,
    episodes: int,
    seed: int,
    device: str,
    video: bool,
    progress: Callable[[int, float], None] | None = None,
) -> Evaluation:
    """Play `episodes` episodes without noise and record them as a 'manual' evaluation (not of the recorded runs).

    `progress` is called with each episode's index and return. Raises `BadInput` for a checkpoint that is
    corrupt or whose actions are not finite, and for a video of a recorded run.
    """
    from agent import trained
    from agent.checkpoints import CheckpointError
    from agent.divergence import Diverged

    if video and store.read_only:
        raise BadInput("the recorded runs are only read, so there is no place for a video: leave --video away")
    file = store.file(run.id, checkpoint.path)
    try:
        returns, images = trained.evaluate(file, run.task, episodes, seed, device, video, progress)
    except CheckpointError as error:
        raise BadInput(str(error)) from error
    except Diverged as error:
        raise BadInput(f"{run.name} has come to nothing by checkpoint {checkpoint.path}: {error}") from error
    path = None
    if images is not None:
        path = f"videos/{checkpoint.env_steps:010d}-seed{seed}.gif"
        pictures.save_gif(store.file(run.id, path), images)
        store.record_artifact(run.id, path=path, kind="video")
    result: dict[str, Any] = dict(
        kind="manual", env_steps=checkpoint.env_steps, seed=seed, checkpoint=checkpoint.path, video=path
    )
    if store.read_only:
        mean, std = statistics.fmean(returns), statistics.pstdev(returns)
        return Evaluation(run_id=run.id, returns=returns, mean=mean, std=std, **result)
    return store.record_evaluation(run.id, returns=returns, **result)
