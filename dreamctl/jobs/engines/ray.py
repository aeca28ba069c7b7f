"""Ray: a sweep's jobs as tasks of a running Ray cluster (`ray start --head`; RAY_ADDRESS names another)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.jobs import launch
from dreamctl.store import Store
from dreamctl.store.models import Sweep

_DEFAULT = {"num_gpus": 1, "num_cpus": 1}
_PASSED_ON = ("DREAMCTL_DB", "MUJOCO_GL")  # of this process's environment, to the jobs


class Ray:
    """The jobs of one sweep, which end with this process."""

    def __init__(self, store: Store, sweep: Sweep, resources: Mapping[str, Any]) -> None:
        """resources: options of a Ray task, {"num_gpus": 0.5, "num_cpus": 4}."""
        import ray

        try:
            ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level="error")
        except ConnectionError:
            raise BadInput("there is no Ray cluster: ray start --head, or set RAY_ADDRESS") from None
        try:
            amounts = {key: float(value) for key, value in (_DEFAULT | dict(resources)).items()}
            self._task = ray.remote(max_retries=0)(_train).options(**amounts)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise BadInput(f"{dict(resources)} are no resources of a Ray task (num_gpus=0.5): {reason}") from None
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        self._arguments = (sweep.id, str(store.home.resolve()), launch.MALLOC | environment)
        self._refs: dict[str, Any] = {}

    def submit(self, count: int) -> None:
        """One task each."""
        for _ in range(count):
            ref = self._task.remote(*self._arguments)
            self._refs[f"ray:{ref.task_id().hex()}"] = ref

    def jobs(self) -> set[str]:
        """Those that have returned nothing yet."""
        import ray

        waited = list(self._refs.values())
        ended = set(ray.wait(waited, num_returns=len(waited), timeout=0)[0]) if waited else set()
        return {job for job, ref in self._refs.items() if ref not in ended}

    def failure(self, job: str) -> str | None:
        """By what the task returned or raised."""
        import ray

        try:
            code = ray.get(self._refs[job])
        except ray.exceptions.RayError as error:
            return type(error).__name__
        return f"exit code {code}" if code else None

    def cancel(self, jobs: set[str], kill: bool = False) -> None:
        """By KeyboardInterrupt in the task, which passes SIGTERM on, or by killing it."""
        import ray

        for job in jobs:
            ray.cancel(self._refs[job], force=kill)


def _train(sweep: str, home: str, environment: dict[str, str]) -> int:
    """The task: a process that pulls a run, so that it has signals and memory of its own. Returns its exit code."""
    import ray

    job = f"ray:{ray.get_runtime_context().get_task_id()}"
    command = [sys.executable, "-m", "dreamctl.jobs.pull", sweep, "--home", home, "--job", job]
    process = subprocess.Popen(command, env=dict(os.environ) | environment)
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()
