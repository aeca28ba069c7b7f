"""A user's defaults, in a file `dreamctl.toml` of the working directory or the nearest folder above it.

What is given on the command line comes first, then environment variables, then the file, then the program's defaults.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dreamctl.errors import BadInput

FILE = "dreamctl.toml"


class Key(NamedTuple):
    """A setting: what it is and is of, its default, and the environment variable that comes before the file."""

    help: str
    kind: type
    default: Any
    variable: str | None = None


KEYS = {
    "home": Key("folder of the run database and all runs", str, "runs", "DREAMCTL_HOME"),
    "preset": Key("of new runs, built-in sweeps and --tasks: paper, official, tiny or smoke", str, "paper"),
    "device": Key("of single runs and evaluations: auto, cpu or cuda:N", str, "auto"),
    "executor": Key("what runs the jobs of a sweep: local, slurm or ray", str, "local"),
    "per_gpu": Key("runs of a sweep at once on each GPU", int, 1),
    "cpu_slots": Key("runs of a sweep at once on the CPU; not set: one where there is no GPU", int, None),
}


class Setting(NamedTuple):
    """A value and where it comes from."""

    value: Any
    source: str


def get(key: str, given: Any = None) -> Any:
    """The value of a setting: `given` if there is one, else its default here. Raises `BadInput` for a bad file."""
    return given if given is not None else everything()[key].value


def home(given: str | Path | None = None) -> Path:
    """The home folder, absolute. One from a file is relative to that file."""
    return Path(given or get("home")).absolute()


def everything() -> dict[str, Setting]:
    """Every setting as it stands without options. Raises `BadInput` for a bad file."""
    file = find(Path.cwd())
    written = _read(file) if file else {}
    found = {}
    for key, (_, _, default, variable) in KEYS.items():
        if variable and os.environ.get(variable):
            found[key] = Setting(os.environ[variable], variable)
        elif key in written:
            found[key] = Setting(written[key], str(file))
        else:
            found[key] = Setting(default, "default")
    return found


def find(folder: Path) -> Path | None:
    """The file that holds in a folder."""
    return next((place / FILE for place in (folder, *folder.parents) if (place / FILE).is_file()), None)


@cache
def _read(file: Path) -> Mapping[str, Any]:
    """A file's settings, checked. Raises `BadInput`."""
    try:
        written = tomllib.loads(file.read_text())
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is no TOML: {error}") from error
    for key, value in written.items():
        if key not in KEYS:
            raise BadInput(f"{file}: unknown key {key!r}; there are: {', '.join(KEYS)}")
        if type(value) is not KEYS[key].kind or value == "" or (isinstance(value, int) and value < 0):
            kind = "text" if KEYS[key].kind is str else "a whole number from 0 on"
            raise BadInput(f"{file}: {key} is {kind}, not {value!r}")
    return written | ({"home": str(file.parent / written["home"])} if "home" in written else {})
