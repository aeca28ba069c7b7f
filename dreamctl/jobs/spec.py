"""What a run is: a task, a config and a seed. Their digest is its identity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent import tasks
from agent.config import Config, ConfigError, make
from dreamctl.errors import BadInput
from dreamctl.store import Run
from dreamctl.store.identity import NAME, digest


@dataclass(frozen=True)
class RunSpec:
    """A run to be: validated, not yet stored. Preset, name, tags and label say nothing of what it does."""

    task: str
    seed: int
    config: Config
    preset: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    label: str = ""

    @property
    def digest(self) -> str:
        """Two runs with one digest do the same."""
        return digest(self.task, self.seed, self.config.to_dict())


def parse(
    task: str,
    seed: int,
    preset: str,
    settings: Sequence[str],
    name: str | None = None,
    tags: Sequence[str] = (),
) -> RunSpec:
    """A specification from what a user typed; settings are "key=value". Raises `BadInput`."""
    if not 0 <= seed < 2**32:
        raise BadInput(f"seed must be between 0 and 4294967295, not {seed}")
    if name is not None and not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} is no name for a run: use letters, digits, '.', '_' and '-'")
    try:
        config = make(preset, pairs(settings))
        return RunSpec(tasks.get(task).name, seed, config, preset, name, tuple(tags))
    except ConfigError as error:
        raise BadInput(str(error)) from error


def with_steps(run: Run, settings: Sequence[str]) -> RunSpec:
    """A stored run with another length, from the setting "steps=N", the only one that may change. Raises `BadInput`."""
    given = pairs(settings)
    if set(given) - {"steps"}:
        raise BadInput(f"{', '.join(sorted(set(given) - {'steps'}))}: a run that goes on may change its steps alone")
    try:
        config = make("paper", run.config | given)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    if given and config.steps <= run.env_steps:
        raise BadInput(f"run {run.name} has {run.env_steps} environment steps already: give it more than that")
    return RunSpec(run.task, run.seed, config, run.preset or "", run.name, tuple(run.tags))


def pairs(settings: Sequence[str], option: str = "--set") -> dict[str, str]:
    """The settings "key=value" by key. Raises `BadInput`."""
    for setting in settings:
        if "=" not in setting:
            raise BadInput(f"{option} takes key=value, not {setting!r}")
    return dict(setting.split("=", 1) for setting in settings)
