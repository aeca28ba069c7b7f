"""What trains a run: a digest of its sources, whatever their comments say.

It is the same for a wheel as for a checkout, and under every version of Python that can read the sources.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import sys
import token
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import agent
from agent import tasks

UNKNOWN = "unknown"  # of runs that were trained before their code was on record
PATTERN = "[0-9a-f]{16}"  # of a digest
_SHOWN = 8  # digits of a digest that tell it from the others
_MOST = 11  # digests that the column of a run holds
_OPENING = {getattr(token, name, None) for name in ("FSTRING_START", "TSTRING_START")} - {None}  # from Python 3.12 on
_CLOSING = {getattr(token, name, None) for name in ("FSTRING_END", "TSTRING_END")} - {None}


@cache
def digest(task: str) -> str:
    """Of the agent's sources and, for a custom environment, those of its module: 16 hex digits.

    They are read once: as they were when this process first asked. Raises `ConfigError` for an unknown task.
    """
    found = hashlib.sha256()
    for path in (*sorted(Path(agent.__path__[0]).glob("*.py")), *_of_environment(task)):
        content = _read(path)
        found.update(f"{path.name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def environment(task: str) -> tuple[str, Path] | None:
    """The module of a custom environment and its file; None for tasks of the control suite, and if there is none."""
    module = tasks.get(task).factory.partition(":")[0]
    if not module:
        return None
    if os.getcwd() not in sys.path:  # as for a worker
        sys.path.append(os.getcwd())
    try:
        found = importlib.util.find_spec(module)
    except Exception:  # its package is loaded for that, and may do anything; the run will say what is wrong
        return None
    if found is None or not found.origin or not Path(found.origin).is_file():
        return None
    return module, Path(found.origin)


def essence(source: str) -> str:
    """A module's text without comments, docstrings and blank lines. Raises `SyntaxError`."""
    lines = source.split("\n")
    idle = sorted(_idle(ast.parse(source), lines))
    kept: set[int] = set()  # rows whose end is inside a string that means something
    try:
        for kind, (first, start), (last, end) in _tokens(source):
            if kind == token.COMMENT:
                lines[first] = lines[first][:start]
            elif not any(begin <= (first, start) and (last, end) <= finish for begin, finish in idle):
                kept |= set(range(first, last))
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    for (first, start), (last, end) in reversed(idle):
        lines[first] = lines[first][:start] + lines[last][end:]
        lines[first + 1 : last + 1] = [""] * (last - first)
    rows = (line if row in kept else line.rstrip() for row, line in enumerate(lines))
    return "\n".join(line for row, line in enumerate(rows) if line or row in kept or row - 1 in kept)


def of(run: Any) -> str | None:
    """The code of a run or of a row with code, env_steps and parent; None for one that has not trained yet.

    Digests of what trained it, in order, joined by "+"; `UNKNOWN` where that is not on record.
    """
    return run.code or (UNKNOWN if run.env_steps > forked_at(run) else None)


def forked_at(run: Any) -> int:
    """The environment step at which a fork started; 0 for other runs."""
    return run.parent["env_steps"] if run.parent else 0


def parts(codes: Iterable[str]) -> list[str]:
    """The single codes in the codes of runs, each once."""
    return list(dict.fromkeys(part for code in codes for part in code.split("+")))


def short(code: str) -> str:
    """A code to be read: 3f2a91c0+77b0e21d."""
    return "+".join(part[:_SHOWN] for part in code.split("+"))


def fits(code: str | None, wanted: str) -> bool:
    """Whether a code is the one that a user means by its beginning: 3f2a, or 3f2a+77b0 for a run of two codes."""
    ours, theirs = (code or "").split("+"), wanted.lower().split("+")
    pairs = zip(ours, theirs, strict=False)
    return bool(code) and len(ours) == len(theirs) and all(own.startswith(text) for own, text in pairs)


def of_attempts(attempts: Sequence[tuple[int, str]], begun: int) -> str:
    """The code of a run, from the environment step at which each of its attempts began and the attempt's code.

    An attempt counts unless a later one began no further than it did: that one built on nothing of it. begun: the step
    at which the run itself began; what trained it up to the first attempt is not known.
    """
    counting: list[tuple[int, str]] = []
    for start, code in attempts:
        while counting and counting[-1][0] >= start:
            counting.pop()
        counting.append((start, code))
    before = [UNKNOWN] if counting[0][0] > begun else []
    return "+".join(parts([*before, *(code for _, code in counting)])[-_MOST:])


def _of_environment(task: str) -> list[Path]:
    found = environment(task)
    if found is None:
        return []
    return sorted(found[1].parent.glob("*.py")) if found[1].name == "__init__.py" else [found[1]]


@cache
def _read(path: Path) -> bytes:
    """What a file says; the file itself if it is no source that this Python can read."""
    try:
        with tokenize.open(path) as file:
            return essence(file.read()).encode()
    except (SyntaxError, ValueError):
        return path.read_bytes()


def _idle(tree: ast.Module, lines: Sequence[str]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where strings stand that are statements of their own, such as docstrings: (row, column) of both ends."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            there = node.value
            last = there.end_lineno or there.lineno
            ends = (there.lineno - 1, there.col_offset), (last - 1, there.end_col_offset or 0)
            first, second = ((row, len(lines[row].encode()[:column].decode())) for row, column in ends)
            yield first, second


def _tokens(source: str) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Comments and whole strings: kind, (row, column) of both ends, counted from 0."""
    opened: list[tuple[int, int]] = []
    for one in tokenize.generate_tokens(io.StringIO(source).readline):
        start, end = ((row - 1, column) for row, column in (one.start, one.end))
        if one.type in _OPENING:
            opened.append(start)
        elif one.type in _CLOSING:
            yield token.STRING, opened.pop(), end
        elif one.type in (token.STRING, token.COMMENT):
            yield one.type, start, end
