"""Experience (the data set D of Algorithm 1): episodes durable on disk, sequences sampled uniformly from memory.

An episode holds T + 1 observations, T decisions: with image o_t the action that led to it and the reward that came
with it, zeros at the reset. Memory per environment step: image_size^2 * 3 / action_repeat bytes, so 6,144 bytes at
64x64 and action repeat 2: 2e6 environment steps take 11.4 GiB. The whole room is reserved at once but the system
hands pages out only as episodes arrive.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from agent import files, seeds
from agent.config import Config
from agent.patience import patiently
from agent.world_model import Batch


class Episode(NamedTuple):
    """images: [T + 1, S, S, 3] uint8; actions: [T + 1, A] float32; rewards: [T + 1] float32."""

    images: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray

    @property
    def score(self) -> float:
        """The undiscounted return."""
        return float(self.rewards.sum(dtype=np.float64))


class DamagedEpisode(ValueError):
    """An episode's file is not what was written, or is gone; the message is one line."""


class Replay:
    """Episodes of one run, all of one length, in `folder` and in memory, the GPU's where they fit."""

    def __init__(self, folder: Path, config: Config, action_size: int, seed: int, device: str = "cpu") -> None:
        self.folder, self.config, self.seed, self.device = folder, config, seed, device
        capacity = -(-config.steps // config.episode_length)
        length, size = config.decisions + 1, config.image_size
        place = _place(device, capacity * length * size * size * 3)
        self.images = torch.empty(capacity, length, size, size, 3, dtype=torch.uint8, device=place)
        self.actions = torch.empty(capacity, length, action_size, device=place)
        self.rewards = torch.empty(capacity, length, device=place)
        self.travels = place != device  # whether batches go from the host's memory to a GPU
        self.episodes = 0
        self.digests: list[str] = []  # SHA-256 of their files
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, episode: Episode) -> None:
        """Keep an episode: on disk first, durably, then in memory."""
        content = packed(episode)
        files.write(self._path(self.episodes), content)
        self._remember(episode, sha256(content).hexdigest())

    def load(
        self, count: int, digests: Sequence[str] = (), again: Callable[[int], Episode | None] = lambda index: None
    ) -> None:
        """Read the first `count` episodes back from disk (of a run that goes on).

        digests: SHA-256 of their files, as far as recorded. A damaged episode is requested from `again` by number, and
        kept if its digest matches. Raises `DamagedEpisode`. A disk that does not answer is no damage: it is waited for,
        then `OSError`.
        """
        for index in range(self.episodes, count):
            digest = digests[index] if index < len(digests) else None
            try:
                content = patiently(self._path(index).read_bytes)
                if digest is not None and sha256(content).hexdigest() != digest:
                    raise DamagedEpisode(f"episode {self._path(index)} is damaged (its SHA-256 differs)")
                self._remember(unpacked(content, self._path(index)), sha256(content).hexdigest())
            except (DamagedEpisode, FileNotFoundError) as error:
                episode = again(index)
                if episode is None or sha256(packed(episode)).hexdigest() != digest:
                    if isinstance(error, DamagedEpisode):
                        raise
                    raise DamagedEpisode(f"episode {self._path(index)} is missing") from error
                self.add(episode)
                print(f"warning: episode {self._path(index)} was damaged: played again", file=sys.stderr, flush=True)

    def sample(self, index: int) -> Batch:
        """The batch of update number `index`: B sequences of L steps, uniform over all places that hold one."""
        return self._moved(self._gathered(index))

    def batches(self, indices: range) -> Iterator[Batch]:
        """`sample` of each; where images travel to a GPU, the next batch is gathered while one is used.

        No episode may come in while there are some left to take.
        """
        if not self.travels:
            yield from map(self.sample, indices)
            return
        with ThreadPoolExecutor(1) as beside:
            coming: Future[Batch] | None = None
            for index in indices:
                batch = coming.result() if coming else self._gathered(index)
                coming = beside.submit(self._gathered, index + 1) if index + 1 in indices else None
                yield self._moved(batch)

    def _gathered(self, index: int) -> Batch:
        """The batch of update number `index` where the images are; pinned if it is to travel to a GPU."""
        config = self.config
        rng = seeds.numpy_generator(self.seed, "replay", index)
        episodes = rng.integers(self.episodes, size=config.batch_size)
        starts = rng.integers(config.decisions + 2 - config.batch_length, size=config.batch_size)
        place = self.images.device  # not blocking: a GPU still works on the last update
        rows = torch.from_numpy(episodes).to(place, non_blocking=True)[None, :]
        first = torch.from_numpy(starts).to(place, non_blocking=True)[None, :]
        steps = first + torch.arange(config.batch_length, device=place)[:, None]
        batch = Batch(self.images[rows, steps], self.actions[rows, steps], self.rewards[rows, steps])
        return Batch(*(part.pin_memory() for part in batch)) if self.travels and torch.cuda.is_available() else batch

    def _moved(self, batch: Batch) -> Batch:
        return Batch(*(part.to(self.device, non_blocking=True) for part in batch))

    def _remember(self, episode: Episode, digest: str) -> None:
        stores = (self.images, self.actions, self.rewards)
        for store, part, name in zip(stores, episode, Episode._fields, strict=True):
            if part.shape != store.shape[1:]:
                wrong = f"{name} of shape {part.shape}, not {tuple(store.shape[1:])}"
                raise DamagedEpisode(f"episode {self._path(self.episodes)} is damaged: {wrong}")
            store[self.episodes] = torch.from_numpy(part)
        self.episodes += 1
        self.digests.append(digest)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"


def _place(device: str, size: int) -> str:
    """Where `size` bytes of images go: to the GPU when they take less than half of its free memory."""
    if device.startswith("cuda") and 2 * size < torch.cuda.mem_get_info(device)[0]:
        return device
    return "cpu"


def packed(episode: Episode) -> bytes:
    """An episode as the content of its file: the same episode gives the same bytes."""
    whole = io.BytesIO()
    np.savez_compressed(whole, **episode._asdict())
    return whole.getvalue()


def unpacked(content: bytes, path: Path) -> Episode:
    """Inverse of `packed`; `DamagedEpisode` names `path`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as data:
            return Episode(*(data[name] for name in Episode._fields))
    except Exception as error:  # what NumPy raises for damaged files is not documented
        raise DamagedEpisode(f"episode {path} is damaged ({type(error).__name__})") from error


def stack(steps: Iterator[tuple[np.ndarray, np.ndarray, float]]) -> Episode:
    """An episode from (image, action that led to it, reward that came with it), the reset first."""
    images, actions, rewards = zip(*steps, strict=True)
    return Episode(np.stack(images), np.stack(actions).astype(np.float32), np.array(rewards, np.float32))
