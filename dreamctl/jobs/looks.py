"""Run until answered: a sweep with questions trains the seeds of one look after another.

When the runs of a look have ended, the questions are judged, and the cells of those that stay open get the seeds of the
next look. What a sweep is to train follows from its plan and its stored looks alone, and a look is stored once: a
scheduler that is killed between any two statements leaves nothing that the next one could misread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from dreamctl.errors import UnknownRun
from dreamctl.jobs import launch
from dreamctl.jobs.questions import RULE, Contrast, contrasts
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Plan
from dreamctl.store import Run, Store, code
from dreamctl.store.models import Look, Registration, Sweep
from dreamctl.wording import counted

OPEN = "open"
_NO_ANSWER = (OPEN, "undecided")  # as long as there are looks left

Answer = Mapping[str, Any]  # see `store.columns.Answers`
# store, plan, number of the look, {cell: seeds}, earlier answers, the sweep's runs -> an answer for each question,
# "open" if it needs another look; `results.answers.judge`
Judge = Callable[[Store, Plan, int, Mapping[str, int], Sequence[Answer], Sequence[Run]], list[dict[str, Any]]]


class Outline:
    """What follows from a plan alone, and takes time. asked: {question: digest of what it compares}."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.specs = {key: spec for key, (_, spec) in plan.points().items()}
        cells = [cell for cell, _ in plan.points().values()]
        self.asked, self.cells_of = {}, {}
        for question in plan.questions:
            parts = [(dict(part.fields), contrasts(part, cells, question.name)) for part in question.parts]
            content = [[fields, [_compared(contrast) for contrast in found]] for fields, found in parts]
            text = json.dumps(content, sort_keys=True)
            self.asked[question.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
            named = {key for _, found in parts for one in found for s in one.strata for t in s.terms for key in t.cells}
            self.cells_of[question.name] = [cell.key for cell in cells if cell.key in named]
        self._digests: dict[tuple[str, int], str] = {}

    def digest(self, key: str, index: int) -> str:
        """The digest of a cell's run with the seed of that index."""
        place = (key, index)
        if place not in self._digests:
            self._digests[place] = replace(self.specs[key], seed=self.plan.seeds[index]).digest
        return self._digests[place]


def _compared(contrast: Contrast) -> dict[str, Any]:
    """A contrast without its label: an answer stays when only that changes."""
    return {key: value for key, value in asdict(contrast).items() if key != "label"}


class Progress:
    """How far a sweep with questions is, by its plan and its stored looks.

    looks: seeds of each, as planned; answers: {question: its newest answer}, without questions that have changed since;
    open: questions without an answer; number: of the look that comes next, None without one; earlier: answers that it
    leaves as they are; wanted: {cell: how many seeds it is to have by now}.
    """

    def __init__(self, outline: Outline, looks: Sequence[Look]) -> None:
        plan = outline.plan
        self.outline, self.plan = outline, plan
        self.looks = plan.looks or (len(plan.seeds),)
        asked = outline.asked
        latest = looks[-1].answers if looks else []
        self.answers = {row["question"]: row for row in latest if row["asked"] == asked.get(row["question"])}
        done = looks[-1].seeds if looks else 0
        later = [number for number, seeds in enumerate(self.looks) if seeds > done]
        self.open = [q.name for q in plan.questions if self._answer(q.name) in _NO_ANSWER]
        self.number = None
        if self.open and later:
            self.number = later[0]
        elif any(name not in self.answers for name in self.open):  # new, and no look is left: the last one again
            self.number = len(self.looks) - 1
        again = _NO_ANSWER if later else (OPEN,)
        self.earlier = [row for row in self.answers.values() if row["answer"] not in again]
        self.wanted = dict.fromkeys(outline.specs, self.looks[0])
        for row in (row for look in looks for row in look.answers):
            for key, count in row["counted"].items():
                if key in self.wanted:
                    self.wanted[key] = max(self.wanted[key], min(count, len(plan.seeds)))
        if self.number is not None:
            for key in {key for name in self.open for key in outline.cells_of[name]}:
                self.wanted[key] = max(self.wanted[key], self.looks[self.number])

    @classmethod
    def of(cls, store: Store, sweep: Sweep) -> Progress:
        """That of a stored sweep. Raises `BadInput` for a plan that is damaged."""
        return cls(_outline(sweep.name, json.dumps(sweep.spec)), store.looks(sweep.id))

    def cells(self) -> list[RunSpec]:
        """The runs that the sweep is to have by now, seed by seed."""
        return self.plan.cells(self.wanted)

    def digests(self) -> dict[str, str]:
        """{digest of a run that the sweep is to have by now: its cell}."""
        return {self.outline.digest(key, seed): key for key, count in self.wanted.items() for seed in range(count)}

    def answer(self, name: str) -> str:
        """What is known of a question: "open" as long as another look comes."""
        known = self._answer(name)
        if self.number is not None and name in self.open:
            return OPEN
        return "undecided" if known == OPEN else known

    def _answer(self, name: str) -> str:
        return self.answers[name]["answer"] if name in self.answers else OPEN


@lru_cache(maxsize=8)
def _outline(name: str, spec: str) -> Outline:
    return Outline(Plan.from_dict(name, json.loads(spec)))


def underway(store: Store, plan: Plan) -> Progress | None:
    """How far the stored sweep of this plan's name is, by this plan; None before its first look."""
    try:
        judged = store.looks(store.find_sweep(plan.name).id)
    except UnknownRun:
        return None
    return Progress(Outline(plan), judged) if judged and plan.questions else None


def begin(store: Store, sweep: Sweep) -> list[RunSpec]:
    """Register a sweep's questions as they read now; returns the runs that its looks want by now. Needs `alone`."""
    _register(store, sweep)
    return Progress.of(store, sweep).cells()


def proceed(store: Store, sweep: Sweep, judge: Judge) -> bool:
    """When all runs of a look have ended, judge it and queue the runs of the next; whether any is queued or running.

    Runs that the machine has ruined, or that a user has stopped, hold a look up: see `hindrance`. Raises `BadInput`.
    """
    with store.alone():
        sweep = store.find_sweep(sweep.id)
        if sweep.stopped or not sweep.spec.get("questions"):
            return False
        while True:
            progress = Progress.of(store, sweep)
            members = _members(store, sweep, progress)
            if any(run.status in ("queued", "running") for run in members):
                return True
            if progress.number is None or any(map(hinders, members)):
                return False
            _judge(store, sweep, progress, members, judge)


def hinders(run: Run) -> bool:
    """Whether a run holds its look up: it has ended without an outcome. One that diverged has one."""
    return run.standing in ("stopped", "failed")


def hindrance(runs: Sequence[Run]) -> str | None:
    """What a look waits for that nobody is training, in words: "2 failed runs"; None if nothing is in the way."""
    held = [run for run in runs if hinders(run)]
    counts = [(status, sum(run.status == status for run in held)) for status in ("failed", "stopped")]
    return " and ".join(counted(count, f"{status} run") for status, count in counts if count) or None


def state(store: Store, sweep: Sweep) -> list[dict[str, Any]]:
    """Each question of a sweep, as JSON: what is known of it, at which look, and what it waits for."""
    if not sweep.spec.get("questions"):
        return []
    progress, versions = Progress.of(store, sweep), store.registrations(sweep.id)
    cell_of = progress.digests()
    of_cell: dict[str, list[Run]] = {}
    for run in store.members(sweep.id, light=True):
        of_cell.setdefault(cell_of.get(run.digest, ""), []).append(run)
    return [_state(question.name, question.asks, progress, versions, of_cell) for question in progress.plan.questions]


def _state(
    name: str, asks: str, progress: Progress, versions: Sequence[Registration], of_cell: Mapping[str, Sequence[Run]]
) -> dict[str, Any]:
    row, answer = progress.answers.get(name, {}), progress.answer(name)
    waits = answer == OPEN
    runs = [run for key in progress.outline.cells_of[name] for run in of_cell.get(key, ())] if waits else []
    version = row.get("version") or (versions[-1].version if versions else 1)
    return {
        "question": name,
        "asks": asks,
        "answer": answer,
        "look": 1 + (progress.number if waits and progress.number is not None else row.get("look", 0)),
        "looks": len(progress.looks),
        "estimate": row.get("estimate"),
        "low": row.get("low"),
        "high": row.get("high"),
        "unit": row.get("unit", "points"),
        "left": sum(run.status in ("queued", "running") or hinders(run) for run in runs),
        "waits_for": hindrance(runs),
        "version": version,
        "changed_after": next((v.runs for v in versions if v.version == version and version > 1), None),
    }


def _register(store: Store, sweep: Sweep) -> Registration:
    outline = _outline(sweep.name, json.dumps(sweep.spec))
    every = [outline.digest(key, seed) for key in outline.specs for seed in range(len(outline.plan.seeds))]
    first = next(iter(outline.specs.values()))
    return store.register(sweep.id, {**sweep.spec, "rule": RULE}, every, code.digest(first.task))


def _members(store: Store, sweep: Sweep, progress: Progress) -> list[Run]:
    """The runs of a sweep, those among them that it lacks so far."""
    members = store.members(sweep.id)
    if {run.digest for run in members} == set(progress.digests()):
        return members
    known = {run.id for run in members}
    runs = launch.runs_of(store, progress.cells(), bool(sweep.spec.get("same_code")))
    store.requeue([run.id for run in runs if run.status == "stopped" and run.id not in known])  # stopped elsewhere
    store.enroll(sweep.id, [run.id for run in runs])
    return store.members(sweep.id)


def _judge(store: Store, sweep: Sweep, progress: Progress, members: Sequence[Run], judge: Judge) -> None:
    number = progress.number
    assert number is not None
    version = _register(store, sweep).version
    earlier = {row["question"]: row for row in progress.earlier}
    found = judge(store, progress.plan, number, progress.wanted, progress.earlier, members)
    given = {row["question"]: row for row in found}
    answers = []
    for name, cells in progress.outline.cells_of.items():
        new = {"look": number, "version": version, "asked": progress.outline.asked[name]}
        new["counted"] = {key: progress.wanted[key] for key in cells}
        answers.append(earlier[name] if name in earlier else given[name] | new)
    looks = store.looks(sweep.id)
    seeds = max(progress.looks[number], *(look.seeds for look in looks), 0)
    store.record_look(sweep.id, len(looks), seeds=seeds, version=version, answers=answers)
