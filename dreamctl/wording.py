"""Numbers with their nouns, and answers to questions, as messages and pages say them."""

from collections.abc import Mapping
from typing import Any

_UNITS = {"points": ("{:.0f}", " points"), "ratio": ("{:.2f}", " times"), "count": ("{:.0f}", "")}


def counted(number: int, noun: str) -> str:
    """For example "1 run", "2 runs"; the last word of `noun` gets the plural's s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def estimated(answer: Mapping[str, Any]) -> str:
    """An answer's number with its interval: "41 points [-20, 103]"; "" for none yet."""
    if answer.get("estimate") is None:
        return ""
    form, unit = _UNITS.get(str(answer.get("unit")), _UNITS["points"])
    ends = (answer.get("low"), answer.get("high"))
    low, high = (without if end is None else form.format(end) for end, without in zip(ends, ("-∞", "∞"), strict=True))
    return f"{form.format(answer['estimate'])}{unit} [{low}, {high}]"


def asked(version: int, runs: int) -> str:
    """When the version of a question was registered; runs: of its sweep that had been evaluated by then."""
    if not runs:
        return "registered before the first run" if version == 1 else "changed before the first run"
    return f"{'asked' if version == 1 else 'changed'} after {counted(runs, 'run')}"
