"""One update beside that of other PyTorch Dreamers: `python -m benchmarks.peers [--size tiny] [--threads 2] [--json]`.

Makes a virtual environment with the peers from the package index (`--environment`, some minutes the first time), starts
one process for each implementation and lets them make updates in turn, so that a busy machine slows all of them.
Medians of wall time and of CPU time; where other processes take the cores, look at the second.
"arithmetic" is what float32 alone costs: the operations of our update, counted, as large matrix products.
All have the same images, layers, batch and horizon. The peers' convolutions need images of 64x64, so `tiny` is timed
with these here, for all.
Each runs as its own tools start it: ours with the memory settings of a worker (`dreamctl.jobs.launch.MALLOC`). Export
these before, and all have them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

import torch

from benchmarks.machine import describe
from benchmarks.peer_update import OURS, PEERS
from benchmarks.update import SIZES
from dreamctl.jobs.launch import MALLOC

ROOT = Path(__file__).parents[1]
# sheeprl 0.8.4 wants torch >= 2.6; pinned, so that all multiply with the same libraries
PACKAGES = ("torch==2.13.0", "sheeprl==0.8.4", "torchrl==0.14.1", "tensordict==0.14.3")
FIELDS = ("batch_size", "batch_length", "horizon", "deterministic", "stochastic", "hidden", "units", "depth")


def prepare(folder: Path) -> Path:
    """The Python of the peers' environment, made if it is not there."""
    python = folder / "bin" / "python"
    done = folder / "packages"
    if not done.exists() or done.read_text() != str(PACKAGES):
        print(f"installing {' '.join(PACKAGES)} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.write_text(str(PACKAGES))
    return python


def measure(size: str, threads: int, repeat: int, python: Path) -> dict[str, dict[str, float]]:
    """Median seconds of an update of each implementation, "wall" and "cpu"."""
    sizes = {name: getattr(SIZES[size], name) for name in FIELDS} | {"image_size": 64}
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONWARNINGS="ignore")
    processes: dict[str, subprocess.Popen[str]] = {}
    times: dict[str, list[list[float]]] = {name: [] for name in OURS | PEERS}
    try:
        for name in OURS | PEERS:
            mine = name in OURS
            script = ["-m", "benchmarks.peer_update"] if mine else [str(ROOT / "benchmarks" / "peer_update.py")]
            command = [sys.executable if mine else str(python), *script, name, json.dumps(sizes), str(threads)]
            pipe = subprocess.PIPE
            given = MALLOC | environment if name == "dreamctl" else environment
            processes[name] = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=given)
        for name in processes:
            while (line := _line(processes[name], name)) != "ready":
                print(line, file=sys.stderr)
        for _ in range(repeat + 2):  # two to warm up
            for name, process in processes.items():
                assert process.stdin is not None
                print(file=process.stdin, flush=True)
                times[name].append([float(word) for word in _line(process, name).split()])
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    medians = {name: map(statistics.median, zip(*taken[2:], strict=True)) for name, taken in times.items()}
    return {name: dict(zip(("wall", "cpu"), values, strict=True)) for name, values in medians.items()}


def _line(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"the process of {name} ended with code {process.wait()}")
    return line.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="may be given again [default: all]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv" / "peers")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    python = prepare(arguments.environment)
    sizes = arguments.size or list(SIZES)
    results = {size: measure(size, arguments.threads, arguments.repeat, python) for size in sizes}
    machine = describe("cpu")
    if arguments.json:
        print(json.dumps({"machine": machine, "peers": PACKAGES, "seconds": results}, indent=2))
        return
    names = [*OURS, *PEERS]
    print(f"{machine}; {', '.join(PACKAGES)}\n\n{'size':8}{'':6}" + "".join(f"{name:>12}" for name in names), end="")
    print("   ours / best   arithmetic / best")
    for size, each in results.items():
        for clock in ("wall", "cpu"):
            seconds = {name: each[name][clock] for name in names}
            best = min(seconds[name] for name in PEERS)
            print(f"{size:8}{clock:6}" + "".join(f"{1000 * value:10.1f}ms" for value in seconds.values()), end="")
            print(f"{seconds['dreamctl'] / best:14.2f}{seconds['arithmetic'] / best:20.2f}")


if __name__ == "__main__":
    main()
