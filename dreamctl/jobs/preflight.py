"""What must be there before a run is stored: the device, a way to render, custom environments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from dreamctl.errors import BadInput


def check(device: str, tasks: Iterable[str] = ()) -> None:
    """Raises `BadInput` when the device is not there, no GL library can be loaded, or a task cannot be played.

    Tasks of the control suite are not tried; custom environments are, each in a separate process.
    """
    from agent.tasks import get

    own = [task for task in dict.fromkeys(tasks) if get(task).factory]
    _check_machine(device)
    for task in own:
        command = [sys.executable, "-m", "agent.environment", task]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"environment {task} ended with exit code {done.returncode}"]
            raise BadInput(said[-1] if task in said[-1] else f"environment {task} fails: {said[-1]}")


def _check_machine(device: str) -> None:
    from agent.config import ConfigError
    from agent.rendering import RenderError, find_backend

    try:
        find_backend()  # not chosen here: a worker takes what it is given for the user's choice
        if device not in ("auto", "cpu"):
            from agent.device import resolve

            resolve(device)
    except (ConfigError, RenderError) as error:
        raise BadInput(str(error)) from error
