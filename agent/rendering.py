"""Which OpenGL draws the images, chosen through the environment variables that MuJoCo and GL libraries read.

Without a GPU: EGL (Mesa draws in software), else OSMesa, whichever library is there. With one: by trial, because
drivers differ; several EGL renderers at once have hung on some.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
_MESA = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")
PACKAGES = "libegl1 and libgl1-mesa-dri (EGL, preferred), or libosmesa6"
_PATIENCE = 60.0  # seconds for a trial; a good one takes three


class RenderError(RuntimeError):
    """Images cannot be rendered on this machine; the message names what to install."""


def find_backend() -> str:
    """MUJOCO_GL if the user has set it, else EGL or OSMesa, whose library is there first. Raises `RenderError`."""
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen:
        return chosen
    for backend, library in _LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return backend
    raise RenderError(f"no OpenGL library for headless rendering found: install the Debian packages {PACKAGES}")


def choose_backend() -> str:
    """Set MUJOCO_GL to what `find_backend` finds; returns it. Call before dm_control is imported."""
    os.environ["MUJOCO_GL"] = backend = find_backend()
    return backend


def choose_by_trial(device: str, processes: int) -> None:
    """On a GPU, set the environment to the first way that `processes` renderers at once manage. Raises `RenderError`.

    On the CPU nothing is tried. What the user has set stays. Call before dm_control is imported.
    """
    if device.startswith("cuda"):
        os.environ.update(first_that_renders(ways(device, os.environ), processes))


def ways(device: str, given: Mapping[str, str]) -> list[dict[str, str]]:
    """Settings to try: EGL on the GPU that trains, on whichever EGL offers first, Mesa's software EGL, OSMesa."""
    index = int(device.partition(":")[2] or 0)
    visible = given.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpu = visible[index].strip() if index < len(visible) else ""
    mesa = {"__EGL_VENDOR_LIBRARY_FILENAMES": str(_MESA)}
    found = [
        {"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": gpu or str(index)},
        {"MUJOCO_GL": "egl"},
        *([{"MUJOCO_GL": "egl"} | mesa] if _MESA.is_file() else []),
        {"MUJOCO_GL": "osmesa"},
    ]
    if not found[0]["MUJOCO_EGL_DEVICE_ID"].isdigit():  # GPUs may be named by UUID, which EGL does not know
        found.pop(0)
    fit = [way for way in found if all(given.get(key, value) == value for key, value in way.items())]
    return fit or [{"MUJOCO_GL": given["MUJOCO_GL"]}]


def first_that_renders(
    tried: Sequence[Mapping[str, str]], processes: int, patience: float = _PATIENCE
) -> Mapping[str, str]:
    """The first settings with which so many processes, all at once, can render. Raises `RenderError`."""
    failures: list[str] = []
    for way in tried:
        failure = _trial(way, processes, patience)
        if failure is None:
            for before in failures:
                print(f"warning: cannot render with {before}", file=sys.stderr, flush=True)
            return way
        failures.append(f"{' '.join(f'{key}={value}' for key, value in way.items())}: {failure}")
    raise RenderError(f"cannot render: {'; '.join(failures)}; install the Debian packages {PACKAGES}")


def _trial(way: Mapping[str, str], processes: int, patience: float) -> str | None:
    """Why rendering by `way` fails; None if it does not."""
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"} | dict(way)
    command = [sys.executable, "-m", "agent.environment"]
    give_up = time.monotonic() + patience
    with tempfile.TemporaryFile() as log:
        started = [subprocess.Popen(command, env=environment, stdout=log, stderr=log) for _ in range(processes)]
        try:
            codes = [process.wait(max(0.0, give_up - time.monotonic())) for process in started]
        except subprocess.TimeoutExpired:
            return f"{processes} renderers at once did not end in {patience:g} s"
        finally:
            for process in started:
                process.kill()
                process.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines() or [""]
    return lines[-1] if any(codes) else None
