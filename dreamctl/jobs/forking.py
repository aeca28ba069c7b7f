"""Forks: runs that start from another run's checkpoint and episodes, with other settings."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from agent.config import INHERITED
from dreamctl.errors import BadInput
from dreamctl.jobs import files
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import Run, Store


def plan(store: Store, origin: Run, which: str, wanted: RunSpec) -> RunSpec:
    """`wanted` as a fork of `origin` from the checkpoint `which`: 'latest', 'best' or its environment steps.

    Raises `BadInput` if the checkpoint or its episodes are missing, or if the settings do not fit them.
    """
    config, theirs = wanted.config.to_dict(), origin.config
    kept = [key for key in INHERITED if config[key] != theirs[key]]
    if wanted.task != origin.task or kept:
        what = "task" if wanted.task != origin.task else ", ".join(kept)
        raise BadInput(f"{what}: a fork keeps its parent's; leave out --checkpoint to train from scratch")
    chosen = files.choose(store, origin, which)
    if wanted.config.steps <= chosen.env_steps:
        raise BadInput(
            f"the checkpoint is at {chosen.env_steps} environment steps already: set more for the fork, --set steps=N"
        )
    if not all(path.is_file() for path in _episodes(store, origin, chosen.env_steps)):
        raise BadInput(
            f"run {origin.name} lacks the episodes that its checkpoint was trained on (export --replay keeps them)"
        )
    parent = {
        "id": origin.id,
        "name": origin.name,
        "seed": origin.seed,
        "env_steps": chosen.env_steps,
        "updates": chosen.updates,
        "sha256": chosen.sha256,
        "changed": {key: value for key, value in theirs.items() if config.get(key) != value},
    }
    return replace(wanted, parent=parent, label="fork")


def inherit(store: Store, run: Run) -> None:
    """Give a new fork its parent's checkpoint and episodes, as hard links if the file system supports them.

    Raises `BadInput` if they have been deleted meanwhile.
    """
    assert run.parent is not None
    origin = store.get(run.parent["id"])
    found = (c for c in store.checkpoints(origin.id) if c.sha256 == run.parent["sha256"])
    try:
        chosen = next(found)
        for path in (store.file(origin.id, chosen.path), *_episodes(store, origin, chosen.env_steps)):
            _link(path, store.file(run.id, str(path.relative_to(store.folder(origin.id)))))
    except (StopIteration, FileNotFoundError) as error:
        raise BadInput(f"run {origin.name} has just deleted that checkpoint: fork it again") from error
    kept = {key: getattr(chosen, key) for key in ("path", "env_steps", "updates", "bytes", "sha256")}
    store.record_checkpoint(run.id, None, **kept)


def _episodes(store: Store, run: Run, env_steps: int) -> list[Path]:
    """The files of the episodes that make up a run's first `env_steps` environment steps."""
    return [store.file(run.id, f"episodes/{i:06d}.npz") for i in range(env_steps // run.config["episode_length"])]


def _link(path: Path, target: Path) -> None:
    """Link or copy a file. A link is safe: runs replace their files and never write into existing ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(path, target)
