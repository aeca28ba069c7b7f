"""Which process a row of the run database means, and whether it lives.

A process is known by its id, the clock tick after boot at which it began, and the space that its id counts in: the
boot of the kernel and the PID namespace. None of these follows the wall clock or the host's name, which containers
and copied machines share. Of a process in another space nothing can be seen from here.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """The columns host, pid, process_started and process_space of this process."""
    pid = os.getpid()
    ticks = _began(pid)
    return {"host": socket.gethostname(), "pid": pid, "process_started": ticks, "process_space": _space()}


def is_alive(pid: int | None, started: float | None, space: str | None) -> bool | None:
    """Whether a process is running; None if that cannot be seen from here."""
    if not isinstance(pid, int) or not 0 < pid < 2**31 or space is None or space != _space():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    ticks = _began(pid)
    return None if ticks is None else ticks == started


def kill(pid: int | None, started: float | None, space: str | None) -> None:
    """Kill a process, provided it is still the one recorded."""
    if pid and is_alive(pid, started, space):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _space() -> str | None:
    """This boot and PID namespace; None where /proc does not tell, or tells of another namespace than ours."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
        return f"{boot} {namespace}" if os.readlink("/proc/self") == str(os.getpid()) else None
    except OSError:
        return None


def _began(pid: int) -> float | None:
    """Clock ticks from boot to the start of a process; -1 of one that has ended and waits for its parent (a zombie)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return -1.0 if after_name[0] in "ZX" else float(after_name[19])  # fields 3 and 22 of proc(5)
