"""Replay: alignment, durability, uniform sampling."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from agent import files
from agent.config import make
from agent.replay import DamagedEpisode, Episode, Replay, packed, unpacked
from agent.rollout import play

CONFIG = make(
    "smoke", dict(steps=60, episode_length=20, action_repeat=2, batch_size=400, batch_length=4, seed_episodes=1)
)
SIZE = CONFIG.image_size


class Counting:
    """A world whose image shows the time step and whose reward is 10 x step + the action it got."""

    def reset(self, seed):
        self.time, self.seed = 0, seed
        return self.image()

    def image(self):
        return np.full((SIZE, SIZE, 3), 20 * self.seed + self.time, np.uint8)

    def step(self, action):
        self.time += 1
        return self.image(), 10 * self.time + float(action[0]), self.time == CONFIG.decisions


def episode(seed: int) -> Episode:
    """Actions are (step at which they were chosen) / 100."""
    ticks = []
    world = Counting()
    played = play(world, lambda image: np.array([world.time / 100], np.float32), seed, 1, lambda: ticks.append(1))
    assert len(ticks) == CONFIG.decisions
    return played


@pytest.fixture
def replay(tmp_path):
    replay = Replay(tmp_path, CONFIG, 1, seed=0)
    for seed in range(3):
        replay.add(episode(seed))
    return replay


def test_an_observation_is_kept_with_the_action_that_led_to_it_and_its_reward():
    images, actions, rewards = episode(0)
    assert images.shape == (11, SIZE, SIZE, 3) and actions.shape == (11, 1) and rewards.shape == (11,)
    assert actions[0] == 0 and rewards[0] == 0  # the reset
    for t in range(1, 11):
        assert images[t, 0, 0, 0] == t
        assert actions[t, 0] == np.float32((t - 1) / 100)  # chosen when image t - 1 was seen
        assert rewards[t] == np.float32(10 * t + (t - 1) / 100)


def test_sampled_sequences_keep_the_alignment_and_never_cross_episodes(replay):
    batch = replay.sample(0)
    assert batch.images.shape == (4, 400, SIZE, SIZE, 3) and batch.images.dtype == torch.uint8
    code = batch.images[..., 0, 0, 0].long()
    time, seed = code % 20, code // 20
    assert (seed == seed[0]).all()
    assert (time[1:] == time[:-1] + 1).all()
    first = time == 0
    chosen = torch.where(first, 0.0, (time - 1) / 100)
    torch.testing.assert_close(batch.actions[..., 0], chosen)
    torch.testing.assert_close(batch.rewards, torch.where(first, 0.0, 10 * time + chosen))


@pytest.mark.parametrize("travels", [False, True])
def test_batches_gathered_ahead_are_the_same(replay, travels):
    replay.travels = travels  # to a GPU; here the way is short
    found = list(replay.batches(range(3, 7)))
    assert len(found) == 4 and list(replay.batches(range(7, 7))) == []
    for index, batch in enumerate(found, 3):
        assert all(torch.equal(a, b) for a, b in zip(batch, replay.sample(index), strict=True))


def test_sampling_is_uniform_over_all_places(replay):
    """3 episodes x 8 places: chi-square of 20,000 draws below the 99.9 % point of 23 degrees of freedom."""
    counts = torch.zeros(3, 8)
    for index in range(50):
        code = replay.sample(index).images[0, :, 0, 0, 0].long()
        counts.index_put_((code // 20, code % 20), torch.ones(400), accumulate=True)
    expected = 20_000 / 24
    assert ((counts - expected) ** 2 / expected).sum() < 49.7


def test_batches_are_keyed_by_the_update_and_differ(replay):
    again = replay.sample(7)
    assert all(torch.equal(a, b) for a, b in zip(replay.sample(7), again, strict=True))
    assert not torch.equal(replay.sample(8).rewards, again.rewards)


def test_episodes_come_back_from_disk(replay, tmp_path):
    other = Replay(tmp_path, CONFIG, 1, seed=0)
    other.load(3)
    assert all(torch.equal(a, b) for a, b in zip(replay.sample(1), other.sample(1), strict=True))


def _cut(content):
    return packed(Episode(*(part[:1] for part in unpacked(content, "x"))))


def _changed(content):
    images, actions, rewards = unpacked(content, "x")
    return packed(Episode(images, actions, rewards + 1))


DAMAGES = {
    "flipped": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "short": lambda content: content[:-40],
    "empty": lambda content: b"",
    "cut to a row": _cut,
    "other rewards": _changed,
}


@pytest.mark.parametrize("known", [True, False], ids=["digest on record", "older checkpoint"])
@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
def test_a_damaged_episode_is_noticed_and_named(replay, tmp_path, damage, known):
    """What is another whole episode is noticed where its digest is on record."""
    path = tmp_path / "000001.npz"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    other = Replay(tmp_path, CONFIG, 1, seed=0)
    if damage == "other rewards" and not known:
        return other.load(3)
    with pytest.raises(DamagedEpisode, match="000001.npz is (damaged|missing)"):
        other.load(3, replay.digests if known else ())


def test_a_damaged_episode_that_can_be_played_again_is_only_kept_when_it_is_the_same(replay, tmp_path, capsys):
    path = tmp_path / "000001.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedEpisode):
        Replay(tmp_path, CONFIG, 1, seed=0).load(3, replay.digests, lambda index: episode(0))
    assert path.read_bytes() == whole[:-1]
    other = Replay(tmp_path, CONFIG, 1, seed=0)
    other.load(3, replay.digests, episode)
    assert path.read_bytes() == whole and other.digests == replay.digests
    assert "000001.npz was damaged: played again" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tmp"))


def test_memory_per_environment_step_is_as_documented(tmp_path):
    config = make("paper")
    replay = Replay(tmp_path, config, 6, seed=0)  # reserved, not touched
    stores = (replay.images, replay.actions, replay.rewards)
    size = sum(store.numel() * store.element_size() for store in stores)
    assert replay.images.numel() / config.steps == pytest.approx(64 * 64 * 3 / 2, rel=0.01)
    assert size < 24 * 2**30


def test_a_file_is_durable_under_its_name_before_it_counts(tmp_path, monkeypatch):
    """Its content before it gets its name, the folder with the name afterwards."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    files.write(tmp_path / "x.pt", b"content")
    assert [Path(path).suffix for path in synced] == [".tmp", ""] and synced[1] == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_two_writers_of_one_file_do_not_mix(tmp_path, monkeypatch):
    """A worker that was thought dead and its successor: the second begins and ends while the first writes."""
    sync, begun = os.fsync, []

    def other(handle):
        if not begun:
            begun.append(handle)
            files.write(tmp_path / "x.pt", b"other")
        sync(handle)

    monkeypatch.setattr(os, "fsync", other)
    files.write(tmp_path / "x.pt", b"a longer first")
    assert (tmp_path / "x.pt").read_bytes() == b"a longer first" and begun
    (tmp_path / "y.pt.0123abcd.tmp").touch()  # of a writer that was killed
    files.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]
