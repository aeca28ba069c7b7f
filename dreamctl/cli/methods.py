"""dreamctl methods: the methods, objectives, presets, tasks and config fields."""

from typing import Annotated, Any

import typer

from dreamctl.cli.common import Json, console, print_json


def methods(
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/config.md.")] = False,
) -> None:
    """List methods, objectives, presets, tasks and every config field."""
    from agent.config import METHODS, OBJECTIVES, PRESETS, reference
    from agent.tasks import MORE, TASKS

    choices = {"methods": METHODS, "objectives": OBJECTIVES, "presets": PRESETS}
    if json:
        listed = {kind: {name: entry._asdict() for name, entry in named.items()} for kind, named in choices.items()}
        print_json(listed | {"tasks": {"paper": list(TASKS), "more": list(MORE)}, "fields": reference()})
    elif markdown:
        print(_page(choices, reference()))
    else:
        _print(choices, reference(), {"tasks of the paper": TASKS, "other tasks of the control suite": MORE})


def _print(choices: dict[str, Any], fields: list[dict[str, Any]], tasks: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.table import Table

    out = console()
    for kind, named in choices.items():
        table = Table.grid(padding=(0, 2))
        for name, entry in named.items():
            table.add_row(f"  {name}", entry.help)
        out.print(kind, style="bold")
        out.print(table)
    for kind, names in tasks.items():
        out.print(kind, style="bold")
        out.print(Padding(" ".join(names), (0, 0, 0, 2)))
    presets = list(choices["presets"])
    table = Table(box=None, pad_edge=False, title="config fields (blank: as in paper)", title_justify="left")
    for heading in ("", *presets, "meaning"):
        table.add_column(heading, no_wrap=heading != "meaning")
    for field in fields:
        table.add_row(field["name"], *_values(field, presets), _meaning(field))
    out.print(table)
    out.print("\nset them with: dreamctl run TASK --preset PRESET --set key=value --set method=planet")


def _page(choices: dict[str, Any], fields: list[dict[str, Any]]) -> str:
    """The page docs/config.md."""
    lines = ["# Methods, objectives, presets and config fields", ""]
    lines += ["This page is the output of `dreamctl methods --markdown`; a test keeps it up to date.", ""]
    for kind, named in choices.items():
        lines += [f"## {kind.capitalize()}", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {entry.help}{_changes(kind, entry)} |" for name, entry in named.items()]
        lines.append("")
    presets = list(choices["presets"])
    lines += ["## Config fields", "", "A blank means: as in `paper`. What a method sets overrides the preset.", ""]
    lines += ["| field | " + " | ".join(presets) + " | meaning |", "|---" * (len(presets) + 2) + "|"]
    for field in fields:
        lines.append(f"| `{field['name']}` | {' | '.join(_values(field, presets))} | {_meaning(field)} |")
    return "\n".join(lines)


def _changes(kind: str, entry: Any) -> str:
    if kind == "presets" or not entry.values:
        return ""
    return "; sets " + ", ".join(f"`{key}={value}`" for key, value in entry.values.items())


def _values(field: dict[str, Any], presets: list[str]) -> list[str]:
    """A field's value in each preset, blank where it is that of `paper`."""
    values = field["presets"]
    return [str(values[p]) if p == presets[0] or values[p] != values[presets[0]] else "" for p in presets]


def _meaning(field: dict[str, Any]) -> str:
    notes = [", ".join(map(str, field["choices"])), field["unit"], field["source"]]
    text = "; ".join(note for note in notes if note)
    return field["help"] + (f" ({text})" if text else "")
