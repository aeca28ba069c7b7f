"""Drawing figures by name, into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.config import nearest
from dreamctl.errors import BadInput
from dreamctl.results import published
from dreamctl.results.cells import Choice
from dreamctl.results.figures import FIGURES, paper, pictures
from dreamctl.store import Store


def draw(store: Store, name: str, choice: Choice, folder: Path, formats: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Draw a figure of the paper as FOLDER/NAME.*; returns the files and remarks. Raises `BadInput`."""
    drawn = make(store, name, choice)
    return paper.save(drawn, folder / name, formats), drawn.notes


def make(store: Store, name: str, choice: Choice) -> paper.Drawn:
    """A figure of the paper, with a table of its data and remarks. Raises `BadInput`."""
    if name not in FIGURES:
        raise BadInput(f"unknown figure {name!r}{nearest(name, FIGURES)}; figures: {', '.join(FIGURES)}")
    if name == "figure2":
        return pictures.observations()
    if name == "figure5":
        return pictures.predictions(store, choice)
    return paper.draw(store, name, choice)


def draw_published(folder: Path, formats: Sequence[str], version: str) -> dict[str, list[Path]]:
    """Draw published scores: Figure 6 and the curves of the released Dreamer; returns the files of each figure."""
    published.check(version)
    return {name: paper.save(make(version), folder / name, formats) for name, make in paper.PUBLISHED.items()}
