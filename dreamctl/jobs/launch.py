"""Storing a run, taking one up again, starting its worker."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent import tasks
from dreamctl.errors import BadInput
from dreamctl.jobs import forking
from dreamctl.jobs.files import sha256
from dreamctl.jobs.spec import RunSpec, with_steps
from dreamctl.store import Run, Store, tracking

# glibc gives memory of large tensors back at once and takes it again with the next update, zeroed page by page by the
# kernel; kept instead, an update of `tiny` takes about a tenth less time on two cores (docs/performance.md).
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


def submit(store: Store, spec: RunSpec) -> Run:
    """Store a run, queued, and make its folder; a fork gets what it goes on from. Raises `BadInput`."""
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
    store.workplace(run.id)
    _write_config(store, run)
    if spec.parent:
        try:
            forking.inherit(store, run)
        except BaseException:  # what has begun halfway would never end
            store.remove(run.id)
            raise
    return run


def sources(task: str) -> dict[str, str]:
    """The code of a custom environment, {module: "sha256 ..."}; nothing for the control suite's tasks."""
    module = tasks.get(task).factory.partition(":")[0]
    if not module:
        return {}
    if os.getcwd() not in sys.path:  # where a worker looks, too
        sys.path.append(os.getcwd())
    found = importlib.util.find_spec(module)
    if found is None or not found.origin or not Path(found.origin).is_file():
        return {}
    return {module: f"sha256 {sha256(Path(found.origin))}"}


def resume(store: Store, reference: str, settings: Sequence[str]) -> Run:
    """The run to continue, longer or shorter if the settings say so ("steps=N"). Raises `BadInput`."""
    store.reap(wait=True)
    run = store.find(reference)
    if run.status == "running":
        raise BadInput(f"run {run.name} is running")
    if run.status == "finished" and not settings:
        raise BadInput(f"run {run.name} is finished: to go further, give it more steps, --set steps=N")
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
    """Start the worker of a run, in a session of its own: neither Ctrl-C here nor our death reaches it.

    With `attempt` the run has been claimed already and the worker takes it over.
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
    store.file(run.id, "config.json").write_text(json.dumps(content, indent=2) + "\n")
    store.record_artifact(run.id, path="config.json", kind="config")


def spawn_again(store: Store, arguments: Sequence[str], name: str) -> Path:
    """Start this program with other arguments in the background; returns its log."""
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
    """The process that copies the home to MLflow, started again if it has ended, as it does when nothing runs."""
    return mirror if mirror is not None and mirror.poll() is None else spawn_mirror(store)


def spawn_mirror(store: Store, follow: bool = True) -> subprocess.Popen[bytes] | None:
    """Start the process that copies the home to MLflow, once or while runs go on; it ends when there is one.

    None when MLflow is switched off.
    """
    if tracking.off():
        return None
    command = [sys.executable, "-m", "dreamctl", "sync", *(["--follow"] if follow else []), "--home", str(store.home)]
    with store.place("mirror.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
