"""What a report says: gathered from the store, before it becomes a page."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from agent.config import make
from dreamctl.errors import BadInput
from dreamctl.jobs.sweeps import Plan
from dreamctl.results import answers, claims, costs, grouping, selection, standing
from dreamctl.results.cells import Choice, alike
from dreamctl.results.claims import Verdict
from dreamctl.results.figures import answers as answer_figure
from dreamctl.results.figures import style
from dreamctl.results.report import parts
from dreamctl.results.report.parts import Drawn, Part
from dreamctl.results.report.tables import Scores, Table
from dreamctl.store import Run, Store, code
from dreamctl.store.models import Sweep
from dreamctl.store.paths import inside

Progress = Callable[[str], None]  # called with what comes next


@dataclass(frozen=True)
class Asked:
    """A question of a sweep: its answer as `answers.of_sweep` gives it, what decides it, and what prints the same."""

    sweep: str
    answer: Mapping[str, Any]
    picture: Path | None
    command: str


@dataclass(frozen=True)
class Shown:
    """Scores and figures of the same runs."""

    part: Part
    scores: tuple[Scores, ...]
    drawn: tuple[Drawn, ...]


@dataclass(frozen=True)
class Report:
    """The whole; title: whose runs these are; runs: how they stand.

    verdicts: (preset, verdict), those that are decided; waiting: of the other claims that of the largest preset.
    """

    title: str
    made: str
    version: str
    asked: tuple[Asked, ...]
    shown: tuple[Shown, ...]
    runs: Table
    hours: Table
    costs: Table
    verdicts: tuple[tuple[str, Verdict], ...]
    as_published: bool

    @property
    def decided(self) -> list[tuple[str, Verdict]]:
        """The claims on which these runs say something."""
        return [(preset, verdict) for preset, verdict in self.verdicts if verdict.outcome != claims.UNDECIDED]

    @property
    def waiting(self) -> list[Verdict]:
        """The claims that no preset decides, once each: as the preset with most runs has them."""
        known = {verdict.claim.number for _, verdict in self.decided}
        found: dict[int, Verdict] = {}
        for _, verdict in self.verdicts:
            if verdict.claim.number not in known:
                found.setdefault(verdict.claim.number, verdict)
        return list(found.values())

    @property
    def tally(self) -> dict[str, int]:
        """How many questions have which answer."""
        counted = Counter(asked.answer["answer"] for asked in self.asked)
        return {answer: counted[answer] for answer in answers.ANSWERS if counted[answer]}


def gather(store: Store, choice: Choice, folder: Path, progress: Progress) -> Report:
    """Everything, its figures drawn into `folder`. Raises `BadInput` when no run fits the choice."""
    runs = selection.select(store, [], choice, mixed=True)
    presets = [preset for preset, _ in Counter(run.preset for run in runs).most_common()]
    rates = costs.rates(runs)
    progress("questions")
    asked = [one for sweep in _sweeps(store, choice) for one in _asked(store, sweep, folder)]
    found = parts.find(store, choice)
    if not found:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    shown = []
    for part in found:
        progress(part.name)
        drawn = part.draw(store, folder, _recorded(store))
        shown.append(Shown(part, tuple(scores for _, scores in part.tables()), tuple(drawn)))
    verdicts: list[tuple[str, Verdict]] = []
    for preset in presets:
        if any(run.preset == preset and standing.counts(run) for run in runs):
            progress(f"claims, {preset}")
            evidence = claims.gather(store, replace(choice, preset=preset))
            verdicts += [(preset, verdict) for verdict in claims.judge(evidence)]
    paper = make("paper")
    return Report(
        title=_title(store, choice),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=version("dreamctl"),
        asked=tuple(asked),
        shown=tuple(shown),
        runs=_statuses(runs, presets),
        hours=_hours(runs, rates),
        costs=_costs(store, choice, runs, rates),
        verdicts=tuple(verdicts),
        as_published=all(part.preset == "paper" and part.steps >= paper.steps for part in found),
    )


def _sweeps(store: Store, choice: Choice) -> list[Sweep]:
    return [store.find_sweep(choice.sweep)] if choice.sweep is not None else store.sweeps()


def _title(store: Store, choice: Choice) -> str:
    if choice.sweep is not None:
        return f"Sweep {choice.sweep}"
    return "Runs that come with dreamctl" if store.read_only else f"Runs in {store.home.resolve().name}"


def _recorded(store: Store) -> str:
    return " --recorded" if store.read_only else ""


def _asked(store: Store, sweep: Sweep, folder: Path) -> list[Asked]:
    """The questions of a sweep, each with its picture."""
    given = answers.of_sweep(store, sweep)
    plan = Plan.from_dict(sweep.name, sweep.spec) if given else None
    parts_of = {question.name: question.parts for question in plan.questions} if plan else {}
    found = []
    for answer in given:
        margins = {part.scale: part.margin for part in parts_of.get(answer["question"], ()) if part.margin}
        if "ratio" in margins:
            margins["ratio"] = math.exp(margins["ratio"])
        stem = inside(folder, sweep.name) / f"question-{answer['question']}"
        paths = answer_figure.draw(answer, margins, stem) if answer["numbers"] else [None]
        found.append(Asked(sweep.name, answer, paths[0], f"dreamctl status {sweep.name}{_recorded(store)}"))
    return found


def _statuses(runs: Sequence[Run], presets: Sequence[str]) -> Table:
    """How many runs of each preset stand how."""
    counted = Counter((run.preset, run.standing) for run in runs)
    names = sorted({run.standing for run in runs})
    rows = []
    for preset in presets:
        of = [run for run in runs if run.preset == preset]
        tasks, seeds = len({run.task for run in of}), len({run.seed for run in of})
        codes = list(map(code.short, sorted(code.parts(filter(None, map(code.of, of))))))
        shown = ", ".join(codes[:3]) + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")
        cells = (str(counted[preset, name]) for name in names)
        rows.append((preset, str(len(of)), *cells, str(tasks), str(seeds), shown))
    header = ("Preset", "Runs", *(name.capitalize() for name in names), "Tasks", "Seeds", "Code")
    return Table("Runs", header, tuple(rows), "; ".join(grouping.mixed(alike(runs))))


def _hours(runs: Sequence[Run], rates: dict[str, float]) -> Table:
    """Hours per 1e6 environment steps by method and machine, beside the paper's."""
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        spent = costs.hours_per_million(rates.get(run.id))
        if spent is not None:
            measured[run.method, costs.machine(run)].append(spent)
    rows = [
        (
            style.METHODS.get(method, method),
            machine,
            str(len(values)),
            f"{median(values):.3g}",
            f"{min(values):.3g} to {max(values):.3g}",
            f"{costs.PAPER[method]:.0f}" if method in costs.PAPER else "-",
        )
        for (method, machine), values in sorted(measured.items())
    ]
    if rows:
        rows.append(("D4PG (not run here)", "-", "-", "-", "-", f"{costs.PAPER['d4pg']:.0f}"))
    header = ("Method", "Machine", "Runs", "Median", "Range", "Paper (V100)")
    note = "hours at work, the sum over a run's attempts, evaluations and checkpoints included"
    return Table("Hours per 1e6 environment steps", header, tuple(rows), note)


def _costs(store: Store, choice: Choice, runs: Sequence[Run], rates: dict[str, float]) -> Table:
    """What each sweep has cost and, at the rates of its runs, what it will."""
    known = {run.id: run for run in runs}
    rows = []
    for sweep in store.sweeps():
        if choice.sweep in (None, sweep.name, sweep.id):
            rows.append(_cost(sweep.name, [run for run in store.members(sweep.id) if run.id in known], rates))
    if choice.sweep is None:
        rows.append(_cost("all runs", runs, rates))
    header = ("Sweep", "Runs", "Finished", "Environment steps", "Device hours", "Hours to go")
    note = "hours at work, the sum over each run's attempts; to go: at the median rate of the sweep's runs"
    return Table("Cost", header, tuple(rows), note)


def _cost(name: str, runs: Sequence[Run], rates: dict[str, float]) -> tuple[str, ...]:
    timed = [run for run in runs if rates.get(run.id)]
    hours = sum(run.env_steps / rates[run.id] / 3600 for run in timed)
    left = sum(max(0, run.steps - run.env_steps) for run in runs if run.standing not in ("finished", "diverged"))
    rate = median(rates[run.id] for run in timed) if timed else None
    finished = sum(run.status == "finished" for run in runs)
    steps = sum(run.env_steps for run in runs)
    to_go = "0" if not left else "not known" if rate is None else f"{left / rate / 3600:,.1f}"
    spent = f"{hours:,.1f}" if timed else "not known"
    return (name, str(len(runs)), str(finished), f"{steps:,}", spent, to_go)


def as_json(report: Report) -> dict[str, Any]:
    """Questions and claims, for scripts."""
    return {
        "questions": [{"sweep": asked.sweep, **asked.answer} for asked in report.asked],
        "claims": [{"preset": preset} | verdict.to_dict() for preset, verdict in report.verdicts],
    }
