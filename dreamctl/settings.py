"""The user's defaults, in a file `dreamctl.toml` in the working directory or the nearest folder above it.

Options override environment variables, these override the file, and the file overrides the built-in defaults.
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
    """A setting: its description, type and default, and the environment variable that overrides the file."""

    help: str
    kind: type
    default: Any
    variable: str | None = None


KEYS = {
    "home": Key("folder of the run database and all runs", str, "runs", "DREAMCTL_HOME"),
    "preset": Key("preset of new runs, built-in sweeps and --tasks: paper, official, tiny or smoke", str, "paper"),
    "device": Key("device of single runs and evaluations: auto, cpu or cuda:N", str, "auto"),
    "executor": Key("where the jobs of a sweep run: local, slurm or ray", str, "local"),
    "per_gpu": Key("runs of a sweep at once on each GPU", int, 1),
    "cpu_slots": Key("runs of a sweep at once on the CPU; if not set, 1 without a GPU", int, None),
}


class Setting(NamedTuple):
    """The value of a setting and where it comes from."""

    value: Any
    source: str


def get(key: str, given: Any = None) -> Any:
    """`given` unless it is None, else the setting's value in effect. Raises `BadInput` for a bad file."""
    return given if given is not None else everything()[key].value


def home(given: str | Path | None = None) -> Path:
    """The home folder as an absolute path. In a file it is relative to the folder of that file."""
    return Path(given or get("home")).absolute()


def everything() -> dict[str, Setting]:
    """All settings in effect without options. Raises `BadInput` for a bad file."""
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
    """The `dreamctl.toml` that applies to a folder; None if there is none."""
    return next((place / FILE for place in (folder, *folder.parents) if (place / FILE).is_file()), None)


@cache
def _read(file: Path) -> Mapping[str, Any]:
    """The checked settings in a file. Raises `BadInput`."""
    try:
        written = tomllib.loads(file.read_text())
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not TOML: {error}") from error
    for key, value in written.items():
        if key not in KEYS:
            raise BadInput(f"{file}: unknown key {key!r}; there are: {', '.join(KEYS)}")
        if type(value) is not KEYS[key].kind or value == "" or (isinstance(value, int) and value < 0):
            kind = "text" if KEYS[key].kind is str else "a whole number, at least 0"
            raise BadInput(f"{file}: {key} must be {kind}, not {value!r}")
    return written | ({"home": str(file.parent / written["home"])} if "home" in written else {})
