"""The specification of a run: task, config and seed, and the checkpoint of a fork. Its digest identifies the run."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent import tasks
from agent.config import Config, ConfigError, make
from dreamctl import settings
from dreamctl.errors import BadInput
from dreamctl.jobs.reading import read_yaml, table
from dreamctl.store import Run
from dreamctl.store.identity import NAME, digest

_LARGEST_SEED = 2**31 - 1  # what a database's whole numbers hold


@dataclass(frozen=True)
class RunSpec:
    """A validated run that is not stored yet. Preset, name, tags and label do not affect what it does.

    parent: where a fork starts, see `store.columns.Parent`; None for other runs.
    """

    task: str
    seed: int
    config: Config
    preset: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    label: str = ""
    parent: Mapping[str, Any] | None = None

    @property
    def digest(self) -> str:
        """Runs with equal digests do the same."""
        checkpoint = self.parent["sha256"] if self.parent else None
        return digest(self.task, self.seed, self.config.to_dict(), checkpoint)


def parse(
    task: str,
    seed: int,
    preset: str,
    changes: Sequence[str],
    name: str | None = None,
    tags: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> RunSpec:
    """A specification from user input: the preset, overridden by `config`, overridden by `changes` ("key=value").

    Raises `BadInput`.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise BadInput(f"seed must be between 0 and {_LARGEST_SEED}, not {seed}")
    if name is not None:
        check_name(name)
    try:
        made = make(preset, {**(config or {}), **pairs(changes)})
        return RunSpec(tasks.get(task).name, seed, made, preset, name, tuple(tags))
    except ConfigError as error:
        raise BadInput(str(error)) from error


def check_name(name: str) -> None:
    """Raises `BadInput` for an invalid name."""
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} cannot name a run: use letters, digits, '.', '_', '+' and '-'")


class Basis(NamedTuple):
    """What a new run starts from: a preset and config fields that override it, and perhaps a task and a seed."""

    preset: str
    config: Mapping[str, Any] = {}
    task: str | None = None
    seed: int = 0


def basis(file: Path | None, run: Run | None, preset: str | None) -> Basis:
    """The basis in a YAML file (see `as_yaml`), of a stored run, or from a preset alone. Raises `BadInput`."""
    if file is not None and run is not None:
        raise BadInput("--config and --from exclude each other: give one of them")
    if preset is not None and (file is not None or run is not None):
        raise BadInput("--config and --from have a preset already: change single fields with --set KEY=VALUE")
    if file is not None:
        return _read(file)
    if run is not None:
        return Basis(run.preset, run.config, run.task, run.seed)
    return Basis(settings.get("preset", preset))


def wanted(
    basis: Basis,
    task: str | None,
    seed: int | None,
    changes: Sequence[str],
    name: str | None = None,
    tags: Sequence[str] = (),
) -> RunSpec:
    """The run that a user wants: a basis, overridden by the other arguments. Raises `BadInput`."""
    task = task or basis.task
    if task is None:
        raise BadInput("which task? dreamctl run TASK, for example: dreamctl run cartpole_balance --preset tiny")
    seed = basis.seed if seed is None else seed
    return parse(task, seed, basis.preset, changes, name, tags, basis.config)


def as_yaml(run: Run) -> str:
    """A stored run's task, seed, preset and config, for `dreamctl run --config`."""
    import yaml

    content = {"task": run.task, "seed": run.seed, "preset": run.preset, "config": run.config}
    return yaml.safe_dump(content, sort_keys=False)


def _read(file: Path) -> Basis:
    content = read_yaml(file)
    if not isinstance(content, dict) or set(content) - set(_KEYS):
        raise BadInput(f"{file} may hold only the keys {', '.join(_KEYS)}, as dreamctl show RUN --config prints them")
    for key, found in content.items():
        if key != "config" and not isinstance(found, str) or key == "seed" and not re.fullmatch("[0-9]{1,10}", found):
            raise BadInput(
                f"{file}: {key} cannot be {reprlib.repr(found)[:100]}; dreamctl show RUN --config prints such a file"
            )
    config = table(file, "config", content.get("config"))
    return Basis(content.get("preset", "paper"), config, content.get("task"), int(content.get("seed", 0)))


_KEYS = ("task", "seed", "preset", "config")


def with_steps(run: Run, settings: Sequence[str]) -> RunSpec:
    """A stored run with another length: "steps=N" is the only setting that may change. Raises `BadInput`."""
    given = pairs(settings)
    if set(given) - {"steps"}:
        raise BadInput(f"{', '.join(sorted(set(given) - {'steps'}))}: only steps can change when a run is resumed")
    try:
        config = make("paper", run.config | given)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    if given and config.steps <= run.env_steps:
        raise BadInput(f"run {run.name} has {run.env_steps} environment steps already: set steps to more than that")
    return RunSpec(run.task, run.seed, config, run.preset or "", run.name, tuple(run.tags), parent=run.parent)


def pairs(settings: Sequence[str], option: str = "--set") -> dict[str, str]:
    """Settings "key=value" as a dictionary. Raises `BadInput`."""
    for setting in settings:
        if "=" not in setting:
            raise BadInput(f"{option} takes key=value, not {setting!r}")
    return dict(setting.split("=", 1) for setting in settings)
