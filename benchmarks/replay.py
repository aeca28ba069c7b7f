"""What a batch costs: `python -m benchmarks.replay [--preset paper] [--episodes 400] [--device cuda:0] [--json]`.

Milliseconds until a batch is on the device, and of writing an episode to disk; medians. The images are noise, which
does not compress: real episodes take less time to write.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from agent.config import make
from agent.replay import Episode, Replay
from benchmarks.machine import available, describe

ACTIONS = 6


def measure(preset: str, episodes: int, device: str, repeat: int) -> dict[str, float]:
    """Median milliseconds of adding an episode and of sampling."""
    config = make(preset, {"steps": episodes * 1000})
    rng = np.random.default_rng(0)
    shape, size = (config.decisions + 1,), config.image_size
    images = rng.integers(256, size=(*shape, size, size, 3), dtype=np.uint8)
    actions, rewards = rng.uniform(-1, 1, (*shape, ACTIONS)), rng.uniform(size=shape)
    episode = Episode(images, actions.astype(np.float32), rewards.astype(np.float32))
    times: dict[str, list[float]] = {"add": [], "sample": []}
    with tempfile.TemporaryDirectory() as folder:
        replay = Replay(Path(folder), config, ACTIONS, 0, device)
        for index in range(episodes):
            start = time.perf_counter()
            if index < repeat:
                replay.add(episode)
                times["add"].append(time.perf_counter() - start)
            else:
                replay._remember(episode, "")
        for index in range(repeat):
            start = time.perf_counter()
            replay.sample(index).rewards.sum().item()  # waits for the device
            times["sample"].append(time.perf_counter() - start)
        place = str(replay.images.device)
    found = {name: 1000 * statistics.median(values) for name, values in times.items()}
    return found | {"images_gib": replay.images.numel() / 2**30, "on_device": place != "cpu"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--device", type=available, default="auto")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    found = measure(arguments.preset, arguments.episodes, device, arguments.repeat)
    if arguments.json:
        print(json.dumps({"machine": describe(device), **found}, indent=2))
        return
    print(describe(device))
    print(f"{arguments.preset}, {arguments.episodes} episodes, {found['images_gib']:.1f} GiB of images")
    print(f"a batch on the device {found['sample']:8.2f} ms\nan episode added      {found['add']:8.2f} ms")


if __name__ == "__main__":
    main()
