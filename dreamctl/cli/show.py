"""dreamctl show: all that is known of one run."""

from __future__ import annotations

from typing import Any

from dreamctl.cli.common import Home, Json, Recorded, RunRef, ago, console, duration, number, print_json, reading
from dreamctl.cli.ls import summary


def show(run: RunRef, json: Json = False, home: Home = None, recorded: Recorded = False) -> None:
    """Show a run: config, metrics, evaluations, checkpoints."""
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    (record,) = store.refreshed([store.find(run)])
    scalars, evaluations = store.last_scalars(record.id), store.evaluations(record.id)
    checkpoints, artifacts = store.checkpoints(record.id), store.artifacts(record.id)
    if json:
        print_json(
            summary(record)
            | {
                "config": record.config,
                "packages": record.packages,
                "folder": str(store.folder(record.id)),
                "scalars": {name: {"step": p.step, "value": p.value} for name, p in scalars.items()},
                "evaluations": [
                    _fields(e, "kind env_steps seed mean std returns checkpoint video created_at") for e in evaluations
                ],
                "checkpoints": [_fields(c, "path env_steps updates bytes sha256 created_at") for c in checkpoints],
                "artifacts": [_fields(a, "path kind bytes") for a in artifacts],
            }
        )
        return
    from agent.config import PRESETS, make
    from dreamctl.results import costs

    preset = make(record.preset).to_dict() if record.preset in PRESETS else {}
    changed = {key: value for key, value in record.config.items() if preset.get(key) != value}
    spent = (costs.at_work(store.scalars(record.id, costs.RATE)) or [0.0])[-1]
    job = f" (job {record.job})" if record.job else ""
    commit = f"{(record.git_commit or 'no git')[:10]}{' + changes' if record.git_dirty else ''}"
    _table(
        "",
        {
            "run": f"{record.name} ({record.id})",
            "task": f"{record.task}, {record.method}, {record.objective}, seed {record.seed}",
            "preset": f"{record.preset}" + "".join(f", {key}={value}" for key, value in changed.items()),
            "status": record.status + (f": {record.reason}" if record.reason else ""),
            "env steps": f"{record.env_steps:,} of {record.steps:,}, {record.updates:,} updates",
            "score": f"{number(record.score)} (best {number(record.best_score)})",
            "time": f"{duration(spent)} at work on {record.device} of {record.host}{job}"
            if record.started_at
            else "not started",
            "created": f"{ago(record.created_at)}, code {commit}",
            "tags": ", ".join(record.tags) or "-",
            "files": str(store.folder(record.id)),
        },
    )
    if evaluations:
        _table(
            "evaluations",
            {
                f"{e.env_steps:,}": f"{e.mean:6.1f} +- {e.std:5.1f}  {e.kind}, {len(e.returns)} episode(s)"
                for e in evaluations[-8:]
            },
        )
    if scalars:
        _table("metrics (last values)", {name: f"{p.value:.6g}" for name, p in scalars.items()})
    if checkpoints:
        _table("checkpoints", {f"{c.env_steps:,}": f"{c.path}  {c.bytes / 2**20:.1f} MiB" for c in checkpoints})


def _fields(row: Any, names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names.split()}


def _table(title: str, rows: dict[str, str]) -> None:
    from rich.table import Table

    out = console()
    if title:
        out.print(f"\n{title}", style="bold")
    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        table.add_row(key, value)
    out.print(table)
