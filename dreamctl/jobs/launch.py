"""Store a run, prepare one to be resumed, start its worker and the mirror."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dreamctl.errors import BadInput
from dreamctl.jobs import forking
from dreamctl.jobs.files import sha256
from dreamctl.jobs.spec import RunSpec, with_steps
from dreamctl.store import Run, Store, code, tracking
from dreamctl.wording import counted

# By default glibc returns the memory of large tensors to the kernel, which zeroes it page by page for the next update.
# Workers keep it, in huge pages: an update takes 0.75 of the time at the paper's size, 0.92 at `small`
# (docs/performance.md).
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

_LISTED = 3  # codes that are told


def submit(store: Store, spec: RunSpec) -> Run:
    """Store a run as queued and make its folder; a fork also gets its parent's files. Raises `BadInput`."""
    run = store.create_run(
        task=spec.task,
        seed=spec.seed,
        config=spec.config.to_dict(),
        digest=spec.digest,
        preset=spec.preset,
        name=spec.name,
        tags=spec.tags,
        label=spec.label,
        packages=sources(spec.task),
        parent=spec.parent,
    )
    _write_config(store, run)
    if spec.parent:
        try:
            forking.inherit(store, run)
        except BaseException:  # half a fork could never be trained
            store.remove(run.id)
            raise
    return run


def runs_of(store: Store, cells: Iterable[RunSpec], same_code: bool = False) -> list[Run]:
    """The runs of cells: stored ones, and new ones where there is none. Processes that do this at once need `alone`."""
    return [existing(store, cell, same_code) or submit(store, cell) for cell in cells]


def existing(store: Store, cell: RunSpec, same_code: bool = False) -> Run | None:
    """The stored run of a cell, None without any; of several the one that is furthest, of this code if it can be.

    same_code: runs of other code do not count. One that has not trained yet is of this code: this will train it.
    """
    place = ("finished", "diverged", "running", "queued", "stopped", "failed")
    twins = [run for run in store.runs(digest=cell.digest) if not (same_code and _foreign(run))]
    return min(twins, key=lambda run: (place.index(run.standing), _foreign(run), -run.env_steps), default=None)


def other_code(store: Store, cells: Sequence[RunSpec], same_code: bool = False) -> str | None:
    """What to say of the stored runs of these cells that other code has trained; None if there is none.

    same_code: whether they will be trained anew; those that have been are not told again.
    """
    found = [run for cell in cells if (run := existing(store, cell)) and _foreign(run)]
    if same_code:
        found = [run for run in found if all(map(_foreign, store.runs(digest=run.digest)))]
    if not found:
        return None
    codes = code.parts(code.short(code.of(run) or "") for run in found)
    more = f" and {len(codes) - _LISTED} more" if len(codes) > _LISTED else ""
    what = (
        f"{len(found)} of {counted(len(cells), 'run')} were trained by other code ({', '.join(codes[:_LISTED])}{more})"
    )
    return f"{what}: {'trained anew' if same_code else 'used; --same-code trains them anew'}"


def _foreign(run: Run) -> bool:
    """Whether other code than this has trained a run, alone or with this."""
    return code.of(run) not in (None, code.digest(run.task))


def sources(task: str) -> dict[str, str]:
    """The code of a custom environment as {module: "sha256 ..."}; empty for tasks of the control suite."""
    found = code.environment(task)
    return {found[0]: f"sha256 {sha256(found[1])}"} if found else {}


def resume(store: Store, reference: str, settings: Sequence[str]) -> Run:
    """The run to continue, its length changed if the settings say so ("steps=N"). Raises `BadInput`."""
    store.reap(wait=True)
    run = store.find(reference)
    if run.status == "running":
        raise BadInput(f"run {run.name} is running")
    if run.status == "finished" and not settings:
        raise BadInput(f"run {run.name} is finished: to train it further, give it more steps, --set steps=N")
    if settings:
        wanted = with_steps(run, settings)
        run = store.change_steps(run.id, wanted.config.to_dict(), wanted.digest)
        _write_config(store, run)
    return run


def spawn(
    store: Store,
    run_id: str,
    device: str,
    attempt: int | None = None,
    environment: Mapping[str, str] | None = None,
    profile: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the worker of a run, in its own session, so that it survives Ctrl-C and the end of this process.

    attempt: given if the run has been claimed already; the worker then takes that claim over.
    """
    command = [sys.executable, "-m", "dreamctl.jobs.worker", run_id, "--home", str(store.home), "--device", device]
    command += [] if attempt is None else ["--attempt", str(attempt)]
    command += ["--profile"] if profile else []
    store.workplace(run_id)
    with store.file(run_id, "log.txt").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=MALLOC | dict(os.environ) | dict(environment or {}),
        )


def _write_config(store: Store, run: Run) -> None:
    content = {"task": run.task, "seed": run.seed, "preset": run.preset, "config": run.config}
    store.workplace(run.id)
    store.file(run.id, "config.json").write_text(json.dumps(content, indent=2) + "\n")
    store.record_artifact(run.id, path="config.json", kind="config")


def spawn_again(store: Store, arguments: Sequence[str], name: str) -> Path:
    """Start dreamctl with these arguments in the background; returns the path of its log."""
    path = store.place(f"sweeps/{name}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "dreamctl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return path


def keep_mirror(store: Store, mirror: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes] | None:
    """The process that copies the home to MLflow; started again if it has ended, as it does when nothing is running."""
    return mirror if mirror is not None and mirror.poll() is None else spawn_mirror(store)


def spawn_mirror(store: Store, follow: bool = True) -> subprocess.Popen[bytes] | None:
    """Start a process that copies the home to MLflow: once, or (`follow`) for as long as runs are active.

    It ends at once if another one is at work. None if MLflow is switched off.
    """
    if tracking.off():
        return None
    command = [sys.executable, "-m", "dreamctl", "sync", *(["--follow"] if follow else []), "--home", str(store.home)]
    with store.place("mirror.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
