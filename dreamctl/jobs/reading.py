"""Reading YAML files from anywhere: limited in size, and one line of error for whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dreamctl.errors import BadInput

_LARGEST = 1 << 20  # bytes


def read_yaml(path: Path) -> Any:
    """What is in a YAML file, its values as the text that they are written as. Raises `BadInput`.

    Nothing is guessed: 8:00:00 would be a number, a number of 6,000 digits an error, and an alias is no copy, so a file
    takes no more memory than it is long.
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise BadInput(f"{path} is larger than {_LARGEST >> 20} MiB: that is no file of settings")
    try:
        return yaml.load(content.decode(), yaml.BaseLoader)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: save it as such") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise BadInput(f"{path} is nested too deep") from error


def values(path: Path, key: str, found: Any) -> tuple[str, ...]:
    """A value, a list of values or text with commas, as texts. Raises `BadInput`."""
    if isinstance(found, str):
        return tuple(part.strip() for part in found.split(",") if part.strip())
    if isinstance(found, list) and all(isinstance(value, str) for value in found):
        return tuple(found)
    raise BadInput(f"{path}: {key} is a value or a list of values, such as [5, 10, 15]")


def table(path: Path, key: str, found: Any) -> dict[str, Any]:
    """A mapping. Raises `BadInput`."""
    if found and not isinstance(found, dict):
        raise BadInput(f"{path}: {key} must be a mapping of config fields, such as horizon: 15")
    return found or {}
