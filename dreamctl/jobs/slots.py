"""Where runs may train: so many at once on each GPU, or on the CPU."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass(frozen=True)
class Slot:
    """Room for one run. device: as it is recorded ("cuda:1"); the worker sees only its own GPU, as cuda:0."""

    device: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def worker_device(self) -> str:
        """The device as the worker, in its environment, must name it."""
        return "cpu" if self.device == "cpu" else "cuda:0"


def gpus() -> list[str]:
    """The GPUs of this machine that may be used (CUDA_VISIBLE_DEVICES), by NVML: torch need not be loaded."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(index) for index in range(count)]
    names = (name.strip() for name in visible.split(","))  # CUDA ends at the first that is no GPU: "-1" is none
    return list(takewhile(lambda name: re.fullmatch("(GPU|MIG)-.+", name) or _is_index(name, count), names))


def _is_index(name: str, count: int) -> bool:
    return re.fullmatch("[0-9]{1,4}", name) is not None and int(name) < count


def slots(per_gpu: int, cpu_slots: int | None) -> list[Slot]:
    """`per_gpu` slots on each GPU and `cpu_slots` on the CPU; without a GPU one on the CPU unless told otherwise.

    The CPU's threads are divided among its slots, unless OMP_NUM_THREADS says otherwise.
    """
    found = [Slot(f"cuda:{gpu}", {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus() for _ in range(per_gpu)]
    count = (0 if found else 1) if cpu_slots is None else cpu_slots
    threads = max(1, (os.cpu_count() or 1) // max(1, count))
    return (
        found
        + [
            Slot(
                "cpu", {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
            )
        ]
        * count
    )
