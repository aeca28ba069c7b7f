"""Lists of runs: which fields can be shown, and in what order runs come."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.store.identity import DEFAULTS
from dreamctl.store.models import Run

FIELDS = (
    *("id", "name", "task", "method", "objective", "seed", "preset", "status", "diverged", "reason", "env_steps"),
    *("steps", "updates", "score", "best_score", "tags", "note", "digest", "device", "host", "job", "attempt"),
    *("created_at", "started_at", "finished_at", "work_seconds", "git_commit", "git_dirty"),
)  # of `ls --json`; times (_at) are UTC seconds since the epoch, score is the latest evaluation's mean return


def check(fields: Sequence[str], option: str) -> None:
    """Raises `BadInput` for what is neither one of `FIELDS` nor a config field."""
    for field in fields:
        if field not in FIELDS and field not in DEFAULTS:
            near = difflib.get_close_matches(field, [*FIELDS, *DEFAULTS], n=1)
            hint = f", did you mean {near[0]!r}?" if near else f": a config field, {', '.join(FIELDS)}"
            raise BadInput(f"{option}: unknown field {field!r}{hint}")


def needs_config(fields: Sequence[str]) -> bool:
    """Whether `light` runs, which are without config, will not do."""
    return any(field not in FIELDS for field in fields)


def value(run: Run, field: str) -> Any:
    """Of a field that `check` knows."""
    return getattr(run, field) if field in FIELDS else run.config[field]


def arranged(runs: Sequence[Run], sort: str | None) -> list[Run]:
    """Runs by a field, those without a value first; from large to small for "-FIELD"."""
    if sort is None:
        return list(runs)
    field = sort.removeprefix("-")
    check([field], "--sort")
    found = [(value(run, field), run) for run in runs]
    ranked = sorted(((v, run) for v, run in found if v is not None), key=lambda pair: pair[0], reverse=sort[0] == "-")
    return [run for v, run in found if v is None] + [run for _, run in ranked]
