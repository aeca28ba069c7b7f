"""What a run is: a task, a config and a seed, of a fork also its checkpoint. Their digest is its identity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent import tasks
from agent.config import Config, ConfigError, make
from dreamctl import settings
from dreamctl.errors import BadInput
from dreamctl.store import Run
from dreamctl.store.identity import NAME, digest


@dataclass(frozen=True)
class RunSpec:
    """A run to be: validated, not yet stored. Preset, name, tags and label say nothing of what it does.

    parent: of a fork, see `store.columns.Parent`.
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
        """Two runs with one digest do the same."""
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
    """A specification from what a user typed; changes, "key=value", change the config, that the preset.

    Raises `BadInput`.
    """
    if not 0 <= seed < 2**32:
        raise BadInput(f"seed must be between 0 and 4294967295, not {seed}")
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
        raise BadInput(f"{name!r} is no name for a run: use letters, digits, '.', '_' and '-'")


class Basis(NamedTuple):
    """What a run is made from: a preset and fields that differ from it, perhaps with a task and a seed."""

    preset: str
    config: Mapping[str, Any] = {}
    task: str | None = None
    seed: int = 0


def basis(file: Path | None, run: Run | None, preset: str | None) -> Basis:
    """From a YAML file (`as_yaml`), a stored run, or a preset alone. Raises `BadInput`."""
    if file is not None and run is not None:
        raise BadInput("--config and --from both say what to run: give one of them")
    if preset is not None and (file is not None or run is not None):
        raise BadInput("--config and --from bring their preset: change single fields by --set KEY=VALUE")
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
    """The run that a user wants: a basis with what was given beside it. Raises `BadInput`."""
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
    import yaml

    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {getattr(error, 'strerror', 'it is no text')}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) - set(_KEYS):
        raise BadInput(f"{file} must hold some of the keys {', '.join(_KEYS)}, as dreamctl show RUN --config prints")
    basis = Basis(**{"preset": "paper", **content})
    for key, value in content.items():
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise BadInput(f"{file}: {key} cannot be {value!r}; dreamctl show RUN --config prints such a file")
    return basis


_KEYS: dict[str, type] = {"task": str, "seed": int, "preset": str, "config": dict}


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
    return RunSpec(run.task, run.seed, config, run.preset or "", run.name, tuple(run.tags), parent=run.parent)


def pairs(settings: Sequence[str], option: str = "--set") -> dict[str, str]:
    """Settings "key=value" as a dictionary. Raises `BadInput`."""
    for setting in settings:
        if "=" not in setting:
            raise BadInput(f"{option} takes key=value, not {setting!r}")
    return dict(setting.split("=", 1) for setting in settings)
