"""What a benchmark ran on."""

from __future__ import annotations

import platform

import torch


def describe(device: str) -> str:
    """One line: device, threads, versions."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{platform.machine()} CPU"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
