"""The report of a home: what its runs say, on one page. Importing this loads nothing heavy.

It is written into HOME/report, that of one sweep (--sweep) into HOME/report/SWEEP. The mirror copies page and tables to
the run that stands for the sweep in MLflow; those of the whole home go to every sweep without a report of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dreamctl.results import figures

if TYPE_CHECKING:
    from dreamctl.store import Store

PAGE, MARKDOWN, TABLE, LATEX = "report.html", "report.md", "scores.csv", "scores.tex"


def folder(store: Store, sweep: str | None) -> Path:
    """Where the report is written unless told otherwise; that of the recorded runs into the user's own home."""
    return figures.folder(store, None).parent / "report" / (sweep or "")


def of_sweep(store: Store, sweep: str) -> list[Path]:
    """The files that were made of a sweep: figures, and the report."""
    found = [folder(store, name) for name in (sweep, None) if (folder(store, name) / PAGE).is_file()]
    report = [path for name in (PAGE, TABLE, LATEX) for path in [found[0] / name] if path.is_file()] if found else []
    return [*figures.of_sweep(store, sweep), *(path for path in report if not path.is_symlink())]
