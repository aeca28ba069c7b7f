"""Options that commands share, and how they print."""

import functools
import inspect
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli import completion

if TYPE_CHECKING:
    from rich.console import Console

Home = Annotated[
    Path | None, typer.Option(help="Folder of the run database and all runs [default: $DREAMCTL_HOME, else runs/].")
]
Recorded = Annotated[bool, typer.Option("--recorded", help="The runs that come with dreamctl, in place of a home's.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunRef = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, name, or an unambiguous beginning of either.", autocompletion=completion.runs
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Only runs with this value of a config field, or of name, task, seed, preset, status, tags; several "
        "values with commas; may be given again.",
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda:N [default: auto].")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")]

_quiet = False  # --quiet was given


def with_quiet(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that takes --quiet, too."""

    @functools.wraps(command)
    def quiet_command(*args: Any, quiet: bool, **options: Any) -> Any:
        global _quiet
        _quiet = quiet
        return command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    parameters = [*signature.parameters.values(), option]
    quiet_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    # evaluated once: Typer asks four times, and to compile texts again would be a third of what --help takes
    quiet_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return quiet_command


def say(text: str) -> None:
    """What is no result: to stderr, unless --quiet."""
    if not _quiet:
        typer.echo(text, err=True)


class Interrupts:
    """Counts Ctrl-C inside a `with`, which would otherwise break off whatever is being done: a view, a claim.

    Who presses it a third time before the first is attended to gets out at once.
    """

    def __init__(self) -> None:
        self.pressed = 0

    def __enter__(self) -> "Interrupts":
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


def console(stderr: bool = False) -> "Console":
    """Where tables go: as wide as the terminal, 100 columns without one. Text is printed as it is, without markup.

    stderr: for what is shown while there is work; nothing with --quiet.
    """
    from rich.console import Console

    options: dict[str, Any] = dict(markup=False, highlight=False, stderr=stderr, quiet=stderr and _quiet)
    terminal = Console(**options)
    if not terminal.is_terminal:
        terminal = Console(**options, width=100)
    terminal.on_broken_pipe = _broken_pipe  # type: ignore[method-assign]
    return terminal


def _broken_pipe() -> None:
    """For `main`, which knows what a closed pipe means; rich would end the program itself."""
    raise BrokenPipeError


def print_json(value: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=2))


def steps(count: int) -> str:
    """Environment steps to three digits: 950, 3.51k, 300k, 1.25M. Exact counts are written 3,508."""
    if count < 1000:
        return str(count)
    if count < 999_500:
        return f"{count / 1000:.3g}k"
    return f"{count / 1e6:.3g}M" if count < 999_500_000 else f"{count / 1e9:.3g}G"


def progress(done: int, total: int) -> str:
    """How far a run is: 3.51k/300k."""
    return f"{steps(done)}/{steps(total)}"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values as a row of bars from the least to the largest, averaged where there are more than `width`."""
    size = -(-len(values) // width)
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, span = min(means), max(means) - min(means)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (mean - low) / span) if span else 3] for mean in means)


def speed(rate: float | None) -> str:
    """Environment steps per second, to two digits or whole: 0.84/s, 93/s, 120/s."""
    return "-" if rate is None else f"{rate:.2g}/s" if rate < 10 else f"{rate:.0f}/s"


def number(value: float | None) -> str:
    """A score with one decimal, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """In its two largest units: 2d 3h, 1h 02m, 2m 03s, 5s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


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
