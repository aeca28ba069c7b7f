"""The differences between two runs: their settings, where they ran and what came of it."""

from __future__ import annotations

from typing import Any

from dreamctl.store import Run, fields

_WHAT = ("task", "seed", "preset")
_WHERE = ("device", "hardware", "host", "code", "git_commit", "git_dirty")
_RESULT = ("status", "reason", "env_steps", "updates", "score", "best_score", "tags", "note")


def differences(one: Run, other: Run) -> dict[str, dict[str, tuple[Any, Any]]]:
    """{"config": {key: (one's, other's)}, "origin": ..., "result": ...}, with only the keys that differ."""
    ours, theirs = ({name: getattr(run, name) for name in _WHAT} | run.config for run in (one, other))
    before, after = (
        {name: fields.value(run, name) for name in _WHERE}
        | {"fork of": run.parent and f"{run.parent['name']} at {run.parent['env_steps']}"}
        | {f"package {k}": v for k, v in run.packages.items()}
        for run in (one, other)
    )
    results = ({name: getattr(run, name) for name in _RESULT} for run in (one, other))
    return {"config": _differing(ours, theirs), "origin": _differing(before, after), "result": _differing(*results)}


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (one.get(key), other.get(key)) for key in one | other if one.get(key) != other.get(key)}
