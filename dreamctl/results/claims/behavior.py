"""Claims on how behaviour is found: with a value model, without, or by planning (Figures 4, 7 and 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results.claims.evidence import TASKS, Witness
from dreamctl.results.claims.measure import SEEDS, Interval, Measure, Row, all_of, any_of, contrast, count
from dreamctl.results.claims.thresholds import KEPT, SHARE, SOLVES, TIE, Finding

ALTERNATIVES = ("no_value", "planet")
LONG = ("acrobot_swingup", "hopper_hop", "hopper_stand")  # those of Figure 7 that its caption names
REACTIVE = ("walker_run", "walker_stand", "walker_walk")
OTHERS = (*LONG, "cartpole_swingup_sparse", "pendulum_swingup", "quadruped_walk")  # Figure 7 without the walker
SHORT = (3, 5)

_SWEPT = BUILT_IN["horizon"][1]
_HORIZONS = tuple(int(value) for value in _SWEPT.grid["horizon"])
_INFINITY = float("inf")


def outperforms(witness: Witness) -> Finding:
    """Claim 8."""
    wins, losses = [], []
    for task in TASKS:
        differences = _differences(witness, task)
        wins.append(all_of(task, differences, TIE))
        losses.append(_loss(task, differences))
    return Finding((
        count("tasks on which Dreamer is better than both alternatives", wins, (15, len(TASKS))),
        count("tasks on which an alternative is better", losses, (0, 2)),
    ))  # fmt: skip


def robust_to_horizon(witness: Witness) -> Finding:
    """Claim 9: what a method keeps of its best score, on average over the horizons."""
    rows = []
    for task in _SWEPT.tasks:
        kept = {method: _shares(witness, task, method, _HORIZONS) for method in ("dreamer", *ALTERNATIVES)}
        rows.append(
            all_of(
                task, [contrast([(1, kept["dreamer"]), (-1, kept[method])], scale=1) for method in ALTERNATIVES], SHARE
            )
        )
    what = "tasks on which Dreamer keeps more of its best score over the horizons than both alternatives"
    return Finding((count(what, rows, (len(rows), len(rows))),))


def short_horizons(witness: Witness) -> Finding:
    """Claim 10: the score at horizons 3 and 5 over that at the best horizon, mean over the four tasks."""
    tasks = _SWEPT.tasks
    kept = {m: {t: _shares(witness, t, m, SHORT) for t in tasks} for m in ("dreamer", *ALTERNATIVES)}
    complete = {method: all(of.values()) for method, of in kept.items()}
    own = [(1 / len(tasks), sample) for sample in kept["dreamer"].values()]
    less = [(-1 / len(tasks), sample) for sample in kept["no_value"].values()]
    planet = contrast([(1 / len(tasks), sample) for sample in kept["planet"].values()], scale=1)
    return Finding(
        (
            Measure(
                "score of Dreamer at horizons 3 and 5 over its best",
                contrast(own, scale=1),
                (KEPT, _INFINITY),
                complete["dreamer"],
            ),
            Measure(
                "the same less that of the action model without value",
                contrast(own + less, scale=1),
                (0, _INFINITY),
                complete["dreamer"] and complete["no_value"],
            ),
        ),
        (f"of PlaNet: {planet.estimate:.2f} [{planet.low:.2f}, {planet.high:.2f}]",) if complete["planet"] else (),
    )


def long_horizon_tasks(witness: Witness) -> Finding:
    """Claim 11."""
    rows = [all_of(task, _differences(witness, task), TIE) for task in LONG]
    return Finding((count("long-horizon tasks on which Dreamer is better than both", rows, (len(LONG), len(LONG))),))


def shortsighted(witness: Witness) -> Finding:
    """Claim 12."""
    measures = []
    for method, label in (("no_value", "the action model without value"), ("planet", "PlaNet")):
        terms = [term for task in REACTIVE for term in _solving(witness, task, method, 1 / len(REACTIVE))]
        what = f"score of {label} less {SOLVES} of Dreamer's, mean over the walker tasks"
        measures.append(Measure(what, contrast(terms), (0, _INFINITY)))
    rows = [any_of(task, [contrast(_solving(witness, task, m)) for m in ALTERNATIVES]) for task in OTHERS]
    what = f"other tasks of Figure 7 on which an alternative reaches {SOLVES} of Dreamer's score"
    return Finding((*measures, count(what, rows, (0, 0))))


def _differences(witness: Witness, task: str) -> list[Interval]:
    """Dreamer's score less that of each alternative."""
    own = witness.scores(task)
    return [contrast([(1, own), (-1, witness.scores(task, method=method))]) for method in ALTERNATIVES]


def _solving(witness: Witness, task: str, method: str, weight: float = 1.0) -> list[tuple[float, Sequence[float]]]:
    """Terms of: the score of a method less `SOLVES` of Dreamer's."""
    return [(weight, witness.scores(task, method=method)), (-weight * SOLVES, witness.scores(task))]


def _loss(task: str, differences: Sequence[Interval]) -> Row:
    """Whether an alternative is surely better; what runs cannot tell apart is a tie, so only missing ones are open."""
    lost = any(found.high < 0 for found in differences)
    known = all(math.isfinite(found.low) for found in differences)
    return Row(task, tuple(differences), lost or (False if known else None), lost)


def _shares(witness: Witness, task: str, method: str, horizons: Sequence[int]) -> list[float]:
    """For each seed that has run all horizons, its mean score at some of them over its best at any."""
    evidence = witness.evidence
    runs = {h: witness.runs_of(evidence.cell(task, method=method, horizon=h), SEEDS) for h in _HORIZONS}
    shares = []
    for seed in sorted(set.intersection(*(set(found) for found in runs.values()))):
        scores = {horizon: evidence.score(found[seed]) for horizon, found in runs.items()}
        best = max(scores.values())
        shares.append(float(np.mean([scores[horizon] for horizon in horizons])) / best if best > 0 else 0.0)
    return shares
