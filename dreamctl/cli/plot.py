"""dreamctl plot: pictures from stored runs."""

from pathlib import Path
from typing import Annotated

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Recorded, Where, home_option, listed, reading
from dreamctl.results.figures import FIGURES, drawn_from, folder

app = typer.Typer(help="Draw pictures from stored runs.", no_args_is_help=True, rich_markup_mode=None)

Preset = Annotated[
    str | None,
    typer.Option(help="Runs of this preset [default: the one that all runs have].", autocompletion=completion.presets),
]
Tasks = Annotated[
    str | None, typer.Option(help="Only these tasks, with commas.", autocompletion=completion.several(completion.tasks))
]
Methods = Annotated[
    str | None,
    typer.Option(help="Only these methods, with commas.", autocompletion=completion.several(completion.methods)),
]
Seeds = Annotated[str | None, typer.Option(help="A number of seeds (3) or a list (0,1,4) [default: all].")]
Sweep = Annotated[
    str | None, typer.Option(help="The runs of this sweep, whatever their settings.", autocompletion=completion.sweeps)
]
Until = Annotated[int | None, typer.Option(min=1, metavar="STEPS", help="Nothing after these environment steps.")]
Bin = Annotated[
    int | None, typer.Option("--bin", min=1, metavar="STEPS", help="Width of a bin [default: at most 1e5].")
]
Published = Annotated[bool, typer.Option("--published/--no-published", help="Published scores of other methods, too.")]
ShowSeeds = Annotated[bool, typer.Option("--show-seeds", help="Single seeds as thin lines.")]
Complete = Annotated[bool, typer.Option("--complete", help="Only runs that came as far as was asked for.")]
Version = Annotated[str, typer.Option(help="Published scores of the paper's submission or camera-ready.")]
Axis = Annotated[str, typer.Option("--x", help="What learning curves are drawn over: steps, updates or hours.")]
Out = Annotated[Path | None, typer.Option(help="The folder to draw into [default: HOME/figures].")]
Format = Annotated[str, typer.Option(help="png, pdf, svg; several with commas. The CSV is always written.")]


@app.callback()
def plot() -> None:
    """Draw pictures from stored runs."""


@app.command()
def curves(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Runs by id, name or an unambiguous beginning.",
            autocompletion=completion.runs,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A line for each value of this field [default: of all that differ]."),
    ] = None,
    preset: Preset = None,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    sweep: Sweep = None,
    until: Until = None,
    width: Bin = None,
    x: Axis = "steps",
    where: Where = None,
    complete: Complete = False,
    published: Published = True,
    version: Version = "camera-ready",
    out: Out = None,
    format: Format = "png,pdf",
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Evaluation return over environment steps of any runs, seeds averaged."""
    from dreamctl.results import selection
    from dreamctl.results.figures import curves as figure
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    choice = _choice(preset, tasks, methods, seeds, sweep, until, width, published, False, where, complete, version, x)
    runs = selection.select(store, run or [], choice)
    stem = _folder(store, sweep, out) / "curves"
    paths = figure.draw(store, runs, stem, tuple(by) if by else None, choice, _formats(format))
    _report(store, "curves", selection.remarks(runs, until), paths, home, mirrored=out is None and sweep is not None)


@app.command()
def final(
    x: Annotated[str, typer.Option(metavar="KEY", help="The config field on the x axis.")],
    by: Annotated[str, typer.Option(metavar="KEY", help="A line for each value of this config field.")] = "method",
    preset: Preset = None,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    sweep: Sweep = None,
    until: Until = None,
    where: Where = None,
    complete: Complete = False,
    out: Out = None,
    format: Format = "png,pdf",
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Final score over any config field, a panel per task."""
    from dreamctl.results import selection
    from dreamctl.results.figures import final as figure
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    choice = _choice(preset, tasks, methods, seeds, sweep, until, where=where, complete=complete)
    runs = selection.select(store, [], choice)
    stem = _folder(store, sweep, out) / f"final_{x}"
    paths = figure.draw(store, runs, x, by, choice, stem, _formats(format))
    _report(store, "final", selection.remarks(runs, until), paths, home, mirrored=out is None and sweep is not None)


@app.command()
def efficiency(
    run: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs by id, name or an unambiguous beginning.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A line for each value of this field [default: of all that differ]."),
    ] = None,
    preset: Preset = None,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    sweep: Sweep = None,
    until: Until = None,
    width: Bin = None,
    x: Axis = "steps",
    where: Where = None,
    complete: Complete = False,
    out: Out = None,
    format: Format = "png,pdf",
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """All tasks in one curve: the IQM of their scores over environment steps, with its 95 % interval."""
    from dreamctl.results import selection
    from dreamctl.results.figures import efficiency as figure
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    choice = _choice(preset, tasks, methods, seeds, sweep, until, width, where=where, complete=complete, x=x)
    runs = selection.select(store, run or [], choice)
    stem = _folder(store, sweep, out) / "efficiency"
    paths, notes = figure.draw(store, runs, stem, tuple(by) if by else None, choice, _formats(format))
    notes = [*selection.remarks(runs, until), *notes]
    _report(store, "efficiency", notes, paths, home, mirrored=out is None and sweep is not None)


@app.command()
def published(
    version: Version = "camera-ready", out: Out = None, format: Format = "png,pdf", home: Home = None
) -> None:
    """What was published, without any run: Figure 6 and the curves of the released Dreamer."""
    from dreamctl.results.draw import draw_published
    from dreamctl.store import open_store

    for path in draw_published(_folder(open_store(home, create=False), None, out), _formats(format), version):
        typer.echo(path)


@app.command("all")
def all_(
    preset: Preset = None,
    seeds: Seeds = None,
    until: Until = None,
    width: Bin = None,
    published: Published = True,
    show_seeds: ShowSeeds = False,
    where: Where = None,
    complete: Complete = False,
    version: Version = "camera-ready",
    out: Out = None,
    format: Format = "png,pdf",
    home: Home = None,
    recorded: Recorded = False,
) -> None:
    """Every figure of the paper that stored runs suffice for; what the others need is said."""
    from dreamctl.errors import BadInput

    drawn = 0
    for name in FIGURES:
        try:
            choice = _choice(
                preset, None, None, seeds, None, until, width, published, show_seeds, where, complete, version
            )
            _draw(name, choice, out, format, home, recorded)
            drawn += 1
        except BadInput as error:
            typer.echo(f"{name}: {error}", err=True)
    if not drawn:
        raise BadInput("no figure could be drawn")


def _figure(name: str, help: str) -> None:
    """The command that draws one figure of the paper."""

    def command(
        preset: Preset = None,
        tasks: Tasks = None,
        methods: Methods = None,
        seeds: Seeds = None,
        sweep: Sweep = None,
        until: Until = None,
        width: Bin = None,
        published: Published = True,
        show_seeds: ShowSeeds = False,
        where: Where = None,
        complete: Complete = False,
        version: Version = "camera-ready",
        x: Axis = "steps",
        out: Out = None,
        format: Format = "png,pdf",
        home: Home = None,
        recorded: Recorded = False,
    ) -> None:
        choice = _choice(
            preset, tasks, methods, seeds, sweep, until, width, published, show_seeds, where, complete, version, x
        )
        _draw(name, choice, out, format, home, recorded)

    app.command(name, help=f"{name.replace('figure', 'Figure ')}: {help}.")(command)


for _name, _help in FIGURES.items():
    _figure(_name, _help)


def _draw(name, choice, out, format, home, recorded) -> None:  # type: ignore[no-untyped-def]
    from dreamctl.results.draw import draw
    from dreamctl.store import open_store

    store = open_store(reading(home, recorded), create=False)
    paths, notes = draw(store, name, choice, _folder(store, choice.sweep, out), _formats(format))
    of_a_sweep = any(sweep.name == choice.sweep or drawn_from(name, sweep.name) for sweep in store.sweeps())
    _report(store, name, notes, paths, home, mirrored=out is None and of_a_sweep)


def _report(store, name, notes, paths, home, mirrored) -> None:  # type: ignore[no-untyped-def]
    """Say what was drawn and what there is to say of it; mirrored: the run of a sweep in MLflow gets it."""
    for note in notes:
        where = home_option(home) if "dreamctl " in note else ""  # it ends with a command
        typer.echo(f"{name}: {note}{where}", err=True)
    for path in paths:
        typer.echo(path)
    if mirrored and not store.read_only:
        from dreamctl.jobs.launch import spawn_mirror

        spawn_mirror(store)


def _folder(store, sweep, out) -> Path:  # type: ignore[no-untyped-def]
    from dreamctl.errors import BadInput

    if out is not None and out.suffix in (".png", ".pdf", ".svg", ".csv"):
        raise BadInput(
            f"--out is a folder, not {out.name!r}: figures are named in it, --format says how they are written"
        )
    return out or folder(store, sweep)


def _choice(  # type: ignore[no-untyped-def]
    preset,
    tasks,
    methods,
    seeds,
    sweep,
    until=None,
    width=None,
    published=True,
    show_seeds=False,
    where=None,
    complete=False,
    version="camera-ready",
    x="steps",
):
    from dreamctl.errors import BadInput
    from dreamctl.jobs.sweeps import parse_seeds
    from dreamctl.results.cells import Choice

    if x not in ("steps", "updates", "hours"):
        raise BadInput(f"--x is steps, updates or hours, not {x!r}")
    return Choice(
        preset,
        listed(tasks),
        listed(methods),
        None if seeds is None else parse_seeds(seeds),
        sweep,
        until,
        width,
        published,
        show_seeds,
        tuple(where or ()),
        complete,
        version,
        x,
    )


def _formats(text: str) -> tuple[str, ...]:
    from dreamctl.errors import BadInput

    chosen = listed(text) or ()
    if not chosen or set(chosen) - {"png", "pdf", "svg"}:
        raise BadInput(f"--format is png, pdf or svg (several with commas), not {text!r}")
    return chosen
