"""Drawing figures by name, into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dreamctl.results.cells import Choice
from dreamctl.results.figures import paper, pictures
from dreamctl.store import Store

FORMATS = ("png", "pdf", "svg")


def draw(store: Store, name: str, choice: Choice, folder: Path, formats: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Draw a figure of the paper into FOLDER/NAME.*; returns the files and remarks. Raises `BadInput`."""
    if name == "figure2":
        drawn = pictures.observations()
    elif name == "figure5":
        drawn = pictures.predictions(store, choice)
    else:
        drawn = paper.draw(store, name, choice)
    return paper.save(drawn, folder / name, formats), drawn.notes


def draw_published(folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw what was published: Figure 6 and the curves of the released Dreamer."""
    return [path for name, make in paper.PUBLISHED.items() for path in paper.save(make(), folder / name, formats)]
