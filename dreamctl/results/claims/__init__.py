"""The paper's claims, judged on the runs of a home or of a sweep, as any questions are: all seeds, at one look."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamctl.jobs.claims import Claim, catalogue, cells_of
from dreamctl.jobs.questions import Question
from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results import answers, costs, sequential
from dreamctl.results.answers import OPEN, Answer
from dreamctl.results.cells import WATCHING, Choice
from dreamctl.results.claims.evidence import SEEDS, SEEDS_OF, TASKS, Evidence
from dreamctl.results.sequential import CONFIRMED, CONTRADICTED, UNDECIDED
from dreamctl.store import Run, Store

__all__ = ["CONFIRMED", "CONTRADICTED", "UNDECIDED", "Claim", "Evidence", "Verdict", "gather", "judge"]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: on which runs (names), at which setting, and the command that brings what is missing."""

    claim: Claim
    answer: Answer
    notes: tuple[str, ...]
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    setting: str
    command: str | None

    @property
    def question(self) -> Question:
        """The claim as a question."""
        return self.claim.question

    @property
    def outcome(self) -> str:
        """Confirmed, contradicted or undecided."""
        return self.answer.answer

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not known is None."""
        return {
            "claim": self.claim.number,
            "text": self.claim.text,
            "place": self.claim.place,
            "outcome": self.outcome,
            "thresholds": self.claim.note,
            "setting": self.setting,
            "answer": self.answer.to_dict(),
            "notes": list(self.notes),
            "runs": list(self.runs),
            "missing": self.command,
        }


def gather(store: Store, choice: Choice) -> Evidence:
    """The runs that claims are judged on. Raises `BadInput` when there is none, or those of several presets."""
    return Evidence(store, choice)


def judge(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim, in order. The chance of a false one among them is 5 % at most."""
    asked = {claim.question.name: claim for claim in catalogue() if not claim.protocol}
    cells = {name: evidence.asked(claim.sweep) for name, claim in asked.items()}
    outcomes = evidence.outcomes
    cases = {name: answers.Case(claim.question, cells[name], outcomes) for name, claim in asked.items()}
    seen = [case for case in cases.values() if case.known]  # one without runs takes no share of the 5 %
    found = answers.settled(seen, (1,), 0)
    found |= {name: case.answer(sequential.ALPHA) for name, case in cases.items() if name not in found}
    verdicts = []
    for claim in catalogue():
        if claim.protocol:
            verdicts.append(_settings(claim, evidence) if claim.protocol == "settings" else _seeds(claim, evidence))
            continue
        one = found[claim.question.name]
        runs = [run for key in one.cells for run in outcomes.runs.get(key, ())]
        if one.answer == OPEN:
            one = replace(one, answer=UNDECIDED)
        verdicts.append(_verdict(claim, evidence, one, runs, _lacking(claim, evidence), _remarks(claim, one, evidence)))
    return verdicts


def _verdict(
    claim: Claim,
    evidence: Evidence,
    answer: Answer,
    runs: Sequence[Run],
    lacking: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Verdict:
    """lacking: tasks with too few seeds."""
    seeds = sorted({run.seed for run in runs})
    command = None
    if not evidence.exhausted and answer.answer != CONFIRMED:
        if lacking:
            command = evidence.command(claim.sweep, lacking)
        elif answer.answer == UNDECIDED and runs:  # the intervals are too wide
            many = max(SEEDS, len(seeds))
            command = evidence.command(claim.sweep, looks=(many, 2 * many))
    names = tuple(run.name for run in sorted(runs, key=lambda run: (run.task, run.name)))
    return Verdict(claim, answer, (*answer.notes, *notes), names, tuple(seeds), evidence.setting, command)


def _lacking(claim: Claim, evidence: Evidence) -> list[str]:
    """The tasks of which the claim needs runs that are not there."""
    enough = SEEDS_OF.get(claim.sweep, SEEDS)
    needed = cells_of(claim.question, evidence.asked(claim.sweep))
    return sorted({cell.at["task"] for cell in needed if len(evidence.outcomes.runs.get(cell.key, ())) < enough})


def _remarks(claim: Claim, answer: Answer, evidence: Evidence) -> list[str]:
    """What else there is to say: where nothing is learned, hours by method, errors not measured, runs that failed."""
    notes = []
    floored = sorted({name or number.name for number in answer.numbers for name in number.floored})
    if floored:
        more = f" and {len(floored) - 5} more" if len(floored) > 5 else ""
        notes.append(f"nothing is learned, which shows nothing, in: {'; '.join(floored[:5])}{more}")
    outcomes, found = evidence.outcomes, {part.outcome for part in claim.question.parts}
    if "hours" in found:
        keys: dict[str, list[str]] = defaultdict(list)
        for cell in evidence.asked(claim.sweep):
            keys[cell.at["method"]].append(cell.key)
        machine = outcomes.machine(list(keys.values()))
        for method, own in keys.items():
            hours = sorted(value for key in own for value in outcomes.sample(key, "hours", machine))
            if hours:
                paper = f"the paper, on a V100: {costs.PAPER[method]:.0f}"
                median = f"{hours[len(hours) // 2]:.3g} hours per 1e6 environment steps"
                notes.append(f"{method}: {median} on {machine}, {len(hours)} runs ({paper})")
    if "prediction_error" in found and any(number.missing for number in answer.numbers):
        notes.append("runs of early versions did not measure the error of the mean image")
    return notes + evidence.remarks(answer.cells)


def _settings(claim: Claim, evidence: Evidence) -> Verdict:
    """A task with other settings alone speaks against it, but not one that only a sweep's axis sets apart."""
    tasks: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in evidence.runs:
        if run.score is not None and (run.method, run.objective) == ("dreamer", "reconstruction") and run.task in TASKS:
            config = {key: value for key, value in run.config.items() if key not in WATCHING}
            tasks[json.dumps(config, sort_keys=True)][run.task].append(run)
    kind, best = max(tasks.items(), key=lambda item: len(item[1]), default=("{}", {}))
    config = json.loads(kind)
    swept = {key: value for key, value in config.items() if key in ("horizon", "action_repeat")}
    alike = [of for other, of in tasks.items() if {**json.loads(other), **swept} == config]
    unlike = set().union(*tasks.values()).difference(*alike)
    repeat = config.get("action_repeat", 0)
    answer = _count(claim, len(best), len(best), len(TASKS) - len(unlike), len(TASKS), complete=repeat == 2)
    runs = [run for own in best.values() for run in own]
    notes = [f"their action repeat: {repeat}"] if config else []
    return _verdict(claim, evidence, answer, runs, sorted(set(TASKS) - set(best) - unlike), notes)


def _seeds(claim: Claim, evidence: Evidence) -> Verdict:
    """The cells of all sweeps, each with as many seeds as the paper's."""
    found = {sweep: {cell: evidence.cells.get(cell, {}) for cell, _ in evidence.grid(sweep)} for sweep in BUILT_IN}
    lacking = {
        (sweep, cell)
        for sweep, cells in found.items()
        for cell, seeds in cells.items()
        if len(seeds) < SEEDS_OF.get(sweep, SEEDS)
    }
    empty = [sweep for sweep, cells in found.items() if not all(cells.values())]
    over = not empty and not evidence.waiting
    of = sum(map(len, found.values()))
    enough = of - len(lacking)
    answer = _count(claim, enough, enough, enough if over else of, of, over)
    runs = {run.id: run for cells in found.values() for seeds in cells.values() for run in seeds.values()}
    notes = [f"cells without any run in the sweeps {', '.join(empty)}"] if empty else []
    return _verdict(claim, evidence, answer, list(runs.values()), sorted({cell.task for _, cell in lacking}), notes)


def _count(claim: Claim, seem: int, low: int, high: int, of: int, complete: bool) -> Answer:
    """The answer to whether something holds of all; low, high: of how many it does at least and at most."""
    kind = CONFIRMED if low == of else CONTRADICTED if high < of else UNDECIDED
    return Answer(claim.question.name, kind if complete else UNDECIDED, seem, low, high, unit="count")
