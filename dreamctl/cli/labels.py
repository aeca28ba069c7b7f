"""dreamctl tag, note, rename: labels that users give to runs."""

from typing import Annotated

import typer

from dreamctl.cli import completion
from dreamctl.cli.common import Home, Json, RunRef, print_json, say


def tag(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag.", autocompletion=completion.tags)],
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Ids or names of runs, or unambiguous prefixes.", autocompletion=completion.runs
        ),
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tag.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Add a tag to runs, or remove it."""
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    found = [store.find(each) for each in run]
    store.set_labels([each.id for each in found], [] if remove else [tag], [tag] if remove else [])
    tags = {each.name: store.get(each.id).tags for each in found}
    if json:
        print_json(tags)
    for name, these in tags.items():
        say(f"{name}: {', '.join(these) or 'no tags'}")


def note(
    run: RunRef,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help='The note; "" removes it.')] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Write a note on a run, or print it."""
    from dreamctl.store import open_store

    store = open_store(home, create=False)
    record = store.find(run)
    if text is not None:
        store.annotate(record.id, text or None)
    written = store.get(record.id).note
    if json:
        print_json({"run": record.id, "name": record.name, "note": written})
    elif text is None:
        typer.echo(written or "")
    else:
        say(f"{record.name}: {written or 'no note'}")


def rename(
    run: RunRef,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Rename a run; its id, folder and files stay the same."""
    from dreamctl.jobs.spec import check_name
    from dreamctl.store import open_store

    check_name(name)
    store = open_store(home, create=False)
    record = store.find(run)
    store.rename(record.id, name)
    if json:
        print_json({"run": record.id, "name": name})
    say(f"{record.name} ({record.id}) is now {name}")
