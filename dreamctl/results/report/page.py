"""A report as files: one HTML page with everything in it, the same as Markdown, tables as CSV and LaTeX."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.results.answers import Answer, Number
from dreamctl.results.cells import Choice
from dreamctl.results.report import LATEX, MARKDOWN, PAGE, TABLE, content, tables
from dreamctl.results.report.content import Report
from dreamctl.store import Store
from dreamctl.wording import counted

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
    scores = [(part.preset, of) for part in report.parts for of in part.scores]
    paths = [folder / name for name in (PAGE, MARKDOWN, TABLE, LATEX)]
    try:
        paths[0].write_text(render(report, "page.html", folder))
        paths[1].write_text(render(report, "page.md", folder))
        tables.write_csv(paths[2], scores)
        paths[3].write_text("\n\n".join(tables.latex(of.table()) for _, of in scores) + "\n")
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
        "answered": answered,
        "measured": measured,
        "embedded": lambda path: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
        "beside": lambda path: path.relative_to(folder).as_posix(),
        "md": _markdown,
        "latex": tables.latex,
        "counted": counted,
    }
    return environment.get_template(template).render(report=report)


def answered(answer: Answer) -> str:
    """The number that decides, with its interval at the level that the answer has."""
    if answer.unit == "count" and answer.estimate is not None:
        low, high = answer.low or 0.0, answer.high or 0.0
        sure = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
        return f"{answer.estimate:.0f} (surely {sure})"
    return _between(answer.estimate, answer.low, answer.high)


def measured(number: Number) -> str:
    """A contrast with its interval."""
    return _between(number.estimate, number.low, number.high)


def _between(estimate: float | None, low: float | None, high: float | None) -> str:
    """12 [-3, 27]; without brackets where the ends are not known."""
    if estimate is None:
        return "not known"
    digits = 2 if max(abs(value) for value in (estimate, low or 0.0, high or 0.0)) < 10 else 0
    ends = "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{estimate:.{digits}f}{ends}"


def _markdown(value: Any) -> str:
    """Text that means nothing in Markdown."""
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|~" else letter for letter in text)
