"""What the questions of a sweep will take: how many seeds, runs and hours, by simulation before anything is trained.

Scores are drawn from normal distributions with the spread that stored runs like these have between seeds, so that every
contrast of a question is truly of a given size. They are judged at each look by the rule that judges the runs
(`sequential`), all questions of the file together, since those that are answered leave their share to the others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.jobs.contrasts import Contrast, contrasts
from dreamctl.jobs.questions import Part, Question
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Plan
from dreamctl.results import sequential, statistics
from dreamctl.results.answers import SCALE
from dreamctl.results.comparison import Comparison, scaled
from dreamctl.results.outcomes import Outcomes
from dreamctl.results.sequential import ALPHA
from dreamctl.results.statistics import Scores
from dreamctl.store import Run, Store
from dreamctl.store.identity import digest
from dreamctl.wording import counted

ASSUMED = 100.0  # points between seeds, where no stored run is like a cell
MARGIN = 50.0  # points, of a question without one
DIFFERENCES = (0, 1, 2)  # in margins
POWER = 0.8  # the chance that a difference is told
MOST = 10_000  # seeds; more are no plan
_SEEDS = 3  # of one cell that say how far its seeds scatter; with fewer, all cells of its task are taken
_TRIALS = 2_000
_WORK = 4e7  # numbers that are drawn at most for a difference
_WIDTHS = 1_500  # intervals that are taken to know how wide they are
_POOL = 40  # samples that show how far seeds scatter: with more, widths stay as they are, but take long
_NODES = 4  # levels at which they are; between them widths are interpolated

Hours = Callable[[Sequence[RunSpec]], float | None]  # to train these runs, None if it is not known


@dataclass(frozen=True)
class Expected:
    """What to expect if every contrast of a question is of one size, in points.

    answered: the share of simulated experiments with an answer; seeds: of each cell, the mean; runs and hours likewise.
    """

    difference: float
    answered: float
    seeds: float
    runs: float
    hours: float | None


@dataclass(frozen=True)
class Forecast:
    """What a question will take. margin: in points; assumed: whether it is ours; spread: in points, and its source.

    most_seeds, most_runs, most_hours: of the last look. unplanned: why nothing is said of it, else empty.
    """

    question: str
    margin: float
    assumed: bool
    spread: str
    most_seeds: int
    most_runs: int
    most_hours: float | None
    expected: tuple[Expected, ...] = ()
    unplanned: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def forecast(store: Store, plan: Plan, hours: Hours, trials: int = _TRIALS) -> list[Forecast]:
    """What each question of a plan will take. Raises `BadInput` if a question has nothing to compare."""
    points = plan.points()
    cells = [cell for cell, _ in points.values()]
    looks = plan.looks or (len(plan.seeds),)
    spreads = Spreads(store, {key: spec for key, (_, spec) in points.items()})
    asked = [
        _Asked(question, [contrasts(p, cells, question.name) for p in question.parts]) for question in plan.questions
    ]
    planned = [one for one in asked if not one.unplanned]
    rows = _simulated(planned, list(points), spreads, looks, len(asked) - len(planned), trials) if planned else {}
    found = []
    for one in asked:
        rate = hours([points[key][1] for key in one.cells])  # of one seed of each
        expected = tuple(
            Expected(
                difference * one.margin, answered, seeds, seeds * len(one.cells), None if rate is None else seeds * rate
            )
            for difference, answered, seeds in rows.get(one.question.name, ())
        )
        most = looks[-1] * len(one.cells), None if rate is None else looks[-1] * rate
        said = "" if one.unplanned else spreads.said(one.cells, one.outcomes)
        found.append(
            Forecast(one.question.name, one.margin, one.assumed, said, looks[-1], *most, expected, one.unplanned)
        )
    return found


def seeds(ours: Scores, theirs: Scores, difference: float, level: float) -> int | None:
    """How many seeds of each task would tell a true difference of the means with a chance of `POWER`.

    ours, theirs: scores in units of 1, whose spreads count; level: two-sided chance of error, as `compare` corrects it.
    None if it takes more than `MOST`, or if all spreads of one side are unknown, each task having a single seed.
    """
    spreads = [_spreads(side) for side in (ours, theirs)]
    if None in spreads:
        return None

    def enough(count: int) -> bool:
        scores = np.linspace(-1, 1, count)
        scores /= scores.std(ddof=1)
        each = [(sign / len(own or ()), s) for own, sign in zip(spreads, (1, -1), strict=True) for s in own or ()]
        found = statistics.contrast_interval([(weight, spread * scores) for weight, spread in each], 1 - level)
        assert found is not None
        error = math.sqrt(sum((weight * spread) ** 2 for weight, spread in each) / count)
        return difference - found.high >= float(ndtri(POWER)) * error

    from scipy.special import ndtri

    low, high = 1, 2  # too few, perhaps enough
    while not enough(high):
        if high >= MOST:
            return None
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def compared(found: Comparison, difference: float) -> list[int | None]:
    """`seeds` of each group and the reference, for a difference in points; None for the reference itself.

    Raises `BadInput` for a difference that is none, or if the reference is no group of runs.
    """
    if not (math.isfinite(difference) and difference > 0):
        raise BadInput(f"--plan is a difference in points above 0, not {difference:g}")
    reference = next(group for group in found.groups if group.reference)
    if not all(group.runs for group in found.groups):
        raise BadInput("--plan needs groups of runs: leave out --against published")
    theirs, level = scaled(reference.scores), (1 - statistics.LEVEL) / max(1, found.tests)
    return [
        None if group is reference else seeds(scaled(group.scores), theirs, difference / SCALE, level)
        for group in found.groups
    ]


def _spreads(scores: Scores) -> list[float] | None:
    """The standard deviation between seeds on each task; of a single seed that of all tasks; None without any."""
    own = {task: float(np.std(values, ddof=1)) for task, values in scores.items() if len(values) > 1}
    if not own:
        return None
    pooled = math.sqrt(float(np.mean([spread**2 for spread in own.values()])))
    return [own.get(task, pooled) for task in scores]


class _Asked:
    """A question with its contrasts. weights: [contrasts, cells]; margins: [contrasts], in points."""

    def __init__(self, question: Question, found: Sequence[Sequence[Contrast]]) -> None:
        self.question = question
        every = [(part, one) for part, own in zip(question.parts, found, strict=True) for one in own]
        self.cells = list(dict.fromkeys(k for _, one in every for s in one.strata for t in s.terms for k in t.cells))
        index = {key: column for column, key in enumerate(self.cells)}
        self.weights = np.zeros((len(every), len(self.cells)))
        for row, (_, one) in enumerate(every):
            for stratum in one.strata:
                for term in stratum.terms:
                    for key in term.cells:
                        self.weights[row, index[key]] += term.weight / len(term.cells) / len(one.strata)
        self.outcomes = [part.outcome for part, _ in every]
        self.margins = np.array([_margin(part) for part, _ in every])
        self.bounded = np.array([part.margin is not None for part, _ in every])  # that can be too small to matter
        self.margin, self.assumed = _margin(question.parts[0]), question.parts[0].margin is None
        self.unplanned = next(filter(None, map(_unplanned, question.parts)), "")


def _margin(part: Part) -> float:
    return part.margin if part.margin is not None and part.scale == "points" else MARGIN


def _unplanned(part: Part) -> str:
    """Why a part cannot be planned; empty if it can."""
    if part.scale == "ratio":
        return "a ratio depends on scores that are not known yet"
    if part.outcome in ("hours", "prediction_error"):
        return f"the spread of {part.outcome.replace('_', ' ')} is not known yet"
    if part.count:
        return "a count depends on the size of every difference"
    return "being near a number has no one difference" if "near" in part.fields else ""


class Spreads:
    """Standard deviations between seeds, in points, from the stored runs of cells: {key: a run of it}."""

    def __init__(self, store: Store, specs: Mapping[str, RunSpec]) -> None:
        runs = [run for run in store.runs() if run.score is not None and run.parent is None]
        self._specs = {key: (spec.task, spec.preset, replace(spec, seed=0).digest) for key, spec in specs.items()}
        wanted = {(task, preset) for task, preset, _ in self._specs.values()}
        kinds: dict[tuple[str, str, str], dict[int, Run]] = defaultdict(dict)
        for run in runs:
            if (run.task, run.preset) in wanted:
                kinds[run.task, run.preset, digest(run.task, 0, run.config)][run.seed] = run
        self._kinds = {kind: list(own.values()) for kind, own in kinds.items() if len(own) > 1}
        names = {kind: "\0".join(kind) for kind in self._kinds}
        lengths = {own[0].steps for own in self._kinds.values()}
        self._outcomes = {
            steps: Outcomes(store, {names[k]: own for k, own in self._kinds.items() if own[0].steps == steps}, steps)
            for steps in lengths
        }
        self._names = names
        self._found: dict[tuple[tuple[str, ...], str], tuple[float, tuple[str, ...]]] = {}

    def of(self, key: str, outcome: str) -> tuple[float, tuple[str, ...]]:
        """The spread of a cell, and the ids of the runs that show it; none if it is assumed."""
        task, preset, _ = mine = self._specs[key]
        own = len(self._kinds.get(mine, ())) >= _SEEDS
        like = mine if own else (task, preset)
        if (like, outcome) not in self._found:
            self._found[like, outcome] = self._pooled(
                [kind for kind in self._kinds if kind[: len(like)] == like], outcome
            )
        return self._found[like, outcome]

    def _pooled(self, kinds: Sequence[tuple[str, str, str]], outcome: str) -> tuple[float, tuple[str, ...]]:
        squares, freedom = 0.0, 0
        used: list[str] = []
        for kind in kinds:
            runs = self._kinds[kind]
            sample = self._outcomes[runs[0].steps].sample(self._names[kind], outcome)
            if len(sample) > 1:
                squares += float(np.var(sample, ddof=1)) * (len(sample) - 1)
                freedom += len(sample) - 1
                used += [run.id for run in runs]
        return (math.sqrt(squares / freedom), tuple(used)) if freedom else (ASSUMED, ())

    def said(self, keys: Sequence[str], outcomes: Sequence[str]) -> str:
        """Where the spread of these cells comes from, in words."""
        found = [self.of(key, outcome) for outcome in dict.fromkeys(outcomes) for key in keys]
        known = [spread for spread, used in found if used]
        runs = {run for _, used in found for run in used}
        if not known:
            return f"spread assumed: {ASSUMED:g} points"
        low, high = (f"{end:.0f}" for end in (min(known), max(known)))
        text = (
            f"spread: {low if low == high else f'{low} to {high}'} points, from {counted(len(runs), 'run')} like these"
        )
        lacking = len(found) - len(known)
        return text + (f"; assumed for {lacking} of {counted(len(found), 'cell')}: {ASSUMED:g}" if lacking else "")


Rows = dict[str, list[tuple[int, float, float]]]  # question -> (difference in margins, answered, seeds)


def _simulated(
    asked: Sequence[_Asked], keys: Sequence[str], spreads: Spreads, looks: Sequence[int], others: int, trials: int
) -> Rows:
    """Simulate the experiment at each difference. keys: all cells of the sweep; others: questions that stay open, since
    nothing is known of them."""
    rng = np.random.default_rng(0)
    column = {key: index for index, key in enumerate(keys)}
    spread = np.array([spreads.of(key, "final")[0] for key in keys]) / SCALE
    for one in asked:  # of a cell with two outcomes the larger
        for key in one.cells:
            spread[column[key]] = max(spreads.of(key, outcome)[0] for outcome in set(one.outcomes)) / SCALE
    size = len(keys) + sum(len(one.margins) for one in asked)
    trials = max(100, min(trials, int(_WORK / size / len(looks))))
    columns = [[column[key] for key in one.cells] for one in asked]
    most = len(asked) + others
    widths = [
        _Widths(one, spread, own, looks, most, _WIDTHS // len(asked), rng)
        for one, own in zip(asked, columns, strict=True)
    ]
    found: Rows = {one.question.name: [] for one in asked}
    for difference in DIFFERENCES:
        open_ = np.ones((len(asked), trials), bool)
        seeds = np.zeros((len(asked), trials))
        sums = np.zeros((len(keys), trials))
        like = rng.integers(0, 1 << 30, trials)  # which of the widths a trial has
        for look, count in enumerate(looks):
            new = count - (looks[look - 1] if look else 0)
            sums += rng.normal(0, 1, sums.shape) * (spread * math.sqrt(new))[:, None]
            seeds[open_] = count
            values = [
                one.weights @ (sums[own] / count) + difference * one.margins[:, None] / SCALE
                for one, own in zip(asked, columns, strict=True)
            ]
            _judge(asked, values, widths, look, like, open_, others)
        for index, one in enumerate(asked):
            found[one.question.name].append((difference, float(1 - open_[index].mean()), float(seeds[index].mean())))
    return found


def _judge(
    asked: Sequence[_Asked],
    values: Sequence[np.ndarray],
    widths: Sequence[_Widths],
    look: int,
    like: np.ndarray,
    open_: np.ndarray,
    others: int,
) -> None:
    """Close the questions that are answered at a look, in `open_`: [questions, trials]; values: [contrasts, trials]."""
    going = open_.any(axis=0)
    while going.any():
        waiting = open_.sum(axis=0) + others
        before = open_.copy()
        for shared in np.unique(waiting[going]):
            here = going & (waiting == shared)
            for index, one in enumerate(asked):
                those = here & before[index]
                loose, strict = widths[index].half(look, int(shared), like[those])
                margins = np.where(one.bounded, one.margins, np.nan)[:, None] / SCALE
                open_[index, those] = ~answered(values[index][:, those], loose, strict, margins)
        going &= open_.any(axis=0) & (open_ != before).any(axis=0)


def answered(values: np.ndarray, loose: np.ndarray, strict: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """`sequential.decided` for many trials: whether there is an answer, [trials].

    values, and half the widths of their intervals at the two levels: [contrasts, trials]; margins: [contrasts, 1], not
    a number without one.
    """
    small = ((np.abs(values) + strict) < margins).any(axis=0)
    return small | (values > loose).all(axis=0) | (values < -strict).any(axis=0)


class _Widths:
    """Half the widths of a question's intervals at each look, by level, for several draws of its scores."""

    def __init__(
        self,
        one: _Asked,
        spread: np.ndarray,
        own: Sequence[int],
        looks: Sequence[int],
        most: int,
        budget: int,
        rng: np.random.Generator,
    ) -> None:
        from scipy.special import ndtri

        self.levels = [
            [sequential.levels(looks, ALPHA / n)[look] for n in range(1, most + 1)] for look in range(len(looks))
        ]
        self.many = len(one.margins)
        kinds: dict[tuple[tuple[float, float], ...], int] = {}  # contrasts with the same weights have the same widths
        rows = []
        for row in one.weights:
            kind = tuple(sorted((round(abs(w), 9), round(s, 6)) for w, s in zip(row, spread[own], strict=True) if w))
            rows.append(kinds.setdefault(kind, len(kinds)))
        self.kinds = np.array(rows)
        first = [rows.index(kind) for kind in range(len(kinds))]
        self.draws = max(2, min(16, budget // (len(kinds) * len(looks) * _NODES)))
        self.nodes, self.halves = [], []
        shown = np.unique(np.linspace(0, len(spread) - 1, _POOL).astype(int)).tolist()
        for look, count in enumerate(looks):
            loosest, strictest = max(self.levels[look]), min(self.levels[look]) / self.many
            nodes = np.unique(np.linspace(-ndtri(loosest / 2), -ndtri(strictest / 2), _NODES))
            found = np.zeros((len(kinds), len(nodes), self.draws))
            for draw in range(self.draws):
                scores = tuple(map(tuple, (rng.normal(0, 1, (len(spread), count)) * spread[:, None]).tolist()))
                pool = tuple(scores[cell] for cell in shown)
                for index, contrast in enumerate(first):
                    weights = one.weights[contrast].tolist()
                    terms = [(weight, scores[cell]) for weight, cell in zip(weights, own, strict=True) if weight]
                    for node, z in enumerate(nodes):
                        low, high = sequential.interval(0.0, terms, _level(z), pool)
                        found[index, node, draw] = (high - low) / 2
            self.nodes.append(nodes)
            self.halves.append(found)

    def half(self, look: int, waiting: int, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """At a question's level and at the stricter one, with so many open questions: [contrasts, trials]."""
        level = self.levels[look][waiting - 1]
        found = []
        for own in (level, level / self.many):
            at = self._at(look, own)  # [kinds, draws]
            found.append(at[self.kinds][:, like % self.draws])
        return found[0], found[1]

    def _at(self, look: int, level: float) -> np.ndarray:
        from scipy.special import ndtri

        nodes, halves = self.nodes[look], self.halves[look]
        z = -float(ndtri(level / 2))
        above = int(np.clip(np.searchsorted(nodes, z), 1, max(1, len(nodes) - 1)))
        if len(nodes) == 1 or np.isinf(halves).any():
            return np.asarray(halves[:, 0])
        share = (z - nodes[above - 1]) / (nodes[above] - nodes[above - 1])
        return np.asarray(halves[:, above - 1] + share * (halves[:, above] - halves[:, above - 1]))


def _level(z: float) -> float:
    from scipy.special import ndtr

    return 2 * float(ndtr(-z))
