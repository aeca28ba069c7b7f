"""What a benchmark ran on."""

from __future__ import annotations

import argparse
import platform

import torch

from agent.config import ConfigError
from agent.device import resolve


def describe(device: str) -> str:
    """One line: device, threads, versions."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{platform.machine()} CPU"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def available(name: str) -> str:
    """A type of command line arguments: a device that is there."""
    try:
        return resolve(name)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
