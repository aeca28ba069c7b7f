"""Behaviour learning: gradients against finite differences, and a latent world whose best action is known."""

import dataclasses
import types

import pytest
import torch

from agent.behavior import Behavior
from agent.dreamer import Dreamer, Optimizer
from agent.returns import lambda_return, n_step_return
from agent.rssm import State
from agent.world_model import WorldModel
from tests.agent.conftest import random_batch, small

ACTIONS = 2


@pytest.fixture
def imagination(float64):
    """A world model, a behaviour, start states and noise, all float64."""
    torch.manual_seed(0)
    config = small(slow_value_every=100)
    model = WorldModel(config, ACTIONS)
    behavior = Behavior(config, model.feature_size, ACTIONS)
    for parameter in behavior.slow_value.parameters():  # a slow copy that differs from the value model
        parameter.data += 0.1 * torch.randn_like(parameter)
    count, h = 4, config.horizon
    stochastic = torch.randn(count, config.stochastic)
    start = State(torch.randn(count, config.deterministic), stochastic, stochastic, torch.ones_like(stochastic))
    noise = torch.randn(h, count, config.stochastic), torch.randn(h, count, ACTIONS)
    return config, model, behavior, start, noise


def test_action_gradient_against_finite_differences(imagination):
    """Eq. 7's gradient, with the action model's inputs held fixed (they are detached: a documented choice)."""
    config, model, behavior, start, (state_noise, action_noise) = imagination
    imagined = behavior.imagine(model, start, state_noise, action_noise)
    parameters = list(behavior.action.parameters())
    loss = behavior.action_loss(behavior.returns(model, imagined.features).action)
    gradients = torch.autograd.grad(loss, parameters)
    inputs = imagined.features.detach()

    @torch.no_grad()
    def objective() -> float:
        """-mean V_lambda, rolled out by hand from actions chosen at the fixed inputs."""
        state, features = start, [start.features]
        for step in range(config.horizon):
            mean, std = behavior.action.gaussian(inputs[step])
            state = model.rssm.imagine_step(state, torch.tanh(mean + std * action_noise[step]), state_noise[step])
            features.append(state.features)
        rewards = torch.stack([model.reward(f) for f in features[:-1]])
        values = torch.stack([behavior.slow_value(f) for f in features])
        return -lambda_return(rewards, values, config.discount, config.return_lambda).mean().item()

    generator = torch.Generator().manual_seed(1)
    step = 1e-5
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=generator)
        parameter.data += step * direction
        above = objective()
        parameter.data -= 2 * step * direction
        below = objective()
        parameter.data += step * direction
        slope = (gradient * direction).sum().item()
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-9)
        assert slope != 0


@pytest.mark.parametrize("slow_value_every", [100, 0])
def test_value_gradient_against_finite_differences(imagination, slow_value_every):
    """Eq. 8: the targets do not move with the value model, though without a slow copy they are made by it."""
    config, model, behavior, start, noise = imagination
    behavior.slow_value = behavior.slow_value if slow_value_every else behavior.value
    features = behavior.imagine(model, start, *noise).features
    targets = behavior.returns(model, features).value
    parameters = list(behavior.value.parameters())
    gradients = torch.autograd.grad(behavior.value_loss(features, targets), parameters)
    fixed = targets.detach().clone()
    step = 1e-5
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn_like(parameter)
        losses = []
        for sign in (1, -1):
            parameter.data += sign * step * direction
            with torch.no_grad():
                losses.append((0.5 * (behavior.value(features[:-1]) - fixed) ** 2).mean().item())
            parameter.data -= sign * step * direction
        assert (gradient * direction).sum().item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


def test_targets_come_from_the_slow_value_model(imagination):
    config, model, behavior, start, noise = imagination
    features = behavior.imagine(model, start, *noise).features
    before = behavior.returns(model, features).action
    for parameter in behavior.value.parameters():
        parameter.data += 1.0
    torch.testing.assert_close(behavior.returns(model, features).action, before)
    behavior.copy_slow_value()
    assert not torch.allclose(behavior.returns(model, features).action, before)


@pytest.mark.parametrize("method", ["dreamer", "no_value"])
def test_each_estimate_of_section_3_can_be_maximised(imagination, method):
    """Eq. 4 as a plain sum over s_t .. s_{t+H}; Eqs. 5-6 by functions that test_returns.py holds to the equations."""
    config, model, behavior, start, noise = imagination
    features = behavior.imagine(model, start, *noise).features
    rewards, values = model.reward(features), behavior.slow_value(features)
    h, lambda_ = config.horizon, config.return_lambda
    expected = {
        "rewards": torch.stack([sum(rewards[n] for n in range(tau, h + 1)) for tau in range(h)]),
        "n_step": n_step_return(rewards[:-1], values, 2, config.discount),
        "lambda": lambda_return(rewards[:-1], values, config.discount, lambda_),
    }
    for returns, estimate in expected.items() if method == "dreamer" else [("rewards", expected["rewards"])]:
        other = Behavior(dataclasses.replace(config, method=method, returns=returns, n_step=2), 9, ACTIONS)
        other.load_state_dict(behavior.state_dict(), strict=method == "dreamer")
        got = other.returns(model, features)
        torch.testing.assert_close(got.action, estimate)
        if method == "dreamer":
            torch.testing.assert_close(got.value, expected["lambda"])


def test_no_value_has_no_value_model():
    agent = Dreamer(small(method="no_value", returns="rewards"), ACTIONS, seed=0)
    assert not any("value" in name for name, _ in agent.behavior.named_parameters())
    metrics = agent.update(random_batch(agent.config, ACTIONS), 0)
    assert set(agent.optimizers) == {"model", "action"} and not any("value" in name for name in metrics)


def test_planet_learns_no_behaviour():
    agent = Dreamer(small(method="planet", returns="rewards"), ACTIONS, seed=0)
    metrics = agent.update(random_batch(agent.config, ACTIONS), 0)
    assert agent.behavior is None and set(agent.optimizers) == {"model"}
    assert all(name.startswith("model/") for name in metrics)


def test_behaviour_losses_leave_the_world_model_alone():
    """After a full update the world model is, bit for bit, what the model loss alone makes of it."""
    config = small()
    full, alone = (Dreamer(config, ACTIONS, seed=3) for _ in range(2))
    batch = random_batch(config, ACTIONS)
    full.update(batch, 0)
    from agent import seeds

    generator = seeds.torch_generator("cpu", 3, "update", 0)
    noise = torch.randn(config.batch_length, config.batch_size, config.stochastic, generator=generator)
    loss, posterior, _ = alone.world_model.loss(batch, noise)
    alone.optimizers["model"].step(loss)
    for (name, one), two in zip(full.world_model.named_parameters(), alone.world_model.parameters(), strict=True):
        assert torch.equal(one, two), name
        assert torch.equal(one.grad, two.grad), name
    assert any(
        not torch.equal(a, b) for a, b in zip(full.behavior.parameters(), alone.behavior.parameters(), strict=True)
    )


def test_slow_value_is_copied_on_schedule():
    config = small(slow_value_every=2)
    agent = Dreamer(config, ACTIONS, seed=0)
    batch = random_batch(config, ACTIONS)

    def same():
        pairs = zip(agent.behavior.slow_value.parameters(), agent.behavior.value.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    agent.update(batch, 0)
    agent.update(batch, 1)
    assert not same()
    before = [p.clone() for p in agent.behavior.value.parameters()]
    agent.update(batch, 2)  # begins with the copy of what update 1 left
    copies = agent.behavior.slow_value.parameters()
    assert all(torch.equal(a, b) for a, b in zip(copies, before, strict=True))


def test_discount_weights_are_those_of_the_released_code():
    config = small(discount_weights=True, discount=0.9, horizon=3)
    behavior = Behavior(config, 9, ACTIONS)
    returns = torch.arange(6.0).reshape(3, 2)
    weights = torch.tensor([[1.0], [0.9], [0.81]])
    torch.testing.assert_close(behavior.action_loss(returns), -(weights * returns).mean())


def test_metrics_of_behaviour(imagination):
    config, model, behavior, start, noise = imagination
    imagined = behavior.imagine(model, start, *noise)
    returns = behavior.returns(model, imagined.features)
    metrics = behavior.metrics(imagined, returns)
    entropy = torch.distributions.Normal(torch.zeros_like(imagined.std), imagined.std).entropy().sum(-1).mean()
    assert metrics["action/entropy"].item() == pytest.approx(entropy.item())
    assert metrics["action/std"].item() == pytest.approx(imagined.std.mean().item())
    assert metrics["imagined/return"].item() == pytest.approx(returns.action.mean().item())


def test_mode_is_tanh_of_the_mean_and_the_initial_std_is_kept():
    config = small(action_init_std=2.0)
    behavior = Behavior(config, 9, ACTIONS)
    features = torch.randn(100, 9)
    mean, std = behavior.action.gaussian(features)
    torch.testing.assert_close(behavior.action.mode(features), torch.tanh(mean))
    behavior.action[-1].weight.data.zero_()
    torch.testing.assert_close(behavior.action.gaussian(features)[1], torch.full((100, ACTIONS), 2.0001))


def test_the_mean_is_squashed_as_the_released_code_does():
    behavior = Behavior(small(action_mean_scale=5.0), 9, ACTIONS)
    plain = Behavior(small(), 9, ACTIONS)
    plain.load_state_dict(behavior.state_dict())
    features = 30 * torch.randn(100, 9)
    mean, std = plain.action.gaussian(features)
    assert mean.abs().max() > 5
    torch.testing.assert_close(behavior.action.gaussian(features), (5 * torch.tanh(mean / 5), std))


def test_the_best_of_some_actions_is_the_one_of_greatest_density(float64):
    torch.manual_seed(0)
    action = Behavior(small(action_init_std=2.0), 9, ACTIONS).action
    features, noise = torch.randn(5, 9), torch.randn(100, 5, ACTIONS)
    mean, std = action.gaussian(features)
    tanh = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, std), torch.distributions.TanhTransform(cache_size=1)
    )
    actions = torch.tanh(mean + std * noise)
    densities = [tanh.log_prob(one).sum(-1) for one in actions]
    expected = [max(range(100), key=lambda k: densities[k][n].item()) for n in range(5)]
    torch.testing.assert_close(
        action.best(features, noise), torch.stack([actions[k, n] for n, k in enumerate(expected)])
    )


class PointWorld:
    """A latent world with a known answer: position' = position + action / 2, reward -position^2."""

    class rssm:
        @staticmethod
        def imagine_step(state, action, noise):
            position = state.stochastic + 0.5 * action
            return State(state.deterministic, position, position, torch.ones_like(position))

    @staticmethod
    def reward(features):
        return -features[..., 0].square()


def test_the_action_model_finds_the_known_best_action():
    """From |position| < 1/2 the best action goes to 0 at once: -2 x position; the value there is -position^2."""
    config = small(units=32, horizon=5, action_lr=3e-3, value_lr=3e-3, slow_value_every=10, discount=0.9)
    torch.manual_seed(0)
    behavior = Behavior(config, 2, 1)
    action = Optimizer(behavior.action.parameters(), config.action_lr, config)
    value = Optimizer(behavior.value.parameters(), config.value_lr, config)
    world = types.SimpleNamespace(rssm=PointWorld.rssm, reward=PointWorld.reward)
    for update in range(500):
        if update % config.slow_value_every == 0:
            behavior.copy_slow_value()
        position = torch.rand(64, 1) * 2 - 1
        start = State(torch.zeros(64, 1), position, position, torch.ones(64, 1))
        imagined = behavior.imagine(world, start, torch.zeros(5, 64, 1), torch.randn(5, 64, 1))
        returns = behavior.returns(world, imagined.features)
        action.step(behavior.action_loss(returns.action))
        value.step(behavior.value_loss(imagined.features, returns.value))
    position = torch.linspace(-0.4, 0.4, 41).unsqueeze(1)
    features = torch.cat([position, torch.zeros_like(position)], -1)
    with torch.no_grad():
        assert (behavior.action.mode(features) + 2 * position).abs().max() < 0.15
        assert (behavior.value(features) + position.squeeze().square()).abs().max() < 0.1
