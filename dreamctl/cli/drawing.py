"""What the commands of `dreamctl plot` share: their options, and how they report what was drawn."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Json, Recorded, Where, home_option, listed, print_json, reading

if TYPE_CHECKING:
    from dreamctl.results.cells import Choice
    from dreamctl.store import Store


@dataclass
class Asked:
    """The options, as Typer reads them from these fields, and what they stand for."""

    preset: Annotated[
        str | None,
        typer.Option(
            help="Runs of this preset [default: the one that all runs have].", autocompletion=completion.presets
        ),
    ] = None
    tasks: Annotated[
        str | None,
        typer.Option(help="Only these tasks, with commas.", autocompletion=completion.several(completion.tasks)),
    ] = None
    methods: Annotated[
        str | None,
        typer.Option(help="Only these methods, with commas.", autocompletion=completion.several(completion.methods)),
    ] = None
    seeds: Annotated[str | None, typer.Option(help="A number of seeds (3) or a list (0,1,4) [default: all].")] = None
    sweep: Annotated[
        str | None,
        typer.Option(help="The runs of this sweep, whatever their settings.", autocompletion=completion.sweeps),
    ] = None
    until: Annotated[
        int | None, typer.Option(min=1, metavar="STEPS", help="Nothing after these environment steps.")
    ] = None
    width: Annotated[
        int | None, typer.Option("--bin", min=1, metavar="STEPS", help="Width of a bin [default: at most 1e5].")
    ] = None
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Published scores of other methods, too.")
    ] = True
    show_seeds: Annotated[bool, typer.Option("--show-seeds", help="Single seeds as thin lines.")] = False
    where: Where = None
    complete: Annotated[bool, typer.Option("--complete", help="Only runs that came as far as was asked for.")] = False
    version: Annotated[str, typer.Option(help="Published scores of the paper's submission or camera-ready.")] = (
        "camera-ready"
    )
    over: Annotated[str, typer.Option("--x", help="What learning curves are drawn over: steps, updates or hours.")] = (
        "steps"
    )
    out: Annotated[Path | None, typer.Option(help="The folder to draw into [default: HOME/figures].")] = None
    format: Annotated[str, typer.Option(help="png, pdf, svg; several with commas. The CSV is always written.")] = (
        "png,pdf"
    )
    json: Json = False
    home: Home = None
    recorded: Recorded = False

    @functools.cached_property
    def store(self) -> "Store":
        """The store to read."""
        from dreamctl.store import open_store

        return open_store(reading(self.home, self.recorded), create=False)

    @property
    def choice(self) -> "Choice":
        """Which runs to draw, and how. Raises `BadInput`."""
        from dreamctl.errors import BadInput
        from dreamctl.jobs.sweeps import parse_seeds
        from dreamctl.results.cells import Choice

        if self.over not in ("steps", "updates", "hours"):
            raise BadInput(f"--x is steps, updates or hours, not {self.over!r}")
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
            raise BadInput(
                f"--out is a folder, not {self.out.name!r}: figures are named in it, --format says how they are written"
            )
        return self.out or folder(self.store, self.sweep)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats to write. Raises `BadInput`."""
        from dreamctl.errors import BadInput

        chosen = listed(self.format) or ()
        if not chosen or set(chosen) - {"png", "pdf", "svg"}:
            raise BadInput(f"--format is png, pdf or svg (several with commas), not {self.format!r}")
        return chosen

    def report(self, name: str, paths: Iterable[Path], notes: Iterable[str] = ()) -> dict[str, Any]:
        """Report one figure: remarks on stderr and, without --json, its files on stdout; returns it for JSON.

        MLflow gets it too, if it was drawn from a sweep into the home.
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
    """A command with the options of `Asked`, but these, as its first argument; --json prints what it returns."""
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
