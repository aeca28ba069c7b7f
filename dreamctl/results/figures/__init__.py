"""Figures; each is named as in the paper. Importing this loads no plotting library.

They are drawn into HOME/figures, those of the runs of one sweep alone (--sweep) into HOME/figures/SWEEP. The mirror
copies them to the run that stands for the sweep in MLflow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamctl.store import Store

# name -> what it shows
FIGURES = {
    "figure2": "what the agent sees of five domains (needs no run)",
    "figure4": "final score over the imagination horizon",
    "figure5": "open-loop predictions of a hopper and a walker",
    "figure6": "final scores on all tasks as bars",
    "figure7": "learning curves of the methods on 8 tasks",
    "figure8": "learning curves of the objectives on 8 tasks",
    "figure9": "learning curves of the methods on all tasks",
    "figure10": "learning curves of the objectives on all tasks",
    "figure11": "learning curves of action repeat 1, 2 and 4",
}

# name -> the built-in sweep that it is drawn from
SWEEPS = {
    "figure4": "horizon",
    "figure6": "performance",
    "figure7": "behavior",
    "figure8": "representation",
    "figure9": "behavior",
    "figure10": "representation",
    "figure11": "action-repeat",
}


def folder(store: Store, sweep: str | None) -> Path:
    """Where figures are drawn unless told otherwise; those of the recorded runs into the user's own home."""
    from dreamctl.store.database import resolve_home
    from dreamctl.store.paths import inside

    home = resolve_home(None) if store.read_only else store.home
    return inside(home, f"figures/{sweep or ''}")


def of_sweep(store: Store, sweep: str) -> list[Path]:
    """The files of figures that were drawn from a sweep."""
    shared = [path for path in folder(store, None).glob("*") if drawn_from(path.stem, sweep)]
    own = [path for path in folder(store, sweep).glob("*") if path.is_file()]
    found = {path.name: path for path in shared + own if not path.is_symlink()}
    return sorted(found.values())  # of one figure that of the sweep alone


def drawn_from(figure: str, sweep: str) -> bool:
    """Whether a built-in sweep of that name is what a figure of the paper is drawn from."""
    return figure in SWEEPS and sweep in (SWEEPS[figure], "all")
