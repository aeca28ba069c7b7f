"""Where a run comes from: the machine, the code, the packages."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_DIFF = 256 * 1024  # bytes of uncommitted changes that are kept with a run
_NAME = 100  # characters of a device's name
_PACKAGES = ("dreamctl", "torch", "numpy", "dm_control", "mujoco", "mlflow", "sqlalchemy")


@cache
def collect() -> dict[str, Any]:
    """The provenance columns of a run or an attempt: packages; git_commit, _branch, _dirty and _diff, None outside git.

    As they were when this process first asked.
    """
    packages = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _git("rev-parse", "HEAD")
    if commit is None or _git("ls-files", "--error-unmatch", __file__) is None:  # not in git, or in another project's
        return {"packages": packages} | dict.fromkeys(("git_commit", "git_branch", "git_dirty", "git_diff"))
    diff = _diff()
    return {
        "packages": packages,
        "git_commit": commit.strip(),
        "git_branch": (_git("rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "git_dirty": bool(diff),
        "git_diff": diff or None,
    }


@cache
def hardware(device: str) -> str | None:
    """The model of a device ("cpu", "cuda:0"), as its driver or the kernel names it; None where nothing does."""
    if device != "cpu":
        import torch

        return str(torch.cuda.get_device_name(device))[:_NAME]
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()[:_NAME]
    return (platform.processor() or platform.machine())[:_NAME] or None


def _diff() -> str:
    """What is not committed, up to `_DIFF` bytes; with DREAMCTL_GIT_DIFF=0 only that there is something."""
    command = ["git", "-C", str(Path(__file__).parent), "diff", "HEAD"]
    with suppress(OSError), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        found = process.stdout.read(_DIFF + 1)
        process.kill()
        if found and os.environ.get("DREAMCTL_GIT_DIFF") == "0":
            return "not kept: DREAMCTL_GIT_DIFF=0\n"
        text = found[:_DIFF].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text + (f"\n[cut off after {_DIFF} bytes]\n" if len(found) > _DIFF else "")
    return ""


def _git(*arguments: str) -> str | None:
    """What git says of the folder that this code lies in, or None."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
