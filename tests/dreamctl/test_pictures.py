"""Videos and predictions, read back pixel by pixel."""

import numpy as np
from PIL import Image, ImageSequence

from dreamctl.jobs import pictures


def images(count, size, seed):
    """Images of one grey each, which survive a GIF's palette."""
    greys = np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, size, size, 3)).copy()


def test_a_strip_shows_the_context_and_then_every_fifth_step(tmp_path):
    """Columns 1-5, a gap, then 6, 10, 15, ..., 50; the truth above the model (Figure 5)."""
    truth, model = images(50, 64, 0), images(50, 64, 1)
    pictures.save_strip(tmp_path / "a" / "strip.png", truth, model)
    strip = np.asarray(Image.open(tmp_path / "a" / "strip.png"))
    steps = [1, 2, 3, 4, 5, 6, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    scale = strip.shape[0] // 128
    assert strip.shape == (scale * 128, scale * (15 * 64 + 16), 3)
    for column, step in enumerate(steps):
        x = scale * (column * 64 + 32 + (16 if column >= 5 else 0))
        assert (strip[scale * 32, x] == truth[step - 1, 0, 0]).all(), step
        assert (strip[scale * 96, x] == model[step - 1, 0, 0]).all(), step
    assert (strip[:, scale * (5 * 64 + 8)] == 255).all()


def test_a_strip_of_a_short_episode_has_the_steps_that_there_are(tmp_path):
    pictures.save_strip(tmp_path / "strip.png", images(11, 32, 0), images(11, 32, 1))
    width, height = Image.open(tmp_path / "strip.png").size
    assert width * 64 == height * (7 * 32 + 8)  # 1-5, gap, 6, 10


def test_a_prediction_is_truth_model_and_difference(tmp_path):
    truth, model = images(8, 32, 0), images(8, 32, 1)
    pictures.save_prediction(tmp_path / "p.gif", truth, model)
    frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(Image.open(tmp_path / "p.gif"))]
    assert len(frames) == 8 and frames[0].shape == (128, 384, 3)
    for frame, one, two in zip(frames, truth, model, strict=True):
        expected = [int(one[0, 0, 0]), int(two[0, 0, 0]), (int(two[0, 0, 0]) - int(one[0, 0, 0])) // 2 + 128]
        assert np.abs(frame[64, [64, 192, 320], 0].astype(int) - expected).max() <= 2


def test_a_long_episode_is_thinned(tmp_path):
    pictures.save_gif(tmp_path / "v.gif", images(501, 32, 0))
    assert len(list(ImageSequence.Iterator(Image.open(tmp_path / "v.gif")))) <= 125
