"""dreamctl plot: figures from stored runs."""

from typing import Annotated, Any

import typer

from dreamctl.cli import completion
from dreamctl.cli.drawing import Asked, drawing
from dreamctl.results.figures import FIGURES

app = typer.Typer(help="Draw figures from stored runs.", no_args_is_help=True, rich_markup_mode=None)

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Ids or names of runs, or unambiguous prefixes [default: all].",
        autocompletion=completion.runs,
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY", help="A line for each value of this field; repeat for several [default: all that differ]."
    ),
]


@app.callback()
def plot() -> None:
    """Draw figures from stored runs."""


@app.command()
@drawing("show_seeds")
def curves(asked: Asked, run: Runs = None, by: By = None) -> dict[str, Any]:
    """Learning curves of any runs, averaged over seeds."""
    from dreamctl.results import selection
    from dreamctl.results.figures import curves as figure

    runs = selection.select(asked.store, run or [], asked.choice)
    stem = asked.folder / "curves"
    paths = figure.draw(asked.store, runs, stem, tuple(by) if by else None, asked.choice, asked.formats)
    return asked.report("curves", paths, selection.remarks(runs, asked.choice, by or ()))


@app.command()
@drawing("width", "published", "show_seeds", "version", "over")
def final(
    asked: Asked,
    x: Annotated[str, typer.Option(metavar="KEY", help="The field on the x-axis.")],
    by: Annotated[str, typer.Option(metavar="KEY", help="A line for each value of this field.")] = "method",
) -> dict[str, Any]:
    """Final score over any config field, a panel per task."""
    from dreamctl.results import selection
    from dreamctl.results.figures import final as figure

    runs = selection.select(asked.store, [], asked.choice)
    stem = asked.folder / f"final_{x}"
    paths = figure.draw(asked.store, runs, x, by, asked.choice, stem, asked.formats)
    return asked.report("final", paths, selection.remarks(runs, asked.choice, (x, by)))


@app.command()
@drawing("published", "show_seeds", "version")
def efficiency(asked: Asked, run: Runs = None, by: By = None) -> dict[str, Any]:
    """IQM of the scores on all tasks, with 95 % intervals."""
    from dreamctl.results import selection
    from dreamctl.results.figures import efficiency as figure

    runs = selection.select(asked.store, run or [], asked.choice)
    stem = asked.folder / "efficiency"
    paths, notes = figure.draw(asked.store, runs, stem, tuple(by) if by else None, asked.choice, asked.formats)
    return asked.report("efficiency", paths, [*selection.remarks(runs, asked.choice, by or ()), *notes])


_OF_RUNS = ("preset", "tasks", "methods", "seeds", "sweep", "until", "width", "published", "show_seeds", "where")


@app.command()
@drawing(*_OF_RUNS, "complete", "over", "recorded")
def published(asked: Asked) -> list[dict[str, Any]]:
    """Published scores alone; needs no run. Figure 6 and the curves of the released Dreamer."""
    from dreamctl.results.draw import draw_published

    drawn = draw_published(asked.folder, asked.formats, asked.version)
    return [asked.report(name, paths) for name, paths in drawn.items()]


@app.command("all")
@drawing("tasks", "methods", "sweep", "over")
def all_(asked: Asked) -> list[dict[str, Any]]:
    """Every figure that the stored runs suffice for. Says what the others need."""
    from dreamctl.errors import BadInput

    drawn = []
    for name in FIGURES:
        try:
            drawn.append(_draw(name, asked))
        except BadInput as error:
            typer.echo(f"{name}: {error}", err=True)
    if not drawn:
        raise BadInput("no figure could be drawn")
    return drawn


def _draw(name: str, asked: Asked) -> dict[str, Any]:
    """Draw one figure of the paper."""
    from dreamctl.results.draw import draw

    paths, notes = draw(asked.store, name, asked.choice, asked.folder, asked.formats)
    return asked.report(name, paths, notes)


# options that mean nothing to a figure
_WITHOUT = {
    "figure2": (*_OF_RUNS, "complete", "version", "over"),
    "figure4": ("width", "published", "show_seeds", "version", "over"),
    "figure5": ("until", "width", "published", "show_seeds", "complete", "version", "over"),
    "figure6": ("width", "show_seeds", "over"),
}


def _figure(name: str, help: str) -> None:
    """The command that draws one figure of the paper."""

    def command(asked: Asked) -> dict[str, Any]:
        return _draw(name, asked)

    app.command(name, help=f"{name.replace('figure', 'Figure ')}: {help}.")(drawing(*_WITHOUT.get(name, ()))(command))


for _name, _help in FIGURES.items():
    _figure(_name, _help)
