"""How far a sweep with questions is: what it is to train, which questions are open, and what they wait for.

All of it follows from the sweep's plan, its registrations and its stored looks. So whoever asks is told the same: the
scheduler, the status and the report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from dreamctl.jobs.contrasts import Contrast, contrasts
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Plan
from dreamctl.store import Run, Store
from dreamctl.store.models import Look, Registration, Sweep

OPEN = "open"
_PLAN = ("parts", "limit", "looks", "questions")  # what a plan is read from; a registration holds more
_NO_ANSWER = (OPEN, "undecided")  # as long as there are looks left


class Outline:
    """What follows from a plan alone, and takes time.

    asked: {question: digest of what it compares}; cells_of: {question: the names of its cells}.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        points = plan.points()
        self.specs = {key: spec for key, (_, spec) in points.items()}
        cells = [cell for cell, _ in points.values()]
        self.asked: dict[str, str] = {}
        self.cells_of: dict[str, list[str]] = {}
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

    def standing(
        self, answers: Iterable[Mapping[str, Any]], versions: Sequence[Registration]
    ) -> dict[str, Mapping[str, Any]]:
        """{question: its answer}, of those that are answers to what is asked now: the same comparison of the same runs.

        versions: the sweep's registrations, which say what was compared then. Raises `BadInput` if one is damaged.
        """
        then = {version.version: version.content for version in versions}
        return {
            row["question"]: row
            for row in answers
            if row["asked"] == self.asked.get(row["question"])
            and (row["version"] not in then or self._trains(row["counted"], then[row["version"]]))
        }

    def _trains(self, counted: Mapping[str, int], content: Mapping[str, Any]) -> bool:
        """Whether this trains the runs in these cells that were counted when the plan read so."""
        earlier = outline(self.plan.name, content)
        own, then = self.plan.seeds, earlier.plan.seeds
        both = [*zip(own, then, strict=False)][: max(counted.values(), default=0)]  # fewer are the first of them
        return all(mine == theirs for mine, theirs in both) and all(
            key in self.specs and key in earlier.specs and self.digest(key, 0) == earlier.digest(key, 0)
            for key in counted
        )


def _compared(contrast: Contrast) -> dict[str, Any]:
    """A contrast without its label: an answer stays when only that changes."""
    return {key: value for key, value in asdict(contrast).items() if key != "label"}


class Progress:
    """How far a sweep with questions is, by its plan and its stored looks.

    looks: seeds of each, as planned; answers: {question: its newest answer}, without questions that have changed since;
    open: questions without an answer; number: of the look that comes next, None without one; earlier: answers that it
    leaves as they are; wanted: {cell: how many seeds it is to have by now}.
    """

    def __init__(self, outline: Outline, looks: Sequence[Look], versions: Sequence[Registration] = ()) -> None:
        plan = outline.plan
        self.outline, self.plan = outline, plan
        self.looks = plan.looks or (len(plan.seeds),)
        self.answers = outline.standing(looks[-1].answers if looks else (), versions)
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
        return cls(outline(sweep.name, sweep.spec), store.looks(sweep.id), store.registrations(sweep.id))

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

    def look(self, name: str) -> int:
        """The look, from 1, that a question waits for, or that has answered it."""
        if self.number is not None and name in self.open:
            return 1 + self.number
        return 1 + int(self.answers[name]["look"]) if name in self.answers else 1

    def awaited(self, name: str) -> set[str]:
        """The digests of the runs that a question's next look is about; none if it waits for no look."""
        if self.answer(name) != OPEN:
            return set()
        cells = self.outline.cells_of[name]
        return {self.outline.digest(key, seed) for key in cells for seed in range(self.wanted[key])}

    def left(self, name: str, runs: Iterable[Run]) -> int:
        """How many runs have to end, or to be made, before a question's next look; runs: the sweep's."""
        ended = {run.digest for run in runs if run.standing in ("finished", "diverged")}
        return len(self.awaited(name) - ended)

    def _answer(self, name: str) -> str:
        return self.answers[name]["answer"] if name in self.answers else OPEN


def outline(name: str, content: Mapping[str, Any]) -> Outline:
    """That of a plan as it is stored. Raises `BadInput` for one that is damaged."""
    return _outline(name, json.dumps({key: content[key] for key in _PLAN if key in content}))


@lru_cache(maxsize=16)
def _outline(name: str, content: str) -> Outline:
    return Outline(Plan.from_dict(name, json.loads(content)))
