"""Which device a run uses."""

from __future__ import annotations

from agent.config import ConfigError


def resolve(name: str) -> str:
    """'auto' -> the first GPU if there is one, else 'cpu'. `ConfigError` for a device that is not there."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if count else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index.isdigit() or index == ""):
        raise ConfigError(f"unknown device {name!r}: use auto, cpu or cuda:N")
    if int(index or 0) >= count:
        found = f"{count} GPU(s) visible" if count else "no GPU is visible"
        raise ConfigError(f"device {name!r} asked for, but {found}: use --device cpu or auto")
    return f"cuda:{index or 0}"


def tune(name: str) -> None:
    """Make a GPU the current one, let it multiply in TF32 and choose its convolutions by trial.

    Losses that cancel are taken in float64.
    """
    import torch

    if name.startswith("cuda"):
        torch.cuda.set_device(name)  # its streams are what the recording of the update is ordered with
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
