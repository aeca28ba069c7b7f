"""Filtering runs by conditions: "FIELD=VALUE", several values separated by commas."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from dreamctl.errors import BadInput
from dreamctl.store.identity import DEFAULTS

T = TypeVar("T")

# What a run has beside its config's fields.
_OWN = ("name", "task", "seed", "preset", "status", "diverged", "tags", "host", "device", "git_commit")

Conditions = Sequence[tuple[str, tuple[str, ...]]]


def parse(texts: Sequence[str]) -> Conditions:
    """Conditions from "FIELD=VALUE[,VALUE...]": a run must fit all, with one value of each. Raises `BadInput`."""
    found = []
    for text in texts:
        field, equals, values = text.partition("=")
        chosen = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not chosen:
            raise BadInput(f"--where takes FIELD=VALUE, not {text!r}")
        if field not in DEFAULTS and field not in _OWN:
            near = difflib.get_close_matches(field, [*DEFAULTS, *_OWN], n=1)
            hint = f", did you mean {near[0]!r}?" if near else f": a config field, {', '.join(_OWN)}"
            raise BadInput(f"--where: unknown field {field!r}{hint}")
        found.append((field, chosen))
    return found


def fit(runs: Sequence[T], conditions: Conditions) -> list[T]:
    """The runs that fit all conditions, or the rows of runs that do: those need the `columns`."""
    return [run for run in runs if all(_holds(run, field, values) for field, values in conditions)]


def columns(conditions: Conditions) -> set[str]:
    """The columns that conditions are about."""
    return {field if field in _OWN else "config" for field, _ in conditions}


def is_any(own: Any, values: Sequence[str]) -> bool:
    """Whether a field's value, or one of its values, is one of those."""
    return any(_same(one, text) for one in (own if isinstance(own, list) else [own]) for text in values)


def _holds(run: Any, field: str, values: Sequence[str]) -> bool:
    return is_any(getattr(run, field) if field in _OWN else run.config.get(field), values)


def _same(value: Any, text: str) -> bool:
    """Whether a text means a value: 2e6 is 2000000, True is true."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):
            return float(text) == value
    return str(value).lower() == text.lower()
