"""Algorithm 1 from beginning to end: collect, learn, evaluate, keep.

All that a run needs to go on is in a checkpoint and the episodes on disk; every random number is keyed by counters
(agent.seeds). A run that stops at any update and resumes ends with the parameters of one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from agent import checkpoints, files, seeds, tasks
from agent.collector import Collector, Job
from agent.config import INHERITED, Config
from agent.device import tune
from agent.divergence import Diverged
from agent.dreamer import Dreamer
from agent.environment import Environment
from agent.patience import patiently
from agent.rendering import choose_by_trial
from agent.replay import Episode, Replay
from agent.rollout import Assessment, assess, play, random_actor, training_episode
from agent.world_model import Batch


class Stop(Exception):
    """Raised by `Recorder.progress` to end a run cleanly, with a checkpoint."""


class Recorder(Protocol):
    """Who keeps what a run produces."""

    def progress(self, env_steps: int, updates: int) -> None:
        """Called after every update and every decision; must be cheap; may raise `Stop`."""

    def scalars(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Metrics, all of them finite, once per iteration and evaluation."""

    def evaluation(self, env_steps: int, returns: list[float], video: np.ndarray, final: bool) -> None:
        """Returns of evaluation episodes; video: the first one's images, [T + 1, S, S, 3] uint8."""

    def prediction(self, env_steps: int, truth: np.ndarray, model: np.ndarray) -> None:
        """The first images of an evaluation episode and the model's open-loop prediction, [T, S, S, 3] uint8 each."""

    def checkpoint(self, env_steps: int, updates: int, path: Path) -> None:
        """A checkpoint is on disk, whole and durable."""


def train(
    task: str,
    config: Config,
    seed: int,
    folder: Path,
    recorder: Recorder,
    device: str = "cpu",
    resume: Path | None = None,
    fork: bool = False,
) -> str:
    """Train an agent in `folder`, from the start or from the checkpoint `resume`; returns "finished" or "stopped".

    fork: the checkpoint is another run's. Raises `Diverged`, which says what is not finite and when it was noticed.
    """
    tune(device)
    choose_by_trial(device, 1 + (config.overlap + 1 if config.overlap else 0))
    run = Run(task, config, seed, folder, recorder, device)
    try:
        if resume:
            run.restore(resume, fork)
        return _until_stopped(run)
    except Diverged as error:
        raise Diverged(f"{error} after {run.updates} updates, {run.env_steps} env steps") from error
    finally:
        run.close()


def _until_stopped(run: Run) -> str:
    try:
        run.algorithm_1()
    except Stop:
        run.save()
        return "stopped"
    return "finished"


class Run:
    """The state of one training run: agent, replay and its counters."""

    def __init__(self, task: str, config: Config, seed: int, folder: Path, recorder: Recorder, device: str) -> None:
        self.task, self.config, self.seed, self.folder, self.recorder = tasks.get(task), config, seed, folder, recorder
        files.clear(folder)
        self.environment = Environment(self.task, config)
        self.agent = Dreamer(config, self.environment.action_size, seed, device)
        self.replay = Replay(folder / "episodes", config, self.environment.action_size, seed, device)
        # with overlap: who plays training episodes, in turn, and evaluations
        self.players = [Collector(task, config, seed) for _ in range(config.overlap)]
        self.examiner = Collector(task, config, seed) if config.overlap else None
        self.updates = 0
        self.evaluated = 0  # environment steps at the last evaluation
        self.saved: tuple[int, int] | None = None  # environment steps and updates of the newest checkpoint
        self.decisions = 0  # of the episode that is being collected
        self.sums: dict[str, torch.Tensor] = {}  # of the metrics of the updates since the last episode
        self.summed = 0  # how many those are
        self.seconds: defaultdict[str, float] = defaultdict(float)  # spent in each phase since the last episode
        self.started = (time.monotonic(), 0)  # seconds and environment steps, for the rate

    @property
    def env_steps(self) -> int:
        """Environment steps in replay."""
        return self.replay.episodes * self.config.episode_length

    def algorithm_1(self) -> None:
        """Seed episodes; then, until the steps are used up, `updates` updates and one episode of the agent."""
        config = self.config
        self.started = (time.monotonic(), self.env_steps)
        while self.replay.episodes < config.seed_episodes and not self.done:
            self.collect(self.random_episode)
        self.milestones()  # also of a run that was stopped in the middle of them
        while not self.done:
            self.play_ahead()
            self.learn()
            self.collect(self.next_episode)
            self.milestones()

    @property
    def done(self) -> bool:
        """Whether all environment steps are used up."""
        return self.env_steps >= self.config.steps

    def milestones(self) -> None:
        """The evaluation and the checkpoint that are due after the last episode."""
        if self.evaluated < self.env_steps and (self.done or self.passed(self.config.eval_every)):
            with self.timed("evaluation"):
                self.evaluate()
        # one evaluation may be on its way, no more, so that a slow examiner does not fall ever further behind
        while (them := self.examiner) and them.jobs and (self.done or them.ready or len(them.jobs) > 1):
            env_steps = them.jobs[0].number
            self.record(env_steps, them.take(self._waiting))
        if self.done or self.passed(self.config.checkpoint_every):
            with self.timed("checkpoint"):
                self.save()

    def updates_due(self) -> int:
        """Updates to be done before the next episode is collected."""
        iterations = self.replay.episodes - self.config.seed_episodes + 1
        return self.config.pretrain_updates + iterations * self.config.updates

    def passed(self, every: int) -> bool:
        """Whether the last episode crossed a multiple of `every` environment steps."""
        return self.env_steps // every > (self.env_steps - self.config.episode_length) // every

    def learn(self) -> None:
        """The updates that are due before the next episode, each with a fresh batch."""
        batches = self.replay.batches(range(self.updates, self.updates_due()))
        while self.updates < self.updates_due():
            with self.timed("batch"):
                batch = next(batches)
            self.update(batch)

    def update(self, batch: Batch) -> None:
        """One update."""
        with self.timed("update"):  # on a GPU: until it is asked for
            metrics = self.agent.update(batch, self.updates)
        for name, value in metrics.items():
            # a copy: on a GPU the next update overwrites what this one returned
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.updates += 1
        self.summed += 1
        self.recorder.progress(self.env_steps, self.updates)

    def collect(self, play: Callable[[], Episode]) -> None:
        """Put an episode into replay and record it, with the means of the metrics since the last one."""
        means = self._means()
        self.decisions = 0
        with self.timed("episode"):
            episode = play()
        with self.timed("replay"):
            self.replay.add(episode)
        self.sums, self.summed = {}, 0
        seconds, steps = self.started
        rate = (self.env_steps - steps) / (time.monotonic() - seconds)
        values = {"train/return": episode.score, "train/updates": self.updates, "time/env_steps_per_second": rate}
        times = {f"time/{phase}_seconds": spent for phase, spent in self.seconds.items()}
        self._record(self.env_steps, values | means | times)
        self.seconds.clear()

    def random_episode(self) -> Episode:
        """The next seed episode."""
        return self._random(self.replay.episodes, self._tick)

    def seed_episode(self, index: int) -> Episode | None:
        """Episode number `index`, again, if it is a seed episode."""
        return self._random(index, lambda: None) if index < self.config.seed_episodes else None

    def next_episode(self) -> Episode:
        """The agent's next episode: played now, or beside the updates."""
        index = self.replay.episodes
        if self.players:
            return self.players[index % len(self.players)].take(self._waiting)
        return training_episode(self.agent, self.environment, self.seed, index, self._tick)

    def play_ahead(self) -> None:
        """Have the next `overlap` episodes played; those that are not on their way yet get the present parameters."""
        first = self.replay.episodes + sum(len(player.jobs) for player in self.players)
        for index in range(first, self.replay.episodes + self.config.overlap):
            self.players[index % len(self.players)].give(Job(index, 0, self.agent.vector().numpy()))

    def evaluate(self) -> None:
        """Score the agent as it is now, or have that done beside the updates."""
        count = self.config.final_episodes if self.done else self.config.eval_episodes
        if self.examiner:
            self.examiner.give(Job(self.env_steps, count, self.agent.vector().numpy()))
        else:
            found = assess(self.agent, self.environment, self.seed, self.env_steps, count, self._waiting)
            self.record(self.env_steps, found)
        self.evaluated = self.env_steps

    def record(self, env_steps: int, found: Assessment) -> None:
        """Record an evaluation of the agent as it was at `env_steps`."""
        self._record(env_steps, {"eval/return": float(np.mean(found.returns))})
        self.recorder.evaluation(env_steps, found.returns, found.images, env_steps >= self.config.steps)
        prediction = found.prediction
        if prediction:
            errors = {
                "model/one_step_error": prediction.one_step_error,
                "model/open_loop_error": prediction.open_loop_error,
                "model/mean_image_error": prediction.mean_image_error,
            }
            self._record(env_steps, errors)
            self.recorder.prediction(env_steps, prediction.truth, prediction.model)

    def save(self) -> None:
        """Write a checkpoint, named by environment steps and updates, unless there has been neither since the last.

        So no file is replaced that the run went on from: to be killed before the new one is recorded would cost both.
        """
        self._means()  # raises if one is not finite: the last good checkpoint stays the newest
        if self.saved == (self.env_steps, self.updates):
            return
        path = self.folder / "checkpoints" / f"{self.env_steps:010d}-{self.updates}.pt"
        checkpoints.save(
            path,
            {
                "task": self.task.name,
                "config": self.config.to_dict(),
                "seed": self.seed,
                "agent": self.agent.state_dict(),
                "episodes": self.replay.episodes,
                "digests": self.replay.digests,
                "updates": self.updates,
                "evaluated": self.evaluated,
                "sums": self.sums,
                "summed": self.summed,
                "jobs": [(*job[:2], torch.from_numpy(job.parameters)) for c in self.collectors for job in c.jobs],
            },
        )
        self.recorder.checkpoint(self.env_steps, self.updates, path)
        self.saved = self.env_steps, self.updates

    def restore(self, path: Path, fork: bool = False) -> None:
        """Go on from a checkpoint of this task, config and seed; only the length of the run may differ.

        From another run's, with `fork`, all but the task and the fields `INHERITED` may.
        Raises `DamagedEpisode` where episodes that it was learned from are not what they were; of those only seed
        episodes can be played again without the parameters of their time.
        """
        content = patiently(lambda: checkpoints.load(path, str(self.agent.device)))
        mine = {"task": self.task.name, "seed": self.seed} | self.config.to_dict()
        theirs = {"task": content["task"], "seed": content["seed"]} | content["config"].to_dict()
        for name in ("task", *INHERITED) if fork else mine.keys() - {"steps"}:
            if theirs[name] != mine[name]:
                raise checkpoints.CheckpointError(f"checkpoint {path} belongs to another run: its {name} differs")
        self.replay.load(content["episodes"], content.get("digests", ()), self.seed_episode)
        checkpoints.fit(self.agent, content["agent"], path)
        self.updates, self.evaluated = content["updates"], content["evaluated"]
        self.sums, self.summed = content["sums"], content["summed"]
        self.saved = self.env_steps, self.updates
        for index, episodes, parameters in content.get("jobs", ()):
            who = self.examiner if episodes else self.players[index % len(self.players)]
            assert who is not None  # the config has the same overlap
            who.give(Job(index, episodes, parameters.cpu().numpy()))

    def close(self) -> None:
        """End the processes that play episodes."""
        for collector in self.collectors:
            collector.close()

    @property
    def collectors(self) -> list[Collector]:
        """Players and examiner."""
        return [*self.players, *([self.examiner] if self.examiner else [])]

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the wall time of the block to a phase."""
        begin = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - begin

    def _random(self, index: int, tick: Callable[[], None]) -> Episode:
        size = self.environment.action_size
        actor = random_actor(size, self.seed, index)
        return play(self.environment, actor, seeds.integer(self.seed, "episode", index), size, tick)

    def _waiting(self) -> None:
        self.recorder.progress(self.env_steps, self.updates)

    def _tick(self) -> None:
        self.decisions += 1
        self.recorder.progress(self.env_steps + self.decisions * self.config.action_repeat, self.updates)

    def _means(self) -> dict[str, float]:
        """Means of the metrics since the last episode; raises `Diverged` for one that is not finite."""
        means = {name: float(total) / self.summed for name, total in self.sums.items()}
        if not all(map(math.isfinite, means.values())):  # the others where they would have been, after the next episode
            self._record(self.env_steps + self.config.episode_length, means)
        return means

    def _record(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Record metrics; then raises `Diverged` for one that is not finite."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if finite:
            self.recorder.scalars(env_steps, finite)
        for name in (name for name in values if name not in finite):
            raise Diverged(f"{name} is {values[name]}")
