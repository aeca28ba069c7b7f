"""What a question compares: contrasts, weighted sums of cell means, among the cells of a sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs.questions import OTHERS, Fields, Part, fields_of, groups, listed, number_of
from dreamctl.store import where

_MOST = 1_000  # contrasts of a part


@dataclass(frozen=True)
class Cell:
    """A task at one point of the grid. key: its name in the sweep; at: its task and its value of every axis."""

    key: str
    at: Mapping[str, str]


@dataclass(frozen=True)
class Term:
    """weight * the mean over these cells (keys) of the outcome. group: what the question calls these, as it is said."""

    weight: float
    cells: tuple[str, ...]
    group: str = ""


@dataclass(frozen=True)
class Stratum:
    """The sum of its terms and of a constant, in points (on the scale `ratio`: of their logarithms).

    published: (method, task, weight) whose published score is another term.
    """

    name: str
    terms: tuple[Term, ...]
    constant: float = 0.0
    published: tuple[str, str, float] | None = None


@dataclass(frozen=True)
class Contrast:
    """The mean of its strata, which must be above 0. group: where `at_each` puts it, for parts that count groups.

    label: how it is shown, without which it is called by its name. Stored answers hold for contrasts of the same name.
    """

    name: str
    group: str
    strata: tuple[Stratum, ...]
    label: str = ""


def contrasts(part: Part, cells: Sequence[Cell], name: str = "") -> tuple[Contrast, ...]:
    """The contrasts of a part among a sweep's cells. Raises `BadInput` if a value is in none of them."""
    fields = part.fields
    for key, group in groups(fields):
        _exist(name, cells, fields_of(name, key, group))
    if isinstance(part.floor, Mapping):
        _exist(name, cells, {"task": tuple(part.floor)})
    within = _chosen(cells, fields_of(name, "where", fields.get("where", {})))
    each = tuple(dict.fromkeys(listed(fields.get("at_each", ()))))
    for field in each:
        _axis(name, cells, field)
    found: list[Contrast] = []
    for values in itertools.product(*(_values(within, field) for field in each)):
        here = dict(zip(each, values, strict=True))
        there = [cell for cell in within if all(cell.at[field] == value for field, value in here.items())]
        for one in _compared(name, part, there, here) if there else ():
            found.append(one)
            if len(found) > _MOST:
                raise BadInput(f"question {name}: more than {_MOST:,} comparisons: ask about fewer values")
    if not found:
        raise BadInput(f"question {name}: no cell of the sweep has both of what it compares")
    return tuple(found)


def _compared(name: str, part: Part, cells: Sequence[Cell], here: Mapping[str, str]) -> Iterable[Contrast]:
    """The contrasts at one value of `at_each`: one for each value of `better` and of `than`."""
    fields, group = part.fields, _said(here)
    if "sum" in fields:
        terms = [
            Term(
                number_of(term["times"]), tuple(cell.key for cell in _chosen(cells, fields_of(name, "of", term["of"])))
            )
            for term in fields["sum"]
        ]
        if all(term.cells for term in terms):
            yield Contrast(group, group, (Stratum("", tuple(terms), -number_of(fields.get("by", 0))),))
        return
    ours, sign = (fields["better"], 1.0) if "better" in fields else (fields.get("worse"), -1.0)
    own = _combinations(name, cells, ours if ours is not None else fields["near"]["of"])
    for mine in own:
        if "at_least" in fields:
            yield from _against(part, cells, mine, Reference(number_of(fields["at_least"])), 1.0, group, alone=True)
        if "near" in fields:
            yield from _near(part, cells, mine, group)
            continue
        than = fields["than"]
        if not isinstance(than, Mapping) and than != OTHERS:  # a number
            known = Reference(number_of(than))
            yield from _against(part, cells, mine, known, sign, group)
        elif isinstance(than, Mapping) and "published" in than:
            yield from _against(part, cells, mine, Reference(published=str(than["published"])), sign, group)
        else:
            others = _combinations(name, cells, _all_of(cells, mine) if than == OTHERS else than)
            for theirs in (each for each in others if each != mine):
                yield from _pair(part, cells, mine, theirs, sign, group)


@dataclass(frozen=True)
class Reference:
    """What is not run: a number, or a method's published score on each task."""

    number: float = 0.0
    published: str | None = None


def _pair(
    part: Part, cells: Sequence[Cell], mine: Mapping[str, str], theirs: Mapping[str, str], sign: float, group: str
) -> Iterable[Contrast]:
    """mine less `share` of theirs, less `by`, over cells that differ in nothing else; or the interaction of that."""
    fields = part.fields
    share, by = number_of(fields.get("share", 1.0)), number_of(fields.get("by", 0.0))
    name = ", ".join(filter(None, (group, f"{_said(mine)} {'-' if sign > 0 else 'below'} {_said(theirs)}")))
    label = ", ".join(filter(None, (group, _label(part, mine, _said(theirs), sign), _further(fields))))
    named = {*mine, *theirs}
    if "more_at" in fields:
        at = {sign_: fields_of("", "more_at", fields[key]) for sign_, key in ((1.0, "more_at"), (-1.0, "than_at"))}
        named |= {field for wanted in at.values() for field in wanted}
    else:
        at = {1.0: {}}
    rest = [field for field in cells[0].at if field not in named]
    strata, logs = [], part.scale == "ratio"
    whole: dict[tuple[float, float], list[str]] = {}
    points: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        points.setdefault(tuple(cell.at[field] for field in rest), []).append(cell)
    for point, here in points.items():
        terms, keys_of = [], {}
        for of_side, wanted in at.items():
            for of_group, chosen, weight in ((1.0, mine, 1.0), (-1.0, theirs, 1.0 if logs else share)):
                keys = tuple(
                    cell.key
                    for cell in here
                    if all(cell.at[field] == value for field, value in chosen.items())
                    and all(_is_any(cell.at[field], values) for field, values in wanted.items())
                )
                terms.append(Term(sign * of_side * of_group * weight, keys, _said(chosen)))
                keys_of[of_side, of_group] = keys
        if all(keys_of.values()):
            strata.append(Stratum(", ".join(point), tuple(terms), -by))
            for side, keys in keys_of.items():
                whole.setdefault(side, []).extend(keys)
    if strata and logs:  # a share of sums is steadier than a mean of shares
        constant = -sign * math.log(share) if "more_at" not in fields else 0.0
        terms = [
            Term(sign * side * of_group, tuple(keys), _said(mine if of_group > 0 else theirs))
            for (side, of_group), keys in whole.items()
        ]
        strata = [Stratum("", tuple(terms), constant - by)]
    if strata:
        yield Contrast(name, group, tuple(strata), label)


def _against(
    part: Part,
    cells: Sequence[Cell],
    mine: Mapping[str, str],
    known: Reference,
    sign: float,
    group: str,
    alone: bool = False,
) -> Iterable[Contrast]:
    """mine less `share` of what is known, less `by`, averaged over all cells; alone: without `share` and `by`."""
    fields = {} if alone else part.fields
    share, by = number_of(fields.get("share", 1.0)), number_of(fields.get("by", 0.0))
    own = [cell for cell in cells if all(cell.at[field] == value for field, value in mine.items())]
    what = f"published {known.published}" if known.published else f"{known.number:g}"
    name = ", ".join(filter(None, (group, f"{_said(mine)} {'-' if sign > 0 else 'below'} {what}")))
    label = ", ".join(filter(None, (group, _label(replace(part, fields=fields), mine, what, sign))))
    if part.scale == "ratio":
        constant = -sign * math.log(share * known.number) - by
        strata = [Stratum("", (Term(sign, tuple(cell.key for cell in own)),), constant)]
    else:
        strata = [
            Stratum(
                cell.key,
                (Term(sign, (cell.key,)),),
                -sign * share * known.number - by,
                None if known.published is None else (known.published, cell.at["task"], -sign * share),
            )
            for cell in own
        ]
    if strata:
        yield Contrast(name, group, tuple(strata), label)


def _label(part: Part, mine: Mapping[str, str], theirs: str, sign: float) -> str:
    """What a contrast's number is: 'planet - 80 % of dreamer, by 100'; on the scale `ratio`, with / in place of -."""
    share = f"{100 * number_of(part.fields['share']):g} % of " if "share" in part.fields else ""
    by = f", by {number_of(part.fields['by']):g}" if "by" in part.fields else ""
    between = "below" if sign < 0 else "/" if part.scale == "ratio" else "-"
    return f"{_said(mine)} {between} {share}{theirs}{by}"


def _further(fields: Mapping[str, Any]) -> str:
    """Where an interaction has its gains: 'more at horizon 5/10 than at horizon 20'."""
    if "more_at" not in fields:
        return ""
    here, there = (
        _said({field: "/".join(listed(given)) for field, given in fields[key].items()})
        for key in ("more_at", "than_at")
    )
    return f"more at {here} than at {there}"


def _near(part: Part, cells: Sequence[Cell], mine: Mapping[str, str], group: str) -> Iterable[Contrast]:
    """Two contrasts: mine above `near` - `within`, and below `near` + `within` (on the scale `ratio`: / and *)."""
    near, within, ratio = part.fields["near"], number_of(part.fields["within"]), part.scale == "ratio"
    middle = number_of(near["is"])
    if ratio:
        ends = {"above": math.log(middle / within), "below": math.log(middle * within)}
    else:
        ends = {"above": middle - within, "below": middle + within}
    theirs = near.get("over")
    over_what = f" over {_said({key: '/'.join(listed(given)) for key, given in theirs.items()})}" if theirs else ""
    for what, end in ends.items():
        sign = 1.0 if what == "above" else -1.0
        shown = math.exp(end) if ratio else end
        label = ", ".join(filter(None, (group, f"{_said(mine)}{over_what} {what} {shown:.3g}")))
        own = tuple(c.key for c in cells if all(c.at[field] == value for field, value in mine.items()))
        if theirs:
            over = tuple(cell.key for cell in _chosen(cells, fields_of("", "over", theirs)))
            if own and over:
                yield Contrast(label, group, (Stratum("", (Term(sign, own), Term(-sign, over)), -sign * end),))
        elif own:
            yield Contrast(label, group, tuple(Stratum(key, (Term(sign, (key,)),), -sign * end) for key in own))


def _axis(name: str, cells: Sequence[Cell], field: str) -> None:
    if not cells or field not in cells[0].at:
        axes = ", ".join(cells[0].at) if cells else "nothing"
        raise BadInput(f"question {name}: {field[:80]!r} does not vary in this sweep; what varies: {axes}")


def _values(cells: Sequence[Cell], field: str) -> list[str]:
    return list(dict.fromkeys(cell.at[field] for cell in cells))


def _exist(name: str, cells: Sequence[Cell], wanted: Fields) -> None:
    """Raises `BadInput` for a field or a value that no cell has."""
    for field, values in wanted.items():
        _axis(name, cells, field)
        there = _values(cells, field)
        for value in values:
            if not any(_is_any(one, [value]) for one in there):
                raise BadInput(f"question {name}: no cell has {field}={value[:80]!r}; there are: {', '.join(there)}")


def _chosen(cells: Sequence[Cell], wanted: Fields) -> list[Cell]:
    """The cells that fit."""
    return [c for c in cells if all(_is_any(c.at[field], values) for field, values in wanted.items())]


def _is_any(own: str, values: Sequence[str]) -> bool:
    """Whether a cell's value is one of those; 3.0 is 3."""
    with suppress(ValueError):
        if where.is_any(float(own), values):
            return True
    return where.is_any(own, values)


def _combinations(name: str, cells: Sequence[Cell], given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every combination of the values that a group names, as the cells have them, in the order that it names them."""
    named = []
    for field, values in fields_of(name, "better", given).items():
        there = _values(cells, field)
        own = dict.fromkeys(one for value in values for one in there if _is_any(one, [value]))
        named.append([(field, value) for value in own])
    return [dict(combination) for combination in itertools.product(*named)]


def _all_of(cells: Sequence[Cell], mine: Mapping[str, str]) -> dict[str, list[str]]:
    return {field: _values(cells, field) for field in mine}


def _said(chosen: Mapping[str, str]) -> str:
    return " ".join(
        value if field in ("method", "objective", "task") else f"{field} {value}" for field, value in chosen.items()
    )
