"""The process that trains one run: it claims the run, records what the agent produces and stops cleanly when asked.

`python -m dreamctl.jobs.worker RUN --home HOME --device DEVICE`. SIGTERM, SIGINT, SIGHUP or a stop request in the
database end it after the current update, with a checkpoint. A thread writes a heartbeat and the buffered records once a
second: training never waits for the database, a long update does not look like a dead worker, and a database that is
locked, full or unreachable loses nothing.
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

from agent.divergence import Diverged
from agent.patience import Complaint, patiently
from dreamctl.errors import StaleAttempt
from dreamctl.jobs import files, launch, pictures
from dreamctl.jobs.profiling import Profiler
from dreamctl.store import Point, Run, Store, code, open_store, provenance
from dreamctl.store.database import may_recover

if TYPE_CHECKING:
    import numpy as np

_HEARTBEAT = 1.0  # seconds
_KEPT = 2  # newest checkpoints to keep, beside the best


class StoreRecorder:
    """The agent's `Recorder`: writes to the run database. As a context manager it does so once a second.

    Metrics and notes (about evaluations, checkpoints, files) are buffered. Each flush writes metrics first, then notes
    in their order, so that everything before a checkpoint is stored before the checkpoint is.
    """

    def __init__(
        self, store: Store, run: Run, attempt: int, stopping: threading.Event, profiler: Profiler | None = None
    ) -> None:
        self.store, self.run, self.attempt, self.stopping = store, run, attempt, stopping
        self.profiler = profiler
        self.env_steps, self.updates = run.env_steps, run.updates
        self.told = False  # whether the database asked it to stop
        self._points: list[Point] = []
        self._notes: list[Callable[[], object]] = []
        self._lock = threading.Lock()  # of _points and _notes
        self._flushing = threading.Lock()  # one flush at a time, so that newer values win
        self._ended = False
        self._due = threading.Event()  # flush now
        self._failure: Exception | None = None  # raised in the thread
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StoreRecorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._due.set()
        self._thread.join()

    def begun(self, device: str, env_steps: int) -> None:
        """Record what trains the run, this process, from the checkpoint at these environment steps on."""
        what: dict[str, Any] = dict(
            code=code.digest(self.run.task),
            hardware=provenance.hardware(device),
            packages=launch.sources(self.run.task),
        )
        self._note(partial(self.store.begin, self.run.id, self.attempt, env_steps=env_steps, **what))

    def progress(self, env_steps: int, updates: int) -> None:
        """Note how far the run is. Raises `Stop` if it is to end, or the error that prevents writing."""
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
        """Save an open-loop prediction as a GIF and as a strip like Figure 5's."""
        for path, kind, save in (
            (f"predictions/{env_steps:010d}.gif", "prediction", pictures.save_prediction),
            (f"predictions/{env_steps:010d}.png", "strip", pictures.save_strip),
        ):
            save(self.store.file(self.run.id, path), truth, model)
            self._note(partial(self.store.record_artifact, self.run.id, path=path, kind=kind))

    def checkpoint(self, env_steps: int, updates: int, path: Path) -> None:
        """Record a checkpoint, after all metrics up to it, and delete old ones except the best."""
        checkpoint: dict[str, Any] = dict(
            env_steps=env_steps, updates=updates, bytes=path.stat().st_size, sha256=files.sha256(path)
        )
        name = str(path.relative_to(self.store.folder(self.run.id)))
        self._note(partial(self.store.record_checkpoint, self.run.id, self.attempt, path=name, **checkpoint))
        self._note(self._prune)
        self._due.set()

    def flush(self) -> None:
        """Write progress and all buffered records. Raises what the database raises; the records then stay buffered."""
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
                self._failure = error  # another worker has the run, or a record is invalid
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
    """Train a run to its end in this process; returns the run as it then stands.

    It has failed after an error in training, and is marked as diverged if the error is the method's own (`Diverged`).

    attempt: that of an existing claim, by us or for us; None claims the run. Raises `StaleAttempt` if the run is no
    longer ours. give_back: a reason; with it a signal returns the run to the queue instead of stopping it. profile:
    see `jobs.profiling`.
    """
    stopping = threading.Event()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        numbers.append(signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
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
    else:  # before loading torch: until then only our scheduler shows as the owner
        patiently(partial(store.adopt, run_id, attempt), may_recover)
    run = patiently(lambda: store.get(run_id), may_recover)
    status, reason, diverged = "failed", None, False
    profiler = Profiler(store, run) if profile else None
    with StoreRecorder(store, run, attempt, stopping, profiler) as recorder:
        try:
            status = _train(store, run, device, recorder)
        except StaleAttempt:
            raise
        except Exception as error:
            with suppress(OSError):  # the log may be on a full disk
                traceback.print_exc()
            reason, diverged = _reason(error), isinstance(error, Diverged)
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
    patiently(lambda: store.finish(run_id, attempt, status, reason, diverged), may_recover)
    return patiently(lambda: store.get(run_id), may_recover)


def _train(store: Store, run: Run, device: str, recorder: StoreRecorder) -> str:
    """Train from the newest checkpoint that is intact, with its episodes; returns 'finished' or 'stopped'.

    What trains it, and from where, is recorded first. If all of them are damaged the run starts over: it is
    deterministic, so only time is lost. A fork cannot: `CheckpointError`. Files that are not there, or on a disk that
    does not answer, may come back: `HomeError`, `OSError`.
    """
    from agent import training
    from agent.checkpoints import CheckpointError
    from agent.config import Config
    from agent.device import resolve
    from agent.replay import DamagedEpisode

    train = partial(training.train, run.task, Config.from_dict(run.config), run.seed)
    folder, where = store.workplace(run.id), resolve(device)
    if not run.parent:
        files.check_present(store, run)
    for checkpoint, env_steps, whole in files.newest_first(store, run):
        if not whole:
            _print(f"warning: checkpoint {checkpoint} is missing or damaged: going back to an earlier one")
            continue
        recorder.begun(where, env_steps)
        try:
            return train(folder, recorder, where, checkpoint, files.is_parents(run, checkpoint))
        except DamagedEpisode as error:
            _print(f"warning: {error}: going back to an earlier checkpoint")
    if run.parent:
        raise CheckpointError("the checkpoint it was forked from, or an episode, is missing or damaged: fork again")
    recorder.begun(where, 0)
    return train(folder, recorder, where)


def _reason(error: Exception) -> str:
    """Why a run failed, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, Diverged) else f"{type(error).__name__}: {lines[0]}"


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
