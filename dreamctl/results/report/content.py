"""What a report says: gathered from the store, before it becomes a page."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs.sweeps import BUILT_IN
from dreamctl.results import claims, costs, draw, grouping, selection, standing
from dreamctl.results.cells import Choice, alike
from dreamctl.results.claims import Evidence, Verdict
from dreamctl.results.figures import FIGURES, SWEEPS, style
from dreamctl.results.figures import curves as curve_figure
from dreamctl.results.report.tables import Scores, Table, of_scores
from dreamctl.store import Run, Store, code

Progress = Callable[[str], None]  # called with what comes next


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn: its file, what it shows, remarks."""

    title: str
    caption: str
    path: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What is said of the runs of one preset."""

    preset: str
    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    pictures: tuple[Picture, ...]
    undrawn: tuple[tuple[str, str], ...]  # figure, why not
    scores: tuple[Scores, ...]
    differing: Table
    hours: Table
    missing: Table

    @property
    def outcomes(self) -> dict[str, int]:
        """How many claims came out how."""
        counted = Counter(verdict.outcome for verdict in self.verdicts)
        return {name: counted[name] for name in (claims.CONFIRMED, claims.CONTRADICTED, claims.UNDECIDED)}


@dataclass(frozen=True)
class Report:
    """The whole; home: its name; statuses: of all runs."""

    home: str
    sweep: str | None
    made: str
    version: str
    statuses: Table
    sweeps: Table
    parts: tuple[Part, ...]


def gather(store: Store, choice: Choice, folder: Path, progress: Progress) -> Report:
    """Everything, its figures drawn into `folder`. Raises `BadInput` when no run fits the choice."""
    runs = selection.select(store, [], choice, mixed=True)
    presets = [preset for preset, _ in Counter(run.preset for run in runs).most_common()]
    rates = costs.rates(runs)
    parts = []
    for preset in presets:
        of_preset = [run for run in runs if run.preset == preset]
        if any(standing.counts(run) for run in of_preset):
            place = folder / preset if len(presets) > 1 else folder
            parts.append(_part(store, replace(choice, preset=preset), of_preset, rates, place, progress))
    if not parts:
        raise BadInput("none of these runs has been evaluated yet: wait for the first evaluation (dreamctl ls)")
    return Report(
        home=store.home.resolve().name,
        sweep=choice.sweep,
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=version("dreamctl"),
        statuses=_statuses(runs, presets),
        sweeps=_sweeps(store, choice, runs, rates),
        parts=tuple(parts),
    )


def _part(
    store: Store, choice: Choice, runs: Sequence[Run], rates: dict[str, float], folder: Path, progress: Progress
) -> Part:
    progress(f"claims, {choice.preset}")
    evidence = claims.gather(store, choice)
    pictures, undrawn = [], []
    for name, caption in FIGURES.items():
        progress(f"{name}, {choice.preset}")
        title = name.replace("figure", "Figure ")
        try:
            paths, notes = draw.draw(store, name, choice, folder, ("png",))
            pictures.append(Picture(title, caption, paths[0], tuple(notes)))
        except BadInput as error:
            undrawn.append((title, str(error)))
        except Exception as error:  # a machine without a renderer, a picture that cannot be read
            undrawn.append((title, f"{type(error).__name__}: {error}".splitlines()[0]))
    if not any((title.replace("Figure ", "figure") in SWEEPS) for title in (p.title for p in pictures)):
        paths = curve_figure.draw(store, runs, folder / "curves", None, choice, ("png",))
        pictures.append(Picture("Learning curves", "evaluation return of all these runs", paths[0], ()))
    return Part(
        preset=choice.preset or "",
        evidence=evidence,
        verdicts=tuple(claims.judge(evidence)),
        pictures=tuple(pictures),
        undrawn=tuple(undrawn),
        scores=tuple(of_scores(evidence)),
        differing=_differing(runs),
        hours=_hours(runs, rates),
        missing=_missing(evidence),
    )


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


def _differing(runs: Sequence[Run]) -> Table:
    """The config fields that are not the same in all runs, and how many runs have which value."""
    rows = []
    for key in sorted({key for run in runs for key in run.config}):
        counted = Counter(str(run.config.get(key)) for run in runs)
        if len(counted) > 1:
            values = [f"{value} ({count})" for value, count in counted.most_common(8)]
            more = f", and {len(counted) - 8} more" if len(counted) > 8 else ""
            rows.append((key, ", ".join(values) + more))
    return Table("Hyper-parameters in which runs differ", ("Field", "Values (runs)"), tuple(rows))


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


def _sweeps(store: Store, choice: Choice, runs: Sequence[Run], rates: dict[str, float]) -> Table:
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


def _missing(evidence: Evidence) -> Table:
    """What the paper's experiments lack at the setting of these runs, and the commands that fill it."""
    rows: list[tuple[str, ...]] = []
    if evidence.sweep is None:
        for name, (shows, _) in BUILT_IN.items():
            lacking = evidence.lacking(name)
            if lacking.runs:
                runs = f"{lacking.runs} of {lacking.of} runs"
                rows.append((shows, runs, evidence.command(name, lacking.tasks)))
    elif evidence.waiting or evidence.unfinished:
        rows.append((f"sweep {evidence.sweep}", f"{evidence.unfinished} runs", evidence.command("all")))
    return Table("What is missing", ("Experiment", "Missing", "Command"), tuple(rows))


def as_json(report: Report) -> list[dict[str, Any]]:
    """The verdicts, for scripts."""
    return [{"preset": part.preset} | verdict.to_dict() for part in report.parts for verdict in part.verdicts]
