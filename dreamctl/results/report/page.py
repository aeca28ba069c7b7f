"""A report as files: one HTML page with everything in it, the same as Markdown, tables as CSV and LaTeX."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamctl.errors import BadInput
from dreamctl.results.cells import Choice
from dreamctl.results.claims import Measure
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
        "measured": measured,
        "wanted": wanted,
        "embedded": lambda path: f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
        "beside": lambda path: path.relative_to(folder).as_posix(),
        "md": _markdown,
        "latex": tables.latex,
        "interval": tables.interval,
        "counted": counted,
    }
    return environment.get_template(template).render(report=report)


def measured(measure: Measure) -> str:
    """A measure's number with its interval."""
    found = measure.interval
    if measure.counts:
        sure = f"{found.low:.0f}" if found.low == found.high else f"{found.low:.0f} to {found.high:.0f}"
        return f"{found.estimate:.0f} of {len(measure.rows)} (surely {sure})"
    ends = [abs(end) for end in (*found, *measure.region) if abs(end) < float("inf")]
    return tables.interval(found, 2 if max(ends, default=0) < 10 else 0)


def wanted(measure: Measure) -> str:
    """The region of a measure that the claim speaks of."""
    low, high = (f"{end:.3g}" for end in measure.region)
    if measure.region[0] == measure.region[1]:
        return low
    return f"{low} or more" if high == "inf" else f"{low} to {high}"


def _markdown(value: Any) -> str:
    """Text that means nothing in Markdown."""
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|~" else letter for letter in text)
