"""The process that trains one run: claims it, records what the agent produces, stops cleanly when told to.

`python -m dreamctl.jobs.worker RUN --home HOME --device DEVICE`. SIGTERM, SIGINT or a stop request in the database
end it after the current update, with a checkpoint. Metrics are buffered and written once a second by a thread, with
the sign of life, so that training never waits for the database and a long update does not look dead.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from dreamctl.errors import StaleAttempt
from dreamctl.jobs import files, pictures
from dreamctl.jobs.profiling import Profiler
from dreamctl.store import Point, Run, Store, open_store

if TYPE_CHECKING:
    import numpy as np

_HEARTBEAT = 1.0  # seconds
_KEPT = 2  # newest checkpoints, beside the best
_PATIENCE = 600.0  # seconds that the database may be full or away when a run ends


class StoreRecorder:
    """The agent's `Recorder`: writes to the run database. Used as a context it beats once a second."""

    def __init__(
        self, store: Store, run: Run, attempt: int, stopping: threading.Event, profiler: Profiler | None = None
    ) -> None:
        self.store, self.run, self.attempt, self.stopping = store, run, attempt, stopping
        self.profiler = profiler
        self.env_steps, self.updates = run.env_steps, run.updates
        self.told = False  # to stop, through the database
        self._points: list[Point] = []
        self._lock = threading.Lock()  # of the points
        self._flushing = threading.Lock()  # one flush at a time, so that an older value never comes last
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StoreRecorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, env_steps: int, updates: int) -> None:
        """Note how far the run is; raises `Stop` when it is to end."""
        from agent.training import Stop

        self.env_steps, self.updates = env_steps, updates
        if self.profiler:
            self.profiler.progress(updates)
        if self.stopping.is_set():
            raise Stop

    def scalars(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Buffer metrics."""
        now = time.time()
        with self._lock:
            self._points += [Point(name, env_steps, float(value), now) for name, value in values.items()]
        if "train/return" in values:
            print(f"{env_steps:>9,} env steps  train/return {values['train/return']:7.1f}", flush=True)

    def evaluation(self, env_steps: int, returns: list[float], video: np.ndarray, final: bool) -> None:
        """Record an evaluation and its video."""
        path = f"videos/{env_steps:010d}.gif"
        pictures.save_gif(self.store.file(self.run.id, path), video)
        self.store.record_artifact(self.run.id, path=path, kind="video")
        row = self.store.record_evaluation(
            self.run.id,
            attempt=self.attempt,
            kind="final" if final else "training",
            env_steps=env_steps,
            seed=self.run.seed,
            returns=returns,
            video=path,
        )
        print(f"{env_steps:>9,} env steps   eval/return {row.mean:7.1f}  {row.kind}", flush=True)

    def prediction(self, env_steps: int, truth: np.ndarray, model: np.ndarray) -> None:
        """Keep an open-loop prediction as a GIF and as the strip of Figure 5."""
        for path, kind, save in (
            (f"predictions/{env_steps:010d}.gif", "prediction", pictures.save_prediction),
            (f"predictions/{env_steps:010d}.png", "strip", pictures.save_strip),
        ):
            save(self.store.file(self.run.id, path), truth, model)
            self.store.record_artifact(self.run.id, path=path, kind=kind)

    def checkpoint(self, env_steps: int, updates: int, path: Path) -> None:
        """Record a checkpoint after all metrics up to it, and drop older ones but the best."""
        self.flush()
        folder = self.store.folder(self.run.id)
        self.store.record_checkpoint(
            self.run.id,
            self.attempt,
            path=str(path.relative_to(folder)),
            env_steps=env_steps,
            updates=updates,
            bytes=path.stat().st_size,
            sha256=files.sha256(path),
        )
        kept = self.store.checkpoints(self.run.id)
        best = files.best(self.store, self.run)
        for old in kept[:-_KEPT]:
            if best is None or old.path != best.path:
                self.store.forget_checkpoint(self.run.id, old.path)
                self.store.file(self.run.id, old.path).unlink(missing_ok=True)

    def flush(self) -> None:
        """Write progress and buffered metrics; they stay buffered when that fails."""
        with self._flushing:
            with self._lock:
                points, self._points = self._points, []
            try:
                stop = self.store.heartbeat(
                    self.run.id, self.attempt, env_steps=self.env_steps, updates=self.updates, scalars=points
                )
            except BaseException:
                with self._lock:
                    self._points = points + self._points
                raise
            if stop:
                self.told = True
                self.stopping.set()

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT):
            try:
                self.flush()
            except StaleAttempt:  # another worker has this run: the next write of the main thread fails as well
                self.stopping.set()
                return
            except OperationalError as error:  # a busy or full disk: the points are kept, try again
                _warn(error)


def work(
    store: Store,
    run_id: str,
    device: str,
    attempt: int | None = None,
    give_back: str | None = None,
    profile: bool = False,
) -> Run:
    """Train a run to its end in this process; returns it as it then stands. Errors of training end as 'failed'.

    With `attempt` it has been claimed already, for or by us: raises `StaleAttempt` when it is no longer ours. With
    `give_back`, a reason, a signal does not mean that the run is to stop: it waits again.
    profile: see `jobs.profiling`.
    """
    stopping = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _work(store, run_id, device, attempt, give_back, profile, stopping)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _work(
    store: Store,
    run_id: str,
    device: str,
    attempt: int | None,
    give_back: str | None,
    profile: bool,
    stopping: threading.Event,
) -> Run:
    if attempt is None:
        from agent.device import resolve

        attempt = store.claim(run_id, resolve(device))
    else:
        store.adopt(run_id, attempt)  # before torch is loaded: until then we cannot be told from our scheduler
    run = store.get(run_id)
    status, reason = "failed", None
    profiler = Profiler(store, run) if profile else None
    with StoreRecorder(store, run, attempt, stopping, profiler) as recorder:
        try:
            status = _train(store, run, device, recorder)
        except StaleAttempt:
            raise
        except Exception as error:
            with suppress(OSError):  # the log may be on a full disk
                traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0]}"
        _until_written(recorder.flush)
        if profiler:
            profiler.close()
    if status == "stopped" and give_back and not recorder.told:
        status, reason = "queued", give_back
    _until_written(lambda: store.finish(run_id, attempt, status, reason))
    return store.get(run_id)


def _train(store: Store, run: Run, device: str, recorder: StoreRecorder) -> str:
    """Train from the newest whole checkpoint on; how it ended: finished or stopped."""
    from agent import training
    from agent.config import Config
    from agent.device import resolve

    checkpoint, damaged = files.newest_whole(store, run)
    for path in damaged:
        print(f"warning: checkpoint {path} is missing or corrupt, going back to an older one", flush=True)
    config, folder = Config.from_dict(run.config), store.workplace(run.id)
    return training.train(run.task, config, run.seed, folder, recorder, resolve(device), checkpoint)


def _until_written(write: Callable[[], None]) -> None:
    """How a run ends must be on record: a database that is full or away is asked again for a while."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return write()
        except OperationalError as error:
            if time.monotonic() > give_up:
                raise
            _warn(error)
            time.sleep(_HEARTBEAT)


def _warn(error: Exception) -> None:
    with suppress(OSError):  # the log may be on a full disk
        print(f"warning: {error}", file=sys.stderr, flush=True)


def main() -> None:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(prog="python -m dreamctl.jobs.worker")
    parser.add_argument("run")
    parser.add_argument("--home", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    store = open_store(arguments.home)
    run = work(store, arguments.run, arguments.device, arguments.attempt, profile=arguments.profile)
    sys.exit(1 if run.status == "failed" else 0)


if __name__ == "__main__":
    main()
