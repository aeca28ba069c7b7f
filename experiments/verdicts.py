"""The claims of docs/results.md, judged from stored runs: `python experiments/verdicts.py [HOME]` (default: recorded).

Each claim is a number with a 95 % interval and a side on which it has to lie. Differences are in returns; their
intervals are those of `dreamctl compare` (docs/statistics.md), and a cell with a single seed has none. The ranges of
claim 1 are taken between the horizons that came out best and worst; the interval does not allow for that choice, which
favours neither method.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import starmap
from math import inf

import numpy as np

from dreamctl.api import Home
from dreamctl.results.claims.measure import Interval, Measure, contrast

STEPS = 100_000
HORIZONS, REPEATS, SEEDS = (3, 5, 10, 25), (1, 2, 4), 2
SWEPT, SHOWN = ("walker_walk", "cheetah_run"), ("walker_stand", "cheetah_run")  # Figure 4; Figures 8, 10, 11
DEFAULTS = {"method": "dreamer", "objective": "reconstruction", "horizon": 8, "action_repeat": 4, "returns": "lambda"}

Cell = Callable[..., list[float]]
Term = tuple[float, list[float]]


def cells(home: Home) -> Cell:
    """A function that finds the final scores of the seeds of a task and of settings other than the usual ones."""
    runs = home.runs("preset=tiny", f"steps={STEPS}", "status=finished")

    def find(task: str, **settings: object) -> list[float]:
        own = {} if settings.get("method", "dreamer") == "dreamer" else {"returns": "rewards"}  # no value model
        wanted = {"task": task, **DEFAULTS, **own, **settings}
        fits = np.logical_and.reduce([runs[key] == value for key, value in wanted.items()])
        return [float(score) for score in runs[fits].drop_duplicates("seed").sort_values("seed").score]

    return find


def difference(pairs: list[tuple[list[float], list[float]]], share: float = 1.0) -> list[Term]:
    """Terms of the mean over cells of ours - share * theirs."""
    return [term for ours, theirs in pairs for term in ((1 / len(pairs), ours), (-share / len(pairs), theirs))]


def spread(find: Cell, task: str, method: str) -> tuple[list[float], list[float]]:
    """The scores at the best and at the worst horizon."""
    found = sorted((find(task, method=method, horizon=h) for h in HORIZONS), key=lambda s: np.mean(s) if s else -inf)
    return found[-1], found[0]


def above(what: str, terms: list[Term], least: int = SEEDS) -> Measure:
    """A claim that a contrast is above 0."""
    return Measure(what, contrast(terms, least), (0, inf), all(len(sample) >= least for _, sample in terms))


def below(what: str, terms: list[Term]) -> Measure:
    """A claim that a contrast is below 0."""
    return Measure(what, contrast(terms, SEEDS), (-inf, 0), all(len(sample) >= SEEDS for _, sample in terms))


def share(find: Cell, what: str, of: tuple[int, ...], least: float) -> Measure:
    """A claim on both tasks: the worst of the action repeats `of` has `least` of the best of all. No interval."""
    held = []
    for task in SHOWN:
        scores = {repeat: find(task, action_repeat=repeat) for repeat in REPEATS}
        if not all(scores.values()):
            continue
        means = {repeat: float(np.mean(found)) for repeat, found in scores.items()}
        held.append(min(means[repeat] for repeat in of) / max(means.values()))
    complete = len(held) == len(SHOWN)
    interval = Interval(min(held), min(held), max(held)) if held else Interval(np.nan, -inf, inf)
    return Measure(what, interval, (least, inf), complete)


def measures(find: Cell) -> dict[str, Measure]:
    """The claims by number."""
    ranges = []
    for task in SWEPT:
        (best, worst), (theirs, lowest) = (spread(find, task, method) for method in ("dreamer", "no_value"))
        ranges += [(0.5, best), (-0.5, worst), (-0.5, theirs), (0.5, lowest)]

    def against(method: str, horizons: tuple[int, ...]) -> list[Term]:
        return difference([(find(t, horizon=h), find(t, method=method, horizon=h)) for t in SWEPT for h in horizons])

    def objectives(ours: str, theirs: str, share: float = 1.0) -> list[Term]:
        return difference([(find(t, objective=ours), find(t, objective=theirs)) for t in SHOWN], share)

    def returns(theirs: str) -> list[Term]:
        return difference([(find("walker_stand"), find("walker_stand", returns=theirs))])

    return {
        "1": below("range over horizons, dreamer - no_value", ranges),
        "2": above("horizons 3 and 5, dreamer - no_value", against("no_value", HORIZONS[:2])),
        "3": above("all horizons, dreamer - no_value", against("no_value", HORIZONS)),
        "4": above("all horizons, dreamer - planet", against("planet", HORIZONS)),
        "5": above("reconstruction - contrastive", objectives("reconstruction", "contrastive")),
        "6": above("contrastive - reward", objectives("contrastive", "reward")),
        "7": below("reward - 0.8 reconstruction", objectives("reward", "reconstruction", 0.8)),
        "8": share(find, "worst action repeat / best", REPEATS, 0.5),
        "9": share(find, "action repeat 2 / best", (2,), 0.8),
        "10": above("V_lambda - V_N^k", returns("n_step")),
        "11": above("V_lambda - V_R", returns("rewards")),
    }


def row(number: str, measure: Measure) -> tuple[str, str, str, str, str]:
    """A claim's line of the table. 8 and 9 have no interval, but a number for each task, the lower first."""
    estimate, low, high = measure.interval
    if number in ("8", "9") and measure.complete:
        return number, measure.what, f"{low:.2f}, {high:.2f}", "-", measure.outcome
    between = f"[{low:.0f}, {high:.0f}]" if np.isfinite(low) else "-"
    return number, measure.what, "-" if np.isnan(estimate) else f"{estimate:.0f}", between, measure.outcome


def main(home: Home) -> None:
    """Print the table of claims."""
    for line in (("#", "number", "estimate", "95 % interval", "outcome"), *starmap(row, measures(cells(home)).items())):
        print("{:>3}  {:40} {:>10}  {:16} {}".format(*line))


if __name__ == "__main__":
    main(Home(sys.argv[1]) if len(sys.argv) > 1 else Home.recorded())
