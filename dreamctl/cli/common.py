"""Options that commands share, and how numbers, tables and messages are printed."""

import contextlib
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
    Path | None,
    typer.Option(help="Folder of the run database and all runs [default: $DREAMCTL_HOME, dreamctl.toml, runs/]."),
]
Recorded = Annotated[bool, typer.Option("--recorded", help="Read the runs that come with dreamctl.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunRef = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id or name, or an unambiguous prefix of either.", autocompletion=completion.runs
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Only runs whose FIELD (of the config, or name, task, seed, preset, status, tags) is VALUE. "
        "VALUE,VALUE matches either; repeat to narrow down.",
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda:N [default: auto].")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")]

_quiet = False  # --quiet was given


def with_quiet(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --quiet."""

    @functools.wraps(command)
    def quiet_command(*args: Any, quiet: bool, **options: Any) -> Any:
        global _quiet
        _quiet = quiet
        return command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    parameters = [*signature.parameters.values(), option]
    quiet_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    # evaluated once: Typer asks four times, and compiling them every time would take a third of the time of --help
    quiet_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return quiet_command


def say(text: str) -> None:
    """Print a message that is not a result: on stderr, and not with --quiet."""
    if not _quiet:
        typer.echo(text, err=True)


class Interrupts:
    """Counts Ctrl-C inside a `with` instead of interrupting what is being done there, such as a claim.

    If it is pressed a third time before `take` has been called, `KeyboardInterrupt` is raised after all.
    """

    def __init__(self) -> None:
        self.pressed = 0

    def __enter__(self) -> "Interrupts":
        self._before = signal.signal(signal.SIGINT, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def take(self) -> int:
        """How often Ctrl-C was pressed since the last call."""
        pressed, self.pressed = self.pressed, 0
        return pressed

    def _count(self, *_: object) -> None:
        self.pressed += 1
        if self.pressed > 2:
            raise KeyboardInterrupt


def console(stderr: bool = False) -> "Console":
    """A console for tables, as wide as the terminal, or 100 columns without one. It interprets no markup.

    stderr: a console for progress, on stderr and silent with --quiet.
    """
    from rich.console import Console

    options: dict[str, Any] = dict(markup=False, highlight=False, stderr=stderr, quiet=stderr and _quiet)
    terminal = Console(**options)
    if not terminal.is_terminal:
        terminal = Console(**options, width=100)
    terminal.on_broken_pipe = _broken_pipe  # type: ignore[method-assign]
    return terminal


def _broken_pipe() -> None:
    """Leave a closed pipe to `main`; rich would end the program itself."""
    raise BrokenPipeError


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=2))


def steps(count: int) -> str:
    """Environment steps to three digits: 950, 3.51k, 300k, 1.25M. Exact counts are written 3,508."""
    if count < 1000:
        return str(count)
    if count < 999_500:
        return f"{count / 1000:.3g}k"
    return f"{count / 1e6:.3g}M" if count < 999_500_000 else f"{count / 1e9:.3g}G"


def progress(done: int, total: int) -> str:
    """Environment steps done and planned: 3.51k/300k."""
    return f"{steps(done)}/{steps(total)}"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values as a row of bars, scaled from the least to the greatest; averaged in groups if more than `width`."""
    size = -(-len(values) // width)
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, span = min(means), max(means) - min(means)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (mean - low) / span) if span else 3] for mean in means)


def speed(rate: float | None) -> str:
    """Environment steps per second, to two digits below 10/s: 0.84/s, 93/s, 120/s."""
    return "-" if rate is None else f"{rate:.2g}/s" if rate < 10 else f"{rate:.0f}/s"


def number(value: float | None) -> str:
    """A score with one decimal, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Seconds in their two largest units: 2d 3h, 1h 02m, 2m 03s, 5s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def ago(when: float | None) -> str:
    """How long ago a time (seconds since 1970) was, in one unit: 5m ago."""
    if when is None:
        return "-"
    seconds = max(0.0, time.time() - when)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"


def steps_option(help: str, *names: str) -> Any:
    """An option whose value is a number of environment steps, typed as 100000 or 1e5."""
    return typer.Option(*names, parser=_whole, metavar="STEPS", help=help)


def _whole(text: str) -> int:
    with contextlib.suppress(ValueError, OverflowError):
        if float(text) == int(float(text)) >= 1:
            return int(float(text))
    raise typer.BadParameter(f"{text!r} is no number of environment steps, such as 100000 or 1e5")


def reading(home: Path | None, recorded: bool) -> Path | None:
    """The home that a command reads: the recorded runs or the given one. Raises `BadParameter` for both."""
    from dreamctl.store.database import RECORDED

    if not recorded:
        return home
    if home is not None:
        raise typer.BadParameter("--recorded and --home exclude each other: give one of them")
    return RECORDED


def home_option(home: Path | None) -> str:
    """The option that makes a suggested command use this home."""
    return f" --home {home}" if home else ""


def listed(text: str | None) -> tuple[str, ...] | None:
    """The parts of "a,b,c"; None for an option that was not given."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
