"""Lists of runs: which fields can be shown, and in what order runs come."""

from __future__ import annotations

from collections.abc import Sequence

from dreamctl.store import fields
from dreamctl.store.models import Run


def check(shown: Sequence[str], option: str) -> None:
    """Raises `BadInput` for what is no field of a run or its config."""
    for field in shown:
        fields.check(field, fields.OWN, f"{option}: unknown field")


def needs_config(shown: Sequence[str]) -> bool:
    """Whether `light` runs, which are without config, will not do."""
    return any(field not in fields.OWN for field in shown)


def arranged(runs: Sequence[Run], sort: str | None) -> list[Run]:
    """Runs by a field, those without a value first; from large to small for "-FIELD"."""
    if sort is None:
        return list(runs)
    field = sort.removeprefix("-")
    check([field], "--sort")
    found = [(fields.value(run, field), run) for run in runs]
    ranked = sorted(((v, run) for v, run in found if v is not None), key=lambda pair: pair[0], reverse=sort[0] == "-")
    return [run for v, run in found if v is None] + [run for _, run in ranked]
