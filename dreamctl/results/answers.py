"""Answers to questions: what the runs of a sweep, or of a home, say of its contrasts.

Confirmed: every contrast is surely above 0. Contradicted: one is surely below. Too small to matter: one surely lies
within the margin. All of that at every look, so that a false answer to any question of a file at any look has a chance
of 5 % at most (`sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from dreamctl.jobs.contrasts import Cell, Contrast, Stratum, Term, contrasts
from dreamctl.jobs.progress import OPEN, Progress
from dreamctl.jobs.questions import Part, Question
from dreamctl.jobs.sweeps import Plan
from dreamctl.results import counting, grouping, published, sequential, standing
from dreamctl.results.outcomes import Outcomes
from dreamctl.results.sequential import CONFIRMED, CONTRADICTED, SMALL, UNDECIDED
from dreamctl.results.statistics import Interval
from dreamctl.store import Run, Store
from dreamctl.store.models import Sweep

ANSWERS = (CONFIRMED, CONTRADICTED, SMALL, UNDECIDED, OPEN)
SCALE = 1000.0  # points, the largest return of a task
FLOOR = 50.0  # points above a random policy below which nothing is learned, where a question has no margin in points
_FACTOR = 100.0  # the largest logarithm of a factor
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
    level: float = sequential.ALPHA
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

    Of a question that no look has judged as it reads now: what the runs say so far, which is no answer yet. Besides
    what an `Answer` has: asks, its sentence; look, that which answered it, or which it waits for, from 1, of `looks`;
    version of the registration, and registered_after, how many runs had been evaluated by then, None for a sweep that
    is not registered; left, how many runs have to end before the look. Raises `BadInput` for a plan that is damaged.
    """
    if not sweep.spec.get("questions"):
        return []
    progress, runs = Progress.of(store, sweep), store.members(sweep.id)
    plan, versions = progress.plan, {version.version: version for version in store.registrations(sweep.id)}
    given = {
        name: Answer(name, OPEN).to_dict() | dict(row) | {"answer": progress.answer(name)}
        for name, row in progress.answers.items()
    }
    if len(given) < len(plan.questions):  # no look has judged them as they read now
        so_far = judge(store, plan, 0, dict.fromkeys(plan.points(), progress.looks[0]), [], runs)
        given = {row["question"]: row | {"answer": OPEN} for row in so_far} | given
    result = []
    for question in plan.questions:
        name, row = question.name, given[question.name]
        version = row.get("version", max(versions, default=1))
        registration = versions.get(version)
        result.append(
            row
            | {
                "answer": progress.answer(name),
                "asks": question.asks,
                "look": progress.look(name),
                "looks": len(progress.looks),
                "version": version,
                "registered_after": None if registration is None else registration.runs,
                "left": progress.left(name, runs),
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
    found = settled([Case(question, cells, outcomes) for question in asked], looks, number)
    last = number + 1 >= len(looks)
    result = []
    for question in plan.questions:
        if question.name in answered:
            result.append(answered[question.name])
            continue
        answer = found[question.name].to_dict()
        answer["answer"] = UNDECIDED if last and answer["answer"] == OPEN else answer["answer"]
        answer["notes"] = [*answer["notes"], *_remarks([chosen[key] for key in answer["cells"]])]
        result.append(answer | {"look": number})
    return result


def _remarks(cells: Sequence[Sequence[Run]]) -> list[str]:
    """On the runs that an answer counts although they came to nothing, and on cells that several codes have trained."""
    lost = [run for runs in cells for run in runs if standing.diverged(run)]
    return [*standing.remarks(lost), *grouping.mixed(cells)]


def settled(cases: Sequence[Case], looks: Sequence[int], number: int) -> dict[str, Answer]:
    """The answers at a look, from 0, by question, `OPEN` without one.

    The open ones share the chance of error (`sequential.settle`).
    """
    found: dict[str, Answer] = {}
    named = {case.question.name: case for case in cases}

    def judged(name: str, alpha: float) -> str | None:
        found[name] = named[name].answer(sequential.levels(looks, alpha)[number])
        return None if found[name].answer == OPEN else found[name].answer

    sequential.settle(named, judged)
    return found


class Case:
    """A question with the numbers that the runs have for it."""

    def __init__(self, question: Question, cells: Sequence[Cell], outcomes: Outcomes) -> None:
        self.question, self.outcomes = question, outcomes
        self.parts = [_Measured(part, contrasts(part, cells, question.name), outcomes) for part in question.parts]
        named = {key for part in self.parts for key in part.cells}
        self.cells = tuple(cell.key for cell in cells if cell.key in named)

    @property
    def known(self) -> bool:
        """Whether there are runs for any of its contrasts."""
        return any(estimate.terms for measured in self.parts for estimate in measured.estimates)

    def answer(self, level: float) -> Answer:
        """At a two-sided level, `OPEN` if there is none yet."""
        many = sum(1 if measured.part.count else len(measured.found) for measured in self.parts)
        findings = [_judged(measured, level, many) for measured in self.parts]
        kinds = [finding.answer for finding in findings]
        kind = next(one for one in (CONTRADICTED, SMALL, OPEN, CONFIRMED) if one in kinds)  # the first of these speaks
        speaker = findings[kinds.index(kind)]
        chosen = min(speaker.numbers, key=lambda number: _order(kind, speaker.unit, number))
        estimate, low, high = speaker.count or (chosen.estimate, chosen.low, chosen.high)
        return Answer(
            self.question.name,
            kind,
            estimate,
            low,
            high,
            unit="count" if speaker.count else speaker.unit,
            decides="" if speaker.count else chosen.name,
            seeds=min((len(self.outcomes.runs.get(key, ())) for key in self.cells), default=0),
            level=level,
            cells=self.cells,
            numbers=tuple(number for finding in findings for number in finding.numbers),
            notes=tuple(note for finding in findings for note in finding.notes),
        )


def _order(kind: str, unit: str, number: Number) -> float:
    """The contrast that decides has the least of this: it is surely below 0, surely small, or the weakest."""
    if number.estimate is None:
        return math.inf
    if kind == CONTRADICTED:
        return math.inf if number.high is None else number.high
    if kind == SMALL and number.low is not None and number.high is not None:
        low, high = (math.log(end) if unit == "ratio" else end for end in (number.low, number.high))
        return max(-low, high)
    return math.inf if kind == SMALL else number.estimate


@dataclass(frozen=True)
class _Estimate:
    """A contrast as the runs have it, in units of 1 or, on the scale `ratio`, in logarithms.

    It behaves as the sum of terms, weight * mean(sample); without terms nothing is known of it.
    """

    value: float
    terms: tuple[tuple[float, list[float]], ...] = ()
    floored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class _Measured:
    """A part's contrasts, estimated from the runs. Its own cells together show how far seeds scatter: the pool."""

    def __init__(self, part: Part, found: Sequence[Contrast], outcomes: Outcomes) -> None:
        self.part, self.found, self.outcomes = part, found, outcomes
        compared: dict[int, list[str]] = {}  # by the number of the term
        for one in found:
            for stratum in one.strata:
                for index, term in enumerate(stratum.terms):
                    compared.setdefault(index, []).extend(term.cells)
        self.machine = outcomes.machine(list(compared.values())) if part.outcome == "hours" else None
        self.cells = tuple(dict.fromkeys(key for own in compared.values() for key in own))
        samples = [sample for key in self.cells if (sample := self.sample(key))]
        self.unit = _unit(part, samples)
        self.pool = tuple(tuple(one / self.unit for one in sample) for sample in samples)
        self.margin = part.margin / SCALE if part.margin is not None and part.scale == "points" else part.margin
        self.estimates = [self._estimate(one) for one in found]

    def sample(self, key: str) -> list[float]:
        return self.outcomes.sample(key, self.part.outcome, self.machine)

    def interval(self, estimate: _Estimate, level: float) -> Interval:
        """At a two-sided level; returns between 0 and 1000, as of the suite, leave it no more room than they have."""
        if not estimate.terms:
            return _ANY
        found = sequential.interval(estimate.value, estimate.terms, level, self.pool)
        scores = [value for _, sample in estimate.terms for value in sample]
        if found == _ANY or self.unit != SCALE or self.part.scale == "ratio" or min(scores) < 0 or max(scores) > 1:
            return found
        fixed = estimate.value - sum(weight * float(np.mean(sample)) for weight, sample in estimate.terms)
        weights = [weight for weight, _ in estimate.terms]
        least, most = (fixed + sum(sign for sign in weights if sign * way > 0) for way in (-1, 1))
        return Interval(max(found.low, least), min(found.high, most))

    def number(self, index: int, level: float) -> Number:
        """A contrast as it is shown."""
        one, estimate = self.found[index], self.estimates[index]
        name = one.label or one.name
        if estimate.missing:
            return Number(
                one.label or one.name, None, None, None, (), estimate.missing, one.group, unit=self.part.scale
            )
        middle, low, high = (self._shown(value) for value in (estimate.value, *self.interval(estimate, level)))
        return Number(name, middle, low, high, estimate.floored, (), one.group, unit=self.part.scale)

    @cached_property
    def groups(self) -> dict[str, list[int]]:
        """The indices of the contrasts of each group."""
        found: dict[str, list[int]] = {}
        for index, one in enumerate(self.found):
            found.setdefault(one.group, []).append(index)
        return found

    @cached_property
    def chances(self) -> list[tuple[float | None, float | None]]:
        """For each group the one-sided p of all its contrasts being above 0, and of one being below the margin.

        All are above if each of them is; the one below is picked out of several. None: nothing is known.
        """
        found: list[tuple[float | None, float | None]] = []
        for indices in self.groups.values():
            known = [estimate for index in indices if (estimate := self.estimates[index]).terms]
            holds = fails = None
            if len(known) == len(indices):
                holds = max(self._chance(estimate, 0.0) for estimate in known)
            if known:
                fails = min(self._chance(estimate, self.margin or 0.0, -1.0) for estimate in known)
                fails = min(1.0, fails * len(indices))
            found.append((holds, fails))
        return found

    def _chance(self, estimate: _Estimate, bound: float, sign: float = 1.0) -> float:
        """The one-sided p of its lying above a bound; sign -1: below."""
        return sequential.chance(sign * (estimate.value - bound), estimate.terms, self.pool)

    def _estimate(self, contrast: Contrast) -> _Estimate:
        strata = [one for one in contrast.strata if one.published is None or _published(one) is not None]
        lacking = {key for one in strata for term in one.terms for key in self._lacking(term)}
        if lacking or not strata:
            return _Estimate(math.nan, missing=tuple(sorted(lacking)))
        logs = self.part.scale == "ratio"
        value, floored = 0.0, []
        weights: dict[str, float] = {}  # of a cell's mean: one, also where it stands on both sides
        for stratum in strata:
            there = [[key for key in term.cells if self.sample(key)] for term in stratum.terms]
            means = [float(np.mean([np.mean(self.sample(key)) for key in own])) for own in there]
            if self._at_floor(stratum, means) or logs and min(means) <= 0:
                floored.append(stratum.name)
                continue
            if logs:
                sizes = [math.log(mean) for mean in means]
                total = stratum.constant
            else:
                sizes = [mean / self.unit for mean in means]
                total = (stratum.constant + (_published(stratum) or 0.0)) / self.unit
            value += (total + sum(t.weight * size for t, size in zip(stratum.terms, sizes, strict=True))) / len(strata)
            for term, own, mean in zip(stratum.terms, there, means, strict=True):
                weight = term.weight / len(own) / len(strata) * (self.unit / mean if logs else 1.0)
                weights |= {key: weights.get(key, 0.0) + weight for key in own}
        terms = tuple((w, [one / self.unit for one in self.sample(key)]) for key, w in weights.items() if w)
        return _Estimate(value, terms, tuple(floored))

    def _lacking(self, term: Term) -> list[str]:
        """The cells of a term without an outcome. Of hours those of one machine will do, which no task changes much."""
        lacking = [key for key in term.cells if not self.sample(key)]
        return [] if self.part.outcome == "hours" and len(lacking) < len(term.cells) else lacking

    def _at_floor(self, stratum: Stratum, means: Sequence[float]) -> bool:
        """Whether nothing is learned in a stratum: by no group of it or, in an interaction, by one of them.

        Twice next to nothing is no gain, and what has learned nothing at any horizon says nothing of horizons.
        """
        if self.part.outcome in ("hours", "prediction_error") or len(stratum.terms) < 2:
            return False
        learns: dict[str, bool] = {}
        for term, mean in zip(stratum.terms, means, strict=True):
            tasks = sorted({run.task for key in term.cells for run in self.outcomes.runs[key]})
            enough = mean >= np.mean([floor(self.part, task, self.outcomes) for task in tasks])
            learns[term.group] = learns.get(term.group, False) or bool(enough)
        interaction = len(stratum.terms) > len(learns) > 1
        return not all(learns.values()) if interaction else not any(learns.values())

    def _shown(self, value: float) -> float | None:
        """A number in points, or as a factor; None if it is infinite, or a factor too large to say anything."""
        if not math.isfinite(value) or self.part.scale == "ratio" and abs(value) > _FACTOR:
            return None
        return math.exp(value) if self.part.scale == "ratio" else value * self.unit


def _judged(measured: _Measured, level: float, many: int) -> _Finding:
    """Judge a part's contrasts, of which any can contradict: of `many` in all."""
    if measured.part.count:
        return _counted(measured, level, many)
    loose = [measured.interval(estimate, level) for estimate in measured.estimates]
    strict = [measured.interval(estimate, level / many) for estimate in measured.estimates]
    kind = sequential.decided(loose, strict, measured.margin)
    numbers = [measured.number(index, level) for index in range(len(measured.found))]
    return _Finding(kind or OPEN, numbers, measured.part.scale)


def _counted(measured: _Measured, level: float, many: int) -> _Finding:
    """In how many groups all contrasts are above 0: surely at least so many, and at most (`counting`).

    It may be confirmed at the level, as its question only is if all parts are; contradicted at its share of it.
    """
    part, groups = measured.part, measured.groups
    assert part.count is not None and part.of is not None
    holding = [holds for holds, _ in measured.chances if holds is not None]
    failing = [fails for _, fails in measured.chances if fails is not None]

    def bounds(level: float) -> tuple[int, int]:
        failed = int(counting.least(failing, level / 2))
        return int(counting.least(holding, level / 2)), max(part.of or 0, len(groups)) - failed

    least, most = part.count
    (low, high), (sure_low, sure_high) = bounds(level), bounds(level / many)
    kind = CONTRADICTED if sure_high < least or sure_low > most else OPEN
    kind = CONFIRMED if least <= low and high <= most else kind
    numbers: list[Number] = []
    seem, alone = 0, level / part.of
    for indices, (holds, fails) in zip(groups.values(), measured.chances, strict=True):
        seem += all(measured.estimates[index].terms and measured.estimates[index].value > 0 for index in indices)
        sure = True if holds is not None and holds <= alone / 2 else None
        sure = False if fails is not None and fails <= alone / 2 else sure
        numbers += [replace(measured.number(index, alone), holds=sure) for index in indices]
    return _Finding(kind, numbers, part.scale, (seem, low, high))


def floor(part: Part, task: str, outcomes: Outcomes) -> float:
    """The score below which nothing is learned on a task, in points."""
    if isinstance(part.floor, Mapping) and task in part.floor:
        return float(part.floor[task])
    if isinstance(part.floor, float):
        return part.floor
    return (outcomes.random(task) or 0.0) + (part.margin if part.margin and part.scale == "points" else FLOOR)


def _published(stratum: Stratum) -> float | None:
    """The published score in a stratum, weighted, in points; None if there is none, or none of this task."""
    if stratum.published is None:
        return None
    method, task, weight = stratum.published
    score = published.final(method).get(task)
    return None if score is None else weight * score.mean


def _unit(part: Part, samples: Sequence[Sequence[float]]) -> float:
    """What outcomes are divided by, so that they are about 1 at most."""
    if part.outcome not in ("hours", "prediction_error"):
        return SCALE
    return max((abs(float(np.mean(sample))) for sample in samples if sample), default=1.0) or 1.0
