"""What a run may be called, and when two are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agent.config import Config

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"  # of a run or a sweep
DEFAULTS = {f.name: f.default for f in fields(Config)}


def digest(task: str, seed: int, config: Mapping[str, Any], checkpoint: str | None = None) -> str:
    """SHA-256 of task, seed and config, and of the checkpoint that a fork begins with (by its own SHA-256).

    Two runs with one digest do the same.

    Fields at their defaults are left out: a field that is new in the program, its default meaning "as before", leaves
    the digests of stored runs as they are.
    """
    changed = {key: value for key, value in config.items() if value != DEFAULTS.get(key)}
    content = {"task": task, "seed": seed, "config": changed} | ({"checkpoint": checkpoint} if checkpoint else {})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
