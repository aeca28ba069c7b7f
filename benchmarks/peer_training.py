"""Whole trainings side by side, ours and sheeprl's: `python -m benchmarks.peer_training --minutes 30 [--csv FILE]`.

Both train Dreamer on walker_walk from the start, at the same time, one thread each, with the sizes, learning rates and
schedule of the preset `tiny`, images of 64x64 (which sheeprl needs) at MuJoCo's own rendering quality, and the paper's
exploration noise on a sample. Printed, and written with --csv: the return of every training episode with the seconds
since the start and the CPU seconds used until it ended, read from what each one writes as it goes.

torchrl has no trainer in its package, only examples in its repository.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from agent import training
from agent.config import Config, make
from benchmarks.peer_update import settings_of_sheeprl
from benchmarks.peers import FIELDS, ROOT, prepare

RENDERING = ("dm_control==1.0.50", "mujoco==3.17.0")  # ours, and sheeprl's extra `dmc`
PRINTED = re.compile(r"policy_step=(\d+), reward_env_0=([\d.]+)")  # by sheeprl, after an episode


class Episode(NamedTuple):
    """A training episode: when it ended, and its return."""

    who: str
    env_steps: int
    seconds: float
    cpu_seconds: float
    score: float


def configuration() -> Config:
    """The preset `tiny` as far as both can do it."""
    quiet = {"steps": 500_000, "eval_every": 10**9, "checkpoint_every": 10**9}
    same = {"image_size": 64, "render": "exact", "exploration_noise": 0.3, "explore_from": "sample"}
    return make("tiny", quiet | same)


def sheeprl(config: Config, python: Path) -> list[str]:
    """The command of sheeprl's trainer."""
    settings = settings_of_sheeprl({name: getattr(config, name) for name in FIELDS}) | {
        "algo.total_steps": 10**8,
        "algo.learning_starts": config.seed_episodes * config.decisions,
        "algo.per_rank_pretrain_steps": 0,
        "algo.replay_ratio": config.updates / config.decisions,
        "algo.gamma": config.discount,
        "algo.world_model.kl_regularizer": config.kl_scale,
        "algo.world_model.kl_free_nats": config.free_nats,
        "algo.world_model.optimizer.lr": config.model_lr,
        "algo.actor.optimizer.lr": config.action_lr,
        "algo.critic.optimizer.lr": config.value_lr,
        "algo.actor.init_std": config.action_init_std,
        "algo.actor.min_std": config.action_min_std,
        "algo.actor.expl_amount": config.exploration_noise,
        "algo.run_test": False,
        "env.num_envs": 1,
        "env.action_repeat": config.action_repeat,
        "env.capture_video": False,
        "env.wrapper.from_vectors": False,
        "buffer.size": 10**5,
        "checkpoint.every": 10**9,
        "checkpoint.save_last": False,
        "metric.log_level": 1,
    }
    return [str(python.parent / "sheeprl"), *(f"{key}={value}" for key, value in settings.items())]


class Printer:
    """A recorder that prints the return of every training episode as sheeprl does."""

    def progress(self, env_steps: int, updates: int) -> None: ...

    def scalars(self, env_steps: int, values: Any) -> None:
        if values.get("train/updates"):
            decisions = env_steps // configuration().action_repeat
            print(f"policy_step={decisions}, reward_env_0={values['train/return']:.3f}", flush=True)

    def evaluation(self, *_: Any) -> None: ...

    def prediction(self, *_: Any) -> None: ...

    def checkpoint(self, *_: Any) -> None: ...


def measure(minutes: float, python: Path) -> list[Episode]:
    """The episodes that both play at the same time."""
    config = configuration()
    commands = {
        "dreamctl": [sys.executable, "-m", "benchmarks.peer_training", "--ours"],
        "sheeprl": sheeprl(config, python),
    }
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1", PYTHONWARNINGS="ignore")
    environment |= {"PYTHONPATH": str(ROOT), "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}
    found: list[Episode] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        processes: list[subprocess.Popen[str]] = []
        readers = []
        for who, command in commands.items():
            with (Path(folder) / f"{who}.err").open("w") as errors:
                pipe = subprocess.PIPE
                process = subprocess.Popen(
                    command, stdout=pipe, stderr=errors, text=True, cwd=folder, env=environment, start_new_session=True
                )  # Linux shares cores out between sessions, so a busy machine gives both the same
            processes.append(process)
            readers.append(threading.Thread(target=_read, args=(who, process, start, config, found)))
            readers[-1].start()
        try:
            while time.perf_counter() < start + 60 * minutes:
                time.sleep(1)
                for who, process in zip(commands, processes, strict=True):
                    if process.poll() is not None:
                        raise SystemExit(f"{who} ended:\n{(Path(folder) / f'{who}.err').read_text()[-2000:]}")
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for reader in readers:
                reader.join()
    return found


def _read(who: str, process: subprocess.Popen[str], start: float, config: Config, found: list[Episode]) -> None:
    assert process.stdout is not None
    used = psutil.Process(process.pid)
    for line in process.stdout:
        if match := PRINTED.search(line):
            steps, score = int(match[1]) * config.action_repeat, float(match[2])
            times = used.cpu_times()
            found.append(Episode(who, steps, time.perf_counter() - start, times.user + times.system, score))


def write(episodes: list[Episode], file: IO[str]) -> None:
    """One line of CSV an episode."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(Episode._fields)
    rows.writerows(
        (who, steps, f"{wall:.1f}", f"{cpu:.1f}", f"{score:.1f}") for who, steps, wall, cpu, score in episodes
    )


def rates(episodes: list[Episode], seed_steps: int) -> tuple[float, float] | None:
    """Environment steps in a second, and in a second of CPU time, of one trainer once it learns; None if too few."""
    learning = [episode for episode in episodes if episode.env_steps > seed_steps]
    if len(learning) < 2:
        return None
    first, last = learning[0], learning[-1]
    steps = last.env_steps - first.env_steps
    return steps / (last.seconds - first.seconds), steps / (last.cpu_seconds - first.cpu_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv" / "peers")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        with tempfile.TemporaryDirectory() as folder:
            training.train("walker_walk", configuration(), 0, Path(folder), Printer())
        return
    python = prepare(arguments.environment)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *RENDERING], check=True)
    episodes = measure(arguments.minutes, python)
    if arguments.csv:
        with arguments.csv.open("w") as file:
            write(episodes, file)
    config = configuration()
    span = arguments.minutes / 6
    print(f"{'minutes':>9}" + "".join(f"{who:>12}{'steps':>10}" for who in ("dreamctl", "sheeprl")))
    for part in range(1, 7):
        print(f"{part * span:9.1f}", end="")
        for who in ("dreamctl", "sheeprl"):
            mine = [e for e in episodes if e.who == who and (part - 1) * span <= e.seconds / 60 < part * span]
            mean = f"{statistics.mean(e.score for e in mine):.0f}" if mine else "-"
            print(f"{mean:>12}{mine[-1].env_steps if mine else 0:10}", end="")
        print()
    for who in ("dreamctl", "sheeprl"):
        found = rates([e for e in episodes if e.who == who], config.seed_episodes * config.episode_length)
        if found is None:
            print(f"{who}: no two episodes while learning; give it more --minutes")
        else:
            print(f"{who}: {found[0]:.1f} environment steps a second, {found[1]:.1f} a second of CPU time")


if __name__ == "__main__":
    main()
