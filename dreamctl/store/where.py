"""Filtering runs by conditions: "FIELD=VALUE", several values separated by commas.

A code is meant by its beginning: "code=3f2a" fits the runs that only this code has trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from dreamctl.errors import BadInput
from dreamctl.store import code, fields

T = TypeVar("T")

# What a run has beside its config's fields.
_OWN = (
    *("name", "task", "seed", "preset", "status", "diverged", "tags", "host", "device", "hardware", "code"),
    "git_commit",
)

Conditions = Sequence[tuple[str, tuple[str, ...]]]


def parse(texts: Sequence[str]) -> Conditions:
    """Conditions from "FIELD=VALUE[,VALUE...]": a run must fit all, with one value of each. Raises `BadInput`."""
    found = []
    for text in texts:
        field, equals, values = text.partition("=")
        chosen = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not chosen:
            raise BadInput(f"--where takes FIELD=VALUE, not {text!r}")
        fields.check(field, _OWN, "--where: unknown field")
        found.append((field, chosen))
    return found


def fit(runs: Sequence[T], conditions: Conditions) -> list[T]:
    """The runs that fit all conditions, or the rows of runs that do: those need the `columns`."""
    return [run for run in runs if all(_holds(run, field, values) for field, values in conditions)]


def columns(conditions: Conditions) -> set[str]:
    """The columns that conditions are about."""
    return {column for field, _ in conditions for column in fields.columns(field)}


def is_any(own: Any, values: Sequence[str]) -> bool:
    """Whether a field's value, or one of its values, is one of those."""
    return any(_same(one, text) for one in (own if isinstance(own, list) else [own]) for text in values)


def _holds(run: Any, field: str, values: Sequence[str]) -> bool:
    own = fields.value(run, field)
    return any(code.fits(own, text) for text in values) if field == "code" else is_any(own, values)


def _same(value: Any, text: str) -> bool:
    """Whether a text means a value: 2e6 is 2000000, True is true."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(text) == value
    return str(value).lower() == text.lower()
