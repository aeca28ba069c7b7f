"""dreamctl config: the defaults in effect."""

from dreamctl.cli.common import Json, console, print_json


def config(json: Json = False) -> None:
    """Show the defaults in effect and where each comes from. Set them in dreamctl.toml or the environment."""
    from dreamctl import settings

    found = settings.everything()
    if json:
        print_json({key: setting._asdict() for key, setting in found.items()})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("KEY", "VALUE", "FROM", "MEANING"):
        table.add_column(heading, overflow="fold")
    for key, (value, source) in found.items():
        table.add_row(key, "-" if value is None else str(value), source, settings.KEYS[key].help)
    console().print(table)
