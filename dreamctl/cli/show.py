"""dreamctl show: everything on record about one run."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from dreamctl.cli.common import (
    Home,
    Json,
    Recorded,
    RunRef,
    ago,
    console,
    duration,
    home_option,
    number,
    print_json,
    progress,
    reading,
    sparkline,
    steps,
)
from dreamctl.cli.ls import summary


def show(
    run: RunRef,
    config: Annotated[
        bool, typer.Option("--config", help="Print only task, seed, preset and config, as YAML for run --config.")
    ] = False,
    json: Json = False,
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Show one run: status, curve, settings, metrics, what to do next."""
    from dreamctl.errors import BadInput
    from dreamctl.jobs.spec import as_yaml
    from dreamctl.store import code, open_store
    from dreamctl.store.pages import from_preset

    if config and json:
        raise BadInput("--config prints YAML, and --json has the config, too: leave out one")
    store = open_store(reading(home, recorded), create=False)
    (record,) = store.refreshed([store.find(run)])
    if config:
        typer.echo(as_yaml(record), nl=False)
        return
    scalars, evaluations = store.last_scalars(record.id), store.evaluations(record.id)
    checkpoints, artifacts = store.checkpoints(record.id), store.artifacts(record.id)
    attempts = store.attempts(record.id)
    if json:
        print_json(
            summary(record)
            | {
                "config": record.config,
                "parent": record.parent,
                "packages": record.packages,
                "attempts": [_fields(a, _OF_ATTEMPT) for a in attempts],
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
    job = f" (job {record.job})" if record.job else ""
    trained = code.of(record)
    codes = trained.split("+") if trained else []
    _table(
        "",
        {
            "run": f"{record.name} ({record.id})",
            "task": f"{record.task}, {record.method}, {record.objective}, seed {record.seed}",
            "preset": ", ".join((record.preset, *(f"{key}={value}" for key, value in from_preset(record).items()))),
            "fork of": _origin(record.parent),
            "status": record.standing + (f": {record.reason}" if record.reason else ""),
            "env steps": f"{progress(record.env_steps, record.steps)}, {record.updates:,} updates",
            "score": f"{number(record.score)} (best {number(record.best_score)})",
            "counts": _counts(record),
            "curve": _curve(evaluations),
            "time": f"{duration(record.work_seconds)} at work on {record.device} of {record.host}{job}"
            if record.started_at
            else "not started",
            "created": ago(record.created_at),
            "hardware": record.hardware or "",
            "code": f"{code.short(trained) if trained else 'not trained yet'}, {_commit(record)}"
            + (f": {len(codes)} codes have trained it" if len(codes) > 1 else ""),
            "tags": ", ".join(record.tags),
            "note": record.note or "",
            "files": str(store.folder(record.id)),
        },
    )
    if len(attempts) > 1:
        _table(
            "attempts",
            {
                f"{a.number}": f"from {a.env_steps:,} env steps, code {code.short(a.code)}, {_commit(a)}, "
                f"{a.hardware or a.device} of {a.host}"
                for a in attempts[-8:]
            },
        )
    if evaluations:
        _table(
            "evaluations",
            {
                f"{e.env_steps:,}": f"{e.mean:6.1f} +- {e.std:5.1f}  {e.kind}, episodes: {len(e.returns)}"
                for e in evaluations[-8:]
            },
        )
    if scalars:
        _table("metrics (last values)", {name: f"{p.value:.6g}" for name, p in scalars.items()})
    if checkpoints:
        _table("checkpoints", {f"{c.env_steps:,}": f"{c.path}  {c.bytes / 2**20:.1f} MiB" for c in checkpoints})
    where = " --recorded" if recorded else home_option(home)
    commands = [command for command in _NEXT.get(record.status, ()) if not recorded or "plot" in command]
    console().print("\nnext", style="bold")
    for command in commands:
        typer.echo(f"{command.format(record.name)}{where}")


def _counts(run: Any) -> str:
    """What a run that has diverged counts with; empty for other runs."""
    if run.standing != "diverged":
        return ""
    from dreamctl.results.standing import NOTHING

    return f"with {number(NOTHING)}, as it has no evaluation" if run.score is None else "with its last evaluation"


_NEXT = {  # commands to suggest, by status
    "queued": ("dreamctl status", "dreamctl run --resume {}"),
    "running": ("dreamctl logs {} -f", "dreamctl stop {}"),
    "finished": ("dreamctl plot curves {}", "dreamctl eval {} --video", "dreamctl run --from {} --seed N"),
    "failed": ("dreamctl logs {}", "dreamctl run --resume {}"),
    "stopped": ("dreamctl run --resume {}", "dreamctl logs {}"),
}


_OF_ATTEMPT = "number started_at env_steps code device hardware host job git_commit git_branch git_dirty packages"


def _commit(there: Any) -> str:
    """The commit of a run or an attempt."""
    if there.git_commit is None:
        return "no git"
    return f"commit {there.git_commit[:10]}{' + changes' if there.git_dirty else ''}"


def _curve(evaluations: Sequence[Any]) -> str:
    """The evaluations during training as a sparkline; empty if there are fewer than two."""
    trained = [evaluation for evaluation in evaluations if evaluation.kind != "manual"]
    if len(trained) < 2:
        return ""
    means = [evaluation.mean for evaluation in trained]
    return f"{sparkline(means)} {min(means):.1f} to {max(means):.1f}, until {steps(trained[-1].env_steps)} env steps"


def _origin(parent: dict[str, Any] | None) -> str:
    """The checkpoint that a fork started from, and its parent's values of changed fields; empty for other runs."""
    if parent is None:
        return ""
    changed = ", ".join(f"{key}={value}" for key, value in parent["changed"].items())
    there = f"{parent['name']} ({parent['id']}), seed {parent['seed']}, at {parent['env_steps']:,} env steps"
    return there + (f", there {changed}" if changed else "")


def _fields(row: Any, names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names.split()}


def _table(title: str, rows: dict[str, str]) -> None:
    from rich.table import Table

    out = console()
    if title:
        out.print(f"\n{title}", style="bold")
    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        if value or title:
            table.add_row(key, value)
    out.print(table)
