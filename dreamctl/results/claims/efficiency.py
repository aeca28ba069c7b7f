"""Claims on data-efficiency and computation time (Section 5)."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from dreamctl.results import costs, curves
from dreamctl.results.claims.evidence import TASKS, Witness
from dreamctl.results.claims.measure import UNKNOWN, Interval, Measure, contrast
from dreamctl.results.claims.performance import exceeds_d4pg
from dreamctl.results.claims.thresholds import EARLY, NEAR, TIE, Finding
from dreamctl.store import Run

RATIO = costs.PAPER["planet"] / costs.PAPER["dreamer"]
_INFINITY = float("inf")


def data_efficiency(witness: Witness) -> Finding:
    """Claim 5: the mean score of the first quarter of the steps, and when PlaNet's final score is reached."""
    until = int(EARLY * witness.evidence.steps)
    early, reached = {}, []
    for task in TASKS:
        runs = {m: list(witness.runs_of(witness.evidence.cell(task, m)).values()) for m in ("dreamer", "planet")}
        own, theirs = (_early(witness, of, until) for of in runs.values())
        if own and theirs:
            early[task] = [(1.0, own), (-1.0, theirs)]
            target = float(np.mean([witness.evidence.score(run) for run in runs["planet"]]))
            reached.append(_reaches(witness, runs["dreamer"], target))
    mean = contrast([(weight / len(early), sample) for terms in early.values() for weight, sample in terms])
    what = f"mean score up to {until:,} steps, Dreamer less PlaNet, over {len(early)} of {len(TASKS)} tasks"
    notes: tuple[str, ...] = ()
    if reached:
        median = float(np.median(reached))
        when = f"after {median:.2f} of the steps" if median < _INFINITY else "never"
        some = sum(value < _INFINITY for value in reached)
        notes = (f"Dreamer reaches PlaNet's final score {when} (median), on {some} of {len(reached)} tasks at all",)
    return Finding((Measure(what, mean, (-TIE, _INFINITY), len(early) == len(TASKS)),), notes)


def computation_time(witness: Witness) -> Finding:
    """Claim 6: hours on one device, PlaNet's over Dreamer's; D4PG is not run here."""
    found, notes = _hours_ratio(witness)
    region = (RATIO / NEAR, RATIO * NEAR)
    return Finding((Measure("hours of PlaNet over hours of Dreamer", found, region),), notes)


def exceeds(witness: Witness) -> Finding:
    """Claim 19: claims 3 and 5, and fewer hours than PlaNet."""
    time, notes = _hours_ratio(witness)
    hours = Measure("hours of PlaNet over hours of Dreamer", time, (1.0, _INFINITY))
    efficiency, final = data_efficiency(witness), exceeds_d4pg(witness)
    return Finding((*efficiency.measures, hours, *final.measures), (*efficiency.notes, *notes, *final.notes))


def _hours_ratio(witness: Witness) -> tuple[Interval, tuple[str, ...]]:
    """The ratio on the machine that most runs of both methods were made on, and each method's hours there."""
    hours: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for method in ("dreamer", "planet"):
        for task in TASKS:
            for run in witness.runs_of(witness.evidence.cell(task, method)).values():
                spent = costs.hours_per_million(witness.evidence.rates.get(run.id))
                if spent:
                    hours[costs.machine(run)][method].append(spent)
    both = {machine: of for machine, of in hours.items() if len(of) == 2}
    if not both:
        return UNKNOWN, ()
    machine, of = max(both.items(), key=lambda item: min(len(values) for values in item[1].values()))
    logs = {method: [math.log(value) for value in values] for method, values in of.items()}
    found = contrast([(1, logs["planet"]), (-1, logs["dreamer"])], scale=1)
    notes = tuple(
        f"{name}: {np.median(of[method]):.3g} hours per 1e6 environment steps on {machine}, {len(of[method])} runs "
        f"(the paper, on a V100: {costs.PAPER[method]:.0f})"
        for method, name in (("dreamer", "Dreamer"), ("planet", "PlaNet"))
    )
    return Interval(*(math.exp(value) for value in found)), notes


def _early(witness: Witness, runs: list[Run], until: int) -> list[float]:
    """Each run's mean score over its evaluations up to `until`."""
    scores = [returns for _, returns in curves.evaluations(witness.evidence.store, runs, until).values()]
    return [float(of.mean()) for of in scores if len(of)]


def _reaches(witness: Witness, runs: list[Run], target: float) -> float:
    """The part of the steps after which the mean curve of `runs` reaches a score; infinite if it does not."""
    steps = witness.evidence.steps
    points = list(curves.evaluations(witness.evidence.store, runs, steps).values())
    curve = curves.aggregate(points, curves.bin_width(runs), curves.tolerance(runs))
    above = curve.steps[curve.mean >= target]
    return float(above[0]) / steps if len(above) else _INFINITY
