"""The process that trains one run: claims it, records what the agent produces, stops cleanly when told to.

`python -m dreamctl.jobs.worker RUN --home HOME --device DEVICE`. SIGTERM, SIGINT or a stop request in the database
end it after the current update, with a checkpoint. All that goes on record is buffered and written once a second by a
thread, with the sign of life: training never waits for the database, a long update does not look dead, and a database
that is locked, full or away loses nothing.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.patience import Complaint, patiently
from dreamctl.errors import StaleAttempt
from dreamctl.jobs import files, pictures
from dreamctl.jobs.profiling import Profiler
from dreamctl.store import Point, Run, Store, open_store
from dreamctl.store.database import may_recover

if TYPE_CHECKING:
    import numpy as np

_HEARTBEAT = 1.0  # seconds
_KEPT = 2  # newest checkpoints, beside the best


class StoreRecorder:
    """The agent's `Recorder`: writes to the run database. Used as a context it beats once a second.

    Metrics and notes (of evaluations, checkpoints, files) wait here until they are written, metrics first, notes in
    order: what a checkpoint is resumed from is on record before the checkpoint is.
    """

    def __init__(
        self, store: Store, run: Run, attempt: int, stopping: threading.Event, profiler: Profiler | None = None
    ) -> None:
        self.store, self.run, self.attempt, self.stopping = store, run, attempt, stopping
        self.profiler = profiler
        self.env_steps, self.updates = run.env_steps, run.updates
        self.told = False  # to stop, through the database
        self._points: list[Point] = []
        self._notes: list[Callable[[], object]] = []
        self._lock = threading.Lock()  # of the two
        self._flushing = threading.Lock()  # one flush at a time, so that an older value never comes last
        self._ended = False
        self._due = threading.Event()  # a flush, before its time
        self._failure: Exception | None = None  # of the thread
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StoreRecorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._due.set()
        self._thread.join()

    def progress(self, env_steps: int, updates: int) -> None:
        """Note how far the run is; raises `Stop` when it is to end, or what made writing impossible."""
        from agent.training import Stop

        self.env_steps, self.updates = env_steps, updates
        if self.profiler:
            self.profiler.progress(updates)
        if self._failure:
            raise self._failure
        if self.stopping.is_set():
            raise Stop

    def scalars(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Buffer metrics."""
        now = time.time()
        with self._lock:
            self._points += [Point(name, env_steps, float(value), now) for name, value in values.items()]
        if "train/return" in values:
            _print(f"{env_steps:>9,} env steps  train/return {values['train/return']:7.1f}")

    def evaluation(self, env_steps: int, returns: list[float], video: np.ndarray, final: bool) -> None:
        """Record an evaluation and its video."""
        path, kind = f"videos/{env_steps:010d}.gif", "final" if final else "training"
        pictures.save_gif(self.store.file(self.run.id, path), video)
        self._note(partial(self.store.record_artifact, self.run.id, path=path, kind="video"))
        evaluation: dict[str, Any] = dict(
            kind=kind, env_steps=env_steps, seed=self.run.seed, returns=returns, video=path
        )
        self._note(partial(self.store.record_evaluation, self.run.id, attempt=self.attempt, **evaluation))
        _print(f"{env_steps:>9,} env steps   eval/return {statistics.fmean(returns):7.1f}  {kind}")

    def prediction(self, env_steps: int, truth: np.ndarray, model: np.ndarray) -> None:
        """Keep an open-loop prediction as a GIF and as the strip of Figure 5."""
        for path, kind, save in (
            (f"predictions/{env_steps:010d}.gif", "prediction", pictures.save_prediction),
            (f"predictions/{env_steps:010d}.png", "strip", pictures.save_strip),
        ):
            save(self.store.file(self.run.id, path), truth, model)
            self._note(partial(self.store.record_artifact, self.run.id, path=path, kind=kind))

    def checkpoint(self, env_steps: int, updates: int, path: Path) -> None:
        """Record a checkpoint after all metrics up to it, and drop older ones but the best."""
        checkpoint: dict[str, Any] = dict(
            env_steps=env_steps, updates=updates, bytes=path.stat().st_size, sha256=files.sha256(path)
        )
        name = str(path.relative_to(self.store.folder(self.run.id)))
        self._note(partial(self.store.record_checkpoint, self.run.id, self.attempt, path=name, **checkpoint))
        self._note(self._prune)
        self._due.set()

    def flush(self) -> None:
        """Write progress and what waits; what cannot be written goes on waiting."""
        with self._flushing:
            with self._lock:
                points, notes, self._points = self._points, list(self._notes), []
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
            for note in notes:
                note()
                with self._lock:
                    self._notes.pop(0)

    def _note(self, write: Callable[[], object]) -> None:
        with self._lock:
            self._notes.append(write)

    def _prune(self) -> None:
        kept = sorted(self.store.checkpoints(self.run.id), key=lambda checkpoint: checkpoint.created_at)
        best = files.best(self.store, self.run)
        for old in kept[:-_KEPT]:
            if best is None or old.path != best.path:
                self.store.forget_checkpoint(self.run.id, old.path)
                self.store.file(self.run.id, old.path).unlink(missing_ok=True)

    def _beat(self) -> None:
        complaint = Complaint()
        while not self._ended:
            self._due.wait(_HEARTBEAT)
            self._due.clear()
            try:
                self.flush()
            except Exception as error:
                if may_recover(error):
                    complaint.begin(error)
                    continue
                self._failure = error  # another worker has this run, or what is written cannot be
                return
            complaint.end()


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

        where = resolve(device)
        attempt = patiently(lambda: store.claim(run_id, where), may_recover)
    else:  # before torch is loaded: until then we cannot be told from our scheduler
        patiently(partial(store.adopt, run_id, attempt), may_recover)
    run = patiently(lambda: store.get(run_id), may_recover)
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
            reason = _reason(error)
        try:
            patiently(recorder.flush, may_recover)
        except StaleAttempt:
            raise
        except Exception as error:
            status, reason = "failed", reason or _reason(error)
        if profiler:
            profiler.close()
    if status == "stopped" and give_back and not recorder.told:
        status, reason = "queued", give_back
    patiently(lambda: store.finish(run_id, attempt, status, reason), may_recover)
    return patiently(lambda: store.get(run_id), may_recover)


def _train(store: Store, run: Run, device: str, recorder: StoreRecorder) -> str:
    """Train from the newest checkpoint on that is whole, as are its episodes; how it ended: finished or stopped.

    Without one the run starts again, and being deterministic loses nothing but time; a fork cannot.
    """
    from agent import training
    from agent.checkpoints import CheckpointError
    from agent.config import Config
    from agent.device import resolve
    from agent.replay import DamagedEpisode

    train = partial(training.train, run.task, Config.from_dict(run.config), run.seed)
    folder, where = store.workplace(run.id), resolve(device)
    for checkpoint, whole in files.newest_first(store, run):
        if not whole:
            _print(f"warning: checkpoint {checkpoint} is missing or corrupt: going back to one before it")
            continue
        try:
            return train(folder, recorder, where, checkpoint, files.is_parents(run, checkpoint))
        except DamagedEpisode as error:
            _print(f"warning: {error}: going back to a checkpoint before it")
    if run.parent:
        raise CheckpointError("the checkpoint it was forked from, or an episode, is missing or damaged: fork again")
    return train(folder, recorder, where)


def _reason(error: Exception) -> str:
    """Why a run failed, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _print(text: str) -> None:
    with suppress(OSError):  # the log may be on a full disk
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(prog="python -m dreamctl.jobs.worker")
    parser.add_argument("run")
    parser.add_argument("--home", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    store = patiently(lambda: open_store(arguments.home), may_recover)
    run = work(store, arguments.run, arguments.device, arguments.attempt, profile=arguments.profile)
    sys.exit(1 if run.status == "failed" else 0)


if __name__ == "__main__":
    main()
