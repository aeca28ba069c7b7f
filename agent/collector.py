"""Playing episodes in separate processes, in parallel with training.

With `overlap` N, an episode is played with the parameters of N iterations ago, while the updates since then run. Which
parameters those are does not depend on the speed of either side, so a run remains exactly repeatable. A checkpoint
contains the jobs in progress with their parameters; a resumed run plays them again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import torch

from agent import tasks
from agent.config import Config
from agent.divergence import Diverged
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.rollout import assess, training_episode

_POLL = 0.1  # seconds between two calls of `waiting`
# meant for the run, which decides what becomes of its players
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Job(NamedTuple):
    """What is to be played: training episode `number`, or the evaluation at `number` environment steps.

    episodes: of the evaluation, 0 for training; parameters: `Dreamer.vector`, [P] float32.
    """

    number: int
    episodes: int
    parameters: np.ndarray


class Collector:
    """A process that plays one job after the other. It ends with its parent, at the next decision at the latest.

    It is handed a job when the result of the one before has been taken, so that never both sides are writing.
    """

    def __init__(self, task: str, config: Config, seed: int) -> None:
        self.jobs: deque[Job] = deque()  # given and not taken yet
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, task, config, seed))
        resource_tracker.ensure_running()  # else begun by `start`, and it unblocks the signals
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # the process inherits that
        self._process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def give(self, job: Job) -> None:
        """Queue a job."""
        self.jobs.append(job)
        if len(self.jobs) == 1:
            with self._alive():
                self._pipe.send(job)

    def take(self, waiting: Callable[[], None]) -> Any:
        """The result of the oldest job, an `Episode` or an `Assessment`. Calls `waiting` until it is there.

        Raises `Diverged` if the agent has come to nothing.
        """
        while not self._pipe.poll(_POLL):
            waiting()
        with self._alive():
            result = self._pipe.recv()
            self.jobs.popleft()
            if self.jobs:
                self._pipe.send(self.jobs[0])
        if isinstance(result, Diverged):
            raise result
        return result

    @property
    def ready(self) -> bool:
        """Whether `take` would return at once."""
        return self._pipe.poll()

    def close(self) -> None:
        """Kill the process, whatever it is playing."""
        self._process.kill()
        self._process.join()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._process.join(5)
            raise RuntimeError(f"the process that plays episodes died (exit code {self._process.exitcode})") from None


def _work(pipe: Connection, task: str, config: Config, seed: int) -> None:
    torch.set_num_threads(1)  # the other cores belong to the updates; and sums keep their order
    environment = Environment(tasks.get(task), config)
    agent = Dreamer(config, environment.action_size, seed)
    while True:
        try:
            job = pipe.recv()
            agent.load_vector(torch.from_numpy(job.parameters))
            if job.episodes:
                pipe.send(assess(agent, environment, seed, job.number, job.episodes, _with_parent))
            else:
                pipe.send(training_episode(agent, environment, seed, job.number, _with_parent))
        except Diverged as error:
            pipe.send(error)
        except (EOFError, BrokenPipeError):  # the parent is gone
            return


def _with_parent() -> None:
    """End this process if the run that it plays for was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)
