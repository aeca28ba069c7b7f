"""What a run may be called, and when two are the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from agent.config import Config

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}"  # of a run or a sweep
_LONGEST = 180  # characters before the seed and a number
DEFAULTS = {f.name: f.default for f in fields(Config)}


def made_name(parts: Iterable[str], seed: int) -> str:
    """A name, with room for a number at its end, that says what a run is: its parts and "s" with its seed."""
    name = re.sub("[^A-Za-z0-9._+-]", "_", "-".join(part for part in parts if part)).lstrip("._+-")
    return f"{name[:_LONGEST]}-s{seed}"


def digest(task: str, seed: int, config: Mapping[str, Any], checkpoint: str | None = None) -> str:
    """SHA-256 of task, seed and config, and of the checkpoint that a fork begins with (by its own SHA-256).

    Two runs with one digest do the same.

    Fields at their defaults are left out: a field that is new in the program, its default meaning "as before", leaves
    the digests of stored runs as they are.
    """
    changed = {key: value for key, value in config.items() if value != DEFAULTS.get(key)}
    content = {"task": task, "seed": seed, "config": changed} | ({"checkpoint": checkpoint} if checkpoint else {})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
