"""Checks of a home and this machine, each with the command that repairs what it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dreamctl.errors import DreamctlError
from dreamctl.jobs import estimate
from dreamctl.jobs.slots import gpus
from dreamctl.jobs.spec import RunSpec
from dreamctl.store import Store, open_store, paths, tracking
from dreamctl.store.models import HEAD
from dreamctl.store.moving import STAGE, abandoned
from dreamctl.store.sweeps import REMOVING
from dreamctl.wording import counted

_LATE = 60.0  # seconds without a heartbeat
_OLD = 3600.0  # seconds for which the folder of an import or export is left alone in any case
_ROOM = 1 << 30  # bytes that should always be free
_SLOW = 50.0  # milliseconds a frame
_PATIENCE = 60.0  # seconds for the trial of rendering
_RENDER = """
import time
from agent.rendering import choose_by_trial, choose_backend
import sys
choose_by_trial(sys.argv[1], 1) if sys.argv[1] != "cpu" else choose_backend()
from agent import tasks
from agent.config import make
from agent.environment import Environment
import numpy as np, os
environment = Environment(tasks.get("walker_walk"), make("paper"))
environment.reset(0)
begin = time.perf_counter()
for _ in range(20):
    environment.simulator.image()
print(os.environ["MUJOCO_GL"], 50 * (time.perf_counter() - begin))
"""


@dataclass
class Finding:
    """level: ok, warning or error; mend: the command that repairs it; fix: does the same, if that is possible."""

    what: str
    level: str
    text: str
    mend: str = ""
    fix: Callable[[], object] | None = None


def examine(home: str | None, suffix: str) -> Iterator[Finding]:
    """All findings, as they are made. suffix: the option that makes suggested commands use this home."""
    try:
        store = open_store(home)
    except DreamctlError as error:
        yield Finding("home", "error", str(error), "dreamctl doctor --home ANOTHER")
    else:
        for check in (_database, _home, _dead, _mlflow, _clock):
            try:
                yield from check(store, suffix)
            except (SQLAlchemyError, ValueError) as error:  # ValueError: invalid JSON in a column
                told = f"cannot be read: {' '.join(str(getattr(error, 'orig', None) or error).split())[:200]}"
                yield Finding("database", "error", told, _recover(store))
    yield from _torch()
    yield _rendering()


def _home(store: Store, suffix: str) -> Iterator[Finding]:
    free = shutil.disk_usage(store.home).free
    waiting = [run for status in ("queued", "running") for run in store.runs(status=status)]
    needed = sum(
        estimate.replay_bytes(_cell(run.task, run.seed, run.config, run.preset))
        * (run.steps - run.env_steps)
        // run.steps
        for run in waiting
        if run.steps > 0
    )
    room = f"{free / 2**30:.1f} GiB free, waiting runs: {len(waiting)}, replay up to {needed / 2**30:.1f} GiB"
    level = "ok" if free > needed + _ROOM else "error" if free < _ROOM // 8 else "warning"
    yield Finding("home", level, f"{store.home}: {room}", "" if level == "ok" else f"df -h {store.home}")
    stages = (path for path in store.home.glob(f"{STAGE}*") if time.time() - path.stat().st_mtime > _OLD)
    left = [*(path for path in stages if abandoned(path)), *store.home.glob(f"{REMOVING}*")]
    if left:
        names = " ".join(str(path) for path in left)
        yield Finding(
            "home",
            "warning",
            f"{counted(len(left), 'folder')} of an import, export or removal that was killed",
            f"rm -r {names}",
            lambda: [*map(shutil.rmtree, left)],
        )
    known = {row.id for row in store.rows(["id"])}
    stray = [path for path in store.home.iterdir() if paths.is_id(path.name) and path.name not in known]
    if stray:  # not deleted: perhaps DREAMCTL_DB names another database today
        told = f"{counted(len(stray), 'folder')} of no run in the database"
        names = " ".join(str(path) for path in stray[:5])
        yield Finding("home", "warning", told, f"du -sh {names}  # and rm -r, if you need nothing in them")


def _cell(task: str, seed: int, config: dict, preset: str) -> RunSpec:
    from agent.config import Config

    return RunSpec(task, seed, Config.from_dict(config), preset)


def _database(store: Store, suffix: str) -> Iterator[Finding]:
    engine = store._engine
    if engine.dialect.name != "sqlite":
        yield Finding("database", "ok", f"{engine.dialect.name}, schema {HEAD}")
        return
    with engine.connect() as connection:
        said = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        mode = connection.execute(text("PRAGMA journal_mode")).scalar()
        orphans = connection.execute(text("PRAGMA foreign_key_check")).first()
    if said != "ok" or orphans:
        told = f"damaged: {said if said != 'ok' else 'rows that belong to no run'}"
        yield Finding("database", "error", told, _recover(store))
    elif mode != "wal":
        wal = f"sqlite3 {engine.url.database} 'PRAGMA journal_mode=WAL'"
        yield Finding("database", "warning", f"journal mode {mode}: writers wait for readers", wal)
    else:
        yield Finding("database", "ok", f"{engine.url.database}: intact, schema {HEAD}, write-ahead log")


def _recover(store: Store) -> str:
    file = store._engine.url.database
    return f"sqlite3 {file} .recover | sqlite3 {store.home / 'recovered.db'}  # a copy of what can be read"


def _dead(store: Store, suffix: str) -> Iterator[Finding]:
    running = store.runs(status="running", light=True)
    late = [run.name for run in running if time.time() - (run.heartbeat_at or 0) > _LATE]
    if late:
        told = f"no heartbeat from {', '.join(late[:5])} for more than {_LATE:.0f} s"
        yield Finding("runs", "warning", told, f"dreamctl doctor --fix{suffix}", lambda: store.reap(wait=True))
    else:
        yield Finding("runs", "ok", f"{len(running)} running, all with a recent heartbeat")


def _mlflow(store: Store, suffix: str) -> Iterator[Finding]:
    if tracking.off():
        yield Finding("MLflow", "ok", "switched off (DREAMCTL_MLFLOW=off)")
        return
    if os.environ.get("DREAMCTL_MLFLOW") or (store.home / "mlflow.db").is_file():
        os.environ |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        try:
            tracking.open_client(store)
        except DreamctlError as error:
            told = " ".join(str(error.__cause__ or error).split())[:200]
            mend = "start its server, or unset DREAMCTL_MLFLOW"
            if not os.environ.get("DREAMCTL_MLFLOW"):
                mend = f"mv {store.home / 'mlflow.db'} {store.home / 'mlflow.old'} && dreamctl sync{suffix}"
            yield Finding("MLflow", "error", f"does not open: {told}", mend)
            return
    stamps = store.stamps()
    behind = sum(store.mirrored(run_id).get("stamp") != stamp for run_id, stamp in stamps.items())
    if behind:
        from dreamctl.jobs.launch import spawn_mirror

        told = f"{behind} of {counted(len(stamps), 'run')} not copied yet"

        def copy() -> None:
            mirror = spawn_mirror(store, follow=False)
            assert mirror is not None  # MLflow is on
            mirror.wait()

        yield Finding("MLflow", "warning", told, f"dreamctl sync{suffix}", copy)
    else:
        yield Finding("MLflow", "ok", f"{version('mlflow')}: all is copied ({counted(len(stamps), 'run')})")


def _clock(store: Store, suffix: str) -> Iterator[Finding]:
    ahead = max((run.created_at for run in store.runs(light=True, newest=1)), default=0.0) - time.time()
    if ahead > _LATE:
        yield Finding("clock", "error", f"{ahead:.0f} s behind the newest run", "timedatectl set-ntp true")
        return
    yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _torch() -> Iterator[Finding]:
    import torch

    seen, cuda = gpus(), torch.version.cuda
    if seen and not torch.cuda.is_available():
        told = f"torch {torch.__version__} cannot use the {counted(len(seen), 'GPU')} that the driver reports"
        yield Finding("GPU", "error", told, "pip install --force-reinstall torch  # a build with CUDA")
    elif seen:
        import pynvml

        pynvml.nvmlInit()
        driver = pynvml.nvmlSystemGetDriverVersion()
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding("GPU", "ok", f"{names}; driver {driver}; torch {torch.__version__} with CUDA {cuda}")
    else:
        threads = counted(torch.get_num_threads(), "CPU thread")
        yield Finding("GPU", "ok", f"none; torch {torch.__version__}, {threads}")


def _rendering() -> Finding:
    """In a separate process: a GL driver may crash or hang."""
    from agent.rendering import PACKAGES

    mend = f"apt-get install libegl1 libgl1-mesa-dri  # {PACKAGES}"
    try:
        command = [sys.executable, "-c", _RENDER, "cuda:0" if gpus() else "cpu"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return Finding("rendering", "error", f"hung for {_PATIENCE:.0f} s", mend)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding("rendering", "error", f"fails: {said[:200]}", mend)
    backend, milliseconds = done.stdout.split()[-2:]
    told = f"{backend}, {float(milliseconds):.1f} ms per frame of walker_walk"
    return Finding("rendering", "ok" if float(milliseconds) < _SLOW else "warning", told)
