"""Slurm: a sweep's jobs as job arrays. Asks squeue and scontrol only, so a cluster without accounting will do.

As a program it is what a job runs: `python -m dreamctl.jobs.engines.slurm SWEEP --home HOME`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs import launch, pull
from dreamctl.store import Store, open_store
from dreamctl.store.models import Sweep

_DEFAULT = {"gres": "gpu:1"}
_LARGEST = 500  # jobs of an array; clusters allow 1,000 or more
_WARNING = 120  # seconds before its time limit that a job is told


class Slurm:
    """The jobs of one sweep. They carry its id in their names, so that another scheduler finds them."""

    def __init__(self, store: Store, sweep: Sweep, resources: Mapping[str, Any]) -> None:
        """resources: options of sbatch without their dashes, {"partition": "gpu", "time": "4:00:00"}."""
        self._logs = store.place("sweeps")
        self._logs.mkdir(exist_ok=True)
        self._name = f"dreamctl-{sweep.id}"
        self._options = [f"--{key}={value}" for key, value in (_DEFAULT | dict(resources)).items() if value != ""]
        command = [sys.executable, "-m", "dreamctl.jobs.engines.slurm", sweep.id, "--home", str(store.home.resolve())]
        self._script = f"export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-1}}\nexec {shlex.join(command)}"

    def submit(self, count: int) -> None:
        """Ask for jobs by one array (of several the next `step` asks again). Raises `BadInput` if refused."""
        _ask(
            "sbatch",
            f"--array=0-{min(count, _LARGEST) - 1}",
            f"--job-name={self._name}",
            f"--output={self._logs / 'slurm-%A_%a.log'}",
            f"--signal=B:TERM@{_WARNING}",
            "--requeue",
            "--open-mode=append",
            *self._options,
            f"--wrap={self._script}",
        )

    def jobs(self) -> set[str]:
        """Those that squeue lists."""
        listed = _ask("squeue", "--me", "--noheader", "--array", f"--name={self._name}", "--format=%i")
        return {f"slurm:{name}" for name in listed.split()}

    def failure(self, job: str) -> str | None:
        """By scontrol, which remembers jobs for some minutes."""
        state = _state(job.removeprefix("slurm:"))
        return None if state in ("COMPLETED", "") else f"{state.lower()}, log {self._log(job)}"

    def cancel(self, jobs: set[str], kill: bool = False) -> None:
        """By scancel, which sends SIGTERM and, half a minute later, SIGKILL."""
        names = [job.removeprefix("slurm:") for job in jobs]
        if names:
            _ask("scancel", "--quiet", *(["--signal=KILL", "--full"] if kill else []), *names)

    def _log(self, job: str) -> str:
        return str(self._logs / f"slurm-{job.removeprefix('slurm:')}.log")


def _ask(*command: str) -> str:
    """What a command of Slurm prints. Raises `BadInput` with what it complains of."""
    done = subprocess.run(command, capture_output=True, text=True, env=launch.MALLOC | dict(os.environ))
    if done.returncode:
        raise BadInput(f"{command[0]}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout


def _state(name: str) -> str:
    """RUNNING, CANCELLED, ...; empty when Slurm has forgotten the job."""
    done = subprocess.run(["scontrol", "show", "job", "--oneliner", name], capture_output=True, text=True)
    found = re.search(r"\bJobState=(\w+)", done.stdout)
    return found[1] if found else ""


def main() -> None:
    """Pull a run. If Slurm takes the job back before it is done (time limit), have it begin again later."""
    parser = argparse.ArgumentParser(prog="python -m dreamctl.jobs.engines.slurm")
    parser.add_argument("sweep")
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    name = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    run = pull.pull(open_store(arguments.home, create=False), arguments.sweep, f"slurm:{name}")
    if run is not None and run.status == "queued" and _state(name) == "RUNNING":  # not so if the user cancelled it
        _ask("scontrol", "requeue", name)


if __name__ == "__main__":
    main()
