"""The live view of a training run, and the summary at its end."""

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy.exc import OperationalError

from agent.patience import patiently
from dreamctl.cli.common import Interrupts, console, duration, number, progress, say, speed
from dreamctl.errors import RunFailed
from dreamctl.store import Run, Store
from dreamctl.store.database import may_recover
from dreamctl.wording import counted

_POLL = 0.5  # seconds
_MIRROR_PATIENCE = 60.0  # seconds


def follow(store: Store, run: Run, start: Callable[[], subprocess.Popen[bytes]]) -> Run:
    """Start a run's worker, show progress until it has ended and return the run as it then stands.

    Ctrl-C stops the worker cleanly, a second Ctrl-C kills it. Raises `RunFailed` if the worker did not even start.
    """
    asked = False
    warnings = _warnings(store.folder(run.id) / "log.txt")
    with Interrupts() as interrupts:  # before the worker exists: it would outlive us
        process = start()
        updates = (_bar if console(stderr=True).is_terminal else _lines)(store, run.id)
        while True:
            next(updates)
            next(warnings)
            try:
                process.wait(_POLL)
                break
            except subprocess.TimeoutExpired:
                pass
            for _ in range(interrupts.take()):
                if asked:
                    process.kill()
                else:
                    say("\nstopping after this update, with a checkpoint; Ctrl-C again kills the worker")
                    with suppress(OperationalError):  # the signal below suffices
                        store.request_stop(run.id)  # for a worker that does not handle the signal yet
                    process.terminate()
                asked = True
    next(updates)
    updates.close()
    next(warnings)
    patiently(store.reap, may_recover)
    reason = "the worker ended before it started the run"
    end = partial(store.abandon, run.id, run.attempt, "stopped" if asked else "failed", reason)
    if patiently(end, may_recover) and not asked:
        raise RunFailed(f"run {run.name}: {reason} (log: {store.folder(run.id) / 'log.txt'})")
    return store.get(run.id)


def conclude(store: Store, run: Run, mirror: subprocess.Popen[bytes] | None, home: str, quiet: bool = False) -> None:
    """Wait until MLflow is up to date; then, unless `quiet`, print how the run went and where to look next."""
    mirrored = "dreamctl ui" + home
    if mirror is None:
        mirrored = "switched off (DREAMCTL_MLFLOW=off)"
    elif not _wait_for_mirror(store, run, mirror):
        mirrored = f"not up to date yet: dreamctl sync{home}, then {mirrored} (log: {store.home / 'mirror.log'})"
    if quiet:
        return
    evaluations = store.evaluations(run.id)
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    rows = {
        "run": f"{run.name} ({run.id})",
        "status": run.standing,
        "env steps": f"{progress(run.env_steps, run.steps)} in {duration(run.work_seconds)} ({run.updates:,} updates)",
        "score": f"{number(run.score)} (best {number(run.best_score)}, {counted(len(evaluations), 'evaluation')})",
        "files": str(store.folder(run.id)),
    }
    if run.status == "finished":
        rows["details"] = f"dreamctl show {run.name}{home}"
        rows["curve"] = f"dreamctl plot curves {run.name}{home}"
        rows["video"] = f"dreamctl eval {run.name} --episodes 1 --video{home}"
    else:
        rows["continue"] = f"dreamctl run --resume {run.name}{home}"
    rows["MLflow"] = mirrored
    for key, value in rows.items():
        table.add_row(key, value)
    out = console()
    out.print()
    out.print(table, soft_wrap=True)


def _wait_for_mirror(store: Store, run: Run, mirror: subprocess.Popen[bytes]) -> bool:
    """Wait for MLflow to have the ended run, unless the mirror fails or Ctrl-C is pressed; returns whether it does."""
    try:
        for _ in range(int(_MIRROR_PATIENCE / _POLL)):
            if store.mirrored(run.id).get("ended") == f"{run.status} {run.attempt}":
                return True
            if mirror.poll():
                return False
            time.sleep(_POLL)
    except KeyboardInterrupt:
        pass
    return False


def _bar(store: Store, run_id: str) -> Generator[None, None, None]:
    """A progress bar, redrawn at each step of the generator."""
    from rich.progress import BarColumn, Progress, TextColumn

    from dreamctl.jobs.pace import pace

    columns = (
        TextColumn("{task.fields[done]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[returns]}"),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", done="", rate="", left="", returns="starting")
        while True:
            run = patiently(lambda: store.get(run_id), may_recover)
            rate, left = patiently(lambda: pace(store, run), may_recover)  # noqa: B023
            bar.update(
                task,
                total=run.steps,
                completed=run.env_steps,
                done=f"{progress(run.env_steps, run.steps)} env steps",
                rate=speed(rate) if rate else "",
                left=f"{duration(left)} left" if left is not None else "",
                returns=_returns(store, run_id),
            )
            yield


def _lines(store: Store, run_id: str) -> Generator[None, None, None]:
    """Without a terminal: print a line for each new evaluation."""
    seen = {evaluation.id for evaluation in store.evaluations(run_id)}
    while True:
        for evaluation in patiently(lambda: store.evaluations(run_id), may_recover):
            if evaluation.id not in seen:
                seen.add(evaluation.id)
                run = patiently(lambda: store.get(run_id), may_recover)
                say(f"{progress(evaluation.env_steps, run.steps)} env steps, {_returns(store, run_id)}")
        yield


def _warnings(log: Path) -> Generator[None, None, None]:
    """Print the warnings that the worker writes into its log from now on."""
    seen = log.stat().st_size if log.is_file() else 0
    while True:
        if log.is_file():
            with log.open("rb") as file:
                file.seek(seen)
                lines = file.read().splitlines(keepends=True)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                seen += len(line)
                if line.startswith(b"warning: "):
                    console(stderr=True).print(line.decode(errors="replace").rstrip(), soft_wrap=True)
        yield


def _returns(store: Store, run_id: str) -> str:
    last = patiently(lambda: store.last_scalars(run_id), may_recover)
    shown = [(label, last.get(name)) for label, name in (("train", "train/return"), ("eval", "eval/return"))]
    return "  ".join(f"{label} {point.value:.0f}" for label, point in shown if point) or "starting"
