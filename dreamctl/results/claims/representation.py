"""Claims on what is learned: objectives (Figures 8 and 10), action repeat (Figure 11), long predictions (Figure 5)."""

from __future__ import annotations

import math

from dreamctl.results import curves
from dreamctl.results.claims.evidence import TASKS, Witness
from dreamctl.results.claims.measure import Interval, all_of, contrast, count, mean_over, signed
from dreamctl.results.claims.thresholds import FLOOR, SHARP, SOLVES, TIE, WELL, Finding

_MAJORITY = (len(TASKS) // 2 + 1, len(TASKS))
_DOMAINS = ("hopper", "walker")  # of Figure 5
_REPEATS_SEEDS = 2  # as the paper's


def reconstruction_wins(witness: Witness) -> Finding:
    """Claim 13."""
    own, other = (witness.by_task(TASKS, objective=o) for o in ("reconstruction", "contrastive"))
    differences = {task: [(1.0, own[task]), (-1.0, other[task])] for task in TASKS}
    rows = [all_of(task, [contrast(terms)], TIE) for task, terms in differences.items()]
    both = [terms for terms in differences.values() if all(len(sample) for _, sample in terms)]
    mean = contrast([(weight / len(both), sample) for terms in both for weight, sample in terms])
    note = f"mean difference over {len(both)} tasks: {signed(mean)}"
    return Finding((count("tasks on which reconstruction is better", rows, _MAJORITY),), (note,) if both else ())


def contrastive_solves_half(witness: Witness) -> Finding:
    """Claim 14: of 20 tasks 8 to 12."""
    rows = [all_of(task, _solved(witness, task, "contrastive")) for task in TASKS]
    return Finding((count("tasks that the contrastive objective solves", rows, (8, 12)),))


def reward_solves_none(witness: Witness) -> Finding:
    """Claim 15."""
    rows = [all_of(task, _solved(witness, task, "reward")) for task in TASKS]
    samples = witness.by_task(TASKS, objective="reward")
    notes: tuple[str, ...] = ()
    random = curves.random_return(witness.evidence.store, [r for r in witness.runs.values() if r.objective == "reward"])
    if random is not None:
        notes = (f"mean score {mean_over(list(samples.values())).estimate:.0f}, of a random policy {random:.0f}",)
    return Finding((count("tasks that reward prediction alone solves", rows, (0, 0)),), notes)


def repeat_two_works(witness: Witness) -> Finding:
    """Claim 16."""
    rows = []
    for task in TASKS:
        scores = {r: witness.scores(task, seeds=_REPEATS_SEEDS, action_repeat=r) for r in (1, 2, 4)}
        conditions = [contrast([(1, scores[2]), (-WELL, scores[r])], _REPEATS_SEEDS) for r in (1, 4)]
        rows.append(all_of(task, conditions))
    return Finding((count("tasks on which action repeat 2 works well", rows, _MAJORITY),))


def accurate_predictions(witness: Witness) -> Finding:
    """Claim 17: of each run of Dreamer with reconstruction the last prediction."""
    store, rows, notes = witness.evidence.store, [], []
    for domain in _DOMAINS:
        errors, growth = [], []
        for task in (task for task in TASKS if task.startswith(f"{domain}_")):
            for run in witness.runs_of(witness.evidence.cell(task)).values():
                open_loop, one_step, still = (
                    store.scalars(run.id, f"model/{name}_error") for name in ("open_loop", "one_step", "mean_image")
                )
                if open_loop and still and open_loop[-1].value > 0 and still[-1].value > 0:
                    errors.append(math.log(open_loop[-1].value / still[-1].value))
                if open_loop and one_step and one_step[-1].value > 0:
                    growth.append(open_loop[-1].value / one_step[-1].value)
        found = contrast([(-1.0, errors)], scale=1)
        rows.append(all_of(domain, [Interval(*(value + math.log(SHARP) for value in found))]))
        if errors:
            notes.append(
                f"{domain}: {math.exp(-found.estimate):.2f} of the error of the mean image, {len(errors)} runs"
            )
        if growth:
            notes.append(f"{domain}: {sum(growth) / len(growth):.2f} times the error of one-step predictions")
        if growth and not errors:
            notes.append(f"{domain}: these runs did not measure the error of the mean image (newer ones do)")
    what = "domains (hopper, walker) whose images are predicted accurately"
    return Finding((count(what, rows, (len(rows), len(rows))),), tuple(notes))


def _solved(witness: Witness, task: str, objective: str) -> list[Interval]:
    """Conditions of solving a task: nearly as good as with reconstruction, and not next to nothing."""
    scores, own = witness.scores(task, objective=objective), witness.scores(task)
    enough = contrast([(1.0, scores)])
    return [contrast([(1, scores), (-SOLVES, own)]), Interval(*(value - FLOOR for value in enough))]
