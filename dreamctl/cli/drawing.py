"""What the commands of `dreamctl plot` share: their options, and how they report what was drawn."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Json, Recorded, Where, home_option, listed, print_json, reading, steps_option

if TYPE_CHECKING:
    from dreamctl.results.cells import Choice
    from dreamctl.store import Store


@dataclass
class Asked:
    """The options (Typer reads them from these fields), and what follows from them."""

    preset: Annotated[
        str | None,
        typer.Option(
            help="Only runs of this preset [default: the one that all runs have].", autocompletion=completion.presets
        ),
    ] = None
    tasks: Annotated[
        str | None,
        typer.Option(help="Only these tasks, comma-separated.", autocompletion=completion.several(completion.tasks)),
    ] = None
    methods: Annotated[
        str | None,
        typer.Option(
            help="Only these methods, comma-separated.", autocompletion=completion.several(completion.methods)
        ),
    ] = None
    seeds: Annotated[str | None, typer.Option(help="A number of seeds (3) or a list (0,1,4) [default: all].")] = None
    sweep: Annotated[
        str | None,
        typer.Option(help="Only runs of this sweep, whatever their settings.", autocompletion=completion.sweeps),
    ] = None
    until: Annotated[int | None, steps_option("Show nothing after this many environment steps.")] = None
    width: Annotated[
        int | None,
        steps_option("Bin width in environment steps [default: at most 1e5].", "--bin"),
    ] = None
    published: Annotated[bool, typer.Option("--published/--no-published", help="Show published scores, too.")] = True
    show_seeds: Annotated[bool, typer.Option("--show-seeds", help="Show single seeds as thin lines.")] = False
    where: Where = None
    complete: Annotated[bool, typer.Option("--complete", help="Only runs that reached the full length.")] = False
    version: Annotated[str, typer.Option(help="Source of published scores: submission or camera-ready.")] = (
        "camera-ready"
    )
    over: Annotated[str, typer.Option("--x", help="x-axis of learning curves: steps, updates or hours.")] = "steps"
    out: Annotated[Path | None, typer.Option(help="Output folder [default: HOME/figures].")] = None
    format: Annotated[str, typer.Option(help="png, pdf or svg, comma-separated. A CSV is always written.")] = "png,pdf"
    json: Json = False
    home: Home = None
    recorded: Recorded = False

    @functools.cached_property
    def store(self) -> "Store":
        """The store that the figure is drawn from."""
        from dreamctl.store import open_store

        return open_store(reading(self.home, self.recorded), create=False)

    @property
    def choice(self) -> "Choice":
        """Which runs to draw, and how. Raises `BadInput`."""
        from dreamctl.errors import BadInput
        from dreamctl.jobs.sweeps import parse_seeds
        from dreamctl.results import published
        from dreamctl.results.cells import Choice

        if self.over not in ("steps", "updates", "hours"):
            raise BadInput(f"--x is steps, updates or hours, not {self.over!r}")
        published.check(self.version)
        return Choice(
            preset=self.preset,
            tasks=listed(self.tasks),
            methods=listed(self.methods),
            seeds=None if self.seeds is None else parse_seeds(self.seeds),
            sweep=self.sweep,
            until=self.until,
            width=self.width,
            published=self.published,
            show_seeds=self.show_seeds,
            where=tuple(self.where or ()),
            complete=self.complete,
            version=self.version,
            x=self.over,
        )

    @property
    def folder(self) -> Path:
        """The folder to draw into. Raises `BadInput`."""
        from dreamctl.errors import BadInput
        from dreamctl.results.figures import folder

        if self.out is not None and self.out.suffix in (".png", ".pdf", ".svg", ".csv"):
            raise BadInput(f"--out is a folder, not a file ({self.out.name}): --format chooses what is written into it")
        return self.out or folder(self.store, self.sweep)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats to write. Raises `BadInput`."""
        from dreamctl.errors import BadInput

        chosen = listed(self.format) or ()
        if not chosen or set(chosen) - {"png", "pdf", "svg"}:
            raise BadInput(f"--format is png, pdf or svg, or several of them with commas, not {self.format!r}")
        return chosen

    def report(self, name: str, paths: Iterable[Path], notes: Iterable[str] = ()) -> dict[str, Any]:
        """Report one figure: remarks on stderr and, without --json, its files on stdout; returns it for JSON.

        A figure of a sweep that was drawn into the home is also copied to MLflow.
        """
        from dreamctl.results.figures import drawn_from

        notes, paths = list(notes), list(paths)
        for note in notes:
            where = home_option(self.home) if "dreamctl " in note else ""  # it ends with a command
            typer.echo(f"{name}: {note}{where}", err=True)
        for path in paths if not self.json else ():
            typer.echo(path)
        of_a_sweep = self.sweep is not None or any(drawn_from(name, sweep.name) for sweep in self.store.sweeps())
        if of_a_sweep and self.out is None and not self.store.read_only:
            from dreamctl.jobs.launch import spawn_mirror

            spawn_mirror(self.store)
        return {"figure": name, "files": {path.suffix[1:]: str(path) for path in paths}, "notes": notes}


def drawing(*without: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Decorator: pass the options of `Asked`, except `without`, as first argument; with --json print the result."""
    shared = [option for option in inspect.signature(Asked).parameters.values() if option.name not in without]

    def with_options(command: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            asked = Asked(**{option.name: given.pop(option.name) for option in shared})
            result = command(asked, **given)
            if asked.json:
                print_json(result)

        own = list(inspect.signature(command).parameters.values())[1:]
        options = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*own, *shared)]
        wrapped.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        return wrapped

    return with_options
