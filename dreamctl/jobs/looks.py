"""Run until answered: a sweep with questions trains the seeds of one look after another.

When the runs of a look have ended, the questions are judged, and the cells of those that stay open get the seeds of the
next look. What a sweep is to train follows from its plan and its stored looks alone, and a look is stored once: a
scheduler that is killed between any two statements leaves nothing that the next one could misread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dreamctl.errors import UnknownRun
from dreamctl.jobs import launch
from dreamctl.jobs.progress import Outline, Progress, outline
from dreamctl.jobs.questions import RULE
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Plan
from dreamctl.store import Run, Store, code
from dreamctl.store.models import Registration, Sweep
from dreamctl.wording import counted

Answer = Mapping[str, Any]  # see `store.columns.Answers`
# store, plan, number of the look, {cell: seeds}, earlier answers, the sweep's runs -> an answer for each question,
# "open" if it needs another look; `results.answers.judge`
Judge = Callable[[Store, Plan, int, Mapping[str, int], Sequence[Answer], Sequence[Run]], list[dict[str, Any]]]


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
    """Each question of a sweep, as JSON: what is known of it, at which look, and what it waits for.

    Besides what `answers.of_sweep` says in more words: waits_for, what its look waits for that nobody is training.
    """
    if not sweep.spec.get("questions"):
        return []
    progress, versions = Progress.of(store, sweep), store.registrations(sweep.id)
    runs = store.members(sweep.id, light=True)
    return [_state(question.name, question.asks, progress, versions, runs) for question in progress.plan.questions]


def _state(
    name: str, asks: str, progress: Progress, versions: Sequence[Registration], runs: Sequence[Run]
) -> dict[str, Any]:
    row: Answer = progress.answers.get(name, {})
    awaited = progress.awaited(name)
    version = row.get("version") or (versions[-1].version if versions else 1)
    return {
        "question": name,
        "asks": asks,
        "answer": progress.answer(name),
        "look": progress.look(name),
        "looks": len(progress.looks),
        "estimate": row.get("estimate"),
        "low": row.get("low"),
        "high": row.get("high"),
        "unit": row.get("unit", "points"),
        "left": progress.left(name, runs),
        "waits_for": hindrance([run for run in runs if run.digest in awaited]),
        "version": version,
        "registered_after": next((v.runs for v in versions if v.version == version), None),
    }


def _register(store: Store, sweep: Sweep) -> Registration:
    """As it reads now. Whoever has seen runs that it no longer has, removed or of other settings, has seen them."""
    plan = outline(sweep.name, sweep.spec)
    every = [plan.digest(key, seed) for key in plan.specs for seed in range(len(plan.plan.seeds))]
    every += [run.digest for run in store.members(sweep.id, light=True)]
    seen: dict[str, int] = {}
    for row in (row for look in store.looks(sweep.id) for row in look.answers):
        seen |= {key: max(count, seen.get(key, 0)) for key, count in row["counted"].items()}
    first = next(iter(plan.specs.values()))
    content = {**sweep.spec, "rule": RULE}
    return store.register(sweep.id, content, every, code.digest(first.task), sum(seen.values()))


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
    following = looks[-1].number + 1 if looks else 0
    store.record_look(sweep.id, following, seeds=seeds, version=version, answers=answers)
