"""The paper's figures that are pictures: 2 (observations of tasks) and 5 (open-loop predictions)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamctl.errors import BadInput
from dreamctl.results.cells import Choice, only_preset, that_fit
from dreamctl.results.figures import style
from dreamctl.results.figures.paper import Drawn
from dreamctl.store import Run, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OBSERVED = ("ball_in_cup_catch", "acrobot_swingup", "hopper_hop", "walker_run", "quadruped_run")
_NAMES = ("Cup", "Acrobot", "Hopper", "Walker", "Quadruped")
_PREDICTED = ("hopper", "walker")  # domains of Figure 5
_STEPS = (1, 2, 3, 4, 5, 6, *range(10, 51, 5))


def observations() -> Drawn:
    """Figure 2: what the agent sees of five domains, 64x64, a few steps into an episode."""
    from matplotlib.figure import Figure

    from agent.config import make
    from agent.environment import Environment
    from agent.tasks import get

    style.apply()
    figure = Figure(figsize=(style.WIDTH, 1.25), layout="constrained")
    for axis, task, name in zip(figure.subplots(1, len(OBSERVED)), OBSERVED, _NAMES, strict=True):
        environment = Environment(get(task), make("paper"))
        image = environment.reset(0)
        rng = np.random.default_rng(0)
        for _ in range(10):
            image, _, _ = environment.step(rng.uniform(-1, 1, environment.action_size))
        axis.imshow(image, interpolation="nearest")
        axis.set_title(name)
        axis.set_axis_off()
    rows = list(zip(OBSERVED, _NAMES, strict=True))
    return Drawn(figure, ("task", "title"), rows, [])


def predictions(store: Store, choice: Choice) -> Drawn:
    """Figure 5: for a hopper and a walker run (or those of the chosen tasks), truth and open-loop prediction.

    From the newest run of each that stored a prediction; its latest one. Raises `BadInput` when there is none, and for
    runs of several presets.
    """
    found = [(run, path) for run in _runs(store, choice) if (path := _latest_strip(store, run)) is not None]
    only_preset([run for run, _ in found])
    chosen: dict[str, tuple[Run, Path]] = {}
    for run, path in found:  # oldest first
        chosen[run.task if choice.tasks else run.task.split("_")[0]] = (run, path)
    if not chosen:
        what = ", ".join(choice.tasks or _PREDICTED)
        raise BadInput(f"no stored run of {what} has a prediction: dreamctl run walker_walk, or --tasks with others")
    shown = [chosen[key] for key in sorted(chosen)]
    figure = _strips([path for _, path in shown])
    notes = []
    if not choice.tasks:
        missing = [domain for domain in _PREDICTED if domain not in chosen]
        notes = [f"no stored run of {domain} has a prediction: dreamctl run {domain}_stand" for domain in missing]
    rows = [(run.name, run.task, int(path.stem)) for run, path in shown]
    return Drawn(figure, ("run", "task", "env_steps"), rows, notes)


def _runs(store: Store, choice: Choice) -> list[Run]:
    runs = store.runs() if choice.sweep is None else store.members(store.find_sweep(choice.sweep).id)
    fit = sorted(that_fit(runs, choice), key=lambda run: run.created_at)
    return [run for run in fit if choice.tasks or run.task.split("_")[0] in _PREDICTED]


def _latest_strip(store: Store, run: Run) -> Path | None:
    """The latest strip that a run has stored; it is named by its environment steps."""
    paths = [store.file(run.id, a.path) for a in store.artifacts(run.id) if a.kind == "strip"]
    paths = sorted(path for path in paths if path.is_file())
    return paths[-1] if paths else None


def _strips(shown: list[Path]) -> Figure:
    from matplotlib.figure import Figure
    from PIL import Image

    style.apply()
    figure = Figure(figsize=(style.WIDTH, 0.3 + 0.85 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False).flat
    for index, (axis, path) in enumerate(zip(axes, shown, strict=True)):
        strip = np.asarray(Image.open(path).convert("RGB"))
        axis.imshow(strip, interpolation="nearest")
        height, width = strip.shape[:2]
        side = height / 2
        gap = width - side * (width // side)
        columns = int(width // side)
        centres = [side * (c + 0.5) + (gap if c >= 5 else 0) for c in range(columns)]
        labels: list[Any] = [str(step) for step in _STEPS[:columns]] if index == len(shown) - 1 else []
        axis.set_xticks(centres if labels else [], labels)
        axis.set_yticks([side / 2, 1.5 * side], ["True", "Model"])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return figure
