"""Pictures of a run: videos of episodes, and what the world model predicts of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_WIDTH = 128  # pixels of a video, at least
_FRAMES = 125  # of a video, at most
_STRIP = [1, 2, 3, 4, 5, 6, *range(10, 51, 5)]  # time steps of Figure 5, counted from 1: context, then open loop
_GAP = 5  # of those, how many are context


def save_gif(path: Path, images: np.ndarray) -> None:
    """An episode's images [T, S, S, 3] uint8 as a looping GIF, enlarged, with frames left out where there are many."""
    stride = -(-len(images) // _FRAMES)
    _save_gif(path, [_enlarged(image, _WIDTH) for image in images[::stride]])


def save_prediction(path: Path, truth: np.ndarray, model: np.ndarray) -> None:
    """A looping GIF of truth, model and their difference (grey: none) side by side; both [T, S, S, 3] uint8."""
    import numpy as np

    difference = ((model.astype(int) - truth) // 2 + 128).astype(np.uint8)
    frames = np.concatenate([truth, model, difference], axis=2)
    _save_gif(path, [_enlarged(frame, _WIDTH) for frame in frames])


def save_strip(path: Path, truth: np.ndarray, model: np.ndarray) -> None:
    """Figure 5 of one episode: rows truth and model; five images of context, a gap, then time steps 6, 10, 15, ..., 50.

    truth and model: [T, S, S, 3] uint8; time steps beyond T are left out.
    """
    import numpy as np

    steps = [step - 1 for step in _STRIP if step <= len(truth)]
    context, predicted = steps[:_GAP], steps[_GAP:]
    size = truth.shape[1]
    gap = np.full((2 * size, size // 4, 3), 255, np.uint8)

    def rows(chosen: Sequence[int]) -> np.ndarray:
        return np.concatenate([np.concatenate(list(images[chosen]), axis=1) for images in (truth, model)])

    _save(path, _enlarged(np.concatenate([rows(context), gap, rows(predicted)], axis=1), 2 * _WIDTH), "PNG")


def _enlarged(image: np.ndarray, height: int) -> Image.Image:
    """An image by a whole factor, so that it is `height` pixels high where that is more."""
    from PIL import Image

    factor = max(1, height // image.shape[0])
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST)


def _save_gif(path: Path, frames: list[Image.Image]) -> None:
    _save(path, frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40, loop=0, optimize=True)


def _save(path: Path, image: Image.Image, format: str, **options: Any) -> None:
    from agent import files

    whole = io.BytesIO()
    image.save(whole, format, **options)
    files.write(path, whole.getbuffer())
