"""A report as files: one HTML page with everything in it, the same as Markdown, tables as CSV and LaTeX."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.results.cells import Choice
from dreamctl.results.report import LATEX, MARKDOWN, PAGE, TABLE, content, tables
from dreamctl.results.report.content import Report
from dreamctl.store import Store
from dreamctl.wording import asked, counted, estimated

_TEMPLATES = Path(__file__).parent / "templates"


def write(store: Store, choice: Choice, folder: Path, progress: Callable[[str], None]) -> tuple[Report, list[Path]]:
    """Write the report of the runs that fit the choice into a folder; returns it and its files.

    progress: called with what comes next. Raises `BadInput` when no run fits, and when files cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write into {folder} ({error.strerror}): choose another --out") from error
    report = content.gather(store, choice, folder, progress)
    progress("page")
    scores = [of for shown in report.shown for of in shown.scores]
    paths = [folder / name for name in (PAGE, MARKDOWN, TABLE, LATEX)]
    try:
        paths[0].write_text(render(report, "page.html", folder))
        paths[1].write_text(render(report, "page.md", folder))
        tables.write_csv(paths[2], scores)
        paths[3].write_text("\n\n".join(tables.latex(of.table()) for of in scores) + "\n")
    except OSError as error:
        raise BadInput(f"cannot write {error.filename} ({error.strerror}): choose another --out") from error
    return report, paths


def render(report: Report, template: str, folder: Path) -> str:
    """The text of a page. What runs, tasks and sweeps are called is data from strangers: it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "embedded": lambda path: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
        "beside": lambda path: path.relative_to(folder).as_posix(),
        "md": _markdown,
        "counted": counted,
        "estimated": estimated,
        "standing": standing,
    }
    return environment.get_template(template).render(report=report)


def standing(answer: Mapping[str, Any]) -> str:
    """What an answer rests on: its seeds, its look, when it was asked, what it waits for."""
    words = [counted(answer["seeds"], "seed")]
    words += [f"look {answer['look']} of {answer['looks']}"] if answer["looks"] > 1 else []
    registered = answer["registered_after"]
    words.append("not registered" if registered is None else asked(answer["version"], registered))
    words += [f"waits for {counted(answer['left'], 'run')}"] if answer["left"] else []
    floored = sorted({stratum for number in answer["numbers"] for stratum in number["floored"] if stratum})
    words += [f"nothing is learned on {', '.join(floored)}, which counts as no difference"] if floored else []
    return "; ".join([*words, *answer["notes"]])


def _markdown(value: Any) -> str:
    """Text that means nothing in Markdown."""
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|~" else letter for letter in text)
