"""The fields of a run by name: what is on record about it, and its config's."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.store import code
from dreamctl.store.identity import DEFAULTS

OWN = (
    *("id", "name", "task", "method", "objective", "seed", "preset", "status", "diverged", "reason"),
    *(
        "env_steps",
        "steps",
        "updates",
        "score",
        "best_score",
        "tags",
        "note",
        "digest",
        "device",
        "hardware",
        "host",
        "job",
        "attempt",
    ),
    *("created_at", "started_at", "finished_at", "work_seconds", "code", "git_commit", "git_dirty"),
)  # not the config's; times (_at) are UTC seconds since the epoch, score is the latest evaluation's mean return
_NOTED = ("code", "hardware")  # when training begins; not on record for runs of before


def check(field: str, own: Collection[str], what: str) -> None:
    """Raises `BadInput` for what is neither one of the fields `own` nor a config field. what: names the field."""
    if field not in own and field not in DEFAULTS:
        near = difflib.get_close_matches(field, [*own, *DEFAULTS], n=1)
        hint = f", did you mean {near[0]!r}?" if near else f": a config field, {', '.join(own)}"
        raise BadInput(f"{what} {field!r}{hint}")


def value(run: Any, field: str) -> Any:
    """Of a run, or of a row with the `columns` of the field. `UNKNOWN` for what should be on record, but is not."""
    if field in _NOTED:
        return getattr(run, field) or (code.UNKNOWN if code.of(run) else None)
    return getattr(run, field) if field in OWN else run.config[field]


def columns(field: str) -> set[str]:
    """The columns that a field is read from."""
    if field in _NOTED:
        return {field, "code", "env_steps", "parent"}
    return {field if field in OWN else "config"}
