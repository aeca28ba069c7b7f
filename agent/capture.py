"""Running a function of tensors as one CUDA graph.

An update launches thousands of small kernels, and launching them takes longer than running them. On a GPU the function
is recorded once and from then on replayed with a single launch; on the CPU it is simply called.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

WARM_UP = 3  # plain calls before recording: kernels are chosen, optimisers make their state


class Captured:
    """`function`, the same on every device. Its arguments are tuples of tensors, of the same shapes at every call.

    On a GPU the tensors it returns are overwritten by the next call. What it changes (parameters, optimiser states)
    must stay in place between calls.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], device: torch.device) -> None:
        self.function, self.calls = function, 0
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.recording: _Recording | None = None

    def __call__(self, *arguments: NamedTuple) -> dict[str, Tensor]:
        if self.stream is None:
            return self.function(*arguments)
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._beside(arguments)
        if self.recording is None:
            self.recording = _Recording(self.function, arguments, self.stream)
        return self.recording.replay(arguments)

    def _beside(self, arguments: tuple[NamedTuple, ...]) -> dict[str, Tensor]:
        """A plain call on the stream that will record: memory and workspaces are then those of the recording."""
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.function(*arguments)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result


class _Recording:
    """A recorded function, the tensors it reads its arguments from and those that it leaves its results in."""

    def __init__(
        self,
        function: Callable[..., dict[str, Tensor]],
        arguments: tuple[NamedTuple, ...],
        stream: torch.cuda.Stream,
    ) -> None:
        self.arguments = [type(a)(*(part.clone() for part in a)) for a in arguments]
        self.graph = torch.cuda.CUDAGraph()
        gc.collect()
        gc.disable()  # memory that is given back while a graph records spoils it
        try:
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                self.result = function(*self.arguments)
        finally:
            gc.enable()

    def replay(self, arguments: tuple[NamedTuple, ...]) -> dict[str, Tensor]:
        for mine, given in zip(self.arguments, arguments, strict=True):
            for target, source in zip(mine, given, strict=True):
                target.copy_(source, non_blocking=True)
        self.graph.replay()
        return self.result
