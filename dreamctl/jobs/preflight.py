"""What must be there before a run is stored: the device, and a way to render."""

from __future__ import annotations

from dreamctl.errors import BadInput


def check(device: str) -> None:
    """Raises `BadInput` when the device is not there or no GL library can be loaded."""
    from agent.config import ConfigError
    from agent.rendering import RenderError, find_backend

    try:
        find_backend()  # not chosen here: a worker takes what it is given for the user's choice
        if device not in ("auto", "cpu"):
            from agent.device import resolve

            resolve(device)
    except (ConfigError, RenderError) as error:
        raise BadInput(str(error)) from error
