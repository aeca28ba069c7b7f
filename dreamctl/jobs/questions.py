"""Questions of a sweep: what its runs are to show, written down before the first of them.

A question compares groups of cells: a cell is a task at one point of the sweep's grid, its runs differ in their seeds.

    questions:
      value-model:
        asks: Does the value model help at any horizon?
        better: {method: dreamer}
        than: {method: no_value}
        at_each: horizon
        margin: 50

It becomes contrasts, weighted sums of cell means, which must all be above 0. A list of values in `better` or `than`
means each of them for itself; over what is not named, a contrast is averaged (`jobs.contrasts`). docs/questions.md has
the whole form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.config import nearest
from dreamctl.errors import BadInput
from dreamctl.store.identity import DEFAULTS

ALPHA = 0.05  # the chance of any false answer, over all looks and all questions of a file
SPENDING = 3  # alpha * (share of the seeds) ** 3 is spent up to a look (Kim and DeMets, 1987)
RULE = {  # by which `results.answers` judges, as it is registered: a change of it makes a new version
    "alpha": ALPHA,
    "spending": f"alpha * (seeds / last seeds) ** {SPENDING}",
    "questions": "Holm",
    "intervals": "Student's t; spread pooled over the cells of a question that has 10 or more",
}
OUTCOMES = {
    "final": "mean return of the last evaluation",
    "curve": "mean return of all evaluations",
    "early": "mean return of the evaluations in the first quarter of the steps",
    "hours": "hours per 1e6 environment steps, on the one kind of machine that has most of the runs",
    "prediction_error": "squared error of 45 predicted images over that of their mean image",
}
SCALES = ("points", "ratio")
OTHERS = "others"  # in place of a group: every other value of the fields that `better` names
PUBLISHED = ("dreamer", "planet", "d4pg", "a3c", "slac")  # methods whose scores by task are known
_KEYS = (
    *("asks", "place", "better", "worse", "than", "near", "within", "share", "by", "at_least", "sum", "at_each"),
    *("where", "more_at", "than_at", "scale", "outcome", "margin", "floor", "count", "all", "note"),
)
_BESIDE = {  # what may stand beside each way to ask
    "better": ("than", "share", "by", "at_least", "more_at", "than_at"),
    "worse": ("than", "share", "by", "more_at", "than_at"),
    "near": ("within",),
    "sum": ("by",),
}
_ANYWHERE = ("at_each", "where", "scale", "outcome", "margin", "floor", "count")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"
_VALUES, _DEPTH = 10_000, 8  # of a question at most; aliases in YAML count as often as they stand there
_LONGEST = 1_000  # characters of a text
_SHARE = 10  # the largest share: whoever writes 80 means 80%

Fields = Mapping[str, tuple[str, ...]]  # field -> values


@dataclass(frozen=True)
class Part:
    """Contrasts that must all be above 0 or, with `count`, hold in so many of `of` groups.

    margin: the smallest difference that matters, in points, or on the scale `ratio` in logarithms; floor: a score below
    which nothing is learned: of every task, or by task; None: what a random policy gets, plus the margin.
    """

    fields: Mapping[str, Any]  # as written
    outcome: str = "final"
    scale: str = "points"
    margin: float | None = None
    floor: float | Mapping[str, float] | None = None
    count: tuple[int, int] | None = None
    of: int | None = None


@dataclass(frozen=True)
class Question:
    """What a user asks, in a sentence; parts: of which all must hold."""

    name: str
    asks: str
    parts: tuple[Part, ...]
    content: Mapping[str, Any]  # as written, to store
    place: str = ""  # in the paper
    note: str = ""


def parse(name: str, content: Any) -> Question:
    """A question as a sweep file or a database has it. Raises `BadInput`."""
    if not re.fullmatch(_NAME, str(name)):
        raise BadInput(f"{str(name)[:80]!r} cannot name a question: use letters, digits, '.', '_', '+' and '-'")
    if not isinstance(content, Mapping):
        raise BadInput(f"question {name}: it needs keys such as asks, better and than")
    _bounded(name, content)
    written = _plain(content)
    _known(name, written)
    asks, place, note = (_text(name, key, written.get(key, "")) for key in ("asks", "place", "note"))
    if not asks:
        raise BadInput(f"question {name}: asks is the question in a sentence of your own")
    parts = written.get("all", [{key: value for key, value in written.items() if key not in ("asks", "place", "note")}])
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise BadInput(f"question {name}: all is a list of questions without a sentence, each with better and than")
    if "all" in written and set(written) - {"asks", "place", "note", "all"}:
        raise BadInput(f"question {name}: beside all there can only be asks, place and note")
    for part in parts:
        _known(name, part)
    return Question(str(name), asks, tuple(_part(name, part) for part in parts), written, place, note)


def groups(fields: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Every group of cells that a part names, by its key."""
    for key in ("where", "better", "worse", "more_at", "than_at"):
        if key in fields:
            yield key, fields[key]
    if isinstance(fields.get("than"), Mapping) and "published" not in fields["than"]:
        yield "than", fields["than"]
    near = fields.get("near", {})
    yield from ((key, near[key]) for key in ("of", "over") if key in near)
    yield from (("of", term["of"]) for term in fields.get("sum", ()))


def _part(name: str, fields: Mapping[str, Any]) -> Part:
    """A part, its numbers checked."""
    ways = [key for key in ("better", "worse", "near", "sum") if key in fields]
    if len(ways) != 1:
        raise BadInput(f"question {name}: give one of better, worse, near and sum")
    if (ways[0] in ("better", "worse")) != ("than" in fields):
        raise BadInput(f"question {name}: than says with what better or worse is compared")
    if ("more_at" in fields) != ("than_at" in fields):
        raise BadInput(f"question {name}: more_at and than_at go together")
    for key in fields:
        if key not in (ways[0], *_BESIDE[ways[0]], *_ANYWHERE):
            raise BadInput(f"question {name}: {key} has no meaning beside {ways[0]}: leave it out")
    outcome, scale = str(fields.get("outcome", "final")), str(fields.get("scale", "points"))
    for key, found, choices in (("outcome", outcome, OUTCOMES), ("scale", scale, SCALES)):
        if found not in choices:
            near = nearest(found, choices)
            raise BadInput(f"question {name}: {key} is one of {', '.join(choices)}, not {found[:80]!r}{near}")
    if ways[0] in ("better", "worse"):
        _than(name, fields, scale)
    if ways[0] == "near":
        near = fields["near"]
        if (
            not isinstance(near, dict)
            or not {"of", "is"} <= set(near) <= {"of", "is", "over"}
            or "within" not in fields
        ):
            raise BadInput(f"question {name}: near takes of: GROUP and is: NUMBER, and stands beside within: NUMBER")
        _real(name, "near", near["is"], low=0)
    terms = fields.get("sum", [])
    if ways[0] == "sum":
        if not isinstance(terms, list) or not terms or not all(isinstance(term, dict) for term in terms):
            raise BadInput(f"question {name}: sum is a list of terms {{times: NUMBER, of: GROUP}}")
        for term in terms:
            if set(term) != {"times", "of"}:
                raise BadInput(f"question {name}: a term of sum has times: NUMBER and of: GROUP")
            _real(name, "times", term["times"])
    for key, group in groups(fields):
        fields_of(name, key, group)
    each = fields.get("at_each", "task")
    if not isinstance(each, str) and not (isinstance(each, list) and all(isinstance(field, str) for field in each)):
        raise BadInput(f"question {name}: at_each is a field, or a list of fields, such as horizon")
    for key, low in (("share", 0.0), ("within", 1.0 if scale == "ratio" else 0.0), ("by", None)):
        if key in fields:
            _real(name, key, fields[key], low=low)
    if "share" in fields and number_of(fields["share"]) > _SHARE:
        raise BadInput(f"question {name}: share is {fields['share']} times the other side; in percent, write 80%")
    if "at_least" in fields:
        _real(name, "at_least", fields["at_least"])
        if scale == "ratio":
            raise BadInput(f"question {name}: at_least is a number of points: leave out scale")
    margin = _real(name, "margin", fields["margin"], low=0) if "margin" in fields else None
    if margin is not None and str(fields["margin"]).strip().endswith("%") and scale != "ratio":
        raise BadInput(
            f"question {name}: a margin in percent is for scale: ratio; in points it is a number, such as 50"
        )
    floor: float | dict[str, float] | None = None
    if isinstance(fields.get("floor"), dict):
        floor = {str(task): _real(name, "floor", value) for task, value in fields["floor"].items()}
    elif "floor" in fields:
        floor = _real(name, "floor", fields["floor"])
    count, of = _counted(name, fields.get("count"))
    if count and not listed(fields.get("at_each", "")):
        raise BadInput(f"question {name}: count counts the values of at_each: add at_each: task")
    return Part(
        dict(fields), outcome, scale, math.log1p(margin) if margin and scale == "ratio" else margin, floor, count, of
    )


def _than(name: str, fields: Mapping[str, Any], scale: str) -> None:
    """Raises `BadInput` unless `than` is a group, others, a number or {published: METHOD}."""
    than = fields["than"]
    published = isinstance(than, dict) and "published" in than
    if published and (set(than) != {"published"} or than["published"] not in PUBLISHED):
        raise BadInput(f"question {name}: than: {{published: METHOD}} takes one of {', '.join(PUBLISHED)}")
    if published and scale == "ratio":
        raise BadInput(f"question {name}: published scores are compared in points: leave out scale")
    number = than != OTHERS and not isinstance(than, dict)
    if number:
        _real(name, "than", than, low=0 if scale == "ratio" else None)
    if "more_at" in fields and (number or published):
        raise BadInput(f"question {name}: more_at compares two gains: than must be a group")


def _counted(name: str, given: Any) -> tuple[tuple[int, int] | None, int | None]:
    """ "15 to 20 of 20" """
    if given is None:
        return None, None
    found = re.fullmatch(r"(\d{1,4})(?: to (\d{1,4}))? of (\d{1,4})", str(given))
    if not found:
        raise BadInput(f"question {name}: count is written 15 to 20 of 20, or 0 of 20, not {str(given)[:80]!r}")
    low, of = int(found[1]), int(found[3])
    high = int(found[2]) if found[2] else low
    if not (low <= high <= of and of):
        raise BadInput(f"question {name}: count goes from small to large, such as 15 to 20 of 20")
    return (low, high), of


def _known(name: str, fields: Mapping[str, Any]) -> None:
    for key in fields:
        if key not in _KEYS:
            raise BadInput(f"question {name}: unknown key {str(key)[:80]!r}{nearest(str(key), _KEYS)}")


def _bounded(name: str, content: Any) -> None:
    """Raises `BadInput` for what is too large, as aliases in YAML can make it, or nested too deep."""
    waiting, count = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        inside = (
            list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        )
        count += len(inside)
        if count > _VALUES or depth > _DEPTH:
            raise BadInput(f"question {name}: it holds too many values, or is nested too deep")
        waiting += [(one, depth + 1) for one in inside]


def _text(name: str, key: str, given: Any) -> str:
    """A text in one line. Raises `BadInput`."""
    text = " ".join(given.split()) if isinstance(given, str) else "\0"
    if not text.isprintable() or len(text) > _LONGEST:
        raise BadInput(f"question {name}: {key} is a text of {_LONGEST:,} characters at most")
    return text


def _plain(value: Any) -> Any:
    """A copy in lists, dictionaries and texts; numbers become texts, as YAML is read here."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str) else str(value)


def fields_of(name: str, key: str, given: Any) -> dict[str, tuple[str, ...]]:
    """{field: values} of a group. Raises `BadInput`."""
    if not isinstance(given, Mapping):
        raise BadInput(f"question {name}: {key} names cells by their fields, such as {{method: dreamer}}")
    for field, values in given.items():
        if field != "task" and field not in DEFAULTS:
            raise BadInput(f"question {name}: unknown field {field[:80]!r}{nearest(field, ['task', *DEFAULTS])}")
        if not isinstance(values, str) and not (isinstance(values, list) and all(isinstance(v, str) for v in values)):
            raise BadInput(f"question {name}: {key}: {field} is a value or a list of values, such as [5, 10, 15]")
    return {field: listed(values) for field, values in given.items()}


def listed(given: Any) -> tuple[str, ...]:
    """Values written as a list, or as text with commas."""
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return tuple(str(part) for part in given)


def number_of(given: Any) -> float:
    """A number; 80% is 0.8."""
    text = str(given).strip()
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _real(name: str, key: str, given: Any, low: float | None = None) -> float:
    """A finite number of a sensible size, above `low`. Raises `BadInput`."""
    try:
        value = number_of(given)
    except (TypeError, ValueError):
        value = math.nan
    sensible = value == 0 or 1e-6 <= abs(value) <= 1e9  # nan is not
    if not sensible or low is not None and value <= low:
        more = f" above {low:g}" if low is not None else ""
        raise BadInput(f"question {name}: {key} is a number{more}, not {str(given)[:80]!r}")
    return value
