"""Random numbers keyed by counters: (seed, stream, index), never by the clock or the order of processes.

So the batch and the noise of update 1234, or the start of episode 7, can be drawn again at any time: resuming a run
is exact by construction.

NumPy pads keys with zeros, so (seed, stream, 5) and (seed, stream, 5, 0) are one. Only evaluations have both lengths:
episode k of `dreamctl eval` starts like the first of the evaluation at k environment steps.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def sequence(seed: int, stream: str, *index: int) -> np.random.SeedSequence:
    """The seed sequence of `stream` ("replay", "update", "collect", "evaluate", ...) at `index`."""
    return np.random.SeedSequence([seed, zlib.crc32(stream.encode()), *index])


def numpy_generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """A NumPy generator at that key."""
    return np.random.default_rng(sequence(seed, stream, *index))


def integer(seed: int, stream: str, *index: int) -> int:
    """A seed below 2^32 at that key, for libraries that take a number."""
    return int(sequence(seed, stream, *index).generate_state(1)[0])


def torch_generator(device: torch.device | str, seed: int, stream: str, *index: int) -> torch.Generator:
    """A torch generator on `device` at that key."""
    return torch.Generator(device).manual_seed(integer(seed, stream, *index))
