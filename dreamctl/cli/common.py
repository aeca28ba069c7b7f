"""Options that commands share, and how they print."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Home = Annotated[
    Path | None, typer.Option(help="Folder of the run database and all runs [default: $DREAMCTL_HOME, else runs/].")
]
Recorded = Annotated[bool, typer.Option("--recorded", help="The runs that come with dreamctl, in place of a home's.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunRef = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, name, or an unambiguous beginning of either.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Only runs with this value of a config field, or of name, task, seed, preset, status, tags; several "
        "values with commas; may be given again.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda:N.")]


class Interrupts:
    """Counts Ctrl-C inside a `with`, which would otherwise break off whatever is being done: a view, a claim.

    Who presses it a third time before the first is attended to gets out at once.
    """

    def __init__(self) -> None:
        self.pressed = 0

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def take(self) -> int:
        """How often it was pressed since this was last asked."""
        pressed, self.pressed = self.pressed, 0
        return pressed

    def _count(self, *_: object) -> None:
        self.pressed += 1
        if self.pressed > 2:
            raise KeyboardInterrupt


def console() -> Console:
    """Where tables go: as wide as the terminal, 100 columns without one. Text is printed as it is, without markup."""
    from rich.console import Console

    terminal = Console(markup=False, highlight=False)
    return terminal if terminal.is_terminal else Console(width=100, markup=False, highlight=False)


def print_json(value: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=2))


def steps(count: int) -> str:
    """Environment steps, short: 950, 12k, 1.25M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.4g}k" if count < 1_000_000 else f"{count / 1e6:.4g}M"


def number(value: float | None) -> str:
    """A score with one decimal, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(when: float | None) -> str:
    """How long ago, in one unit."""
    if when is None:
        return "-"
    seconds = max(0.0, time.time() - when)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"


def reading(home: Path | None, recorded: bool) -> Path | None:
    """The home that a reading command looks into."""
    from dreamctl.store.database import RECORDED

    if not recorded:
        return home
    if home is not None:
        raise typer.BadParameter("--recorded stands in place of --home: give one of them")
    return RECORDED


def home_option(home: Path | None) -> str:
    """What to add to a suggested command so that it finds this home."""
    return f" --home {home}" if home else ""


def listed(text: str | None) -> tuple[str, ...] | None:
    """The parts of "a,b,c"; None for an option that was not given."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
