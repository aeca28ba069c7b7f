"""Final score over any config field: a panel per task, a line for each value of another field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.config import Config, nearest
from dreamctl.errors import BadInput
from dreamctl.results import outcomes, scores
from dreamctl.results.cells import Choice, must_agree
from dreamctl.results.figures import lines, paper, style
from dreamctl.store import Run, Store

_NAMES = {"method": style.METHODS, "objective": style.OBJECTIVES}


def draw(
    store: Store, runs: Sequence[Run], x: str, by: str, choice: Choice, stem: Path, formats: Sequence[str]
) -> list[Path]:
    """Draw runs into STEM.*. Raises `BadInput` for an unknown field and when nothing has been evaluated."""
    for key in (x, by):
        check(key)
    finals = scores.finals(store, runs, until=choice.until, complete=choice.complete)
    runs = [run for run in runs if run.id in finals]
    lines.require(runs, choice.until)
    tasks = style.in_order({run.task for run in runs})
    labels = {value: label_of(by, value) for value in sorted({run.config[by] for run in runs}, key=_order(by))}
    looks = style.looks(list(labels.values()))
    values = sorted({run.config[x] for run in runs}, key=_order(x))
    figure, axes = style.panels(len(tasks), x.replace("_", " ").title(), powers=False)
    rows: list[tuple[Any, ...]] = []
    for axis, task in zip(axes, tasks, strict=True):
        axis.set_title(style.title(task))
        for line, label in labels.items():
            of = {}
            for value in values:
                members = [r for r in runs if (r.task, r.config[by], r.config[x]) == (task, line, value)]
                must_agree(members)
                wanted = next(iter(finals.values())).wanted
                of[value] = [finals[run.id] for run in outcomes.of_each_seed(members, wanted)]
            rows += paper.points(axis, of, (task, label), looks[label])
        if not all(isinstance(value, int | float) for value in values):
            axis.set_xticks(range(len(values)), [label_of(x, value) for value in values])
    axes[0].set_ylim(0, 1000)
    style.legend(figure, axes, note=paper.note(rows))
    return style.save(figure, stem, paper.points_header(x), rows, formats)


def check(key: str) -> None:
    """Raises `BadInput` for what is no config field."""
    fields = Config.__dataclass_fields__
    if key not in fields:
        raise BadInput(f"unknown config key {key!r}{nearest(key, fields)}")


def label_of(key: str, value: Any) -> str:
    """A field's value for a legend."""
    return _NAMES.get(key, {}).get(value, f"{key}={value}")


def _order(key: str) -> Any:
    names = list(_NAMES.get(key, {}))
    return names.index if names else None
