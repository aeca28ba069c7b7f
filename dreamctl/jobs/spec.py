"""What a run is: a task, a config and a seed. Their digest is its identity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent import tasks
from agent.config import Config, ConfigError, make
from dreamctl.errors import BadInput


@dataclass(frozen=True)
class RunSpec:
    """A run to be: validated, not yet stored. Preset, name and tags say nothing of what it does."""

    task: str
    seed: int
    config: Config
    preset: str
    name: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of task, seed and config: two runs with one digest do the same."""
        content = {"task": self.task, "seed": self.seed, "config": self.config.to_dict()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def parse(
    task: str,
    seed: int,
    preset: str,
    settings: Sequence[str],
    name: str | None = None,
    tags: Sequence[str] = (),
) -> RunSpec:
    """A specification from what a user typed; settings are "key=value". Raises `BadInput`."""
    pairs = [setting.partition("=") for setting in settings]
    for key, equals, _ in pairs:
        if not equals:
            raise BadInput(f"--set takes key=value, not {key!r}")
    if not 0 <= seed < 2**32:
        raise BadInput(f"seed must be between 0 and 4294967295, not {seed}")
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise BadInput(f"{name!r} is no name for a run: use letters, digits, '.', '_' and '-'")
    try:
        config = make(preset, {key: value for key, _, value in pairs})
        return RunSpec(tasks.get(task).name, seed, config, preset, name, tuple(tags))
    except ConfigError as error:
        raise BadInput(str(error)) from error
