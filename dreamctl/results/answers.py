"""Answers to questions: what the runs of a sweep, or of a home, say of its contrasts.

Confirmed: every contrast is surely above 0. Contradicted: one is surely below. Too small to matter: one surely lies
within the margin. All of that at every look, so that a false answer to any question of a file at any look has a chance
of 5 % at most (`sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from dreamctl.jobs.questions import Cell, Contrast, Part, Question, Stratum, contrasts
from dreamctl.jobs.sweeps import Plan
from dreamctl.results import published, sequential
from dreamctl.results.outcomes import Outcomes
from dreamctl.results.sequential import CONFIRMED, CONTRADICTED, SMALL, UNDECIDED
from dreamctl.results.statistics import Interval
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

OPEN = "open"  # goes on to the next look
ANSWERS = (CONFIRMED, CONTRADICTED, SMALL, UNDECIDED, OPEN)
ALPHA = 0.05  # the chance of a false answer, over all looks and questions
SCALE = 1000.0  # points, the largest return of a task
FLOOR = 50.0  # points above a random policy below which nothing is learned, where a question has no margin in points
_ANY = Interval(-math.inf, math.inf)


@dataclass(frozen=True)
class Number:
    """A contrast's estimate and interval at the look's level, in points or, on the scale `ratio`, as a factor.

    floored: strata in which nothing was learned, which count as no difference; missing: cells without enough runs.
    """

    name: str
    estimate: float | None
    low: float | None
    high: float | None
    floored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    group: str = ""
    holds: bool | None = None  # for what is counted: surely above 0, surely not, open
    unit: str = "points"  # "ratio"


@dataclass(frozen=True)
class Answer:
    """What is known of a question. estimate, low, high: those of the contrast that decides, or of a count.

    seeds: the least that a cell has; cells: that the question is about; level: two-sided chance of error at this look.
    """

    question: str
    answer: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "points"  # "ratio", "count"
    decides: str = ""  # the name of the contrast
    seeds: int = 0
    level: float = ALPHA
    cells: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass
class _Finding:
    """A part's outcome so far, and its numbers."""

    answer: str
    numbers: list[Number]
    unit: str
    count: tuple[int, int, int] | None = None  # as it seems, surely, at most
    notes: list[str] = field(default_factory=list)


def of_sweep(store: Store, sweep: Sweep) -> list[dict[str, Any]]:
    """The questions of a sweep and what is known of them, as JSON: the answers of its newest look.

    Before the first look, what its runs say so far, which is no answer yet. Besides what an `Answer` has: asks, its
    sentence; look, the number of its look from 0, of `looks`; version of the registration, and registered_after, how
    many runs had been evaluated by then, None for a sweep that is not registered; waits_for, how many runs have to end
    before the next look.
    """
    if not sweep.spec.get("questions"):
        return []
    plan = Plan.from_dict(sweep.name, sweep.spec)
    runs, stored = store.members(sweep.id), store.looks(sweep.id)
    versions = {version.version: version for version in store.registrations(sweep.id)}
    looks, points = plan.looks or (len(plan.seeds),), plan.points()
    if stored:
        given, version = list(stored[-1].answers), stored[-1].version
    else:
        given = [
            answer | {"answer": OPEN} for answer in judge(store, plan, 0, dict.fromkeys(points, looks[0]), [], runs)
        ]
        version = max(versions, default=1)
    following = next((seeds for seeds in looks if not stored or seeds > stored[-1].seeds), 0)
    ended = {run.digest for run in runs if run.status == "finished" or run.diverged}
    asks = {question.name: question.asks for question in plan.questions}
    result = []
    for answer in given:
        own = answer.get("version", version)
        registration = versions.get(own)
        wanted = [points[key][1] for key in answer["cells"] if key in points] if answer["answer"] == OPEN else []
        digests = {replace(spec, seed=seed).digest for spec in wanted for seed in plan.seeds[:following]}
        result.append(
            answer
            | {
                "asks": asks.get(answer["question"], answer["question"]),
                "looks": len(looks),
                "version": own,
                "registered_after": None if registration is None else registration.runs,
                "waits_for": len(digests - ended),
            }
        )
    return result


def judge(
    store: Store,
    plan: Plan,
    number: int,
    seeds: Mapping[str, int],
    earlier: Sequence[Mapping[str, Any]],
    runs: Sequence[Run],
) -> list[dict[str, Any]]:
    """The answers of a sweep's questions at a look, as JSON; those of an earlier look are carried over.

    number: of the look, from 0; seeds: {cell: how many}; runs: the sweep's. Scores that come from later seeds, or from
    another sweep, have no part in it, so that every process finds the same.
    """
    looks = plan.looks or (len(plan.seeds),)
    points = plan.points()
    by_digest = {run.digest: run for run in runs}
    chosen = {}
    for key, (_, spec) in points.items():
        digests = [replace(spec, seed=seed).digest for seed in plan.seeds[: seeds.get(key, 0)]]
        chosen[key] = [by_digest[digest] for digest in digests if digest in by_digest]
    cells = [cell for cell, _ in points.values()]
    answered = {each["question"]: dict(each) for each in earlier if each["answer"] != OPEN}
    asked = [question for question in plan.questions if question.name not in answered]
    outcomes = Outcomes(store, chosen)
    found = decide(asked, cells, outcomes, looks, number)
    last = number + 1 >= len(looks)
    result = []
    for question in plan.questions:
        if question.name in answered:
            result.append(answered[question.name])
            continue
        answer = found[question.name].to_dict()
        answer["answer"] = UNDECIDED if last and answer["answer"] == OPEN else answer["answer"]
        result.append(answer | {"look": number})
    return result


def decide(
    questions: Sequence[Question], cells: Sequence[Cell], outcomes: Outcomes, looks: Sequence[int], number: int
) -> dict[str, Answer]:
    """{question: its answer, `OPEN` without one} at a look of several; a single look for what has ended.

    The chance of error is shared by the open questions; one that is answered leaves its share to the others (Holm).
    """
    found: dict[str, Answer] = {}
    waiting = list(questions)
    while waiting:
        level = sequential.levels(looks, ALPHA / len(waiting))[number]
        found |= {question.name: answer(question, cells, outcomes, level) for question in waiting}
        left = [question for question in waiting if found[question.name].answer == OPEN]
        if len(left) == len(waiting):
            break
        waiting = left
    return found


def answer(question: Question, cells: Sequence[Cell], outcomes: Outcomes, level: float) -> Answer:
    """The answer to a question at a two-sided level, `OPEN` if there is none yet."""
    parts = [(part, contrasts(part, cells, question.name)) for part in question.parts]
    many = sum(1 if part.count else len(found) for part, found in parts)
    findings = [_part(part, found, outcomes, level, many) for part, found in parts]
    kinds = [finding.answer for finding in findings]
    if CONTRADICTED in kinds:
        kind = CONTRADICTED
    elif SMALL in kinds:
        kind = SMALL
    else:
        kind = CONFIRMED if set(kinds) == {CONFIRMED} else OPEN
    speaker = findings[kinds.index(kind)] if kind in kinds else findings[0]
    if kind == OPEN:
        speaker = findings[kinds.index(OPEN)]
    weakest = min(speaker.numbers, key=lambda n: math.inf if n.estimate is None else n.estimate)
    estimate, low, high = speaker.count or (weakest.estimate, weakest.low, weakest.high)
    named = {key for _, found in parts for one in found for s in one.strata for t in s.terms for key in t.cells}
    return Answer(
        question.name,
        kind,
        estimate,
        low,
        high,
        unit="count" if speaker.count else speaker.unit,
        decides="" if speaker.count else weakest.name,
        seeds=min((len(outcomes.runs.get(key, ())) for key in named), default=0),
        level=level,
        cells=tuple(cell.key for cell in cells if cell.key in named),
        numbers=tuple(number for finding in findings for number in finding.numbers),
        notes=tuple(note for finding in findings for note in finding.notes),
    )


def _part(part: Part, found: Sequence[Contrast], outcomes: Outcomes, level: float, many: int) -> _Finding:
    """Judge a part's contrasts, of which any can contradict: of `many` in all."""
    if part.count:
        return _counted(part, found, outcomes, level)
    pool = _pool(part, found, outcomes)
    loose = [_number(part, one, outcomes, level, pool) for one in found]
    strict = [_number(part, one, outcomes, level / many, pool) for one in found]
    kind = sequential.decided([interval for _, interval in loose], [interval for _, interval in strict], _margin(part))
    return _Finding(kind or OPEN, [number for number, _ in loose], part.scale)


def _counted(part: Part, found: Sequence[Contrast], outcomes: Outcomes, level: float) -> _Finding:
    """In how many groups all contrasts are above 0: surely, and at most. The level is shared by all groups."""
    assert part.count is not None and part.of is not None
    pool, margin = _pool(part, found, outcomes), _margin(part) or 0.0
    groups: dict[str, list[Contrast]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    numbers: list[Number] = []
    states: list[bool | None] = []
    seem = 0
    for own in groups.values():
        at = level / part.of
        loose = [_number(part, one, outcomes, at, pool) for one in own]
        strict = [_number(part, one, outcomes, at / len(own), pool)[1] for one in own]
        holds = True if all(interval.low > 0 for _, interval in loose) else None
        if any(interval.high < margin for interval in strict):
            holds = False
        states.append(holds)
        seem += all(number.estimate is not None and _above(part, number.estimate) for number, _ in loose)
        numbers += [replace(number, holds=holds) for number, _ in loose]
    low, high = states.count(True), max(part.of, len(groups)) - states.count(False)
    inside = part.count[0] <= low and high <= part.count[1]
    outside = high < part.count[0] or low > part.count[1]
    kind = CONFIRMED if inside else CONTRADICTED if outside else OPEN
    return _Finding(kind, numbers, part.scale, (seem, low, high))


def _number(
    part: Part, contrast: Contrast, outcomes: Outcomes, level: float, pool: Sequence[Sequence[float]]
) -> tuple[Number, Interval]:
    """A contrast as it is shown, and its interval in units of 1 (or logarithms)."""
    unit = _unit(part, pool)
    missing = sorted(
        {k for s in contrast.strata for t in s.terms for k in t.cells if not outcomes.sample(k, part.outcome)}
    )
    if missing:
        return Number(contrast.name, None, None, None, (), tuple(missing), contrast.group, unit=part.scale), _ANY
    estimate, terms, floored = 0.0, [], []
    for stratum in contrast.strata:
        samples = [[outcomes.sample(key, part.outcome) for key in term.cells] for term in stratum.terms]
        means = [float(np.mean([np.mean(sample) for sample in of_term])) for of_term in samples]
        if _at_floor(part, stratum, means, outcomes):
            floored.append(stratum.name)
            continue
        share = 1 / len(contrast.strata)
        if part.scale == "ratio":
            estimate += share * (sum(t.weight * math.log(m) for t, m in zip(stratum.terms, means, strict=True)))
            estimate += share * stratum.constant
        else:
            value = sum(t.weight * m for t, m in zip(stratum.terms, means, strict=True)) + stratum.constant
            estimate += share * (value + _published(stratum)) / unit
        for term, of_term, mean in zip(stratum.terms, samples, means, strict=True):
            weight = share * term.weight / len(of_term)
            weight *= unit / mean if part.scale == "ratio" else 1.0
            terms += [(weight, [value / unit for value in sample]) for sample in of_term]
    found = sequential.interval(estimate, terms, level, [[v / unit for v in one] for one in pool]) if terms else _ANY
    middle, low, high = (_shown(part, value, unit) for value in (estimate, *found))
    return Number(contrast.name, middle, low, high, tuple(floored), (), contrast.group, unit=part.scale), found


def _at_floor(part: Part, stratum: Stratum, means: Sequence[float], outcomes: Outcomes) -> bool:
    """Whether nothing is learned in a stratum: by no group of it or, where shares are taken, by one of them."""
    if part.outcome in ("hours", "prediction_error") or len(stratum.terms) < 2:
        return False
    below = []
    for term, mean in zip(stratum.terms, means, strict=True):
        tasks = sorted({run.task for key in term.cells for run in outcomes.runs[key]})
        below.append(mean < np.mean([floor(part, task, outcomes) for task in tasks]))
    return any(below) if part.scale == "ratio" else all(below)


def floor(part: Part, task: str, outcomes: Outcomes) -> float:
    """The score below which nothing is learned on a task, in points."""
    if isinstance(part.floor, Mapping) and task in part.floor:
        return float(part.floor[task])
    if isinstance(part.floor, float):
        return part.floor
    return (outcomes.random(task) or 0.0) + (part.margin if part.margin and part.scale == "points" else FLOOR)


def _published(stratum: Stratum) -> float:
    """The published score in a stratum, weighted; 0 without one."""
    if stratum.published is None:
        return 0.0
    method, task, weight = stratum.published
    score = published.final(method).get(task)
    return 0.0 if score is None else weight * score.mean


def _pool(part: Part, found: Sequence[Contrast], outcomes: Outcomes) -> list[list[float]]:
    """The samples of all cells of a part."""
    keys = dict.fromkeys(key for one in found for s in one.strata for t in s.terms for key in t.cells)
    return [sample for key in keys if (sample := outcomes.sample(key, part.outcome))]


def _unit(part: Part, pool: Sequence[Sequence[float]]) -> float:
    """What outcomes are divided by, so that they are about 1 at most."""
    if part.outcome not in ("hours", "prediction_error"):
        return SCALE
    return max((abs(float(np.mean(sample))) for sample in pool), default=1.0) or 1.0


def _margin(part: Part) -> float | None:
    return part.margin / SCALE if part.margin is not None and part.scale == "points" else part.margin


def _shown(part: Part, value: float, unit: float) -> float | None:
    """A number in points, or as a factor; None if it is infinite."""
    if not math.isfinite(value):
        return None
    return math.exp(value) if part.scale == "ratio" else value * unit


def _above(part: Part, shown: float) -> bool:
    return shown > (1.0 if part.scale == "ratio" else 0.0)
