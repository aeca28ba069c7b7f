"""Algorithm 1 end to end at small size: schedule, determinism, exact resumption, checkpoints."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from agent import checkpoints, dreamer, tasks, trained, training
from agent.config import INHERITED, METHODS, OBJECTIVES, make
from agent.divergence import Diverged
from agent.environment import Environment
from tests.agent.conftest import DEVICES

TASK = "cartpole_balance"  # rewards from the first step on, so that returns tell episodes apart
CONFIG = make(
    "smoke",
    dict(
        steps=240,
        episode_length=40,
        updates=3,
        pretrain_updates=2,
        eval_every=80,
        checkpoint_every=80,
        batch_length=5,
        slow_value_every=4,
    ),
)


class Recorder:
    """Keeps what it is told; stops at the n-th call of progress."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.calls: list[tuple[int, int]] = []
        self.values: dict[tuple[str, int], float] = {}
        self.evaluations: dict[int, tuple[list[float], bool]] = {}
        self.files: list = []
        self.predictions: list[int] = []

    def progress(self, env_steps, updates):
        self.calls.append((env_steps, updates))
        if len(self.calls) == self.stop_at:
            raise training.Stop

    def scalars(self, env_steps, values):
        self.values |= {(name, env_steps): value for name, value in values.items() if not name.startswith("time/")}

    def evaluation(self, env_steps, returns, video, final):
        assert video.shape == (CONFIG.decisions + 1, 32, 32, 3) and video.dtype == np.uint8
        self.evaluations[env_steps] = (returns, final)

    def prediction(self, env_steps, truth, model):
        assert truth.shape == model.shape == (CONFIG.decisions + 1, 32, 32, 3) and model.dtype == np.uint8
        self.predictions.append(env_steps)

    def checkpoint(self, env_steps, updates, path):
        self.files.append(path)


def train(folder, recorder, resume=None, config=CONFIG, device="cpu"):
    return training.train(TASK, config, 5, folder, recorder, device, resume)


def parameters(path):
    return checkpoints.load(path)["agent"]


def assert_same(one, two):
    """Nested state, bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    recorder = Recorder()
    assert train(tmp_path_factory.mktemp("whole"), recorder) == "finished"
    return recorder


def test_schedule_of_algorithm_1(whole):
    """2 seed episodes, then C updates (2 more before the first) and one episode, in turn; steps count the repeat."""
    episodes = [step for name, step in whole.values if name == "train/return"]
    assert episodes == [40, 80, 120, 160, 200, 240]
    assert [whole.values["train/updates", step] for step in episodes] == [0, 0, 5, 8, 11, 14]
    assert [step for step, _ in whole.calls[:20]] == list(range(4, 81, 4))  # within the seed episodes, too
    assert whole.calls[-1] == (240, 14) and max(step for step, _ in whole.calls) == 240
    assert {step: (len(returns), final) for step, (returns, final) in whole.evaluations.items()} == {
        80: (1, False),
        160: (1, False),
        240: (2, True),
    }
    assert [path.name for path in whole.files] == ["0000000080-0.pt", "0000000160-8.pt", "0000000240-14.pt"]


def test_every_update_draws_its_own_batch(monkeypatch, tmp_path):
    from agent.replay import Replay

    drawn, plain = [], Replay._gathered
    monkeypatch.setattr(Replay, "_gathered", lambda self, index: drawn.append(index) or plain(self, index))
    train(tmp_path, Recorder())
    assert drawn == list(range(14))


def test_the_same_config_gives_the_same_run(whole, tmp_path):
    recorder = Recorder()
    train(tmp_path, recorder)
    assert recorder.values == whole.values and recorder.evaluations == whole.evaluations
    assert_same(parameters(recorder.files[-1]), parameters(whole.files[-1]))


# while a seed episode is played, between updates, in an episode, in an evaluation, in the final evaluation
@pytest.mark.parametrize("stop_at", [7, 34, 52, 70, 100])
def test_a_resumed_run_ends_bit_identical(whole, tmp_path, stop_at):
    first, second = Recorder(stop_at), Recorder()
    assert train(tmp_path, first) == "stopped"
    assert train(tmp_path, second, resume=first.files[-1]) == "finished"
    assert_same(parameters((first.files + second.files)[-1]), parameters(whole.files[-1]))
    assert first.values | second.values == whole.values
    assert first.evaluations | second.evaluations == whole.evaluations
    assert sorted({*first.predictions, *second.predictions}) == whole.predictions == [80, 160, 240]


def test_a_killed_run_goes_on_from_an_older_checkpoint(whole, tmp_path):
    """Episodes newer than the checkpoint are on disk (as after kill -9): they are played again, identically."""
    first, second = Recorder(stop_at=len(whole.calls) - 3), Recorder()
    train(tmp_path, first)
    assert first.files[0].name == "0000000080-0.pt" and (tmp_path / "episodes" / "000004.npz").exists()
    train(tmp_path, second, resume=first.files[0])
    assert_same(parameters(second.files[-1]), parameters(whole.files[-1]))
    assert Counter(path.name for path in second.files)["0000000240-14.pt"] == 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_every_objective(tmp_path, method, objective, device):
    """Trains, predicts, evaluates, checkpoints; resumed on the CPU it ends bit-identical."""
    changes = dict(CONFIG.to_dict(), steps=160) | METHODS[method].values | dict(method=method, objective=objective)
    config = make("smoke", changes)
    once, first, second = Recorder(), Recorder(stop_at=48), Recorder()
    assert train(tmp_path / "once", once, None, config, device) == "finished"
    assert once.evaluations.keys() == {80, 160} and len(once.files) == 2
    assert once.predictions == ([80, 160] if objective == "reconstruction" else [])
    assert {name for name, _ in once.values} >= {"train/return", "eval/return", "model/kl", "model/reward_loss"}
    agent = dreamer.Dreamer(config, 1, 0, device)
    agent.load_state_dict(checkpoints.load(once.files[-1], device)["agent"])
    played = trained.evaluation_episode(agent, Environment(tasks.get(TASK), config), 9, 0)
    assert trained.evaluate(once.files[-1], TASK, 1, 9, device)[0] == [pytest.approx(played.score)] and played.score > 1
    assert train(tmp_path / "twice", first, None, config, device) == "stopped"
    assert train(tmp_path / "twice", second, first.files[-1], config, device) == "finished"
    assert first.evaluations.keys() | second.evaluations.keys() == once.evaluations.keys()
    if device == "cpu":
        assert_same(parameters(second.files[-1]), parameters(once.files[-1]))
        assert first.values | second.values == once.values
        assert first.evaluations | second.evaluations == once.evaluations


def test_metrics_are_means_also_where_an_update_overwrites_what_the_last_one_returned(whole, tmp_path, monkeypatch):
    """As a CUDA graph does."""

    each = []

    class Overwriting(dreamer.Captured):
        def __call__(self, *arguments):
            found = super().__call__(*arguments)
            each.append({name: value.item() for name, value in found.items()})
            mine = self.__dict__.setdefault("mine", {name: value.clone() for name, value in found.items()})
            for name, value in found.items():
                mine[name].copy_(value)
            return mine

    monkeypatch.setattr(dreamer, "Captured", Overwriting)
    recorder = Recorder()
    train(tmp_path, recorder)
    assert recorder.values == whole.values
    for env_steps, updates in ((120, slice(0, 5)), (160, slice(5, 8))):
        for name in each[0]:
            mean = np.mean([metrics[name] for metrics in each[updates]])
            assert recorder.values[name, env_steps] == pytest.approx(mean, rel=1e-5), name


def test_an_optimiser_takes_on_what_torchs_adam_has_kept_and_goes_on_like_it():
    """In place, as a CUDA graph reads it; from the state of torch.optim.Adam, which older checkpoints hold."""
    start, gradients = torch.randn(3, 4), torch.randn(3, 3, 4)
    theirs, ours = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam = torch.optim.Adam([theirs], 0.1, eps=CONFIG.adam_epsilon, fused=True)
    optimizer = dreamer.Optimizer([ours], 0.1, CONFIG)
    held = [*optimizer.steps, *optimizer.means, *optimizer.squares]

    def step(gradient):
        theirs.grad = gradient.clone()
        adam.step()

    for gradient in gradients[:2]:
        step(gradient)
    ours.data.copy_(theirs)
    optimizer.load_state_dict(adam.state_dict())
    now = [*optimizer.steps, *optimizer.means, *optimizer.squares]
    assert all(one is two for one, two in zip(held, now, strict=True))
    step(gradients[2])
    optimizer.step((ours * gradients[2]).sum())
    assert torch.equal(ours, theirs) and optimizer.steps[0] == 3
    assert_same(optimizer.state_dict()["state"][0], adam.state_dict()["state"][0])


def test_a_longer_run_goes_on_where_the_shorter_one_ended(whole, tmp_path):
    first, second = Recorder(), Recorder()
    train(tmp_path, first, config=dataclasses.replace(CONFIG, steps=160))
    train(tmp_path, second, first.files[-1])
    assert_same(parameters(second.files[-1]), parameters(whole.files[-1]))


def test_another_runs_checkpoint_is_refused(whole, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match="seed differs"):
        training.train(TASK, CONFIG, 6, tmp_path, Recorder(), resume=whole.files[-1])


OTHERWISE = dict(  # another value of each field that a fork may change
    **dict(steps=120, exploration_noise=0.1, explore_from="sample", evaluate_from="best", batch_size=3, batch_length=4),
    **dict(eval_every=40, eval_episodes=2, final_episodes=1, checkpoint_every=40, kl_scale=0.5, free_nats=1.0),
    **dict(free_nats_per="mean", model_lr=0.5, horizon=3, returns="n_step", n_step=2, discount=0.9, return_lambda=0.8),
    **dict(discount_weights=True, value_lr=0.25, action_lr=0.125, candidates=10, elites=3, iterations=1),
    **dict(precision="bfloat16", gradient_clip=1.0, adam_epsilon=1e-3),
)


def forked(whole, folder, seed=5, **changes):
    """A fork of `whole` from its first checkpoint, in its folder's copy."""
    shutil.copytree(whole.files[0].parents[1] / "episodes", folder / "episodes")
    recorder = Recorder()
    config = dataclasses.replace(CONFIG, **changes)
    training.train(TASK, config, seed, folder, recorder, resume=whole.files[0], fork=True)
    return recorder


def test_a_fork_may_change_every_field_that_it_does_not_inherit(whole, tmp_path):
    assert OTHERWISE.keys() | set(INHERITED) == {f.name for f in dataclasses.fields(CONFIG)}
    assert not OTHERWISE.keys() & set(INHERITED)
    forked(whole, tmp_path, seed=6, **OTHERWISE)
    found = checkpoints.load(tmp_path / "checkpoints" / "0000000120-5.pt")
    assert (found["seed"], found["config"]) == (6, dataclasses.replace(CONFIG, **OTHERWISE))


def test_a_fork_that_changes_nothing_ends_as_its_parent_and_another_seed_goes_elsewhere(whole, tmp_path):
    assert_same(parameters(forked(whole, tmp_path / "same").files[-1]), parameters(whole.files[-1]))
    other = forked(whole, tmp_path / "other", seed=6)
    assert other.values["train/return", 120] != whole.values["train/return", 120]


def test_a_fork_keeps_what_it_inherits(whole, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match="its units differs"):
        forked(whole, tmp_path, units=3)


def test_damaged_and_absent_checkpoints_are_named(whole, tmp_path):
    damaged = tmp_path / "x.pt"
    damaged.write_bytes(whole.files[-1].read_bytes()[:1000])
    with pytest.raises(checkpoints.CheckpointError, match="x.pt is damaged"):
        trained.evaluate(damaged, TASK, 1, 0)
    with pytest.raises(checkpoints.CheckpointError, match="no checkpoint"):
        trained.evaluate(tmp_path / "none.pt", TASK, 1, 0)


FOREIGN = {
    "no agent": lambda content: content.pop("agent"),
    "no count": lambda content: content.pop("updates"),
    "another config": lambda content: content["config"].update(units=33),
    "no parameters": lambda content: content["agent"].update(world_model={}),
    "a list": lambda content: content["agent"].update(world_model=[1]),
    "no optimiser": lambda content: content["agent"].pop("optimizers"),
    "other moments": lambda content: content["agent"]["optimizers"]["model"].update(state={99: {}}),
    "another task": lambda content: content.update(task="walker_walk"),
    "code": lambda content: content.update(task="evil:make"),
}


@pytest.mark.parametrize("change", FOREIGN)
def test_a_foreign_checkpoint_is_refused_by_name_and_runs_no_code(whole, tmp_path, monkeypatch, change):
    """Also where its SHA-256 is on record: both came from the same stranger."""
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = torch.load(whole.files[-1], weights_only=True)
    FOREIGN[change](content)
    torch.save(content, tmp_path / "x.pt")
    shutil.copytree(whole.files[0].parents[1] / "episodes", tmp_path / "episodes")
    for use in (
        lambda: trained.evaluate(tmp_path / "x.pt", TASK, 1, 0),
        lambda: train(tmp_path, Recorder(), tmp_path / "x.pt", dataclasses.replace(CONFIG, steps=280)),
    ):
        with pytest.raises(checkpoints.CheckpointError, match=r"x.pt (cannot be used|belongs to another run)"):
            use()
    assert not (tmp_path / "ran").exists()


def test_evaluation_of_a_checkpoint_is_repeatable(whole):
    seen = []
    returns, video = trained.evaluate(
        whole.files[-1], TASK, 2, 9, video=True, progress=lambda i, r: seen.append((i, r))
    )
    assert seen == list(enumerate(returns)) and video.shape == (CONFIG.decisions + 1, 32, 32, 3)
    assert trained.evaluate(whole.files[-1], TASK, 2, 9) == (returns, None)


def test_a_loss_that_is_not_finite_fails_the_run(tmp_path):
    config = make("smoke", dict(steps=120, episode_length=40, updates=3, batch_length=5, model_lr=1e30))
    with pytest.raises(Diverged, match=r"is (nan|inf) after \d+ updates, \d+ env steps"):
        training.train(TASK, config, 0, tmp_path, Recorder())


def test_an_untrained_agent_is_the_same_in_every_process():
    """Parameters come from the seed alone, whatever the process drew before."""
    code = (
        "import torch; torch.manual_seed(1); torch.randn(3)\n"
        "from agent.config import make; from agent.dreamer import Dreamer\n"
        "print(Dreamer(make('smoke'), 1, 4).vector().double().sum().item())"
    )
    # orthogonal weights depend on the number of threads in their last digits
    env = dict(os.environ, OMP_NUM_THREADS=str(torch.get_num_threads()))
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    torch.manual_seed(2)
    assert float(there) == dreamer.Dreamer(make("smoke"), 1, 4).vector().double().sum().item()
