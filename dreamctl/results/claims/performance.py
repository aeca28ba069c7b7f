"""Claims on final performance (Figure 6, Section 5) and on how the experiments were done."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results import published, standing
from dreamctl.results.cells import WATCHING
from dreamctl.results.claims.evidence import TASKS, Witness
from dreamctl.results.claims.measure import Interval, Measure, Row, all_of, contrast, count, mean_over, signed
from dreamctl.results.claims.thresholds import TIE, Finding

# The averages that the submission prints (Figure 6): 802, 312, 786.
DREAMER, PLANET, D4PG = (
    score.mean for m in ("dreamer", "planet", "d4pg") if (score := published.average(m, published.SUBMISSION))
)


def dreamer_average(witness: Witness) -> Finding:
    """Claim 1."""
    return Finding(_average(witness, "dreamer", "Dreamer", (DREAMER - TIE, DREAMER + TIE)))


def planet_average(witness: Witness) -> Finding:
    """Claim 2."""
    return Finding(_average(witness, "planet", "PlaNet", (PLANET - TIE, PLANET + TIE)))


def exceeds_d4pg(witness: Witness) -> Finding:
    """Claim 3: as the paper puts it, the mean over 20 tasks against one over D4PG's 18."""
    fair = _against_d4pg(witness)
    note = f"{fair.what} that D4PG was run on: {signed(fair.interval)}"
    return Finding(_average(witness, "dreamer", "Dreamer", (D4PG, float("inf"))), (note,))


def exceeds_model_free(witness: Witness) -> Finding:
    """Claim 4: on the tasks that D4PG was run on, against its published scores."""
    fair = _against_d4pg(witness)
    rows = count("", fair.rows, (0, 0)).interval
    note = (
        f"at least D4PG's score on {rows.estimate:.0f} of {len(fair.rows)} tasks (surely {rows.low:.0f} to "
        f"{rows.high:.0f}); D4PG's scores are those of Tassa et al. (2018), pixels, as the camera-ready prints them"
    )
    return Finding((fair,), (note,))


def same_settings(witness: Witness) -> Finding:
    """Claim 7: a task with other settings alone speaks against it, but not one that only a sweep's axis sets apart."""
    tasks: dict[str, set[str]] = defaultdict(set)
    for run in witness.evidence.runs:
        if standing.counts(run) and (run.method, run.objective) == ("dreamer", "reconstruction") and run.task in TASKS:
            config = {key: value for key, value in run.config.items() if key not in WATCHING}
            tasks[json.dumps(config, sort_keys=True)].add(run.task)
    kind, best = max(tasks.items(), key=lambda item: len(item[1]), default=("{}", set()))
    for task in best:
        witness.scores(task)
    config = json.loads(kind)
    alike = [of for other, of in tasks.items() if {**json.loads(other), **_swept(config)} == config]
    unlike = set().union(*tasks.values()).difference(*alike)
    witness.lacking |= set(TASKS) - best - unlike
    same = Interval(len(best), len(best), len(TASKS) - len(unlike))
    repeat = config.get("action_repeat", 0)
    measure = Measure("tasks run with one and the same config", same, (len(TASKS), len(TASKS)), repeat == 2)
    return Finding((measure,), (f"their action repeat: {repeat}",) if config else ())


def averages_over_seeds(witness: Witness) -> Finding:
    """Claim 18: the cells of all sweeps, each with as many seeds as the paper's."""
    rows, empty = [], []
    for name in BUILT_IN:
        found = witness.evidence.lacking(name)
        empty += [name] if found.empty else []
        for cell, enough in found.cells:
            witness.runs_of(cell, 0)
            rows.append(Row(f"{name}: {', '.join(map(str, cell))}", (), enough, enough))
        witness.lacking |= set(found.tasks)
    over = not empty and not witness.evidence.waiting
    measure = count("cells with at least 3 seeds (2 of action repeat)", rows, (len(rows), len(rows)), over)
    notes = (f"cells without any run in the sweeps {', '.join(empty)}",) if empty else ()
    return Finding((measure,), notes)


def _swept(config: dict[str, Any]) -> dict[str, Any]:
    """A config's values of what the sweeps of Figures 4 and 11 vary."""
    return {key: value for key, value in config.items() if key in ("horizon", "action_repeat")}


def _average(witness: Witness, method: str, label: str, region: tuple[float, float]) -> tuple[Measure]:
    samples = [sample for sample in witness.by_task(TASKS, method=method).values() if sample]
    what = f"mean score of {label} over {len(samples)} of {len(TASKS)} tasks"
    return (Measure(what, mean_over(samples), region, len(samples) == len(TASKS)),)


def _against_d4pg(witness: Witness) -> Measure:
    scores = {task: score.mean for task, score in published.final("d4pg").items()}
    samples = witness.by_task(sorted(scores))
    rows = [
        all_of(task, [Interval(*(value - scores[task] for value in contrast([(1.0, sample)])))])
        for task, sample in samples.items()
    ]
    theirs = [scores[task] for task, sample in samples.items() if sample]
    mean = mean_over(list(samples.values()), sum(theirs) / len(theirs) if theirs else 0.0)
    what = f"mean score of Dreamer less D4PG's over {len(theirs)} of {len(scores)} tasks"
    return Measure(what, mean, (0.0, float("inf")), len(theirs) == len(scores), tuple(rows))
