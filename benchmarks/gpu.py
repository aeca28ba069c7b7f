"""All that is to be measured on a GPU, as one command: `python -m benchmarks.gpu OUT [--minutes 9]`.

The most valuable first, each with a time limit of its own, so that what fails or hangs costs no more than that: whether
the recorded update does what the plain one does, in float64 and float32; one update (recorded in both precisions,
eager, plain); environment steps per second with overlap; then for the rest of the time a real run, as long as it has
time for at that rate, recorded in OUT/home with a profile, its evaluations beside the published curve in OUT/real.json.
With --more, before the run: rendering and acting, no overlap, 2 and 4 runs at once (4 also under MPS where it is
installed), replay, what each change to the update is worth, one update by torch.compile. Results are written as they
come. Given again it leaves out what OUT holds already and goes on with the run. On a machine without a GPU: --device
cpu --preset smoke tries it out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.machine import available
from dreamctl.results import published
from dreamctl.store import open_store

_RUN = "real"
_MPS = "nvidia-cuda-mps-control"
_ENDING = 60  # seconds that the run gets for its checkpoint and its copy in MLflow
_SHARE = 0.8  # of the measured rate, which counts neither evaluations nor checkpoints
_WHOLE = 10_000  # environment steps that the run's length is a multiple of


def steps(preset: str, device: str, overlap: int, more: bool) -> dict[str, tuple[int, list[str]]]:
    """Name: seconds allowed and the module with its arguments."""
    sizes = ["--size", "paper"] if preset == "paper" else ["--size", "tiny"]
    common = ["--device", device, "--json"]
    training = ["training", "--preset", preset, "--episodes", "5", "--set", "seed_episodes=1", *common]
    first = {
        "agreement": (90, ["agreement", *sizes, *common]),
        "update": (120, ["update", *sizes, *common]),
        "training": (90, [*training, "--overlap", str(overlap)]),
    }
    rest = {
        "collection": (60, ["collection", "--repeat", "50", "--json"]),
        "training_serial": (90, [*training, "--overlap", "0"]),
        "training_2": (90, [*training, "--overlap", str(overlap), "--parallel", "2"]),
        "training_4": (90, [*training, "--overlap", str(overlap), "--parallel", "4"]),
        "training_4_mps": (90, [*training, "--overlap", str(overlap), "--parallel", "4"]),
        "replay": (60, ["replay", "--preset", preset, "--episodes", "100", *common]),
        "changes": (90, ["changes", *sizes, *common]),
        "compiled": (150, ["update", "--compiled", *sizes, *common]),
    }
    return first | (rest if more else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0, help="of this call, the run included")
    parser.add_argument("--only-run", action="store_true", help="nothing but the run")
    parser.add_argument("--more", action="store_true", help="all there is to measure, before the run")
    parser.add_argument("--task", default="walker_walk")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--overlap", type=int, default=3)
    parser.add_argument("--device", type=available, default="cuda:0")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for the run")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for name, (limit, command) in steps(arguments.preset, arguments.device, arguments.overlap, arguments.more).items():
        path = out / f"{name}.json"
        if arguments.only_run or path.exists() or time.monotonic() + limit > end:
            continue
        if name.endswith("mps") and shutil.which(_MPS) is None:
            continue
        print(f"{name}: python -m benchmarks.{' '.join(command)}", flush=True)
        begin = time.monotonic()
        try:
            with (out / f"{name}.log").open("w") as log, mps() if name.endswith("mps") else nullcontext():
                process = subprocess.Popen(
                    [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
                try:
                    printed, _ = process.communicate(timeout=limit)
                finally:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
        except subprocess.SubprocessError as error:  # its time is up, or there is no MPS to be had
            print(f"  {type(error).__name__} after {time.monotonic() - begin:.0f} s", flush=True)
            continue
        if process.returncode == 0:
            path.write_bytes(printed)
            print(printed.decode(), flush=True)
        else:
            path.with_suffix(".failed").write_bytes(printed)
            log_end = (out / f"{name}.log").read_text()[-2000:]
            print(f"{printed.decode()}  exit code {process.returncode}: {log_end}", flush=True)
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)
    if time.monotonic() < end - _ENDING:
        train(arguments, out, end)
        rows = beside_published(out / "home")
        (out / "real.json").write_text(json.dumps(rows, indent=2))
        print(f"\n{'env steps':>10}{'score':>8}{'published':>11}")
        for row in rows:
            print(f"{row['env_steps']:10,}{row['score']:8.1f}{row['published']:11.1f}")


@contextmanager
def mps() -> Iterator[None]:
    """NVIDIA's Multi-Process Service: processes share a GPU at once instead of in turn. No setting changes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["CUDA_MPS_PIPE_DIRECTORY"] = os.environ["CUDA_MPS_LOG_DIRECTORY"] = folder
        try:
            subprocess.run([_MPS, "-d"], check=True, timeout=30)
            yield
        finally:
            subprocess.run([_MPS], input="quit\n", text=True, timeout=30, check=False)
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]


def beside_published(home: Path) -> list[dict[str, float]]:
    """The run's evaluations and the published mean score at the same environment steps."""
    store = open_store(home, create=False)
    run = store.find(_RUN)
    known = published.curve(run.task)
    steps, means = [0, *known.steps.tolist()], [0.0, *known.mean.tolist()]
    return [
        {"env_steps": e.env_steps, "score": e.mean, "published": float(np.interp(e.env_steps, steps, means))}
        for e in store.evaluations(run.id)
    ]


def train(arguments: argparse.Namespace, out: Path, end: float) -> None:
    """Begin the run or go on with it, until it is finished or the time is over; then it stops with a checkpoint."""
    home = out / "home"
    settings = [f"overlap={arguments.overlap}", *length(out, end - _ENDING - time.monotonic()), *arguments.set]
    fresh = [arguments.task, "--preset", arguments.preset, "--name", _RUN, "--profile"]
    fresh += [part for item in settings for part in ("--set", item)]
    known = home.exists() and open_store(home, create=False).runs()
    command = ["run", *(["--resume", _RUN] if known else fresh)]
    command = [sys.executable, "-m", "dreamctl", *command, "--device", arguments.device, "--home", str(home)]
    process = subprocess.Popen(command)
    while process.poll() is None and time.monotonic() < end - _ENDING:
        time.sleep(1)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()  # its worker, in a session of its own, goes on to its checkpoint


def length(out: Path, seconds: float) -> list[str]:
    """The setting of the environment steps that a run can make in so many seconds; none if its rate is not known."""
    if not (out / "training.json").exists():
        return []
    rate = json.loads((out / "training.json").read_text())["results"][0]["env_steps_per_second"]
    return [f"steps={max(1, int(_SHARE * rate * seconds / _WHOLE)) * _WHOLE}"]


if __name__ == "__main__":
    main()
