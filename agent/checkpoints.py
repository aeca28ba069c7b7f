"""Checkpoints: one file with everything needed to go on, written atomically, read without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from agent import files
from agent.config import Config, ConfigError
from agent.dreamer import Dreamer

_FORMAT = 1
_PARTS = {  # what is in every checkpoint
    **{"task": str, "config": dict, "seed": int, "agent": dict, "episodes": int},
    **{"updates": int, "evaluated": int, "sums": dict, "summed": int},
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one line."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors and plain values) so that after a crash the file is whole or absent.

    Raises `OSError`.
    """
    whole = io.BytesIO()  # not into the file at once: torch hides why a disk refuses to write
    torch.save({"format": _FORMAT, **content}, whole)
    files.write(path, whole.getbuffer())


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """The content of a checkpoint, its `config` as a `Config`; `CheckpointError` when absent or damaged.

    Raises `OSError` for a disk that does not let it be read.
    """
    try:
        whole = path.read_bytes()  # not by torch, which hides why
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise CheckpointError(f"no checkpoint {path}") from None
    try:
        content = torch.load(io.BytesIO(whole), map_location=device, weights_only=True)
        if content["format"] != _FORMAT:
            raise CheckpointError(f"checkpoint {path} has format {content['format']}, this version reads {_FORMAT}")
        for part, kind in _PARTS.items():
            if not isinstance(content.get(part), kind):
                raise CheckpointError(f"its {part} is missing")
        return content | {"config": Config.from_dict(content["config"])}
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be used: {error}") from error
    except Exception as error:  # what torch raises for damaged files is not documented
        raise CheckpointError(f"checkpoint {path} is damaged ({type(error).__name__})") from error


def fit(agent: Dreamer, state: dict[str, Any], path: Path) -> None:
    """Give an agent the `state` that was in the checkpoint `path`; `CheckpointError` if it is not for its config."""
    try:
        agent.load_state_dict(state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        wrong = f"its parameters do not fit its config ({type(error).__name__})"
        raise CheckpointError(f"checkpoint {path} cannot be used: {wrong}") from error
