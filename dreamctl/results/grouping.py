"""Groups and lines of runs: by which fields they are made, what a value is called, and what trained their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dreamctl.results.figures import style
from dreamctl.store import Run, code, fields

_OWN = ("preset", "name", "code", "hardware")  # beside the config's fields
_NAMES = {"method": style.METHODS, "objective": style.OBJECTIVES}
_LISTED = 3


def check(keys: Iterable[str]) -> None:
    """Raises `BadInput` for what is no field to group by."""
    for key in keys:
        fields.check(key, _OWN, "unknown field")


def value(run: Run, key: str) -> Any:
    """A run's value of a field that `check` knows."""
    return fields.value(run, key)


def label(key: str, value: Any) -> str:
    """A field's value for a legend."""
    if key == "name":
        return str(value)
    return _NAMES.get(key, {}).get(value, f"{key}={code.short(value) if key == 'code' else value}")


def name(run: Run, by: Sequence[str]) -> str:
    """What a run's group is called."""
    return ", ".join(label(key, value(run, key)) for key in by)


def order(key: str) -> Any:
    """The sorting key of a field's values: the paper's order, where it has one."""
    names = list(_NAMES.get(key, {}))
    return names.index if names else None


def mixed(lines: Iterable[Sequence[Run]]) -> list[str]:
    """A remark that names the lines (or cells of a group) whose runs were trained by several codes; else none.

    What is not on record counts as one code.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for runs in lines:
        codes = tuple(sorted(code.parts(filter(None, map(code.of, runs)))))
        if len(codes) > 1:
            found.setdefault(codes, []).append(_title(runs[0]))
    remarks = []
    for codes, titles in found.items():
        shown = list(dict.fromkeys(titles))
        more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
        remarks.append(
            f"{', '.join(shown[:_LISTED])}{more}: runs of {len(codes)} codes ({', '.join(map(code.short, codes))})"
        )
    return [f"{'; '.join(remarks)}: dreamctl compare --by code"] if remarks else []


def _title(run: Run) -> str:
    objective = "" if run.objective == "reconstruction" else f" {run.objective}"
    return f"{run.task} {run.method}{objective}"
