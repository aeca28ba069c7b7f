"""Engines that a sweep's jobs can run on, beside this machine: Slurm and Ray."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dreamctl.errors import BadInput
from dreamctl.jobs.cluster import Engine
from dreamctl.jobs.reading import read_yaml
from dreamctl.store import Store
from dreamctl.store.models import Sweep

NAMES = ("slurm", "ray")


def check(name: str, resources: Sequence[str]) -> dict[str, str]:
    """Raises `BadInput` for an engine that is not installed; returns the resources ("key=value") by key."""
    if name not in NAMES:
        raise BadInput(f"--executor is local, {' or '.join(NAMES)}, not {name!r}")
    given = {}
    for text in resources:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadInput(f"--resource is KEY=VALUE, not {text!r}")
        given[key] = value
    if name == "slurm" and shutil.which("sbatch") is None:
        raise BadInput("there is no sbatch here: --executor slurm works where jobs of a Slurm cluster are submitted")
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise BadInput("Ray is not installed: pip install 'dreamctl[ray]'")
    return given


def open_engine(name: str, store: Store, sweep: Sweep, resources: Mapping[str, str]) -> Engine:
    """The engine of that name for the jobs of a sweep.

    resources: what each job is given, in the engine's own words; they go before those of the file engines.yaml in the
    home. Raises `BadInput` when that file is wrong or the engine does not answer.
    """
    given = _profile(store.home / "engines.yaml").get(name, {}) | dict(resources)
    if name == "slurm":
        from dreamctl.jobs.engines.slurm import Slurm

        return Slurm(store, sweep, given)
    from dreamctl.jobs.engines.ray import Ray

    return Ray(store, sweep, given)


def _profile(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    found = read_yaml(path) or {}
    if not isinstance(found, dict) or any(key not in NAMES or not isinstance(found[key], dict) for key in found):
        raise BadInput(f"{path} holds resources under {' and '.join(NAMES)}, as in 'slurm: {{partition: gpu}}'")
    return found
