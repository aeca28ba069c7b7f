"""Final score over any config field: a panel per task, a line for each value of another field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamctl.results import grouping, scores, standing
from dreamctl.results.cells import Choice, must_agree
from dreamctl.results.figures import lines, paper, style
from dreamctl.store import Run, Store


def draw(
    store: Store, runs: Sequence[Run], x: str, by: str, choice: Choice, stem: Path, formats: Sequence[str]
) -> list[Path]:
    """Draw runs into STEM.*. Raises `BadInput` for an unknown field and when nothing has been evaluated."""
    grouping.check((x, by))
    finals = scores.finals(store, runs, until=choice.until, complete=choice.complete)
    runs = [run for run in runs if run.id in finals]
    lines.require(runs, choice.until)
    tasks = style.in_order({run.task for run in runs})
    place = {run.id: (run.task, grouping.value(run, by), grouping.value(run, x)) for run in runs}
    ordered = sorted({line for _, line, _ in place.values()}, key=grouping.order(by))
    labels = {line: grouping.label(by, line) for line in ordered}
    looks = style.looks(list(labels.values()))
    values = sorted({value for *_, value in place.values()}, key=grouping.order(x))
    figure, axes = style.panels(len(tasks), x.replace("_", " ").title(), powers=False)
    rows: list[tuple[Any, ...]] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for line, label in labels.items():
            of = {}
            for value in values:
                members = [run for run in runs if place[run.id] == (task, line, value)]
                must_agree(members)
                wanted = next(iter(finals.values())).wanted
                of[value] = [finals[run.id] for run in standing.of_each_seed(members, wanted)]
            rows += paper.points(axis, of, (task, label), looks[label])
        if not all(isinstance(value, int | float) for value in values):
            axis.set_xticks(range(len(values)), [grouping.label(x, value) for value in values])
    axes[0].set_ylim(0, 1000)
    style.legend(figure, axes, note=paper.note(rows))
    return style.save(figure, stem, paper.points_header(x), rows, formats)
