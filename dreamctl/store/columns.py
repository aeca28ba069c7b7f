"""Types of the columns. What is read is data from strangers: it is checked here, and can be printed.

SQLite keeps any value in any column, and a name may hold escape sequences that a terminal obeys.
"""

from __future__ import annotations

import json
import math
from typing import Any

from sqlalchemy import JSON, Float, Integer, String, Text, TypeDecorator

from dreamctl.errors import BadRecord
from dreamctl.store.identity import DEFAULTS


def printable(text: str, kept: str = "") -> str:
    """Text with visible escapes (\\x1b) in place of what a terminal would obey, except the characters `kept`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def read_json(text: str | bytes) -> Any:
    """JSON of a column. Raises `BadRecord`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("JSON", text) from None


class Line(TypeDecorator[str]):
    """Text of one line."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        if value is None:
            return None
        return printable(value) if isinstance(value, str) else _refuse("text", value)


class Choice(Line):
    """One of some words."""

    cache_ok = True  # SQLAlchemy does not inherit it

    def __init__(self, choices: tuple[str, ...], length: int) -> None:
        super().__init__(length)
        self.choices = choices

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return value if value is None or value in self.choices else _refuse(f"one of {', '.join(self.choices)}", value)


class Lines(TypeDecorator[str]):
    """Text of several lines."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        if value is None:
            return None
        return printable(value, "\n\t") if isinstance(value, str) else _refuse("text", value)


class Whole(TypeDecorator[int]):
    """A whole number."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> int | None:
        return value if value is None or type(value) is int else _refuse("a whole number", value)


class Number(TypeDecorator[float]):
    """A number, finite."""

    impl = Float(53)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> float | None:
        good = value is None or isinstance(value, int | float) and math.isfinite(value)
        return value if good else _refuse("a number", value)


class Table(TypeDecorator[dict[str, Any]]):
    """A JSON object."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            _refuse("an object", value)
        return {printable(k): printable(v) if isinstance(v, str) else v for k, v in value.items()}


class Settings(Table):
    """A config as it was stored; fields that the program has got since are at their defaults, which mean as before."""

    cache_ok = True  # SQLAlchemy does not inherit it

    def process_result_value(self, value: Any, dialect: Any) -> dict[str, Any]:
        return DEFAULTS | super().process_result_value(value, dialect)


class Parent(Table):
    """The checkpoint that a fork starts from; None for other runs.

    id, name and seed of the run; env_steps, updates and sha256 of its checkpoint; changed: its values of the config
    fields in which the fork differs.
    """

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        if value is None:
            return None
        found = super().process_result_value(value, dialect)
        if {key: type(part) for key, part in found.items()} != self._KEYS:
            _refuse("the origin of a fork", value)
        return found | {"changed": super().process_result_value(found["changed"], dialect)}

    _KEYS = {"id": str, "name": str, "seed": int, "env_steps": int, "updates": int, "sha256": str, "changed": dict}


class Texts(TypeDecorator[list[str]]):
    """A list of lines in JSON."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            _refuse("a list of texts", value)
        return [printable(item) for item in value]


class Asked(Table):
    """A plan with questions as it was registered; questions: {name: an object}."""

    cache_ok = True  # SQLAlchemy does not inherit it

    def process_result_value(self, value: Any, dialect: Any) -> dict[str, Any]:
        found = super().process_result_value(value, dialect)
        questions = found.get("questions", {})
        if not isinstance(questions, dict) or not all(isinstance(one, dict) for one in questions.values()):
            _refuse("questions", value)
        return found


class Answers(TypeDecorator[list[Any]]):
    """What a look has found: a JSON object for each question of a sweep.

    question: its name; answer; look: that it was given at; version: of the registration that it was judged by; asked: a
    digest of what the question compared; counted: {cell: seeds}; estimate, low, high: numbers or None; and what else
    an answer has (`results.answers.Answer`), which may be left out.
    """

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> list[Any]:
        if not isinstance(value, list) or not all(map(self._sound, value)):
            _refuse("a list of answers", value)
        return _printable(value)

    def _sound(self, answer: Any) -> bool:
        return (
            _has(answer, self._KEYS)
            and all(type(count) is int and 0 <= count <= _LARGEST for count in answer["counted"].values())
            and all(0 <= answer[key] <= _LARGEST for key in ("look", "version"))
            and all(_is_number(answer.get(key)) for key in _NUMBERS)
            and all(type(answer[key]) is kind for key, kind in self._MORE.items() if key in answer)
            and all(isinstance(text, str) for key in ("cells", "notes") for text in answer.get(key, ()))
            and all(map(self._contrast, answer.get("numbers", ())))
        )

    def _contrast(self, number: Any) -> bool:
        return (
            _has(number, self._CONTRAST)
            and number["unit"] in ("points", "ratio")
            and all(key in number and _is_number(number[key]) for key in _NUMBERS)
            and all(isinstance(text, str) for key in ("floored", "missing") for text in number[key])
        )

    _KEYS = {"question": str, "answer": str, "look": int, "version": int, "asked": str, "counted": dict}
    _MORE = {"unit": str, "decides": str, "seeds": int, "cells": list, "numbers": list, "notes": list}
    _CONTRAST = {"name": str, "group": str, "unit": str, "floored": list, "missing": list}


_NUMBERS = ("estimate", "low", "high")
_LARGEST = 2**31 - 1


def _has(value: Any, keys: dict[str, Any]) -> bool:
    """Whether a value is an object with these keys, of these types."""
    return isinstance(value, dict) and all(type(value.get(key)) is kind for key, kind in keys.items())


def _is_number(value: Any) -> bool:
    return value is None or type(value) in (int, float) and abs(value) < 1e300  # nan is not, nor what no float holds


def _printable(value: Any) -> Any:
    """JSON whose texts may be printed."""
    if isinstance(value, dict):
        return {printable(key): _printable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_printable(one) for one in value]
    return printable(value) if isinstance(value, str) else value


class Numbers(TypeDecorator[list[float]]):
    """A list of numbers in JSON."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> list[float]:
        if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value):
            _refuse("a list of numbers", value)
        return list(value)


def _refuse(wanted: str, value: Any) -> Any:
    raise _wrong(wanted, value)


def _wrong(wanted: str, value: Any) -> BadRecord:
    shown = ascii(value[:60] if isinstance(value, str | bytes) else type(value).__name__)
    return BadRecord(f"the run database holds {shown} where {wanted} should be: it is damaged, or was changed by hand")
